using Accel.Core.Nic;
using Accel.Core.Tcp;

namespace Accel.Posix;

/// <summary>struct tcp_info and TCP_MAXSEG of a connection over a network interface: what the engine knows of it.
/// </summary>
public static unsafe class NicInfo
{
    /// <summary>Writes the structure over zeroes. False if the engine is done with the connection.</summary>
    public static bool TryFill(PosixStack s, AccelThread* t, in Wire wire, byte* info)
    {
        if (s.Nic is not { } nic)
            return false;
        nic.Enter(t);
        bool lives = nic.Engine.TryReadInfo(wire.Index, s.Kernel.NowNs(), out TcpInfoView view);
        if (lives)
        {
            Write(view, info);
            // tcpi_notsent_bytes: what the program wrote and TCP has not sent.
            uint queued = (uint)(wire.Out->Tail - wire.Out->Head);
            *(uint*)(info + 144) = queued - Math.Min(queued, view.InFlight);
        }
        nic.Exit(t);
        return lives;
    }

    /// <summary>The segment size that a connection sends with, and its path's MTU.</summary>
    public static bool TryRead(PosixStack s, AccelThread* t, in Wire wire, out uint segment, out uint mtu)
    {
        segment = mtu = 0;
        if (s.Nic is not { } nic)
            return false;
        nic.Enter(t);
        bool lives = nic.Engine.TryReadInfo(wire.Index, s.Kernel.NowNs(), out TcpInfoView view);
        if (lives)
        {
            segment = view.SndMss;
            mtu = view.Pmtu;
        }
        nic.Exit(t);
        return lives;
    }

    /// <summary>
    /// True if the peer lets nothing more come: whoever waits does not wait for want of a buffer.
    /// </summary>
    public static bool IsWindowShut(PosixStack s, AccelThread* t, in Wire wire)
    {
        if (s.Nic is not { } nic)
            return false;
        nic.Enter(t);
        bool shut = nic.Engine.TryReadInfo(wire.Index, s.Kernel.NowNs(), out TcpInfoView view)
            && view.SndWnd < view.InFlight + view.SndMss;
        nic.Exit(t);
        return shut;
    }

    /// <summary>
    /// True if the path would take more than a ring of so many bytes holds: its program waits for want of a buffer
    /// only. Twice the congestion window, as tcp_sndbuf_expand() of Linux, so that the next window is there when this
    /// one is acknowledged.
    /// </summary>
    public static bool WantsBuffer(PosixStack s, AccelThread* t, in Wire wire, ulong ring)
    {
        if (s.Nic is not { } nic)
            return false;
        nic.Enter(t);
        bool wants = nic.Engine.TryReadInfo(wire.Index, s.Kernel.NowNs(), out TcpInfoView view)
            && view.SndWnd >= view.InFlight + view.SndMss && 2ul * view.SndCwnd * view.SndMss > ring;
        nic.Exit(t);
        return wants;
    }

    /// <summary>
    /// Offsets of linux/tcp.h. What Linux keeps for itself (times limited by buffers, AccECN) is zero.
    /// </summary>
    private static void Write(in TcpInfoView view, byte* info)
    {
        info[0] = view.State;
        info[1] = view.CaState;
        info[2] = view.Retransmits;
        info[3] = view.Probes;
        info[4] = view.Backoff;
        info[5] = view.Options;
        info[6] = (byte)(view.SndWscale | view.RcvWscale << 4);
        uint* words = (uint*)(info + 8);
        words[0] = view.RtoUs;
        words[1] = view.AtoUs;
        words[2] = view.SndMss;
        words[3] = view.RcvMss;
        words[4] = view.Unacked;
        words[5] = view.Sacked;
        words[6] = view.Lost;
        words[7] = view.Retrans;
        // 40: fackets, no longer counted. 48: last_ack_sent, "not remembered".
        words[9] = view.LastDataSentMs;
        words[11] = view.LastDataRecvMs;
        words[12] = view.LastAckRecvMs;
        words[13] = view.Pmtu;
        words[14] = view.RcvSsthresh;
        words[15] = view.RttUs;
        words[16] = view.RttVarUs;
        words[17] = view.SndSsthresh;
        words[18] = view.SndCwnd;
        words[19] = view.AdvMss;
        words[20] = view.Reordering;
        words[21] = view.RcvRttUs;
        words[22] = view.RcvSpace;
        words[23] = view.TotalRetrans;
        *(ulong*)(info + 104) = view.PacingRate;
        *(ulong*)(info + 112) = ulong.MaxValue;
        *(ulong*)(info + 120) = view.BytesAcked;
        *(ulong*)(info + 128) = view.BytesReceived;
        *(uint*)(info + 136) = view.SegsOut;
        *(uint*)(info + 140) = view.SegsIn;
        *(uint*)(info + 148) = view.MinRttUs;
        *(uint*)(info + 152) = view.DataSegsIn;
        *(uint*)(info + 156) = view.DataSegsOut;
        *(ulong*)(info + 160) = view.DeliveryRate;
        *(uint*)(info + 192) = view.Delivered;
        *(uint*)(info + 196) = view.DeliveredCe;
        *(ulong*)(info + 200) = view.BytesSent;
        *(ulong*)(info + 208) = view.BytesRetrans;
        *(uint*)(info + 216) = view.DsackDups;
        *(uint*)(info + 220) = view.ReordSeen;
        *(uint*)(info + 224) = view.RcvOoopack;
        *(uint*)(info + 228) = view.SndWnd;
        *(uint*)(info + 232) = view.RcvWnd;
        *(ushort*)(info + 240) = (ushort)Math.Min(view.TotalRto, ushort.MaxValue);
    }
}
