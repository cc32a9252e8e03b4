using System.Runtime.InteropServices;
using Accel.Core.Memory;

namespace Accel.Core.Tcp;

/// <summary>How the congestion window grows.</summary>
public enum CongestionAlgorithm : byte
{
    Cubic = 0,
    Reno = 1,
}

/// <summary>Records of what was sent, shared by all connections.</summary>
public readonly unsafe struct SegmentPool
{
}

/// <summary>RFC 6298.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 64)]
public struct RttEstimator
{
    [FieldOffset(0)] public long Srtt;
    [FieldOffset(8)] public long Rto;

    public void Init() => Rto = TcpContext.NsPerSecond;
}

/// <summary>What is in flight.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 64)]
public struct SentQueue
{
    [FieldOffset(0)] public uint Head;
}

/// <summary>RFC 8985.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 128)]
public struct Rack
{
    [FieldOffset(0)] public long WindowNs;
}

/// <summary>RFC 9438, RFC 5681, RFC 6937.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 256)]
public struct CongestionControl
{
    [FieldOffset(0)] public uint Cwnd;

    public void Init(CongestionAlgorithm algorithm) => Cwnd = (uint)algorithm;
}
