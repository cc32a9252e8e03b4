namespace Accel.Os.Links;

/// <summary>
/// A ring that is shared with the kernel. Both indices lie in its memory, which every process of a stack maps, so
/// nothing of them is kept here. Entries are of 8 bytes (addresses) or 16 (descriptors).
/// </summary>
public unsafe struct XskRing
{
    public uint* Producer;
    public uint* Consumer;
    public uint* Flags;
    public byte* Entries;
    public uint Mask;
    internal byte* Mapping;
    internal long MappingBytes;

    public readonly bool IsMapped => Entries != null;

    public readonly uint Size => Mask + 1;

    /// <summary>Entries that are in the ring now. Both sides may be moving.</summary>
    public readonly uint Count => Volatile.Read(ref *Producer) - Volatile.Read(ref *Consumer);

    /// <summary>XDP_RING_NEED_WAKEUP: the kernel looks at the ring only when it is told to.</summary>
    public readonly bool NeedsWakeup => (Volatile.Read(ref *Flags) & 1) != 0;

    internal readonly void Unmap(LinuxKernel kernel)
    {
        if (Mapping != null)
            kernel.Unmap(Mapping, MappingBytes);
    }

    public readonly ref ulong Address(uint index) => ref ((ulong*)Entries)[index & Mask];

    public readonly ref XskDescriptor Descriptor(uint index) => ref ((XskDescriptor*)Entries)[index & Mask];
}

/// <summary>struct xdp_desc</summary>
public struct XskDescriptor
{
    public ulong Address;
    public uint Length;
    public uint Options;

    /// <summary>XDP_PKT_CONTD: the frame goes on in the next descriptor.</summary>
    public const uint Continued = 1;
}
