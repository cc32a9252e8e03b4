using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Accel.Core.Memory;
using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>A reduction of the window that was followed by another.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 24)]
public struct PastReduction
{
    /// <summary>SND.UNA when it began, and when the next did: what was sent again for it lies between.</summary>
    [FieldOffset(0)] public SeqNum From;
    [FieldOffset(4)] public SeqNum To;

    /// <summary>Bytes sent again that no DSACK has reported.</summary>
    [FieldOffset(8)] public uint Resent;

    /// <summary>The window it began with, what it left of that, and ssthresh before.</summary>
    [FieldOffset(12)] public uint Cwnd;
    [FieldOffset(16)] public uint Reduced;
    [FieldOffset(20)] public uint Ssthresh;
}

[InlineArray(PastReductions.Most)]
public struct PastReductionList
{
    private PastReduction _first;
}

/// <summary>
/// Where segments are often late by more than a round trip, the next reduction begins before the DSACK (RFC 2883) comes
/// that tells of the last one that it was not needed. Linux forgets it then (undo_marker), and the window shrinks step
/// by step though nothing is lost. Here the last few can still be taken back, each by itself: one real loss among them
/// keeps its reduction and no other's.
/// </summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 128)]
public struct PastReductions
{
    public const int Most = 5;

    /// <summary>The oldest first.</summary>
    [FieldOffset(0), Hidden] public PastReductionList List;
    [FieldOffset(120)] public int Count;

    public void Clear() => Count = 0;

    /// <summary>Forgets the oldest for it, if it must.</summary>
    public void Add(in PastReduction reduction)
    {
        if (Count == Most)
            RemoveAt(0);
        List[Count++] = reduction;
    }

    /// <summary>
    /// A DSACK has reported [<paramref name="left"/>, <paramref name="left"/> + <paramref name="bytes"/>). True if that
    /// was the last of what was sent again for <paramref name="wrong"/>: those that came after it have begun from less
    /// than they should have, and what they are taken back to is mended here.
    /// </summary>
    public bool TryTakeBack(SeqNum left, uint bytes, out PastReduction wrong)
    {
        wrong = default;
        for (int i = 0; i < Count; i++)
        {
            ref PastReduction at = ref List[i];
            if (left < at.From || left >= at.To)
                continue;
            at.Resent -= Math.Min(bytes, at.Resent);
            if (at.Resent != 0)
                return false;
            wrong = at;
            RemoveAt(i);
            for (; i < Count; i++)
            {
                ref PastReduction later = ref List[i];
                later.Cwnd = Without(in wrong, later.Cwnd);
                later.Reduced = Without(in wrong, later.Reduced);
                later.Ssthresh = SsthreshWithout(in wrong, later.From, later.Ssthresh);
            }
            return true;
        }
        return false;
    }

    /// <summary>What a window would be that had not been reduced so.</summary>
    public static uint Without(in PastReduction reduction, uint window) => reduction.Reduced == 0 ? window
        : (uint)Math.Min((ulong)window * reduction.Cwnd / reduction.Reduced, CongestionControl.Infinite);

    /// <summary>What ssthresh would have been before a reduction that began at <paramref name="from"/>: if it was the
    /// next, what it was before both.</summary>
    public static uint SsthreshWithout(in PastReduction reduction, SeqNum from, uint ssthresh) =>
        from == reduction.To ? Math.Max(ssthresh, reduction.Ssthresh) : Without(in reduction, ssthresh);

    private void RemoveAt(int index)
    {
        for (int i = index + 1; i < Count; i++)
            List[i - 1] = List[i];
        Count--;
    }
}
