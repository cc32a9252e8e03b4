using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>What ICMP reports about a segment of ours (RFC 1122 4.2.3.9, RFC 5461, RFC 5927).</summary>
public static class TcpIcmp
{
    private const byte Unreachable4 = 3, FragmentationNeeded = 4, TimeExceeded4 = 11;
    private const byte Unreachable6 = 1, TooBig6 = 2, TimeExceeded6 = 3;

    /// <summary>
    /// Takes an error that names this connection: ICMP's or ICMPv6's type and code, the sequence number that it quotes,
    /// and the MTU if it brings one.
    /// </summary>
    public static void OnError(
        ref Tcb tcb, byte type, byte code, SeqNum quoted, uint mtu, in TcpContext ctx, ref TcpEffects fx)
    {
        bool v6 = (tcb.Flags & TcbFlags.V6) != 0;
        // RFC 5927 4.1: it must quote what is in flight.
        if (tcb.State.IsOver() || quoted < tcb.SndUna || quoted > tcb.SndNxt)
        {
            ctx.Count(TcpCounter.IcmpIgnored);
            return;
        }
        if (v6 ? type == TooBig6 : type == Unreachable4 && code == FragmentationNeeded)
        {
            if (!tcb.State.IsSynchronized() || !Pmtu.OnTooBig(ref tcb, quoted, mtu, in ctx))
                return;
            tcb.Recovery.OnSmallerSegments(ctx.Pool, tcb.SndMss, ctx.NowNs);
            TcpTimers.Sync(ref tcb, in ctx);
            fx.Events |= TcpEvents.Send;
            return;
        }
        TcpError error = v6 ? Meaning6(type, code) : Meaning4(type, code);
        if (error == TcpError.None)
            return;
        if (tcb.State is TcpState.SynSent or TcpState.SynReceived)
        {
            // RFC 5461 3.2: a connection that does not exist yet has nothing to lose.
            ctx.Count(TcpCounter.AttemptFails);
            if ((tcb.Flags & TcbFlags.Passive) != 0)
                TcpClose.Done(ref tcb, in ctx, ref fx);
            else
                TcpClose.Fail(ref tcb, error, in ctx, ref fx);
            return;
        }
        // RFC 5461 3.1: remembered as the reason, should the connection fail.
        tcb.SoftError = error;
    }

    private static TcpError Meaning4(byte type, byte code) => type switch
    {
        Unreachable4 => code switch
        {
            0 or 6 or 8 or 9 or 11 => TcpError.NetUnreachable,
            1 or 5 or 10 or 12 or 13 or 14 or 15 => TcpError.HostUnreachable,
            2 => TcpError.ProtocolUnreachable,
            3 => TcpError.Refused,
            7 => TcpError.HostDown,
            _ => TcpError.None,
        },
        TimeExceeded4 => TcpError.HostUnreachable,
        _ => TcpError.None,
    };

    private static TcpError Meaning6(byte type, byte code) => type switch
    {
        Unreachable6 => code switch
        {
            0 => TcpError.NetUnreachable,
            1 or 5 or 6 => TcpError.Prohibited,
            2 or 3 => TcpError.HostUnreachable,
            4 => TcpError.Refused,
            _ => TcpError.None,
        },
        TimeExceeded6 => TcpError.HostUnreachable,
        _ => TcpError.None,
    };
}
