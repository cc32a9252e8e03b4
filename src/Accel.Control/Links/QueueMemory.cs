using Accel.Control.Native;
using Accel.Os;
using Accel.Os.Links;

namespace Accel.Control.Links;

/// <summary>How large things are for each queue.</summary>
public sealed record QueueSizes(uint Frames, uint FrameBytes)
{
    private const uint MostFrames = 8192, FewestFrames = 1024, FramesOfAnInterface = 32_768;

    /// <summary>32 MiB for each queue, less if there are many.</summary>
    public static QueueSizes ForQueues(uint queues) => For(System.Numerics.BitOperations.RoundUpToPowerOf2(
        Math.Clamp(FramesOfAnInterface / queues, FewestFrames, MostFrames)));

    /// <summary>
    /// Half of the frames wait to be filled, at most; one stack's ring can hold a quarter of them.
    /// </summary>
    public static QueueSizes For(uint frames) => new(frames, 4096)
    {
        FillRing = frames / 2, CompletionRing = frames / 2, ReceiveRing = frames / 4, SendRing = frames / 8,
    };

    public uint FillRing { get; init; } = 4096;

    public uint CompletionRing { get; init; } = 4096;

    public uint ReceiveRing { get; init; } = 2048;

    public uint SendRing { get; init; } = 1024;
}

/// <summary>A stack's AF_XDP socket on a queue, and the sizes of its rings.</summary>
public readonly record struct StackSocket(int Fd, uint ReceiveSize, uint SendSize);

/// <summary>
/// The frames of one queue of an interface, and acceld's own socket on it, from which those of the stacks are made.
/// </summary>
public sealed unsafe class QueueMemory : IDisposable
{
    private static readonly LinuxKernel Kernel = DaemonKernel.Shared;

    private readonly Umem _umem;
    private readonly long _bytes;
    private readonly XskRings _rings;

    private QueueMemory(int memory, int socket, Umem umem, long bytes, XskRings rings, QueueSizes sizes)
    {
        Sizes = sizes;
        MemoryFd = memory;
        SocketFd = socket;
        _umem = umem;
        _bytes = bytes;
        _rings = rings;
    }

    public int MemoryFd { get; }

    public QueueSizes Sizes { get; }

    public int SocketFd { get; }

    public Umem Umem => _umem;

    /// <summary>
    /// Makes the frames of a queue and binds. Flags that the driver cannot do are left out, which
    /// <paramref name="flags"/> then shows. Null, and why.
    /// </summary>
    public static QueueMemory? Create(NetInterface device, uint queue, QueueSizes sizes, ref ushort flags,
        out string refusal, out bool isBusy)
    {
        refusal = "";
        isBusy = false;
        byte* address = Kernel.CreateRegion("accel-umem", (long)Umem.SizeOf(sizes.Frames, sizes.FrameBytes),
            out int memory);
        if (address == null)
        {
            refusal = "no memory for frames";
            return null;
        }
        long bytes = (long)Umem.SizeOf(sizes.Frames, sizes.FrameBytes);
        // All of it is touched now, and held.
        Kernel.WantHugePages(address, 0, (ulong)bytes);
        var umem = new Umem(address, sizes.Frames, sizes.FrameBytes);
        umem.Format(device.Index, queue, sizes.FillRing, sizes.CompletionRing);
        int socket = -1;
        foreach (ushort without in (ReadOnlySpan<ushort>)[0, XdpSocket.ScatterGather])
        {
            if (without != 0 && (flags & without) == 0)
                break;
            socket = XdpSocket.Open(umem.Data, (ulong)sizes.Frames * sizes.FrameBytes, sizes.FrameBytes,
                sizes.FillRing, sizes.CompletionRing, device.Index, queue, (ushort)(flags & ~without),
                out string step);
            if (socket >= 0)
            {
                flags = (ushort)(flags & ~without);
                break;
            }
            refusal = $"{step}: {Libc.Text(-socket)}";
            isBusy = socket == -Libc.EBUSY;
        }
        QueueMemory? made = socket < 0 ? null : Finish(memory, socket, umem, bytes, sizes);
        if (made == null)
        {
            Kernel.Unmap(address, bytes);
            Libc.Close(memory);
            return null;
        }
        refusal = "";
        made._umem.Enter(Kernel.CurrentTid(), Kernel);
        made._umem.Refill(sizes.Frames / 4);
        made._umem.Exit();
        return made;
    }

    private static QueueMemory? Finish(int memory, int socket, Umem umem, long bytes, QueueSizes sizes)
    {
        if (!XskRings.TryMap(Kernel, socket, 0, 0, sizes.FillRing, sizes.CompletionRing, out XskRings rings))
        {
            Libc.Close(socket);
            return null;
        }
        umem.Fill = rings.Fill;
        umem.Completion = rings.Completion;
        return new QueueMemory(memory, socket, umem, bytes, rings, sizes);
    }

    /// <summary>
    /// Takes over what a stack kept alive since an acceld died: its memory, over its socket. The descriptors stay the
    /// caller's. Null, and why.
    /// </summary>
    public static QueueMemory? Adopt(NetInterface device, uint queue, int stackSocket, int stackMemory,
        out string refusal)
    {
        const int getSeals = 1034, sealShrink = 2;
        UmemHeader header;
        if ((Libc.Fcntl(stackMemory, getSeals, 0) & sealShrink) == 0
            || Kernel.Read(stackMemory, &header, (ulong)sizeof(UmemHeader), 0) != sizeof(UmemHeader))
        {
            refusal = "not a memory file of ours";
            return null;
        }
        long bytes = Kernel.SizeOf(stackMemory);
        refusal = Umem.Refusal(header, (ulong)bytes) ?? "";
        if (refusal.Length == 0 && (header.InterfaceIndex != device.Index || header.Queue != queue))
            refusal = "memory of another queue";
        if (refusal.Length != 0)
            return null;
        int socket = XdpSocket.Share(stackSocket, 0, 2, device.Index, queue);
        if (socket < 0)
        {
            refusal = $"its socket cannot be shared: {Libc.Text(-socket)}";
            return null;
        }
        byte* address = Kernel.MapShare(stackMemory, bytes);
        int memory = Libc.Fcntl(stackMemory, 1030, 0);
        QueueSizes sizes = QueueSizes.For(header.Frames) with
        {
            FrameBytes = header.FrameBytes,
            FillRing = header.FillRingSize,
            CompletionRing = header.CompletionRingSize,
        };
        return Finish(memory, socket, new Umem(address, header.Frames, header.FrameBytes), bytes, sizes);
    }

    /// <summary>
    /// Takes back all frames of a stack that is gone: what it had in hand, and what lies in its socket's rings, which
    /// nobody uses any more. False if the memory cannot be had now: try again later.
    /// </summary>
    public bool TryBury(byte owner, StackSocket socket, out uint frames)
    {
        frames = 0;
        if (!_umem.TryEnter(Kernel.CurrentTid(), Kernel))
            return false;
        if (XskRings.TryMap(Kernel, socket.Fd, socket.ReceiveSize, socket.SendSize, 0, 0, out XskRings rings))
        {
            frames += _umem.Reclaim(rings.Receive);
            frames += _umem.Reclaim(rings.Send);
            rings.Unmap(Kernel);
        }
        frames += _umem.Reclaim(owner);
        _umem.Reap();
        _umem.Refill(_umem.FrameCount / 4);
        _umem.Exit();
        return true;
    }

    public void Dispose()
    {
        _rings.Unmap(Kernel);
        Kernel.Unmap((byte*)_umem.Header, _bytes);
        Libc.Close(SocketFd);
        Libc.Close(MemoryFd);
    }
}
