namespace Accel.Core.Tcp;

/// <summary>
/// A connection as struct tcp_info of linux/tcp.h tells it: the fields by their names there, without the prefix. Counts
/// that Linux keeps in segments are bytes over the segment size here.
/// </summary>
public readonly ref struct TcpInfoView
{
    private const byte OptTimestamps = 1, OptSack = 2, OptScale = 4, OptEcn = 8, OptEcnSeen = 16;
    private const long NsPerUs = 1_000;
    private const uint TimestampBytes = 12;

    private readonly ref readonly Tcb _tcb;
    private readonly long _nowNs;

    public TcpInfoView(in Tcb tcb, long nowNs)
    {
        _tcb = ref tcb;
        _nowNs = nowNs;
    }

    private uint Mss => Math.Max(_tcb.SndMss, (ushort)1);

    public byte State => (byte)_tcb.State;

    public byte CaState => (byte)_tcb.Recovery.State;

    public byte Retransmits => _tcb.Retransmits;

    public byte Probes => _tcb.ProbesOut;

    public byte Backoff => _tcb.Backoff;

    public byte Options
    {
        get
        {
            TcbFlags flags = _tcb.Flags;
            int options = (flags & TcbFlags.Timestamps) != 0 ? OptTimestamps : 0;
            options |= (flags & TcbFlags.Sack) != 0 ? OptSack : 0;
            options |= (flags & TcbFlags.WindowScaling) != 0 ? OptScale : 0;
            options |= (flags & TcbFlags.Ecn) != 0 ? OptEcn : 0;
            return (byte)(options | (_tcb.Tally.CongestionMarks != 0 ? OptEcnSeen : 0));
        }
    }

    public byte SndWscale => _tcb.SndWscale;

    public byte RcvWscale => _tcb.RcvWscale;

    public uint RtoUs => (uint)(_tcb.Recovery.Rtt.Rto / NsPerUs);

    public uint AtoUs => (uint)(_tcb.AckTimeout / NsPerUs);

    public uint SndMss => _tcb.SndMss;

    public uint RcvMss => _tcb.RcvMss;

    public uint Unacked => Segments(InFlight);

    /// <summary>Sequence space that is sent and not acknowledged.</summary>
    public uint InFlight => (uint)(_tcb.SndNxt - _tcb.SndUna);

    public uint Sacked => Segments(_tcb.Recovery.Sent.Sacked);

    public uint Lost => Segments(_tcb.Recovery.Sent.Lost);

    public uint Retrans => Segments(_tcb.Recovery.Sent.Resent);

    public uint LastDataSentMs => Since(_tcb.SentAt);

    public uint LastDataRecvMs => Since(_tcb.ReceivedAt != 0 ? _tcb.ReceivedAt : _tcb.OpenedAt);

    public uint LastAckRecvMs => Since(_tcb.HeardAt);

    public uint Pmtu => _tcb.Path.SearchLow != 0 ? Math.Min(_tcb.Path.SearchLow, _tcb.Path.Mtu) : _tcb.Path.Mtu;

    public uint RcvSsthresh => Math.Max(_tcb.RcvWnd, _tcb.Tuning.Wanted);

    public uint RttUs => (uint)(_tcb.Recovery.Rtt.Srtt / NsPerUs);

    public uint RttVarUs => (uint)(_tcb.Recovery.Rtt.RttVar / NsPerUs);

    public uint SndSsthresh => _tcb.Recovery.Congestion.Ssthresh is 0 or CongestionControl.Infinite
        ? int.MaxValue : Segments(_tcb.Recovery.Congestion.Ssthresh);

    public uint SndCwnd => Segments(_tcb.Recovery.Congestion.Cwnd);

    /// <summary>As Linux keeps it: without the room for time stamps.</summary>
    public uint AdvMss => _tcb.AdvertisedMss - ((_tcb.Flags & TcbFlags.Timestamps) != 0 ? TimestampBytes : 0);

    public uint Reordering => Math.Max(_tcb.Recovery.Rack.Reordering, 3);

    public uint RcvRttUs => (uint)(_tcb.Tuning.RttNs / NsPerUs);

    public uint RcvSpace => _tcb.RcvWnd;

    public uint TotalRetrans => _tcb.Tally.Retransmitted;

    /// <summary>A SYN of ours counts.</summary>
    public ulong BytesAcked => _tcb.Tally.BytesAcked + (IsPassive || State == (byte)TcpState.SynSent ? 0u : 1u);

    public ulong BytesReceived => _tcb.Tally.BytesReceived;

    /// <summary>The SYN-ACK of a passive open is not the connection's for Linux, the SYN is.</summary>
    public uint SegsOut => _tcb.Tally.SegmentsOut - (IsPassive ? Math.Min(1, _tcb.Tally.SegmentsOut) : 0);

    public uint SegsIn => _tcb.Tally.SegmentsIn + (IsPassive ? 1u : 0u);

    public uint MinRttUs => (uint)(_tcb.Recovery.Rtt.MinRtt / NsPerUs);

    public uint DataSegsIn => _tcb.Tally.DataSegmentsIn;

    public uint DataSegsOut => _tcb.Tally.DataSegmentsOut;

    public uint TotalRto => _tcb.Tally.Timeouts;

    /// <summary>Bytes a second, as Linux reckons it: twice the window in a round trip while it may still double, then
    /// 1.2 times.</summary>
    public ulong PacingRate
    {
        get
        {
            ulong cwnd = _tcb.Recovery.Congestion.Cwnd, ssthresh = _tcb.Recovery.Congestion.Ssthresh;
            ulong percent = ssthresh == 0 || cwnd < ssthresh / 2 ? 200u : 120u;
            return cwnd * percent / 100 * 1_000_000 / Math.Max(RttUs, 1);
        }
    }

    public ulong DeliveryRate => _tcb.Recovery.Sent.DeliveryRate;

    /// <summary>The handshake counts as one.</summary>
    public uint Delivered =>
        (uint)Math.Min((_tcb.Recovery.Sent.Delivered + Mss - 1) / Mss + 1, uint.MaxValue);

    public uint DeliveredCe => _tcb.Tally.CongestionMarks;

    public ulong BytesSent => _tcb.Tally.BytesSent;

    public ulong BytesRetrans => _tcb.Tally.BytesRetransmitted;

    public uint DsackDups => _tcb.Tally.DuplicatesSeen;

    public uint ReordSeen => _tcb.Recovery.Rack.ReorderSeen;

    public uint RcvOoopack => _tcb.Tally.OutOfOrder;

    public uint SndWnd => _tcb.SndWnd;

    public uint RcvWnd => Window.Remaining(in _tcb);

    private bool IsPassive => (_tcb.Flags & TcbFlags.Passive) != 0;

    private uint Segments(uint bytes) => (bytes + Mss - 1) / Mss;

    private uint Since(long at) => at == 0 ? 0 : (uint)Math.Min((_nowNs - at) / TcpContext.NsPerMs, uint.MaxValue);
}
