using Accel.Core.Local;
using Accel.Core.Tcp;

namespace Accel.Core.Nic;

/// <summary>Names and options in the words of the TCP machine.</summary>
internal static class NicOptions
{
    public static TcpFlow Flow(in NicRoute route) => new()
    {
        LocalLow = route.Local.AddressLow,
        LocalHigh = route.Local.AddressHigh,
        RemoteLow = route.Remote.AddressLow,
        RemoteHigh = route.Remote.AddressHigh,
        LocalPort = route.Local.Port,
        RemotePort = route.Remote.Port,
        IsV6 = route.Local.Family == Endpoint.V6,
    };

    public static TcpTuning Tuning(in NicSettings settings) => new()
    {
        Keepalive = settings.Has(NicSettingFlags.Keepalive),
        KeepaliveProbes = settings.KeepaliveProbes,
        SynRetries = settings.SynRetries,
        KeepaliveTimeSeconds = settings.KeepaliveTimeSeconds,
        KeepaliveIntervalSeconds = settings.KeepaliveIntervalSeconds,
        UserTimeoutMillis = settings.UserTimeoutMillis,
        Linger2Seconds = settings.Linger2Seconds,
        WindowClamp = settings.WindowClamp,
        MaxSegment = settings.MaxSegment,
    };

    public static CongestionAlgorithm Congestion(in NicSettings settings, in TcpSettings stack) =>
        settings.Congestion == 0 ? stack.Congestion : (CongestionAlgorithm)(settings.Congestion - 1);
}
