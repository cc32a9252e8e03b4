using Accel.Core.Memory;
using Accel.Core.Nic;

namespace Accel.Os.Links;

/// <summary>One queue of a link: the stack's own AF_XDP socket with its rings, and the frames that all share.</summary>
public unsafe struct XdpQueue
{
    public int Descriptor;
    public int UmemDescriptor;
    public uint Number;
    public XskRing Receive;
    public XskRing Send;
    public Umem Umem;

    /// <summary>Maps what acceld sent. Null, or what is wrong with it. A queue that is only sent over uses a few of its
    /// buffers, again and again: to map all would be most of what it costs a program to begin.</summary>
    [ColdPath]
    public static string? Open(LinuxKernel kernel, int xsk, int memory, uint number, uint receiveSize, uint sendSize,
        bool sendsOnly, out XdpQueue queue)
    {
        queue = default;
        UmemHeader header;
        if (kernel.Read(memory, &header, (ulong)sizeof(UmemHeader), 0) != sizeof(UmemHeader))
            return "the memory of the queue is shorter than its header";
        long bytes = kernel.SizeOf(memory);
        string? refusal = Umem.Refusal(header, (ulong)Math.Max(bytes, 0));
        if (refusal is not null)
            return refusal;
        byte* address = kernel.MapShare(memory, bytes, populate: !sendsOnly);
        if (address == null)
            return "the memory of the queue cannot be mapped";
        if (!XskRings.TryMap(kernel, xsk, receiveSize, sendSize, header.FillRingSize, header.CompletionRingSize,
            out XskRings rings))
        {
            kernel.Unmap(address, bytes);
            return "the rings of the queue cannot be mapped";
        }
        queue = new XdpQueue
        {
            Descriptor = xsk,
            UmemDescriptor = memory,
            Number = number,
            Receive = rings.Receive,
            Send = rings.Send,
            Umem = new Umem(address, header.Frames, header.FrameBytes)
            {
                Fill = rings.Fill,
                Completion = rings.Completion,
            },
        };
        return null;
    }

    /// <summary>The rings, as far as they are mapped.</summary>
    internal int Mappings(Span<MappedRange> ranges)
    {
        ReadOnlySpan<XskRing> rings = [Receive, Send, Umem.Fill, Umem.Completion];
        int count = 0;
        foreach (XskRing ring in rings)
        {
            if (ring.Mapping != null && count < ranges.Length)
                ranges[count++] = new MappedRange((nint)ring.Mapping, ring.MappingBytes);
        }
        return count;
    }

    [ColdPath]
    internal void Unmap(LinuxKernel kernel)
    {
        Receive.Unmap(kernel);
        Send.Unmap(kernel);
        Umem.Fill.Unmap(kernel);
        Umem.Completion.Unmap(kernel);
        kernel.Unmap((byte*)Umem.Header, (long)Umem.SizeOf(Umem.FrameCount, Umem.FrameBytes));
        this = default;
    }
}
