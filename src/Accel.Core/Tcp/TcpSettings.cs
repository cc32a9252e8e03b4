using System.Runtime.InteropServices;
using Accel.Core.Memory;

namespace Accel.Core.Tcp;

/// <summary>What use is made of ECN (RFC 3168), numbered as net.ipv4.tcp_ecn.</summary>
public enum EcnMode : byte
{
    Off = 0,

    /// <summary>Asked for and accepted.</summary>
    Full = 1,

    /// <summary>Accepted if the peer asks.</summary>
    Passive = 2,
}

/// <summary>
/// The limits and defaults of all connections of a stack: what net.ipv4.tcp_* is to the kernel. The names of the
/// sysctls stand beside them; the defaults are Linux's.
/// </summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 192)]
public struct TcpSettings
{
    /// <summary>tcp_syn_retries: SYNs after the linear ones.</summary>
    [FieldOffset(0)] public byte SynRetries;

    /// <summary>tcp_syn_linear_timeouts: so many SYNs follow without back-off.</summary>
    [FieldOffset(1)] public byte SynLinearTimeouts;

    /// <summary>tcp_synack_retries.</summary>
    [FieldOffset(2)] public byte SynAckRetries;

    /// <summary>tcp_retries1: after so many the path is suspected.</summary>
    [FieldOffset(3)] public byte Retries1;

    /// <summary>tcp_retries2: after so many (as time, not counted) the connection fails.</summary>
    [FieldOffset(4)] public byte Retries2;

    /// <summary>tcp_orphan_retries, where 0 means 8: the same for a connection whose program has closed it.</summary>
    [FieldOffset(5)] public byte OrphanRetries;
    [FieldOffset(6)] public EcnMode Ecn;

    /// <summary>tcp_timestamps, tcp_sack, tcp_window_scaling.</summary>
    [FieldOffset(7)] public bool Timestamps;
    [FieldOffset(8)] public bool Sack;
    [FieldOffset(9)] public bool WindowScaling;

    /// <summary>tcp_mtu_probing = 1: look for a smaller MTU when retransmissions fail.</summary>
    [FieldOffset(10)] public bool MtuProbing;

    /// <summary>tcp_congestion_control.</summary>
    [FieldOffset(11)] public CongestionAlgorithm Congestion;

    /// <summary>tcp_rfc1337: a RST does not end TIME-WAIT.</summary>
    [FieldOffset(12)] public bool Rfc1337;

    /// <summary>tcp_slow_start_after_idle.</summary>
    [FieldOffset(13)] public bool SlowStartAfterIdle;

    /// <summary>tcp_comp_sack_nr: so many segments beyond a gap can share an ACK; 0: each has its own.</summary>
    [FieldOffset(14)] public byte CompressedSacks;

    /// <summary>tcp_keepalive_time, _intvl, _probes.</summary>
    [FieldOffset(16)] public uint KeepaliveTimeSeconds;
    [FieldOffset(20)] public uint KeepaliveIntervalSeconds;
    [FieldOffset(24)] public uint KeepaliveProbes;

    /// <summary>tcp_fin_timeout: how long an abandoned connection stays in FIN-WAIT-2.</summary>
    [FieldOffset(28)] public uint FinTimeoutSeconds;

    /// <summary>TCP_TIMEWAIT_LEN.</summary>
    [FieldOffset(32)] public uint TimeWaitSeconds;

    /// <summary>
    /// tcp_invalid_ratelimit: challenge ACKs of one connection are so far apart at least (RFC 5961 7).
    /// </summary>
    [FieldOffset(36)] public uint InvalidRateMillis;

    /// <summary>TCP_DELACK_MIN, TCP_DELACK_MAX.</summary>
    [FieldOffset(40)] public uint DelayedAckMinMillis;
    [FieldOffset(44)] public uint DelayedAckMaxMillis;

    /// <summary>tcp_base_mss, tcp_mtu_probe_floor (Linux: 48), tcp_min_snd_mss.</summary>
    [FieldOffset(48)] public ushort BaseMss;
    [FieldOffset(50)] public ushort MtuProbeFloor;
    [FieldOffset(52)] public ushort MinSndMss;

    /// <summary>The most that a receiving buffer can grow to: the window scale follows from it.</summary>
    [FieldOffset(56)] public uint ReceiveMax;

    /// <summary>tcp_probe_interval: after so long a smaller MTU is tried upwards again.</summary>
    [FieldOffset(60)] public uint MtuProbeSeconds;

    /// <summary>tcp_comp_sack_delay_ns, tcp_comp_sack_slack_ns: the longest that such an ACK waits.</summary>
    [FieldOffset(64)] public uint CompressedSackDelayNs;
    [FieldOffset(68)] public uint CompressedSackSlackNs;

    /// <summary>Keys of sequence numbers, timestamp offsets and SYN cookies; random, made once per stack.</summary>
    [FieldOffset(128), Hidden] public ulong SequenceKey0;
    [FieldOffset(136), Hidden] public ulong SequenceKey1;
    [FieldOffset(144), Hidden] public ulong CookieKey0;
    [FieldOffset(152), Hidden] public ulong CookieKey1;

    /// <summary>Linux's defaults, with keys that the caller has drawn.</summary>
    public static TcpSettings Linux(ulong key0, ulong key1, ulong key2, ulong key3) => new()
    {
        SynRetries = 6,
        SynLinearTimeouts = 4,
        SynAckRetries = 5,
        Retries1 = 3,
        Retries2 = 15,
        OrphanRetries = 0,
        Ecn = EcnMode.Passive,
        Timestamps = true,
        Sack = true,
        WindowScaling = true,
        MtuProbing = true,
        Congestion = CongestionAlgorithm.Cubic,
        SlowStartAfterIdle = true,
        CompressedSacks = 44,
        CompressedSackDelayNs = 1_000_000,
        CompressedSackSlackNs = 100_000,
        KeepaliveTimeSeconds = 7200,
        KeepaliveIntervalSeconds = 75,
        KeepaliveProbes = 9,
        FinTimeoutSeconds = 60,
        TimeWaitSeconds = 60,
        InvalidRateMillis = 500,
        DelayedAckMinMillis = 40,
        DelayedAckMaxMillis = 200,
        BaseMss = 1024,
        MtuProbeFloor = 512,
        MinSndMss = 48,
        ReceiveMax = 4 << 20,
        MtuProbeSeconds = 600,
        SequenceKey0 = key0,
        SequenceKey1 = key1,
        CookieKey0 = key2,
        CookieKey1 = key3,
    };
}
