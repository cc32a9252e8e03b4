using System.Runtime.InteropServices;
using Accel.Core.Local;
using Accel.Core.Memory;

namespace Accel.Core.Udp;

/// <summary>What stands before each datagram in a receiving ring. The payload follows, padded to eight bytes.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = Bytes)]
public struct UdpRecord
{
    public const int Bytes = 64;

    /// <summary>Of the payload.</summary>
    [FieldOffset(0)] public uint Length;

    /// <summary>TTL or hop limit, TOS or traffic class.</summary>
    [FieldOffset(4)] public byte Ttl;
    [FieldOffset(5)] public byte Tos;

    /// <summary>CLOCK_MONOTONIC.</summary>
    [FieldOffset(8)] public long ArrivalNs;

    /// <summary>Sender; a link-local one with its scope.</summary>
    [FieldOffset(16)] public Endpoint Source;

    /// <summary>The address that it was sent to, with the interface that it came by as scope.</summary>
    [FieldOffset(40)] public Endpoint Destination;

    /// <summary>Bytes that a datagram takes in the ring.</summary>
    public static ulong Room(uint length) => Bytes + (((ulong)length + 7) & ~7ul);
}
