using Accel.Core.Memory;
using Accel.Core.Nic;

namespace Accel.Os.Links;

/// <summary>
/// The ring that a tc program copies a stack's frames into (src/Accel.Control/Bpf/ring.h): a BPF_MAP_TYPE_RINGBUF,
/// whose records the kernel writes one after the other. What is received is released in the same order.
/// Who wakes a sleeper, the program by the stack's <see cref="Bell"/> or the kernel whoever polls the ring, does so
/// when a record comes and all before it are consumed. So while nobody sleeps the last few bytes are not said to be:
/// a wake-up costs the sender of a frame microseconds, even if nobody waits.
/// </summary>
public unsafe struct FrameRing
{
    /// <summary>BPF_RINGBUF_BUSY_BIT, BPF_RINGBUF_DISCARD_BIT, BPF_RINGBUF_HDR_SZ.</summary>
    private const uint Busy = 1u << 31, Discarded = 1u << 30, RecordHeader = 8;

    /// <summary>Not a multiple of 8, which positions are: the program sees by it that nobody sleeps.</summary>
    private const uint KeptBack = 7;

    /// <summary>struct ring_record: length, and frames lost so far.</summary>
    private const uint FrameHeader = 8;
    private const long Page = 4096;

    private ulong* _consumer;
    private ulong* _producer;
    private byte* _data;
    private uint _mask;

    public readonly bool IsMapped => _data != null;

    public int Descriptor { get; private set; }

    /// <summary>Maps a ring; none if it has no bytes. False if the kernel refuses, or the size is none of a ring.
    /// </summary>
    [ColdPath]
    public static bool TryMap(LinuxKernel kernel, int fd, uint bytes, out FrameRing ring)
    {
        ring = new FrameRing { Descriptor = -1 };
        if (bytes == 0)
            return true;
        if (fd < 0 || bytes < Page || !System.Numerics.BitOperations.IsPow2(bytes))
            return false;
        byte* consumer = kernel.MapShare(fd, Page);
        if (consumer == null)
            return false;
        // The records can be read twice, one after the other, so that none is ever in two parts.
        byte* producer = kernel.MapView(fd, Page + 2 * (long)bytes, Page);
        if (producer == null)
        {
            kernel.Unmap(consumer, Page);
            return false;
        }
        ring = new FrameRing
        {
            Descriptor = fd,
            _consumer = (ulong*)consumer,
            _producer = (ulong*)producer,
            _data = producer + Page,
            _mask = bytes - 1,
        };
        return true;
    }

    [ColdPath]
    public readonly void Unmap(LinuxKernel kernel)
    {
        if (!IsMapped)
            return;
        kernel.Unmap((byte*)_consumer, Page);
        kernel.Unmap((byte*)_producer, Page + 2 * ((long)_mask + 1));
    }

    /// <summary>A whole record waits.</summary>
    public readonly bool IsReadable(LinkInfo* info)
    {
        ulong read = Volatile.Read(ref info->RingRead);
        return Volatile.Read(ref *_producer) != read && (Volatile.Read(ref *HeaderAt(read)) & Busy) == 0;
    }

    private readonly uint* HeaderAt(ulong position) => (uint*)(_data + (position & _mask));

    /// <summary>Takes what waits, at most <paramref name="max"/> frames. Under the engine's lock.</summary>
    public readonly int Receive(LinkInfo* info, FrameRef* frames, int max)
    {
        ulong read = info->RingRead, produced = Volatile.Read(ref *_producer);
        if (read == produced)
            return 0;
        info->RingBacklog = (uint)(produced - read);
        int got = 0;
        ulong bytes = 0;
        while (got < max && read != produced)
        {
            uint* header = HeaderAt(read);
            uint word = Volatile.Read(ref *header);
            if ((word & Busy) != 0)
                break;
            uint room = word & ~(Busy | Discarded);
            read += (room + RecordHeader + 7) & ~7u;
            if ((word & Discarded) != 0)
                continue;
            uint* record = header + RecordHeader / sizeof(uint);
            uint length = record[0];
            if (length > room - FrameHeader)
            {
                info->RxInvalid++;
                continue;
            }
            info->RxRingFull = record[1];
            frames[got++] = new FrameRef { Data = (byte*)record + FrameHeader, Length = (int)length };
            bytes += length;
            if (length > info->Mtu + MaxHeader)
                info->RxSuperFrames++;
        }
        Volatile.Write(ref info->RingRead, read);
        info->RxFrames += (uint)got;
        info->RxBytes += bytes;
        // Nobody comes to release them.
        if (got == 0)
            Release(info);
        return got;
    }

    private const uint MaxHeader = 18;

    /// <summary>All that was received is dealt with. Under the engine's lock.</summary>
    public readonly void Release(LinkInfo* info)
    {
        ulong done = info->RingRead;
        Volatile.Write(ref info->RingDone, done);
        if (Volatile.Read(ref info->Sleepers) <= 0)
        {
            Volatile.Write(ref *_consumer, done - KeptBack);
            // Whoever falls asleep now is either seen here, or says the same itself after this.
            Interlocked.MemoryBarrier();
            if (Volatile.Read(ref info->Sleepers) <= 0)
                return;
        }
        Say(done);
    }

    /// <summary>What comes from now on wakes whoever sleeps; what came before is seen by who looks after this.
    /// </summary>
    public readonly void Doze(LinkInfo* info)
    {
        ulong done;
        do
        {
            done = Volatile.Read(ref info->RingDone);
            Say(done);
        }
        while (done != Volatile.Read(ref info->RingDone));
    }

    private readonly void Say(ulong done)
    {
        Volatile.Write(ref *_consumer, done);
        Interlocked.MemoryBarrier();
    }
}
