using Accel.Core.Memory;

namespace Accel.Os.Links;

/// <summary>
/// The frames of one queue with its fill and completion ring: everything here is shared between the stacks on the
/// queue, and done under the lock word in the header. The owner bytes are the truth: the list of free frames can be
/// made again from them, which is what happens when a holder of the lock died. Sizes are kept here, not read from
/// memory that others write, and every index is checked.
/// </summary>
public unsafe struct Umem
{
    /// <summary>What a frame's byte says; from 1 to <see cref="MaxOwner"/>: a stack (slot + 1) has it.</summary>
    public const byte Free = 0, MaxOwner = 250, Sending = 254, Filling = 255;

    public const uint None = uint.MaxValue;

    private const int PageBytes = 4096;

    private readonly byte* _address;
    private readonly byte* _owners;
    private readonly uint* _free;
    private readonly int _frameShift;

    public XskRing Fill;
    public XskRing Completion;

    public Umem(byte* address, uint frames, uint frameBytes)
    {
        _address = address;
        _owners = address + sizeof(UmemHeader);
        _free = (uint*)(address + FreeOffset(frames));
        _frameShift = System.Numerics.BitOperations.Log2(frameBytes);
        FrameCount = frames;
        Data = address + FramesOffset(frames);
    }

    public readonly uint FrameCount { get; }

    public readonly uint FrameBytes => 1u << _frameShift;

    /// <summary>The first frame.</summary>
    public readonly byte* Data { get; }

    public readonly UmemHeader* Header => (UmemHeader*)_address;

    public readonly bool IsMapped => _address != null;

    public readonly byte* Owners => _owners;

    private static ulong FreeOffset(uint frames) => ((ulong)sizeof(UmemHeader) + frames + 63) & ~63ul;

    /// <summary>Where the frames begin: a page boundary, as the kernel wants it.</summary>
    public static ulong FramesOffset(uint frames) =>
        (FreeOffset(frames) + frames * sizeof(uint) + PageBytes - 1) & ~(ulong)(PageBytes - 1);

    public static ulong SizeOf(uint frames, uint frameBytes) => FramesOffset(frames) + (ulong)frames * frameBytes;

    public readonly uint FrameOf(ulong address) => (uint)(address >> _frameShift);

    public readonly ulong AddressOf(uint frame) => (ulong)frame << _frameShift;

    /// <summary>Writes an empty header: all frames are free.</summary>
    public readonly void Format(int interfaceIndex, uint queue, uint fillSize, uint completionSize)
    {
        *Header = new UmemHeader
        {
            LayoutHash = LayoutHash.Value,
            SizeBytes = SizeOf(FrameCount, FrameBytes),
            InterfaceIndex = interfaceIndex,
            Queue = queue,
            Frames = FrameCount,
            FrameBytes = FrameBytes,
            FillRingSize = fillSize,
            CompletionRingSize = completionSize,
        };
        new Span<byte>(_owners, (int)FrameCount).Clear();
        RebuildFreeList();
        Header->LowestFree = FrameCount;
        Header->Magic = UmemHeader.ExpectedMagic;
    }

    /// <summary>Why a header is not one that this build can use with a file of that size; null if it is.</summary>
    [ColdPath]
    public static string? Refusal(in UmemHeader header, ulong fileBytes) =>
        header.Magic != UmemHeader.ExpectedMagic ? "not the memory of a queue"
        : header.LayoutHash != LayoutHash.Value ? "memory of a queue as another build lays it out"
        : header.FrameBytes is not (2048 or 4096) || header.Frames is 0 or > 1 << 20 ? "impossible frames"
        : SizeOf(header.Frames, header.FrameBytes) > fileBytes ? "shorter than its frames"
        : null;

    /// <summary>Takes the lock; what a dead holder left is put right.</summary>
    public readonly void Enter(int tid, ILiveness liveness)
    {
        if (!SharedLock.Enter(ref Header->Lock, tid, liveness))
            Repair();
    }

    /// <summary>
    /// The same for acceld, which must not wait for a stack that holds the lock and does not give it back.
    /// </summary>
    public readonly bool TryEnter(int tid, ILiveness liveness)
    {
        for (int attempt = 0; attempt < 1000; attempt++)
        {
            int holder = Volatile.Read(ref Header->Lock);
            if (holder == 0 && SharedLock.TryEnter(ref Header->Lock, tid))
                return true;
            if (holder != 0 && attempt % 100 == 99 && !liveness.IsThreadAlive(holder)
                && Interlocked.CompareExchange(ref Header->Lock, tid, holder) == holder)
            {
                Repair();
                return true;
            }
            liveness.Yield();
        }
        return false;
    }

    public readonly void Exit() => SharedLock.Exit(ref Header->Lock);

    /// <summary>Under the lock: takes a free frame. <see cref="None"/> if there is none.</summary>
    public readonly uint Take(byte owner)
    {
        uint count = Math.Min(Header->FreeCount, FrameCount);
        if (count == 0)
            return None;
        uint frame = _free[count - 1];
        if (frame >= FrameCount)
            return None;
        // The owner first: a frame that is in the list and has an owner is not free, and will be left out of a new one.
        Volatile.Write(ref _owners[frame], owner);
        Volatile.Write(ref Header->FreeCount, count - 1);
        if (count - 1 < Header->LowestFree)
            Header->LowestFree = count - 1;
        return frame;
    }

    /// <summary>Under the lock: gives a frame back.</summary>
    public readonly void Give(uint frame)
    {
        uint count = Math.Min(Header->FreeCount, FrameCount - 1);
        Volatile.Write(ref _owners[frame], Free);
        _free[count] = frame;
        Volatile.Write(ref Header->FreeCount, count + 1);
    }

    /// <summary>Under the lock: frames that were sent are free again, whichever stack sent them.</summary>
    public readonly void Reap()
    {
        uint from = *Completion.Consumer;
        uint to = Volatile.Read(ref *Completion.Producer);
        for (uint at = from; at != to; at++)
        {
            uint frame = FrameOf(Completion.Address(at));
            if (frame < FrameCount && _owners[frame] is not (Free or Filling))
                Give(frame);
        }
        if (from != to)
            Volatile.Write(ref *Completion.Consumer, to);
    }

    public readonly bool HasCompletions => Volatile.Read(ref *Completion.Producer) != *Completion.Consumer;

    /// <summary>Under the lock: room in the fill ring.</summary>
    public readonly uint FillRoom => Fill.Size - Math.Min(Fill.Count, Fill.Size);

    /// <summary>Under the lock: writes an entry that <see cref="PublishFill"/> makes visible.</summary>
    public readonly void StageFill(uint frame, uint ahead) => Fill.Address(*Fill.Producer + ahead) = AddressOf(frame);

    /// <summary>Under the lock: the staged entries are the kernel's from now on.</summary>
    public readonly void PublishFill(uint count)
    {
        if (count == 0)
            return;
        Header->FillFrom = *Fill.Producer;
        Volatile.Write(ref Header->FillAnnounced, count);
        FinishFill();
    }

    private readonly void FinishFill()
    {
        uint from = Header->FillFrom, count = Math.Min(Header->FillAnnounced, Fill.Size);
        for (uint i = 0; i < count; i++)
        {
            uint frame = FrameOf(Fill.Address(from + i));
            if (frame < FrameCount)
                _owners[frame] = Filling;
        }
        Volatile.Write(ref *Fill.Producer, from + count);
        Volatile.Write(ref Header->FillAnnounced, 0);
    }

    /// <summary>Under the lock: free frames go to the fill ring, as long as so many stay for sending.</summary>
    public readonly void Refill(uint reserve)
    {
        uint room = FillRoom, staged = 0;
        while (staged < room && Header->FreeCount > reserve)
        {
            // In hand until it is published: nobody's, if this thread dies before.
            uint frame = Take(MaxOwner);
            if (frame == None)
                break;
            StageFill(frame, staged++);
        }
        PublishFill(staged);
    }

    /// <summary>Under the lock: takes back what a stack that is gone had in hand. Returns how many.</summary>
    [ColdPath]
    public readonly uint Reclaim(byte owner)
    {
        uint found = 0;
        for (uint frame = 0; frame < FrameCount; frame++)
        {
            if (_owners[frame] != owner)
                continue;
            Give(frame);
            found++;
        }
        Header->Reclaimed += found;
        return found;
    }

    /// <summary>
    /// Under the lock: takes back what lies in a ring of a stack that is gone, in which nobody moves an index any more.
    /// </summary>
    [ColdPath]
    public readonly uint Reclaim(in XskRing ring)
    {
        uint found = 0;
        uint from = *ring.Consumer, to = Volatile.Read(ref *ring.Producer);
        for (uint at = from; at != to && at - from < ring.Size; at++)
        {
            uint frame = FrameOf(ring.Descriptor(at).Address);
            if (frame >= FrameCount || _owners[frame] == Free)
                continue;
            Give(frame);
            found++;
        }
        Volatile.Write(ref *ring.Consumer, to);
        Header->Reclaimed += found;
        return found;
    }

    /// <summary>Under the lock, after its holder died: what it was doing is finished or undone.</summary>
    [ColdPath]
    private readonly void Repair()
    {
        Header->Takeovers++;
        if (Header->FillAnnounced != 0)
            FinishFill();
        for (uint frame = 0; frame < FrameCount; frame++)
        {
            if (_owners[frame] == MaxOwner)
                _owners[frame] = Free;
        }
        RebuildFreeList();
        Reap();
    }

    private readonly void RebuildFreeList()
    {
        uint count = 0;
        // From the end: low frames are taken first.
        for (uint frame = FrameCount; frame-- > 0;)
        {
            if (_owners[frame] == Free)
                _free[count++] = frame;
        }
        Header->FreeCount = count;
    }
}
