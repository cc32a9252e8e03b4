using Accel.Core.Memory;
using Accel.Core.Nic;

namespace Accel.Os.Links;

/// <summary>
/// A link over AF_XDP sockets, one for each queue of the interface. Receive and send ring are the stack's own, shared
/// by its processes and used under the engine's lock; frames, fill ring and completion ring are shared with the other
/// stacks on the queue (<see cref="Umem"/>). In ring mode it only sends over them, and frames come through a
/// <see cref="FrameRing"/>. No index is kept here: after a fork several processes use the link.
/// </summary>
public sealed unsafe class XdpLink : ILink
{
    /// <summary>Completions are taken when so many wait or when frames run short, not one by one.</summary>
    private const uint ReapAt = 32;
    private const int KicksPerFlush = 64;
    private const int MinTxFrames = 64;

    private readonly LinuxKernel _kernel;
    private readonly XdpQueue[] _queues;
    private FrameRing _ring;
    private Bell _bell;
    private readonly PacketSocket _packet;
    private readonly byte* _jumbo;
    private readonly byte _owner;
    private readonly int _sendQueue;
    private readonly int _frameRoom;
    private int _tid;
    private int _next;
    private int _taken;

    /// <param name="kernel">System calls.</param>
    /// <param name="info">What the control plane wrote of the link.</param>
    /// <param name="queues">One for each queue of the interface.</param>
    /// <param name="ring">Where frames come, if it is mapped.</param>
    /// <param name="bell">What is rung for them, if it is mapped.</param>
    /// <param name="packet">A packet socket on the interface, or one that is not open.</param>
    [ColdPath]
    public XdpLink(
        LinuxKernel kernel, LinkInfo* info, XdpQueue[] queues, FrameRing ring, Bell bell, PacketSocket packet)
    {
        _kernel = kernel;
        Info = info;
        _queues = queues;
        _ring = ring;
        _bell = bell;
        _packet = packet;
        _owner = (byte)(info->Slot + 1);
        _sendQueue = (int)(info->Slot % (uint)queues.Length);
        _frameRoom = (int)info->FrameBytes;
        _tid = kernel.CurrentTid();
        LargestMtu = Math.Max(info->Mtu, info->FrameBytes - MaxHeader);
        // A frame that fits no buffer of the ring leaves over the packet socket.
        if (info->Mtu + MaxHeader > _frameRoom)
            _jumbo = (byte*)System.Runtime.InteropServices.NativeMemory.Alloc(info->Mtu + MaxHeader);
    }

    private const int MaxHeader = 18;

    public LinkInfo* Info { get; }

    /// <summary>What the buffers were made for.</summary>
    internal uint LargestMtu { get; }

    public int Tid
    {
        set
        {
            _tid = value;
            _taken = 0;
        }
    }

    public int Descriptor(int number) =>
        !_ring.IsMapped ? _queues[number].Descriptor : _bell.IsMapped ? _bell.Descriptor : _ring.Descriptor;

    public int DescriptorCount => _ring.IsMapped ? 1 : _queues.Length;

    public int SpareDescriptor => _bell.IsMapped ? _ring.Descriptor : -1;

    public void Doze()
    {
        if (!_ring.IsMapped)
            return;
        _ring.Doze(Info);
        if (_bell.IsMapped)
            _bell.BeforeSleep(_kernel, Volatile.Read(ref Info->RingRead));
    }

    public bool IsReadable
    {
        get
        {
            if (_ring.IsMapped)
                return _ring.IsReadable(Info);
            foreach (ref XdpQueue queue in _queues.AsSpan())
            {
                if (Volatile.Read(ref *queue.Receive.Producer) != Volatile.Read(ref *queue.Receive.Consumer))
                    return true;
            }
            return false;
        }
    }

    public int Receive(FrameRef* frames, int max)
    {
        int got = 0;
        if (_ring.IsMapped)
        {
            _bell.Silence();
            got = _ring.Receive(Info, frames, max);
            if (got > 0)
                Info->RxBatches++;
            return got;
        }
        for (int i = 0; i < _queues.Length && got < max; i++)
        {
            int index = _next + i;
            if (index >= _queues.Length)
                index -= _queues.Length;
            got += ReceiveFrom(index, frames + got, max - got, got == 0);
        }
        if (++_next >= _queues.Length)
            _next = 0;
        if (got > 0)
            Info->RxBatches++;
        return got;
    }

    private int ReceiveFrom(int index, FrameRef* frames, int max, bool isFirst)
    {
        ref XdpQueue queue = ref _queues[index];
        uint consumer = *queue.Receive.Consumer;
        uint waiting = Volatile.Read(ref *queue.Receive.Producer) - consumer;
        if (waiting == 0)
            return 0;
        int count = (int)Math.Min(waiting, (uint)max);
        // Whole frames only.
        while (count > 0
            && (queue.Receive.Descriptor(consumer + (uint)count - 1).Options & XskDescriptor.Continued) != 0)
            count--;
        if (count == 0)
        {
            if (isFirst && waiting >= (uint)max)
                DropLongFrame(ref queue, consumer, waiting);
            return 0;
        }
        ulong bytes = 0, whole = 0, super = 0;
        bool inParts = false;
        byte* data = queue.Umem.Data, owners = queue.Umem.Owners;
        int taken = 0;
        for (int i = 0; i < count; i++)
        {
            ref XskDescriptor descriptor = ref queue.Receive.Descriptor(consumer + (uint)i);
            uint frame = queue.Umem.FrameOf(descriptor.Address);
            bool more = (descriptor.Options & XskDescriptor.Continued) != 0;
            if (frame >= queue.Umem.FrameCount)
            {
                Info->RxInvalid++;
                continue;
            }
            owners[frame] = _owner;
            frames[taken++] = new FrameRef
            {
                Data = data + descriptor.Address,
                Length = (int)descriptor.Length,
                Handle = (ulong)index << 32 | frame,
                More = more,
            };
            bytes += descriptor.Length;
            if (!more)
            {
                whole++;
                super += inParts ? 1ul : 0;
            }
            inParts = more;
        }
        Volatile.Write(ref *queue.Receive.Consumer, consumer + (uint)count);
        Info->RxFrames += whole;
        Info->RxBytes += bytes;
        Info->RxSuperFrames += super;
        return taken;
    }

    /// <summary>The first frame is longer than what the caller takes: nobody ever could take it.</summary>
    private void DropLongFrame(ref XdpQueue queue, uint consumer, uint waiting)
    {
        uint count = 0;
        queue.Umem.Enter(_tid, _kernel);
        while (count < waiting)
        {
            ref XskDescriptor descriptor = ref queue.Receive.Descriptor(consumer + count++);
            uint frame = queue.Umem.FrameOf(descriptor.Address);
            if (frame < queue.Umem.FrameCount)
                queue.Umem.Give(frame);
            if ((descriptor.Options & XskDescriptor.Continued) == 0)
                break;
        }
        queue.Umem.Exit();
        Volatile.Write(ref *queue.Receive.Consumer, consumer + count);
        Info->RxInvalid++;
    }

    public void Release(FrameRef* frames, int count)
    {
        if (_ring.IsMapped)
        {
            _ring.Release(Info);
            return;
        }
        for (int i = 0; i < count;)
        {
            int index = (int)(frames[i].Handle >> 32), end = i + 1;
            while (end < count && (int)(frames[end].Handle >> 32) == index)
                end++;
            ReleaseTo(ref _queues[index].Umem, frames + i, end - i);
            i = end;
        }
    }

    private void ReleaseTo(ref Umem umem, FrameRef* frames, int count)
    {
        umem.Enter(_tid, _kernel);
        int toFill = (int)Math.Min((uint)count, umem.FillRoom);
        for (int i = 0; i < toFill; i++)
            umem.StageFill((uint)frames[i].Handle, (uint)i);
        umem.PublishFill((uint)toFill);
        for (int i = toFill; i < count; i++)
            umem.Give((uint)frames[i].Handle);
        // What others have not given back for long is made up for.
        if (umem.FillRoom > umem.Fill.Size / 4)
            umem.Refill(umem.FrameCount / 4);
        umem.Exit();
    }

    public bool TryTakeBuffer(out FrameRef frame)
    {
        if (_jumbo != null)
        {
            frame = new FrameRef { Data = _jumbo, Length = (int)Info->Mtu + MaxHeader, Handle = Jumbo };
            return true;
        }
        return TryTakeFrame(out frame);
    }

    private const ulong Jumbo = ulong.MaxValue;

    private bool TryTakeFrame(out FrameRef frame)
    {
        frame = default;
        ref XdpQueue queue = ref _queues[_sendQueue];
        if (queue.Send.Size - queue.Send.Count <= (uint)_taken)
        {
            Flush();
            if (queue.Send.Size - queue.Send.Count <= (uint)_taken)
            {
                Info->TxNoBuffer++;
                return false;
            }
        }
        ref Umem umem = ref queue.Umem;
        umem.Enter(_tid, _kernel);
        if (umem.Header->FreeCount < MinTxFrames || umem.Completion.Count >= ReapAt)
            umem.Reap();
        uint index = umem.Take(_owner);
        umem.Exit();
        if (index == Umem.None)
        {
            Info->TxNoBuffer++;
            return false;
        }
        _taken++;
        frame = new FrameRef
        {
            Data = umem.Data + umem.AddressOf(index),
            Length = _frameRoom,
            Handle = (ulong)_sendQueue << 32 | index,
        };
        return true;
    }

    public void Send(in FrameRef frame)
    {
        if (frame.Handle == Jumbo)
        {
            SendJumbo(frame);
            return;
        }
        _taken--;
        ref XdpQueue queue = ref _queues[(int)(frame.Handle >> 32)];
        uint index = (uint)frame.Handle;
        uint producer = *queue.Send.Producer;
        queue.Send.Descriptor(producer) = new XskDescriptor
        {
            Address = (ulong)(frame.Data - queue.Umem.Data),
            Length = (uint)frame.Length,
        };
        queue.Umem.Owners[index] = Umem.Sending;
        Volatile.Write(ref *queue.Send.Producer, producer + 1);
        Info->TxFrames++;
        Info->TxBytes += (uint)frame.Length;
    }

    private void SendJumbo(in FrameRef frame)
    {
        if (frame.Length <= _frameRoom)
        {
            if (!TryTakeFrame(out FrameRef own))
                return;
            Buffer.MemoryCopy(frame.Data, own.Data, _frameRoom, frame.Length);
            own.Length = frame.Length;
            Send(own);
            return;
        }
        Flush();
        if (_packet.IsOpen && _packet.SendFrame(frame.Data, frame.Length) == 0)
        {
            Info->TxFrames++;
            Info->TxBytes += (uint)frame.Length;
        }
        else
            Info->TxErrors++;
    }

    public void Return(in FrameRef frame)
    {
        if (frame.Handle == Jumbo)
            return;
        _taken--;
        ref Umem umem = ref _queues[(int)(frame.Handle >> 32)].Umem;
        umem.Enter(_tid, _kernel);
        umem.Give((uint)frame.Handle);
        umem.Exit();
    }

    public bool TrySendSuper(
        byte* header, int headerLength, byte* run1, int length1, byte* run2, int length2, int segmentSize)
    {
        int bytes = headerLength + length1 + length2;
        if (!_packet.IsOpen || bytes > PacketSocket.MaxBytes)
            return false;
        // What was queued before leaves before.
        if (_queues[_sendQueue].Send.Count != 0)
            Flush();
        if (_packet.SendTcp(header, headerLength, run1, length1, run2, length2, segmentSize) < 0)
        {
            Info->TxSuperRefused++;
            return false;
        }
        Info->TxSuperFrames++;
        Info->TxSuperBytes += (uint)bytes;
        return true;
    }

    public int Unflushed => (int)_queues[_sendQueue].Send.Count;

    public void Flush()
    {
        ref XdpQueue queue = ref _queues[_sendQueue];
        int last = 0;
        for (int kicks = 0; kicks < KicksPerFlush && queue.Send.Count != 0 && queue.Send.NeedsWakeup; kicks++)
        {
            uint before = Volatile.Read(ref *queue.Send.Consumer);
            last = _kernel.Kick(queue.Descriptor);
            Info->Doorbells++;
            if (Volatile.Read(ref *queue.Send.Consumer) != before)
                continue;
            // No room for completions stops the kernel too.
            if (!ReapAll(ref queue.Umem))
                break;
        }
        if (last < 0 && last != -Errno.EAGAIN && queue.Send.Count != 0)
            Info->TxErrors++;
    }

    private bool ReapAll(ref Umem umem)
    {
        if (!umem.HasCompletions)
            return false;
        umem.Enter(_tid, _kernel);
        umem.Reap();
        umem.Exit();
        return true;
    }

    [ColdPath]
    public void Recover()
    {
        if (_ring.IsMapped)
            _ring.Release(Info);
        foreach (ref XdpQueue queue in _queues.AsSpan())
        {
            queue.Umem.Enter(_tid, _kernel);
            queue.Umem.Reclaim(_owner);
            queue.Umem.Exit();
        }
    }

    /// <summary>Asks the kernel what it dropped. Not for every round: a system call for each queue.</summary>
    [ColdPath]
    public void UpdateDrops()
    {
        // In ring mode each frame says how many were lost before it.
        if (_ring.IsMapped)
            return;
        const int SocketXdp = 283, Statistics = 7;
        ulong full = 0, invalid = 0, empty = 0, other = 0;
        // struct xdp_statistics: rx_dropped, rx_invalid_descs, tx_invalid_descs, rx_ring_full,
        // rx_fill_ring_empty_descs, tx_ring_empty_descs.
        ulong* values = stackalloc ulong[6];
        foreach (ref XdpQueue queue in _queues.AsSpan())
        {
            uint bytes = 6 * sizeof(ulong);
            if (_kernel.GetSockOpt(queue.Descriptor, SocketXdp, Statistics, values, &bytes) < 0)
                continue;
            other += values[0];
            invalid += values[1] + values[2];
            full += values[3];
            empty = Math.Max(empty, values[4]);
        }
        Info->RxNoBuffer = empty + other;
        Info->RxRingFull = full;
        Info->RxInvalid = Math.Max(Info->RxInvalid, invalid);
    }

    /// <summary>Lets go of everything that is mapped. Descriptors are their owner's. Nothing may be called after.
    /// </summary>
    [ColdPath]
    public void Unmap()
    {
        foreach (ref XdpQueue queue in _queues.AsSpan())
            queue.Unmap(_kernel);
        _ring.Unmap(_kernel);
        _ring = default;
        _bell.Unmap(_kernel);
        _bell = default;
        System.Runtime.InteropServices.NativeMemory.Free(_jumbo);
    }

    [ColdPath]
    public int MappingsOf(int queue, Span<MappedRange> ranges) => _queues[queue].Mappings(ranges);

    /// <summary>The queues, for handing their descriptors to a control plane that was started again.</summary>
    public ReadOnlySpan<XdpQueue> Queues => _queues;

    public int PacketDescriptor => _packet.IsOpen ? _packet.Descriptor : -1;
}
