using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>What an ACK and its SACK blocks say of the records in flight (RFC 2018, 2883, 6675).</summary>
public static class Scoreboard
{
    /// <summary>What is gathered while one ACK is gone through.</summary>
    private ref struct Pass
    {
        public AckOutcome Outcome;

        /// <summary>Sending times of what is acknowledged or reported by SACK for the first time and was sent once:
        /// 0 if nothing.</summary>
        public long FirstAckedNs, LastAckedNs, FirstSackedNs, LastSackedNs;

        /// <summary>End of what was reported by SACK before, and the lowest that came after it though sent once.
        /// </summary>
        public SeqNum Highest, Reordered;

        /// <summary>Of what was sent last among the newly delivered.</summary>
        public long RateSentNs, RateFirstSentNs, RateDeliveredNs;
        public ulong RateDelivered;
    }

    /// <summary>
    /// Drops what is acknowledged, marks what is reported by SACK, tells RACK what has arrived.
    /// <paramref name="highSeq"/> is the loss recovery's; <paramref name="undoFrom"/>: DSACKs below it are too old.
    /// </summary>
    public static AckOutcome OnAck(
        SegmentPool pool, ref SentQueue sent, ref Rack rack, long minRtt, bool hasSack, SeqNum highSeq,
        SeqNum undoFrom, in AckInput input, in TcpOptions options)
    {
        Pass pass = default;
        pass.Outcome.RttNs = pass.Outcome.LastRttNs = -1;
        pass.Highest = pass.Reordered = sent.HighestSacked;
        SeqNum una = sent.Una;
        if (input.Ack > una && input.Ack <= sent.Nxt)
            Acknowledge(pool, ref sent, ref rack, minRtt, hasSack, highSeq, in input, ref pass);
        if (hasSack && options.Has(TcpOptionKinds.Sack))
            Sack(pool, ref sent, ref rack, minRtt, highSeq, undoFrom, in input, in options, ref pass);
        if (!hasSack)
            CountDuplicates(ref sent, in input, ref pass);
        else if (pass.Reordered < pass.Highest)
        {
            rack.NoteReordering((uint)(sent.HighestSacked - pass.Reordered), input.SegmentSize);
            pass.Outcome.Findings |= AckFindings.Reordered;
        }
        if (input.Ack == una && input.MayBeDuplicate && !sent.IsEmpty)
            pass.Outcome.Findings |= AckFindings.Duplicate;
        MeasureTrip(in input, ref pass);
        if (pass.Outcome.DeliveredBytes != 0)
            MeasureRate(ref sent, minRtt, input.NowNs, ref pass);
        return pass.Outcome;
    }

    private static void Acknowledge(
        SegmentPool pool, ref SentQueue sent, ref Rack rack, long minRtt, bool hasSack, SeqNum highSeq,
        in AckInput input, ref Pass pass)
    {
        while (sent.Head != 0)
        {
            ref SegmentRecord record = ref pool[sent.Head];
            if (record.Seq >= input.Ack)
                break;
            SeqNum end = SeqNum.Earlier(record.End, input.Ack);
            if (record.Is(SegmentFlags.EverResent))
                pass.Outcome.Findings |= AckFindings.RetransmissionAcked;
            else if (!record.Is(SegmentFlags.Sacked))
            {
                pass.LastAckedNs = record.SentNs;
                if (pass.FirstAckedNs == 0)
                    pass.FirstAckedNs = record.SentNs;
                pass.Reordered = SeqNum.Earlier(pass.Reordered, record.Seq);
                if (end <= highSeq)
                    pass.Outcome.Findings |= AckFindings.OriginalDelivered;
            }
            if (!record.Is(SegmentFlags.Sacked))
            {
                pass.Outcome.DeliveredBytes += (uint)(end - record.Seq);
                NoteRate(in record, ref pass);
                if (hasSack)
                    rack.OnDelivered(in record, end, minRtt, in input);
            }
            sent.DropHead(pool, input.Ack);
        }
        pass.Outcome.AckedBytes = (uint)(input.Ack - sent.Una);
        pass.Outcome.Findings |= AckFindings.Advanced;
        sent.Una = input.Ack;
        sent.HighestSacked = SeqNum.Later(sent.HighestSacked, input.Ack);
        // RFC 2018 8: who acknowledges up to what it had reported by SACK has not got that any more.
        if (hasSack && sent.Head != 0 && pool[sent.Head].Is(SegmentFlags.Sacked))
            pass.Outcome.Findings |= AckFindings.Reneged;
    }

    private static void Sack(
        SegmentPool pool, ref SentQueue sent, ref Rack rack, long minRtt, SeqNum highSeq, SeqNum undoFrom,
        in AckInput input, in TcpOptions options, ref Pass pass)
    {
        SackCache known = default;
        int count = Math.Min((int)options.SackCount, SackBlocks.Length), first = 0;
        if (count > 0 && IsDuplicate(in options, count, input.Ack))
        {
            NoteDsack(in sent, ref rack, undoFrom, options.Sacks[0], ref pass);
            first = 1;
        }
        for (int i = first; i < count; i++)
        {
            SackBlock block = options.Sacks[i];
            // A block that this ACK covers is old news: reordered ACKs bring it. One that begins at SND.UNA or goes
            // beyond SND.NXT is nonsense.
            if (block.Left >= block.Right || block.Right > sent.Nxt || block.Left == sent.Una
                || block.Left < sent.Una && block.Right > sent.Una)
            {
                pass.Outcome.Findings |= AckFindings.BadSack;
                continue;
            }
            if (block.Left < sent.Una)
                continue;
            if (IsKnown(in sent, block)
                || MarkRun(pool, ref sent, ref rack, minRtt, highSeq, in input, block, ref pass))
                known[i] = block;
        }
        sent.Known = known;
    }

    /// <summary>RFC 2883 4: the first block lies below the ACK, or in the second block.</summary>
    private static bool IsDuplicate(in TcpOptions options, int count, SeqNum ack)
    {
        SackBlock block = options.Sacks[0];
        return block.Left < ack || count > 1
            && block.Left >= options.Sacks[1].Left && block.Right <= options.Sacks[1].Right;
    }

    private static void NoteDsack(in SentQueue sent, ref Rack rack, SeqNum undoFrom, SackBlock block, ref Pass pass)
    {
        uint length = (uint)(block.Right - block.Left);
        if (block.Left >= block.Right || block.Right > sent.Nxt || length > int.MaxValue / 2)
        {
            pass.Outcome.Findings |= AckFindings.BadSack;
            return;
        }
        pass.Outcome.DsackLeft = block.Left;
        pass.Outcome.DsackBytes = length;
        pass.Outcome.Findings |= AckFindings.Dsack;
        if (rack.ProbeOut && block.Right == rack.ProbeEnd)
            pass.Outcome.Findings |= AckFindings.DsackOfProbe;
        if (block.Right > undoFrom && block.Right <= sent.Nxt)
            pass.Outcome.DsackInRecovery = true;
    }

    private static bool IsKnown(in SentQueue sent, SackBlock block)
    {
        for (int i = 0; i < SackBlocks.Length; i++)
            if (sent.Known[i].Left != sent.Known[i].Right
                && block.Left >= sent.Known[i].Left && block.Right <= sent.Known[i].Right)
                return true;
        return false;
    }

    /// <summary>Marks a run as arrived. False if a record was missing to split with: a part is not marked.</summary>
    private static bool MarkRun(
        SegmentPool pool, ref SentQueue sent, ref Rack rack, long minRtt, SeqNum highSeq, in AckInput input,
        SackBlock block, ref Pass pass)
    {
        bool complete = true;
        uint link = sent.Find(pool, block.Left);
        while (link != 0 && pool[link].Seq < block.Right)
        {
            ref SegmentRecord record = ref pool[link];
            uint next = record.Next;
            if (record.Is(SegmentFlags.Sacked))
            {
                link = next;
                continue;
            }
            if (record.Seq < block.Left)
            {
                uint second = sent.Split(pool, link, block.Left, urgent: false);
                complete &= second != 0;
                link = second != 0 ? second : next;
                continue;
            }
            if (record.End > block.Right && sent.Split(pool, link, block.Right, urgent: false) == 0)
                return false;
            NoteSacked(ref record, ref rack, minRtt, highSeq, in input, ref pass);
            link = sent.MarkSacked(pool, link);
            sent.SackHint = link;
            link = pool[link].Next;
        }
        return complete;
    }

    private static void NoteSacked(
        ref SegmentRecord record, ref Rack rack, long minRtt, SeqNum highSeq, in AckInput input, ref Pass pass)
    {
        pass.Outcome.SackedBytes += record.Length;
        pass.Outcome.DeliveredBytes += record.Length;
        pass.Outcome.Findings |= AckFindings.NewlySacked;
        NoteRate(in record, ref pass);
        rack.OnDelivered(in record, record.End, minRtt, in input);
        if (record.Is(SegmentFlags.EverResent))
            return;
        if (record.End <= highSeq)
            pass.Outcome.Findings |= AckFindings.OriginalDelivered;
        pass.Reordered = SeqNum.Earlier(pass.Reordered, record.Seq);
        if (pass.FirstSackedNs == 0)
            pass.FirstSackedNs = record.SentNs;
        pass.FirstSackedNs = Math.Min(pass.FirstSackedNs, record.SentNs);
        pass.LastSackedNs = Math.Max(pass.LastSackedNs, record.SentNs);
    }

    /// <summary>
    /// Without SACK each duplicate ACK stands for a segment that has left the network (RFC 5681 3.2, 6582). At least
    /// one segment is a hole.
    /// </summary>
    private static void CountDuplicates(ref SentQueue sent, in AckInput input, ref Pass pass)
    {
        uint size = Math.Max(1, input.SegmentSize);
        uint most = sent.Outstanding > size ? sent.Outstanding - size : 0;
        if (pass.Outcome.Has(AckFindings.Advanced))
        {
            // What the duplicates stood for is part of what is acknowledged now, all but the hole. DropHead has counted
            // it as delivered: it had been when the duplicates came.
            uint filled = pass.Outcome.AckedBytes > size ? pass.Outcome.AckedBytes - size : 0;
            uint counted = Math.Min(filled, sent.Sacked);
            sent.Sacked -= counted;
            pass.Outcome.DeliveredBytes -= Math.Min(counted, pass.Outcome.DeliveredBytes);
        }
        else if (input.MayBeDuplicate && !sent.IsEmpty)
        {
            uint grown = Math.Min(sent.Sacked + size, Math.Max(most, sent.Sacked));
            pass.Outcome.DeliveredBytes += grown - sent.Sacked;
            sent.Sacked = grown;
        }
        sent.Sacked = Math.Min(sent.Sacked, most);
    }

    /// <summary>
    /// RFC 6298 3 (Karn): from segments that were sent once; RFC 7323 4: or from the echo, if the ACK is of new data.
    /// Not if it reports a duplicate (RFC 2883): the ACK before that was lost, and a segment that is not acceptable
    /// leaves TS.Recent as it was (RFC 7323 5.3), so that the echo tells of the timeouts in between. With samples of
    /// those a path that loses ACKs would end with a timeout of seconds.
    /// </summary>
    private static void MeasureTrip(in AckInput input, ref Pass pass)
    {
        ref AckOutcome outcome = ref pass.Outcome;
        if (pass.FirstAckedNs != 0 && !outcome.Has(AckFindings.RetransmissionAcked))
        {
            outcome.RttNs = input.NowNs - pass.FirstAckedNs;
            outcome.LastRttNs = input.NowNs - pass.LastAckedNs;
        }
        else if (pass.FirstSackedNs != 0)
        {
            outcome.RttNs = input.NowNs - pass.FirstSackedNs;
            outcome.LastRttNs = input.NowNs - pass.LastSackedNs;
        }
        else if (outcome.Has(AckFindings.Advanced) && !outcome.Has(AckFindings.Dsack) && input.HasEcho)
        {
            int ms = (int)(Rack.Milliseconds(input.NowNs) - input.EchoMs);
            if (ms is >= 0 and < 120_000)
                outcome.RttNs = outcome.LastRttNs = Math.Max(1, ms) * 1_000_000L;
        }
    }

    private static void NoteRate(in SegmentRecord record, ref Pass pass)
    {
        if (pass.RateSentNs != 0 && record.SentNs < pass.RateSentNs)
            return;
        pass.RateSentNs = record.SentNs;
        pass.RateFirstSentNs = record.FirstSentNs;
        pass.RateDeliveredNs = record.DeliveredNs;
        pass.RateDelivered = record.Delivered;
    }

    /// <summary>
    /// Delivery rate over a flight as Linux's tcp_rate.c: the slower of sending and being acknowledged.
    /// </summary>
    private static void MeasureRate(ref SentQueue sent, long minRtt, long nowNs, ref Pass pass)
    {
        sent.Delivered += pass.Outcome.DeliveredBytes;
        sent.DeliveredNs = nowNs;
        if (pass.RateSentNs == 0)
            return;
        pass.Outcome.PriorDelivered = pass.RateDelivered;
        sent.FirstSentNs = pass.RateSentNs;
        long interval = Math.Max(nowNs - pass.RateDeliveredNs, pass.RateSentNs - pass.RateFirstSentNs);
        if (interval <= 0 || interval < minRtt)
            return;
        sent.DeliveryRate = (ulong)((sent.Delivered - pass.RateDelivered) * 1e9 / interval);
    }
}
