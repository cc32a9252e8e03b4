using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>The numbers that a connection starts with: its sequence (RFC 6528) and its timestamps (RFC 7323 5.4).
/// </summary>
public static class InitialSequence
{
    /// <summary>
    /// RFC 6528 3: ISN = M + F(localip, localport, remoteip, remoteport, secretkey). M ticks every 64 ns as Linux's,
    /// so that a number comes again after 4.6 minutes and no sooner than a segment may live.
    /// </summary>
    public static SeqNum Of(in TcpFlow flow, in TcpContext ctx) =>
        new((uint)Hash(in flow, ctx.Settings.SequenceKey0, ctx.Settings.SequenceKey1)
            + (uint)(ctx.NowNs >> 6));

    /// <summary>
    /// What is added to the clock in this connection's timestamps. Of the addresses alone, so that a port that is used
    /// again sees its timestamps go on rising, which TIME-WAIT's early end relies on.
    /// </summary>
    public static uint TimestampOffset(in TcpFlow flow, in TcpSettings settings)
    {
        SipHash hash = new(settings.SequenceKey1, settings.SequenceKey0);
        AddAddresses(ref hash, in flow);
        return (uint)hash.Finish();
    }

    internal static ulong Hash(in TcpFlow flow, ulong key0, ulong key1, ulong salt = 0)
    {
        SipHash hash = new(key0, key1);
        AddAddresses(ref hash, in flow);
        hash.Add((ulong)flow.LocalPort << 16 | flow.RemotePort | salt << 32);
        return hash.Finish();
    }

    private static void AddAddresses(ref SipHash hash, in TcpFlow flow)
    {
        hash.Add(flow.LocalLow);
        hash.Add(flow.RemoteLow);
        if ((flow.LocalHigh | flow.RemoteHigh) == 0)
            return;
        hash.Add(flow.LocalHigh);
        hash.Add(flow.RemoteHigh);
    }
}
