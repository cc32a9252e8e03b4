using System.Runtime.InteropServices;
using Accel.Core.Memory;

namespace Accel.Core.Nic;

/// <summary>Switches of <see cref="NicSettings"/>.</summary>
[Flags]
public enum NicSettingFlags : ushort
{
    None = 0,

    /// <summary>TCP_NODELAY.</summary>
    NoDelay = 1,

    /// <summary>TCP_CORK.</summary>
    Cork = 2,

    /// <summary>SO_KEEPALIVE.</summary>
    Keepalive = 4,

    /// <summary>TCP_QUICKACK was switched on last.</summary>
    QuickAck = 8,

    /// <summary>SO_RCVBUF was set: the receiving buffer does not grow by itself.</summary>
    ReceiveFixed = 16,
}

/// <summary>
/// What a program asked for a connection, or for those of a listener, by socket options. Zeroed: the defaults of the
/// stack.
/// </summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 40)]
public struct NicSettings
{
    [FieldOffset(0)] public NicSettingFlags Flags;

    /// <summary>IP_TTL, IPV6_UNICAST_HOPS; 0: 64.</summary>
    [FieldOffset(2)] public byte Ttl;

    /// <summary>IP_TOS, IPV6_TCLASS; the two bits of ECN are the stack's own.</summary>
    [FieldOffset(3)] public byte Tos;

    /// <summary>TCP_KEEPCNT, TCP_SYNCNT.</summary>
    [FieldOffset(4)] public byte KeepaliveProbes;
    [FieldOffset(5)] public byte SynRetries;

    /// <summary>TCP_CONGESTION: Tcp.CongestionAlgorithm plus one; 0: the stack's default.</summary>
    [FieldOffset(6)] public byte Congestion;

    /// <summary>TCP_KEEPIDLE, TCP_KEEPINTVL.</summary>
    [FieldOffset(8)] public uint KeepaliveTimeSeconds;
    [FieldOffset(12)] public uint KeepaliveIntervalSeconds;

    /// <summary>TCP_USER_TIMEOUT.</summary>
    [FieldOffset(16)] public uint UserTimeoutMillis;

    /// <summary>TCP_LINGER2.</summary>
    [FieldOffset(20)] public int Linger2Seconds;

    /// <summary>TCP_WINDOW_CLAMP.</summary>
    [FieldOffset(24)] public uint WindowClamp;

    /// <summary>TCP_MAXSEG.</summary>
    [FieldOffset(28)] public ushort MaxSegment;

    public readonly bool Has(NicSettingFlags flags) => (Flags & flags) == flags;
}
