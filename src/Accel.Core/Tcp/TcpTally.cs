using System.Runtime.InteropServices;
using Accel.Core.Memory;

namespace Accel.Core.Tcp;

/// <summary>What one connection has counted, for tcp_info and the tools.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 128)]
public struct TcpTally
{
    [FieldOffset(0)] public ulong BytesAcked;
    [FieldOffset(8)] public ulong BytesReceived;
    [FieldOffset(16)] public ulong BytesSent;
    [FieldOffset(24)] public ulong BytesRetransmitted;
    [FieldOffset(32)] public uint SegmentsIn;
    [FieldOffset(36)] public uint SegmentsOut;
    [FieldOffset(40)] public uint DataSegmentsIn;
    [FieldOffset(44)] public uint DataSegmentsOut;
    [FieldOffset(48)] public uint Retransmitted;
    [FieldOffset(52)] public uint OutOfOrder;
    [FieldOffset(56)] public uint DuplicatesSeen;
    [FieldOffset(60)] public uint Timeouts;
    [FieldOffset(64)] public uint LossProbes;
    [FieldOffset(68)] public uint CongestionMarks;
}
