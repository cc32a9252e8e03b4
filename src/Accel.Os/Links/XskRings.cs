using Accel.Core.Memory;

namespace Accel.Os.Links;

/// <summary>The four rings of an AF_XDP socket, mapped.</summary>
[ColdPath]
public unsafe struct XskRings
{
    private const int SocketXdp = 283, MmapOffsets = 1;
    private const long ReceivePage = 0, SendPage = 0x80000000, FillPage = 0x100000000, CompletionPage = 0x180000000;

    public XskRing Receive;
    public XskRing Send;
    public XskRing Fill;
    public XskRing Completion;

    /// <summary>
    /// Maps the rings; those of size 0 are left out. Fill and completion ring are those of the queue, whichever of its
    /// sockets this is. False if the kernel refuses.
    /// </summary>
    public static bool TryMap(LinuxKernel kernel, int fd, uint receive, uint send, uint fill, uint completion,
        out XskRings rings)
    {
        rings = default;
        // struct xdp_mmap_offsets: producer, consumer, desc, flags of rx, tx, fr, cr.
        ulong* offsets = stackalloc ulong[16];
        uint bytes = 16 * sizeof(ulong);
        if (kernel.GetSockOpt(fd, SocketXdp, MmapOffsets, offsets, &bytes) < 0 || bytes != 16 * sizeof(ulong))
            return false;
        return TryMap(kernel, fd, receive, 16, ReceivePage, offsets, out rings.Receive)
            && TryMap(kernel, fd, send, 16, SendPage, offsets + 4, out rings.Send)
            && TryMap(kernel, fd, fill, 8, FillPage, offsets + 8, out rings.Fill)
            && TryMap(kernel, fd, completion, 8, CompletionPage, offsets + 12, out rings.Completion);
    }

    private static bool TryMap(LinuxKernel kernel, int fd, uint size, int entryBytes, long page, ulong* offsets,
        out XskRing ring)
    {
        ring = default;
        if (size == 0)
            return true;
        byte* address = kernel.MapShare(fd, Bytes(size, entryBytes, offsets[2]), page);
        if (address == null)
            return false;
        ring = new XskRing
        {
            Producer = (uint*)(address + offsets[0]),
            Consumer = (uint*)(address + offsets[1]),
            Entries = address + offsets[2],
            Flags = (uint*)(address + offsets[3]),
            Mask = size - 1,
            Mapping = address,
            MappingBytes = Bytes(size, entryBytes, offsets[2]),
        };
        return true;
    }

    private static long Bytes(uint size, int entryBytes, ulong entriesAt) => (long)entriesAt + (long)size * entryBytes;

    public readonly void Unmap(LinuxKernel kernel)
    {
        Receive.Unmap(kernel);
        Send.Unmap(kernel);
        Fill.Unmap(kernel);
        Completion.Unmap(kernel);
    }
}
