using Accel.Core.Local;
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
    public static SeqNum Of(in Endpoint local, in Endpoint remote, in TcpContext ctx) =>
        new((uint)Flow(in local, in remote, ctx.Settings.SequenceKey0, ctx.Settings.SequenceKey1)
            + (uint)(ctx.NowNs >> 6));

    /// <summary>
    /// What is added to the clock in this connection's timestamps. Of the addresses alone, so that a port that is used
    /// again sees its timestamps go on rising, which TIME-WAIT's early end relies on.
    /// </summary>
    public static uint TimestampOffset(in Endpoint local, in Endpoint remote, in TcpSettings settings)
    {
        SipHash hash = new(settings.SequenceKey1, settings.SequenceKey0);
        AddAddresses(ref hash, in local, in remote);
        return (uint)hash.Finish();
    }

    internal static ulong Flow(in Endpoint local, in Endpoint remote, ulong key0, ulong key1, ulong salt = 0)
    {
        SipHash hash = new(key0, key1);
        AddAddresses(ref hash, in local, in remote);
        hash.Add((ulong)local.Port << 16 | remote.Port | salt << 32);
        return hash.Finish();
    }

    private static void AddAddresses(ref SipHash hash, in Endpoint local, in Endpoint remote)
    {
        hash.Add(local.AddressLow);
        hash.Add(remote.AddressLow);
        if ((local.AddressHigh | remote.AddressHigh) == 0)
            return;
        hash.Add(local.AddressHigh);
        hash.Add(remote.AddressHigh);
    }
}
