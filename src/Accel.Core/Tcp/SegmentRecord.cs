using System.Runtime.InteropServices;
using Accel.Core.Memory;
using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>What is known of a run of sent bytes.</summary>
[Flags]
public enum SegmentFlags : byte
{
    None = 0,

    /// <summary>The peer says it has it (RFC 2018). Then it is neither Lost nor Resent.</summary>
    Sacked = 1,

    /// <summary>Taken for lost: all transmissions, or all but the last one (with Resent).</summary>
    Lost = 2,

    /// <summary>A retransmission of it is in flight.</summary>
    Resent = 4,

    /// <summary>It was ever retransmitted: an ACK of it says nothing of the round trip (Karn).</summary>
    EverResent = 8,

    /// <summary>It is in the list by time of sending: in flight, neither lost nor sacked.</summary>
    Timed = 16,
}

/// <summary>
/// A run of sequence numbers that was sent at one time and shares one fate so far: one segment, or the many of a
/// super-frame. Split where SACK blocks, retransmissions and ACKs cut through. Links are numbers plus one; 0 is none.
/// </summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 64)]
public struct SegmentRecord
{
    [FieldOffset(0)] public SeqNum Seq;
    [FieldOffset(4)] public SeqNum End;

    /// <summary>When it was sent last.</summary>
    [FieldOffset(8)] public long SentNs;

    /// <summary>The queue's counts when it was sent last: what a delivery rate is measured from.</summary>
    [FieldOffset(16)] public long DeliveredNs;
    [FieldOffset(24)] public long FirstSentNs;
    [FieldOffset(32)] public ulong Delivered;

    /// <summary>By sequence number. Of a free record: the free list.</summary>
    [FieldOffset(40)] public uint Next;
    [FieldOffset(44)] public uint Previous;

    /// <summary>By time of the last sending; only with <see cref="SegmentFlags.Timed"/>.</summary>
    [FieldOffset(48)] public uint Later;
    [FieldOffset(52)] public uint Earlier;

    /// <summary>Payload of each of its segments but the last.</summary>
    [FieldOffset(56)] public ushort SegmentSize;
    [FieldOffset(58)] public SegmentFlags Flags;

    /// <summary>How often it was sent again, as far as a byte counts.</summary>
    [FieldOffset(59)] public byte Resends;

    public readonly uint Length => (uint)(End - Seq);

    public readonly bool Is(SegmentFlags flags) => (Flags & flags) == flags;
}
