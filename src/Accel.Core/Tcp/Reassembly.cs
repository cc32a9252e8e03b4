using System.Runtime.InteropServices;
using Accel.Core.Memory;
using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>
/// What has been received beyond RCV.NXT: intervals that do not touch, in order, and which of them to tell the peer of
/// first (RFC 2018 4). The bytes themselves lie in the caller's buffer.
/// </summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 320)]
public struct Reassembly
{
    public const int Capacity = 32;

    [FieldOffset(0)] public int Count;

    /// <summary>Blocks in <see cref="Recent"/>.</summary>
    [FieldOffset(4)] public int RecentCount;

    /// <summary>RFC 2883: what came twice last.</summary>
    [FieldOffset(8)] public SackBlock Duplicate;

    /// <summary>Intervals as the newest segments made them, newest first.</summary>
    [FieldOffset(16)] public SackBlocks Recent;
    [FieldOffset(64)] private Intervals _intervals;

    public readonly bool IsEmpty => Count == 0;

    /// <summary>End of the highest interval; only if there is one.</summary>
    public readonly SeqNum HighEnd => _intervals[Count - 1].Right;

    public readonly SackBlock this[int index] => _intervals[index];

    /// <summary>
    /// Adds what a segment brought. False if there is no room for another interval: the segment is to be dropped.
    /// <paramref name="known"/>: the part of it that was there already, empty if none.
    /// </summary>
    public bool TryAdd(SeqNum left, SeqNum right, out SackBlock known)
    {
        known = default;
        // First interval that reaches left, and the first behind it that begins after right. New data mostly belongs at
        // the end, so the search begins there.
        int first = Count;
        while (first > 0 && _intervals[first - 1].Right >= left)
            first--;
        int end = first;
        SackBlock merged = new() { Left = left, Right = right };
        while (end < Count && _intervals[end].Left <= right)
        {
            SackBlock old = _intervals[end];
            NoteKnown(ref known, SeqNum.Later(left, old.Left), SeqNum.Earlier(right, old.Right));
            merged.Left = SeqNum.Earlier(merged.Left, old.Left);
            merged.Right = SeqNum.Later(merged.Right, old.Right);
            end++;
        }
        if (end == first && Count == Capacity)
            return false;
        Replace(first, end - first, in merged);
        Remember(in merged);
        return true;
    }

    /// <summary>Takes what follows on <paramref name="next"/> without a gap out, and returns where it ends.</summary>
    public SeqNum Advance(SeqNum next)
    {
        int passed = 0;
        while (passed < Count && _intervals[passed].Left <= next)
        {
            next = SeqNum.Later(next, _intervals[passed].Right);
            passed++;
        }
        if (passed > 0)
        {
            Span<SackBlock> all = _intervals;
            all[passed..Count].CopyTo(all);
            Count -= passed;
        }
        Forget(next);
        return next;
    }

    public void Clear() => Count = RecentCount = 0;

    /// <summary>Only the first overlap is reported, as it must be one block; it grows while overlaps touch.</summary>
    private static void NoteKnown(ref SackBlock known, SeqNum left, SeqNum right)
    {
        if (left >= right)
            return;
        if (known.Left == known.Right)
            known = new SackBlock { Left = left, Right = right };
        else if (left == known.Right)
            known.Right = right;
    }

    private void Replace(int at, int old, in SackBlock merged)
    {
        Span<SackBlock> all = _intervals;
        if (old == 0)
            all[at..Count].CopyTo(all[(at + 1)..]);
        else if (old > 1)
            all[(at + old)..Count].CopyTo(all[(at + 1)..]);
        all[at] = merged;
        Count += 1 - old;
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
    private void Forget(SeqNum next)
    {
        int kept = 0;
        for (int i = 0; i < RecentCount; i++)
            if (Recent[i].Right > next)
                Recent[kept++] = Recent[i];
        for (int i = 0; i < Count && kept < SackBlocks.Length && kept < Count && kept < RecentCount; i++)
            if (!IsRecent(_intervals[i].Left, kept))
                Recent[kept++] = _intervals[i];
        RecentCount = kept;
    }

    private readonly bool IsRecent(SeqNum left, int count)
    {
        for (int i = 0; i < count; i++)
            if (Recent[i].Left == left)
                return true;
        return false;
    }

    [System.Runtime.CompilerServices.InlineArray(Capacity)]
    private struct Intervals
    {
        private SackBlock _first;
    }
}
