using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Accel.Core.Memory;
using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>Two ends of a run that was reported by SACK.</summary>
[InlineArray(SackBlocks.Length)]
public struct SackCache
{
    private SackBlock _first;
}

/// <summary>
/// What a connection has in flight: records in order of sequence numbers, and those whose fate is open in order of
/// sending. Counts are in bytes. All zero: nothing in flight.
/// </summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 128)]
public partial struct SentQueue
{
    /// <summary>A peer whose SACK blocks cut everything in pieces is not followed further than this.</summary>
    private const uint MaxRecords = 8192;

    [FieldOffset(0), Hidden] public uint Head;
    [FieldOffset(4), Hidden] public uint Tail;
    [FieldOffset(8), Hidden] public uint Oldest;
    [FieldOffset(12), Hidden] public uint Newest;

    /// <summary>What is in the queue: [Una, Nxt).</summary>
    [FieldOffset(16)] public SeqNum Una;
    [FieldOffset(20)] public SeqNum Nxt;

    /// <summary>Bytes reported by SACK; without SACK, what duplicate ACKs stand for.</summary>
    [FieldOffset(24)] public uint Sacked;

    /// <summary>Bytes taken for lost, and those of them that were not sent again yet.</summary>
    [FieldOffset(28)] public uint Lost;
    [FieldOffset(32)] public uint LostUnsent;

    /// <summary>Bytes whose retransmission is in flight.</summary>
    [FieldOffset(36)] public uint Resent;
    [FieldOffset(40)] public uint Records;

    /// <summary>No lost and unsent record lies before this one; 0: start at the head.</summary>
    [FieldOffset(44), Hidden] public uint LostHint;

    /// <summary>Where SACK was last at work.</summary>
    [FieldOffset(48), Hidden] public uint SackHint;

    /// <summary>End of the highest run reported by SACK; Una if there is none.</summary>
    [FieldOffset(52)] public SeqNum HighestSacked;

    /// <summary>Bytes that have arrived, ever, and when that was last known of some.</summary>
    [FieldOffset(56)] public ulong Delivered;
    [FieldOffset(64)] public long DeliveredNs;
    [FieldOffset(72)] public long FirstSentNs;

    /// <summary>Bytes in a second, the last that was measured over a whole flight; 0: none.</summary>
    [FieldOffset(80)] public ulong DeliveryRate;

    /// <summary>Blocks of the last SACK option, wholly in the records: what comes again is not looked for again.
    /// </summary>
    [FieldOffset(88)] public SackCache Known;

    public readonly bool IsEmpty => Head == 0;

    public readonly uint Outstanding => (uint)(Nxt - Una);

    /// <summary>RFC 6675 "pipe": bytes that are in the network as far as is known.</summary>
    public readonly uint InFlight
    {
        get
        {
            uint gone = Sacked + Lost;
            uint there = Outstanding + Resent;
            return there > gone ? there - gone : 0;
        }
    }

    public void Start(SeqNum next)
    {
        Una = Nxt = HighestSacked = next;
    }

    /// <summary>True if new bytes can be recorded.</summary>
    public readonly bool HasRoom(SegmentPool pool) =>
        Tail == 0 ? pool.Free > 0 : pool.HasPlenty || IsPlain(in pool[Tail]);

    /// <summary>
    /// Records that the bytes after Nxt were sent. With an empty pool they are added to the last record, whose time
    /// stays: they are taken for older than they are, so their round trip for longer. False if that cannot be.
    /// </summary>
    public bool Append(SegmentPool pool, uint length, uint segmentSize, long nowNs)
    {
        if (Tail != 0)
        {
            ref SegmentRecord tail = ref pool[Tail];
            if (tail.SentNs >= nowNs && Newest == Tail && tail.SegmentSize == segmentSize && IsPlain(in tail))
            {
                tail.End = Nxt += length;
                return true;
            }
        }
        uint link = pool.Take(urgent: Tail == 0);
        if (link == 0)
        {
            if (Tail == 0 || !IsPlain(in pool[Tail]))
                return false;
            pool[Tail].End = Nxt += length;
            return true;
        }
        if (Tail == 0)
            DeliveredNs = FirstSentNs = nowNs;
        ref SegmentRecord record = ref pool[link];
        record = new SegmentRecord
        {
            Seq = Nxt,
            End = Nxt + length,
            Previous = Tail,
            SegmentSize = (ushort)segmentSize,
        };
        if (Tail != 0)
            pool[Tail].Next = link;
        else
            Head = link;
        Tail = link;
        Nxt += length;
        Records++;
        Stamp(pool, link, nowNs);
        return true;
    }

    /// <summary>The record that has a byte of the queue.</summary>
    public readonly uint Find(SegmentPool pool, SeqNum seq)
    {
        uint fromHead = (uint)(seq - Una), fromTail = (uint)(Nxt - seq), link = fromHead <= fromTail ? Head : Tail;
        if (SackHint != 0 && (uint)Math.Abs(seq - pool[SackHint].Seq) < Math.Min(fromHead, fromTail))
            link = SackHint;
        while (link != 0 && seq >= pool[link].End)
            link = pool[link].Next;
        while (link != 0 && seq < pool[link].Seq)
            link = pool[link].Previous;
        return link;
    }

    /// <summary>
    /// Cuts a record in two; it keeps the first part. Returns the second part's link, 0 if there is no record for it.
    /// </summary>
    public uint Split(SegmentPool pool, uint link, SeqNum at, bool urgent)
    {
        uint second = Records < MaxRecords || urgent ? pool.Take(urgent) : 0;
        if (second == 0)
            return 0;
        ref SegmentRecord record = ref pool[link];
        ref SegmentRecord rest = ref pool[second];
        rest = record;
        rest.Seq = record.End = at;
        rest.Previous = link;
        record.Next = second;
        if (rest.Next != 0)
            pool[rest.Next].Previous = second;
        else
            Tail = second;
        if (record.Is(SegmentFlags.Timed))
        {
            rest.Earlier = link;
            record.Later = second;
            if (rest.Later != 0)
                pool[rest.Later].Earlier = second;
            else
                Newest = second;
        }
        Records++;
        return second;
    }

    /// <summary>
    /// Takes every transmission of a record for lost. Returns its bytes, 0 if that was known.
    /// </summary>
    public uint MarkLost(SegmentPool pool, uint link)
    {
        ref SegmentRecord record = ref pool[link];
        uint length = record.Length;
        if (record.Is(SegmentFlags.Sacked) || (record.Flags & (SegmentFlags.Lost | SegmentFlags.Resent))
            == SegmentFlags.Lost)
            return 0;
        if (record.Is(SegmentFlags.Resent))
            Resent -= length;
        if (!record.Is(SegmentFlags.Lost))
            Lost += length;
        record.Flags = (record.Flags | SegmentFlags.Lost) & ~SegmentFlags.Resent;
        Untime(pool, link);
        if (LostUnsent == 0 || LostHint == 0 || record.Seq < pool[LostHint].Seq)
            LostHint = link;
        LostUnsent += length;
        return length;
    }

    /// <summary>The first record that is lost and was not sent again; 0: none.</summary>
    public uint FirstLost(SegmentPool pool)
    {
        if (LostUnsent == 0)
            return 0;
        uint link = LostHint != 0 ? LostHint : Head;
        while (link != 0 && !IsUnsent(in pool[link]))
            link = pool[link].Next;
        LostHint = link;
        return link;
    }

    /// <summary>Lost, and no retransmission on its way.</summary>
    public static bool IsUnsent(in SegmentRecord record) =>
        (record.Flags & (SegmentFlags.Lost | SegmentFlags.Resent)) == SegmentFlags.Lost;

    /// <summary>
    /// [seq, seq + length) was sent again. If the pool has no record to split with, all of a record counts as sent
    /// again: it is too much in flight, until what was left out is taken for lost anew.
    /// </summary>
    public void Resend(SegmentPool pool, SeqNum seq, uint length, uint segmentSize, long nowNs)
    {
        SeqNum end = SeqNum.Earlier(seq + length, Nxt);
        if (seq < Una || seq >= end)
            return;
        uint link = LostHint != 0 && LostUnsent != 0 && pool[LostHint].Seq == seq ? LostHint : Find(pool, seq);
        while (link != 0 && pool[link].Seq < end)
        {
            if (pool[link].Seq < seq && Split(pool, link, seq, urgent: true) is var second and not 0)
                link = second;
            if (pool[link].End > end)
                Split(pool, link, end, urgent: true);
            ref SegmentRecord record = ref pool[link];
            if (!record.Is(SegmentFlags.Sacked))
            {
                if (IsUnsent(in record))
                    LostUnsent -= record.Length;
                if (!record.Is(SegmentFlags.Resent))
                    Resent += record.Length;
                record.Flags |= SegmentFlags.Resent | SegmentFlags.EverResent;
                record.SegmentSize = (ushort)segmentSize;
                if (record.Resends < byte.MaxValue)
                    record.Resends++;
                Untime(pool, link);
                Stamp(pool, link, nowNs);
            }
            link = record.Next;
        }
    }

    /// <summary>The peer has it. Joins it with what it has on both sides. Returns the record that has it now.</summary>
    public uint MarkSacked(SegmentPool pool, uint link)
    {
        ref SegmentRecord record = ref pool[link];
        Forget(pool, link);
        record.Flags = SegmentFlags.Sacked | record.Flags & SegmentFlags.EverResent;
        Sacked += record.Length;
        HighestSacked = SeqNum.Later(HighestSacked, record.End);
        if (record.Next != 0 && pool[record.Next].Is(SegmentFlags.Sacked))
            JoinNext(pool, link);
        if (record.Previous != 0 && pool[record.Previous].Is(SegmentFlags.Sacked))
        {
            link = record.Previous;
            JoinNext(pool, link);
        }
        return link;
    }

    /// <summary>RFC 2018 8: what was reported by SACK counts no more.</summary>
    public void ForgetSacks(SegmentPool pool)
    {
        for (uint link = Head; link != 0; link = pool[link].Next)
            if (pool[link].Is(SegmentFlags.Sacked))
            {
                pool[link].Flags &= ~SegmentFlags.Sacked;
                InsertByTime(pool, link, 0);
            }
        Sacked = 0;
        HighestSacked = Una;
        Known = default;
    }

    /// <summary>What is taken for lost and was not sent again is on its way after all.</summary>
    public void ForgetLosses(SegmentPool pool)
    {
        uint near = 0;
        for (uint link = Lost != 0 ? Head : 0; link != 0; link = pool[link].Next)
        {
            ref SegmentRecord record = ref pool[link];
            if (!record.Is(SegmentFlags.Lost))
                continue;
            record.Flags &= ~SegmentFlags.Lost;
            if (!record.Is(SegmentFlags.Timed))
                near = InsertByTime(pool, link, near);
        }
        Lost = LostUnsent = LostHint = 0;
    }

    /// <summary>Gives the first record back, or cuts it off below <paramref name="to"/>.</summary>
    public void DropHead(SegmentPool pool, SeqNum to)
    {
        uint link = Head;
        ref SegmentRecord record = ref pool[link];
        if (record.End > to)
        {
            uint gone = (uint)(to - record.Seq);
            if (record.Is(SegmentFlags.Sacked))
                Sacked -= gone;
            if (IsUnsent(in record))
                LostUnsent -= gone;
            if (record.Is(SegmentFlags.Lost))
                Lost -= gone;
            if (record.Is(SegmentFlags.Resent))
                Resent -= gone;
            record.Seq = to;
            return;
        }
        if (record.Is(SegmentFlags.Sacked))
            Sacked -= record.Length;
        Forget(pool, link);
        Unlink(pool, link);
    }

    /// <summary>Gives all records back.</summary>
    public void Clear(SegmentPool pool)
    {
        for (uint link = Head; link != 0;)
        {
            uint next = pool[link].Next;
            pool.Give(link);
            link = next;
        }
        SeqNum nxt = Nxt;
        this = default;
        Start(nxt);
    }

    /// <summary>Sent once, nothing known of it yet: more can be added.</summary>
    private static bool IsPlain(in SegmentRecord record) => record.Flags == SegmentFlags.Timed;

    /// <summary>Takes a record out of the counts of what is lost and resent, and out of the list by time.</summary>
    private void Forget(SegmentPool pool, uint link)
    {
        ref SegmentRecord record = ref pool[link];
        if (IsUnsent(in record))
            LostUnsent -= record.Length;
        if (record.Is(SegmentFlags.Lost))
            Lost -= record.Length;
        if (record.Is(SegmentFlags.Resent))
            Resent -= record.Length;
        Untime(pool, link);
    }

    private void JoinNext(SegmentPool pool, uint link)
    {
        ref SegmentRecord record = ref pool[link];
        uint next = record.Next;
        record.End = pool[next].End;
        record.Flags |= pool[next].Flags & SegmentFlags.EverResent;
        Unlink(pool, next);
        if (SackHint == 0)
            SackHint = link;
    }

    private void Unlink(SegmentPool pool, uint link)
    {
        ref SegmentRecord record = ref pool[link];
        if (record.Previous != 0)
            pool[record.Previous].Next = record.Next;
        else
            Head = record.Next;
        if (record.Next != 0)
            pool[record.Next].Previous = record.Previous;
        else
            Tail = record.Previous;
        if (LostHint == link)
            LostHint = record.Next;
        if (SackHint == link)
            SackHint = 0;
        Records--;
        pool.Give(link);
    }

    /// <summary>
    /// Puts a record at the end of the list by time, as sent now: later than all before it. The clock stands still
    /// while a batch of ACKs is worked off, and by RFC 8985 6.2 (RACK_sent_after) what was sent again then would be
    /// older than new data that went before it, and lost as soon as that arrives.
    /// </summary>
    private void Stamp(SegmentPool pool, uint link, long nowNs)
    {
        ref SegmentRecord record = ref pool[link];
        record.SentNs = Newest != 0 && pool[Newest].SentNs >= nowNs ? pool[Newest].SentNs + 1 : nowNs;
        record.Delivered = Delivered;
        record.DeliveredNs = DeliveredNs;
        record.FirstSentNs = FirstSentNs;
        Time(pool, link, Newest);
    }

    /// <summary>Puts a record into the list by time, behind another (0: first).</summary>
    private void Time(SegmentPool pool, uint link, uint behind)
    {
        ref SegmentRecord record = ref pool[link];
        record.Earlier = behind;
        record.Later = behind != 0 ? pool[behind].Later : Oldest;
        record.Flags |= SegmentFlags.Timed;
        if (behind != 0)
            pool[behind].Later = link;
        else
            Oldest = link;
        if (record.Later != 0)
            pool[record.Later].Earlier = link;
        else
            Newest = link;
    }

    /// <summary>Puts a record where its time says; looks from <paramref name="near"/> on if that is earlier.</summary>
    private uint InsertByTime(SegmentPool pool, uint link, uint near)
    {
        long sent = pool[link].SentNs;
        uint behind = near != 0 && pool[near].SentNs <= sent ? near : 0;
        uint next = behind != 0 ? pool[behind].Later : Oldest;
        while (next != 0 && pool[next].SentNs <= sent)
        {
            behind = next;
            next = pool[next].Later;
        }
        Time(pool, link, behind);
        return link;
    }

    private void Untime(SegmentPool pool, uint link)
    {
        ref SegmentRecord record = ref pool[link];
        if (!record.Is(SegmentFlags.Timed))
            return;
        if (record.Earlier != 0)
            pool[record.Earlier].Later = record.Later;
        else
            Oldest = record.Later;
        if (record.Later != 0)
            pool[record.Later].Earlier = record.Earlier;
        else
            Newest = record.Earlier;
        record.Flags &= ~SegmentFlags.Timed;
        record.Earlier = record.Later = 0;
    }
}
