using System.Runtime.InteropServices;
using Accel.Core.Memory;
using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>
/// What has been received beyond RCV.NXT: intervals that do not touch, in order, each in a record of the stack's pool;
/// and which of them to tell the peer of first (RFC 2018 4). The bytes themselves lie in the caller's buffer. All zero:
/// nothing.
/// </summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 64)]
public struct Reassembly
{
    /// <summary>The most intervals; and how many a connection may have while records are short.</summary>
    public const int Most = 512, Fair = 32;

    [FieldOffset(0)] public int Count;

    /// <summary>Blocks in <see cref="Recent"/>.</summary>
    [FieldOffset(4)] public int RecentCount;

    /// <summary>RFC 2883: what came twice last.</summary>
    [FieldOffset(8)] public SackBlock Duplicate;

    /// <summary>Intervals as the newest segments made them, newest first.</summary>
    [FieldOffset(16)] public SackBlocks Recent;

    /// <summary>Lowest and highest; links of the pool, 0 = none.</summary>
    [FieldOffset(48), Hidden] public uint First;
    [FieldOffset(52), Hidden] public uint Last;

    public readonly bool IsEmpty => Count == 0;

    /// <summary>End of the highest interval; only if there is one.</summary>
    public readonly SeqNum HighEnd(SegmentPool pool) => pool[Last].End;

    /// <summary>
    /// Adds what a segment brought. False if there is no room for another interval: the segment is to be dropped.
    /// <paramref name="known"/>: a part of it that was there already, empty if none.
    /// </summary>
    public bool TryAdd(SegmentPool pool, SeqNum left, SeqNum right, out SackBlock known)
    {
        known = default;
        uint at = LastNotBeyond(pool, left, right);
        if (at == 0 || pool[at].End < left)
        {
            if (!TryInsert(pool, at, left, right))
                return false;
            Remember(new SackBlock { Left = left, Right = right });
            return true;
        }
        ref SegmentRecord merged = ref pool[at];
        NoteKnown(ref known, SeqNum.Later(left, merged.Seq), SeqNum.Earlier(right, merged.End));
        merged.Seq = SeqNum.Earlier(merged.Seq, left);
        merged.End = SeqNum.Later(merged.End, right);
        while (merged.Previous != 0 && pool[merged.Previous].End >= left)
        {
            ref SegmentRecord lower = ref pool[merged.Previous];
            NoteKnown(ref known, SeqNum.Later(left, lower.Seq), lower.End);
            merged.Seq = SeqNum.Earlier(merged.Seq, lower.Seq);
            Remove(pool, merged.Previous);
        }
        Remember(new SackBlock { Left = merged.Seq, Right = merged.End });
        return true;
    }

    /// <summary>Takes what follows on <paramref name="next"/> without a gap out, and returns where it ends.</summary>
    public SeqNum Advance(SegmentPool pool, SeqNum next)
    {
        while (First != 0 && pool[First].Seq <= next)
        {
            next = SeqNum.Later(next, pool[First].End);
            Remove(pool, First);
        }
        Forget(pool, next);
        return next;
    }

    public void Clear(SegmentPool pool)
    {
        while (First != 0)
            Remove(pool, First);
        RecentCount = 0;
    }

    /// <summary>
    /// The highest interval that begins at or before <paramref name="right"/>; 0: none. New data mostly belongs at the
    /// end, what fills gaps at the beginning: the search starts at the nearer one.
    /// </summary>
    private readonly uint LastNotBeyond(SegmentPool pool, SeqNum left, SeqNum right)
    {
        if (First == 0)
            return 0;
        uint at;
        if (left - pool[First].Seq > pool[Last].Seq - left)
        {
            at = Last;
            while (at != 0 && pool[at].Seq > right)
                at = pool[at].Previous;
            return at;
        }
        at = 0;
        for (uint next = First; next != 0 && pool[next].Seq <= right; next = pool[next].Next)
            at = next;
        return at;
    }

    private bool TryInsert(SegmentPool pool, uint after, SeqNum left, SeqNum right)
    {
        bool mayTake = Count < Fair || (Count < Most && pool.Free > pool.Capacity >> 1);
        uint link = mayTake ? pool.Take(urgent: false) : 0;
        if (link == 0)
            return false;
        ref SegmentRecord record = ref pool[link];
        record.Seq = left;
        record.End = right;
        record.Previous = after;
        record.Next = after == 0 ? First : pool[after].Next;
        if (after == 0)
            First = link;
        else
            pool[after].Next = link;
        if (record.Next == 0)
            Last = link;
        else
            pool[record.Next].Previous = link;
        Count++;
        return true;
    }

    private void Remove(SegmentPool pool, uint link)
    {
        uint next = pool[link].Next, previous = pool[link].Previous;
        if (previous == 0)
            First = next;
        else
            pool[previous].Next = next;
        if (next == 0)
            Last = previous;
        else
            pool[next].Previous = previous;
        pool.Give(link);
        Count--;
    }

    /// <summary>One block can be reported: the lowest.</summary>
    private static void NoteKnown(ref SackBlock known, SeqNum left, SeqNum right)
    {
        if (left < right)
            known = new SackBlock { Left = left, Right = right };
    }

    /// <summary>RFC 2018 4: the block with the newest segment comes first, the others by age.</summary>
    private void Remember(in SackBlock newest)
    {
        SackBlocks kept = default;
        kept[0] = newest;
        int count = 1;
        for (int i = 0; i < RecentCount && count < SackBlocks.Length; i++)
            if (Recent[i].Left < newest.Left || Recent[i].Right > newest.Right)
                kept[count++] = Recent[i];
        Recent = kept;
        RecentCount = count;
    }

    /// <summary>Blocks that are delivered make room for older ones, lest the peer never hears of those again.</summary>
    private void Forget(SegmentPool pool, SeqNum next)
    {
        int before = RecentCount, kept = 0;
        for (int i = 0; i < before; i++)
            if (Recent[i].Right > next)
                Recent[kept++] = Recent[i];
        for (uint link = First; link != 0 && kept < before; link = pool[link].Next)
            if (!IsRecent(pool[link].Seq, kept))
                Recent[kept++] = new SackBlock { Left = pool[link].Seq, Right = pool[link].End };
        RecentCount = kept;
    }

    private readonly bool IsRecent(SeqNum left, int count)
    {
        for (int i = 0; i < count; i++)
            if (Recent[i].Left == left)
                return true;
        return false;
    }
}
