using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Accel.Core.Memory;

namespace Accel.Core.Ip;

/// <summary>Head of the mirror of the kernel's tables.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 512)]
public struct NetHeader
{
    [FieldOffset(0)] public RegionHeader Header;

    /// <summary>The lowest bit says which copy of the links, addresses, rules and routes holds.</summary>
    [FieldOffset(128)] public uint RouteSequence;

    /// <summary>The lowest bit says which copy of the neighbours holds.</summary>
    [FieldOffset(192)] public uint NeighbourSequence;
    [FieldOffset(256)] public TwoRoutingHeads Routing;
    [FieldOffset(320)] public TwoNeighbourHeads Neighbours;

    /// <summary>What the mirror did, for the tools: reads of whole tables, events, overruns of the event queue.
    /// </summary>
    [FieldOffset(384)] public ulong Dumps;
    [FieldOffset(392)] public ulong Events;
    [FieldOffset(400)] public ulong Overruns;
    [FieldOffset(408)] public ulong Resolved;
    [FieldOffset(416)] public ulong IcmpErrors;
}

/// <summary>How much of one copy of the routing tables is in use.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 32)]
public struct RoutingHead
{
    /// <summary>The kernel's tables are all here. Without it nothing is known.</summary>
    public const uint Complete = 1;

    [FieldOffset(0)] public uint Flags;
    [FieldOffset(4)] public int Links;
    [FieldOffset(8)] public int Addresses;
    [FieldOffset(12)] public int Rules;
    [FieldOffset(16)] public int Runs;
    [FieldOffset(20)] public int Routes;
}

/// <summary>How much of one copy of the neighbours is in use.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 16)]
public struct NeighbourHead
{
    /// <summary>Slots in use, minus one; a power of two minus one.</summary>
    [FieldOffset(0)] public uint SlotMask;
    [FieldOffset(4)] public int Count;

    /// <summary>Neighbours that did not fit.</summary>
    [FieldOffset(8)] public int LeftOut;
}

[InlineArray(2)]
public struct TwoRoutingHeads
{
    private RoutingHead _first;
}

[InlineArray(2)]
public struct TwoNeighbourHeads
{
    private NeighbourHead _first;
}
