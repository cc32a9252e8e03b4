using System.Runtime.CompilerServices;
using Accel.Core.Local;

namespace Accel.Core.Udp;

/// <summary>The part of the network path's region that is UDP's: bindings by port, and ways to destinations.</summary>
public readonly unsafe struct UdpRegion(byte* address)
{
    public const int PortBuckets = 4096;
    public const int MaxWays = 1024;

    private const long WaysAt = PortBuckets * sizeof(uint);

    private static long BindingsAt
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => WaysAt + MaxWays * sizeof(UdpWay);
    }

    public static long SizeBytes => BindingsAt + (long)LocalRegion.MaxConns * sizeof(UdpBinding);

    /// <summary>Per port: index plus one of the first binding.</summary>
    public uint* PortHeads => (uint*)address;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public UdpWay* WayAt(int index) => (UdpWay*)(address + WaysAt) + index;

    /// <summary>The binding of a connection slot of the local region.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public UdpBinding* BindingAt(int conn) => (UdpBinding*)(address + BindingsAt) + conn;
}
