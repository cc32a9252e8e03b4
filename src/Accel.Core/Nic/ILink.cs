using System.Runtime.InteropServices;
using Accel.Core.Memory;

namespace Accel.Core.Nic;

/// <summary>A received frame, or a part of one, where the link keeps it. Valid until it is released.</summary>
public unsafe struct FrameRef
{
    public byte* Data;
    public int Length;

    /// <summary>The link's own name for the buffer.</summary>
    public ulong Handle;

    /// <summary>The frame goes on in the next reference.</summary>
    public bool More;
}

/// <summary>A part of this process's memory.</summary>
public readonly record struct MappedRange(nint Address, long Bytes);

/// <summary>
/// A link that Ethernet frames go over. All calls are made under the engine's lock; none blocks, none allocates.
/// </summary>
public unsafe interface ILink
{
    /// <summary>What is known of the link, in the stack's region.</summary>
    LinkInfo* Info { get; }

    /// <summary>
    /// The thread that makes the calls that follow. Whoever took the engine's lock says so once: links that share
    /// buffers with other stacks have locks of their own, whose holder must be known if it dies.
    /// </summary>
    int Tid { set; }

    /// <summary>
    /// The engine's lock was taken over from a thread that died: buffers that it had in hand are given back.
    /// </summary>
    void Recover();

    /// <summary>The descriptors that are readable when frames have arrived, and how many there are: mostly one for each
    /// queue.</summary>
    int Descriptor(int number);

    int DescriptorCount => (int)Info->Queues;

    /// <summary>Readable instead when the others fail, by which nobody is to lose more than time; -1: none.</summary>
    int SpareDescriptor => -1;

    /// <summary>
    /// A thread that is counted in <see cref="LinkInfo.Sleepers"/> is about to wait for the descriptors. After this it
    /// looks once more whether anything has arrived: what arrives later wakes it. No lock.
    /// </summary>
    void Doze()
    {
    }

    /// <summary>What of a queue is mapped that keeps its socket open. Returns how much of the room is used.</summary>
    int MappingsOf(int queue, Span<MappedRange> ranges);

    /// <summary>Something has arrived and was not taken yet. May be asked without the engine's lock.</summary>
    bool IsReadable { get; }

    /// <summary>Takes what has arrived on any of its queues, at most <paramref name="max"/> references, whole frames
    /// only.</summary>
    int Receive(FrameRef* frames, int max);

    /// <summary>Gives the buffers of received references back.</summary>
    void Release(FrameRef* frames, int count);

    /// <summary>An empty buffer for one frame of up to MTU plus headers. False if there is none now.</summary>
    bool TryTakeBuffer(out FrameRef frame);

    /// <summary>Queues a frame that was written into a buffer of <see cref="TryTakeBuffer"/>. Never fails.</summary>
    void Send(in FrameRef frame);

    /// <summary>Gives a buffer back unsent.</summary>
    void Return(in FrameRef frame);

    /// <summary>
    /// Sends headers and two runs of payload as one super-frame that the kernel or the device cuts into segments of
    /// <paramref name="segmentSize"/> bytes. TCP's checksum field holds the pseudo header's sum. False if the link has
    /// no such way, or no room now: the caller sends frame by frame.
    /// </summary>
    bool TrySendSuper(
        byte* header, int headerLength, byte* run1, int length1, byte* run2, int length2, int segmentSize);

    /// <summary>Frames queued since the last flush.</summary>
    int Unflushed { get; }

    /// <summary>The doorbell: tells the kernel of all that was queued. Costs a system call if something was.</summary>
    void Flush();
}

/// <summary>How a link really works, as the control plane set it up.</summary>
[Flags]
public enum LinkFlags : uint
{
    None = 0,
    Native = 1,
    Generic = 2,
    ZeroCopy = 4,
    NeedWakeup = 8,

    /// <summary>Frames of more than one buffer are received.</summary>
    ScatterGather = 16,

    /// <summary>Super-frames can be sent.</summary>
    SuperFrames = 32,

    /// <summary>
    /// The peer is on this host and may leave checksums to be filled in by a device: the pseudo header's sum alone is
    /// accepted too, and counted.
    /// </summary>
    TrustsPartialChecksums = 64,
    Up = 128,

    /// <summary>Frames come through a ring that a tc program writes, not through AF_XDP.</summary>
    Ring = 256,

    /// <summary>Who sleeps is woken over the packet socket, not by the ring itself.</summary>
    Bell = 512,
}

/// <summary>A link as every process of the stack, and the tools, see it.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 320)]
public unsafe struct LinkInfo
{
    public const int NameBytes = 16;

    /// <summary>0 = unused.</summary>
    [FieldOffset(0)] public int InterfaceIndex;
    [FieldOffset(4)] public uint Flags;
    [FieldOffset(8)] public uint Mtu;
    [FieldOffset(12)] public uint Queues;

    /// <summary>What steering entries point to: the stack's place in the interface's socket map.</summary>
    [FieldOffset(16)] public uint Slot;
    [FieldOffset(20)] public uint MaxSuperFrame;
    [FieldOffset(24)] public fixed byte Mac[8];
    [FieldOffset(32)] public fixed byte Name[NameBytes];

    [FieldOffset(64)] public ulong RxFrames;
    [FieldOffset(72)] public ulong RxBytes;
    [FieldOffset(80)] public ulong RxBatches;
    [FieldOffset(88)] public ulong RxSuperFrames;

    /// <summary>Dropped by the kernel: no buffer in the fill ring, ring full, frame too long.</summary>
    [FieldOffset(96)] public ulong RxNoBuffer;
    [FieldOffset(104)] public ulong RxRingFull;
    [FieldOffset(112)] public ulong RxInvalid;
    [FieldOffset(128)] public ulong TxFrames;
    [FieldOffset(136)] public ulong TxBytes;
    [FieldOffset(144)] public ulong TxSuperFrames;
    [FieldOffset(152)] public ulong TxSuperBytes;
    [FieldOffset(160)] public ulong Doorbells;
    [FieldOffset(168)] public ulong TxNoBuffer;
    [FieldOffset(176)] public ulong TxErrors;
    [FieldOffset(184)] public ulong TxSuperRefused;

    [FieldOffset(192)] public uint RxRingSize;
    [FieldOffset(196)] public uint TxRingSize;
    [FieldOffset(200)] public uint FillRingSize;
    [FieldOffset(204)] public uint CompletionRingSize;
    [FieldOffset(208)] public uint Frames;
    [FieldOffset(212)] public uint FrameBytes;

    /// <summary>Of the ring that frames come through; 0: they come over AF_XDP.</summary>
    [FieldOffset(216)] public uint RingBytes;

    /// <summary>Threads that wait for frames, or are about to.</summary>
    [FieldOffset(220)] public int Sleepers;

    /// <summary>Where the next record of the ring begins, and up to where all have been dealt with.</summary>
    [FieldOffset(224)] public ulong RingRead;
    [FieldOffset(232)] public ulong RingDone;

    /// <summary>Bytes that waited there at the last look.</summary>
    [FieldOffset(240)] public uint RingBacklog;
}
