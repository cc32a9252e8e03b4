using System.Runtime.InteropServices;
using Accel.Core.Memory;

namespace Accel.Core.Tcp;

/// <summary>What a program asked for one connection by socket options. Zeroed: the defaults of the stack.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 32)]
public struct TcpTuning
{
    /// <summary>SO_KEEPALIVE.</summary>
    [FieldOffset(0)] public bool Keepalive;

    /// <summary>TCP_KEEPCNT, TCP_SYNCNT.</summary>
    [FieldOffset(1)] public byte KeepaliveProbes;
    [FieldOffset(2)] public byte SynRetries;

    /// <summary>TCP_KEEPIDLE, TCP_KEEPINTVL.</summary>
    [FieldOffset(4)] public uint KeepaliveTimeSeconds;
    [FieldOffset(8)] public uint KeepaliveIntervalSeconds;

    /// <summary>TCP_USER_TIMEOUT.</summary>
    [FieldOffset(12)] public uint UserTimeoutMillis;

    /// <summary>TCP_LINGER2: seconds in FIN-WAIT-2 after close(); negative: none.</summary>
    [FieldOffset(16)] public int Linger2Seconds;

    /// <summary>TCP_WINDOW_CLAMP: the most that is offered.</summary>
    [FieldOffset(20)] public uint WindowClamp;

    /// <summary>TCP_MAXSEG.</summary>
    [FieldOffset(24)] public ushort MaxSegment;
}
