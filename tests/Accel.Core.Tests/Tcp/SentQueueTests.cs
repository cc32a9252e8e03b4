using Accel.Core.Tcp;
using Accel.Wire;

namespace Accel.Core.Tests.Tcp;

/// <summary>What is in flight, against a list of bytes.</summary>
public class SentQueueTests
{
    /// <summary>What is known of one byte.</summary>
    sealed class Fate
    {
        public bool Sacked, Lost, Resent, EverResent;
        public long SentNs;

        /// <summary>Which of all transmissions was its last.</summary>
        public int Transmission;

        public const int Unknown = -1;
    }

    [Theory]
    [InlineData(1, 0u)]
    [InlineData(2, 0xFFFF_FF00u)]
    [InlineData(3, 0x7FFF_FF00u)]
    [InlineData(4, 0xFFFF_F000u)]
    public void Records_say_of_each_byte_what_a_list_of_bytes_says(ulong seed, uint iss)
    {
        var random = new Prng(Prng.Seed(seed));
        for (var round = 0; round < 30; round++)
        {
            using var sender = new Sender(iss: iss);
            var model = new List<Fate>();
            for (var step = 0; step < 300; step++)
            {
                Step(random, sender, model, step);
                sender.Check();
                Compare(sender, model);
            }
            sender.Recovery.Free(sender.Pool);
            Assert.Equal(0, sender.InUse);
        }
    }

    /// <summary>More than is added to times so that they are in order, in nanoseconds.</summary>
    const long Moment = 100_000;

    static void Step(Prng random, Sender sender, List<Fate> model, int number)
    {
        ref var sent = ref sender.Recovery.Sent;
        var length = model.Count;
        int from = random.Below(length + 1), to = Math.Min(length, from + 1 + random.Below(80));
        sender.Now += random.Below(3) * Moment;
        switch (random.Below(length == 0 ? 1 : 9))
        {
            case 0 or 1:
                var count = 1 + random.Below(50);
                Assert.True(sent.Append(sender.Pool, (uint)count, 10, sender.Now));
                for (var i = 0; i < count; i++)
                    model.Add(new Fate { SentNs = sender.Now, Transmission = number });
                break;
            case 2:
                sent.Resend(sender.Pool, sent.Una + (uint)from, (uint)(to - from), 10, sender.Now);
                foreach (var fate in model[from..to].Where(f => !f.Sacked))
                    (fate.Resent, fate.EverResent, fate.SentNs, fate.Transmission) =
                        (true, true, sender.Now, number);
                break;
            case 3 or 4:
                var link = sent.Find(sender.Pool, sent.Una + (uint)random.Below(length));
                var first = sender.Pool[link].Seq - sent.Una;
                sent.MarkLost(sender.Pool, link);
                foreach (var fate in model.GetRange(first, (int)sender.Pool[link].Length).Where(f => !f.Sacked))
                    (fate.Lost, fate.Resent) = (true, false);
                break;
            case 5 or 6:
                Sack(random, sender, model, from, to);
                break;
            case 7 when random.OneIn(8):
                Forget(random, sender, model);
                break;
            default:
                var ack = random.Below(Math.Min(length, 60) + 1);
                sender.Recovery.State = RecoveryState.Open;
                sender.Recovery.OnAck(sender.Pool, Input(sender, sent.Una + (uint)ack), default);
                // What looks like a renege is not followed here.
                model.RemoveRange(0, ack);
                // Losses are looked for on each ACK: they are not what this is about.
                Adopt(sender, model);
                break;
        }
    }

    static void Sack(Prng random, Sender sender, List<Fate> model, int from, int to)
    {
        ref var sent = ref sender.Recovery.Sent;
        var options = new TcpOptions { Present = TcpOptionKinds.Sack, SackCount = (byte)(1 + random.Below(4)) };
        var fresh = 0;
        for (var i = 0; i < options.SackCount; i++)
        {
            options.Sacks[i] = new SackBlock { Left = sent.Una + (uint)from, Right = sent.Una + (uint)to };
            // The first byte is the one that is missing. The first block in the second would tell of a duplicate.
            var dsack = i == 0 && options.SackCount > 1;
            if (from > 0 && to > from && !dsack)
                foreach (var fate in model[from..to].Where(f => !f.Sacked))
                {
                    (fate.Sacked, fate.Lost, fate.Resent) = (true, false, false);
                    fresh++;
                }
            if (dsack)
                continue;
            from = random.Below(model.Count + 1);
            to = Math.Min(model.Count, from + 1 + random.Below(80));
        }
        var rack = sender.Recovery.Rack;
        var outcome = Scoreboard.OnAck(sender.Pool, ref sent, ref rack, 0, true, sent.Una, sent.Una,
            Input(sender, sent.Una), in options);
        Assert.Equal((uint)fresh, outcome.SackedBytes);
        Assert.Equal((uint)fresh, outcome.DeliveredBytes);
    }

    static void Forget(Prng random, Sender sender, List<Fate> model)
    {
        if (random.OneIn(2))
        {
            sender.Recovery.Sent.ForgetSacks(sender.Pool);
            // Joined records have lost their times.
            foreach (var fate in model.Where(f => f.Sacked))
                (fate.Sacked, fate.Transmission) = (false, Fate.Unknown);
            Adopt(sender, model);
        }
        else
        {
            sender.Recovery.Sent.ForgetLosses(sender.Pool);
            model.ForEach(f => f.Lost = false);
        }
    }

    static AckInput Input(Sender sender, SeqNum ack) =>
        new() { Ack = ack, NowNs = sender.Now, SegmentSize = 10 };

    static void Adopt(Sender sender, List<Fate> model) => Each(sender, model, (fate, record) =>
    {
        fate.SentNs = record.SentNs;
        fate.EverResent = record.Is(SegmentFlags.EverResent);
        if (record.Is(SegmentFlags.Sacked))
            return;
        fate.Lost = record.Is(SegmentFlags.Lost);
        fate.Resent = record.Is(SegmentFlags.Resent);
    });

    static void Compare(Sender sender, List<Fate> model)
    {
        ref var sent = ref sender.Recovery.Sent;
        Assert.Equal((uint)model.Count, sent.Outstanding);
        Each(sender, model, (fate, record) =>
        {
            Assert.Equal(fate.Sacked, record.Is(SegmentFlags.Sacked));
            Assert.Equal(fate.Lost, record.Is(SegmentFlags.Lost));
            Assert.Equal(fate.Resent, record.Is(SegmentFlags.Resent));
            Assert.True(fate.Sacked || record.SentNs >= fate.SentNs && record.SentNs < fate.SentNs + Moment);
            Assert.True(fate.Sacked || fate.EverResent == record.Is(SegmentFlags.EverResent));
        });
        CheckOrder(sender, model);
        Assert.Equal(model.Sum(f => (f.Sacked || f.Lost ? 0 : 1) + (f.Resent ? 1 : 0)), (int)sent.InFlight);
        var firstLost = model.FindIndex(f => f.Lost && !f.Resent);
        var link = sent.FirstLost(sender.Pool);
        Assert.Equal(firstLost, link == 0 ? -1 : sender.Pool[link].Seq - sent.Una);
    }

    /// <summary>What went later has a later time, though the clock may not have moved; only new data that follows new
    /// data at once may share one.</summary>
    static void CheckOrder(Sender sender, List<Fate> model)
    {
        var sent = new List<(Fate Fate, long Ns)>();
        Each(sender, model, (fate, record) =>
        {
            if (!fate.Sacked && (!fate.Lost || fate.Resent) && fate.Transmission != Fate.Unknown)
                sent.Add((fate, record.SentNs));
        });
        var latest = long.MinValue;
        var wasResent = false;
        foreach (var one in sent.GroupBy(s => s.Fate.Transmission).OrderBy(g => g.Key))
        {
            var isResent = one.Any(s => s.Fate.EverResent);
            var first = one.Min(s => s.Ns);
            Assert.True(first > latest || !isResent && !wasResent && first == latest);
            latest = one.Max(s => s.Ns);
            wasResent = isResent;
        }
    }

    static void Each(Sender sender, List<Fate> model, Action<Fate, SegmentRecord> visit)
    {
        ref var sent = ref sender.Recovery.Sent;
        for (var link = sent.Head; link != 0; link = sender.Pool[link].Next)
            for (var seq = sender.Pool[link].Seq; seq < sender.Pool[link].End; seq += 1)
                visit(model[seq - sent.Una], sender.Pool[link]);
    }

    [Fact]
    public void What_is_sent_in_one_moment_is_one_record()
    {
        using var sender = new Sender();
        sender.Send(5000, gapNs: 0);
        Assert.Equal(1u, sender.Recovery.Sent.Records);
        sender.Now++;
        sender.Send(1000);
        Assert.Equal(2u, sender.Recovery.Sent.Records);
    }

    [Fact]
    public void A_run_is_split_at_the_edges_of_SACK_blocks_and_joined_again()
    {
        using var sender = new Sender();
        sender.Send(64000, asOne: true);
        sender.After(10);
        sender.Ack(0, (10000, 20000));
        Assert.Equal(3u, sender.Recovery.Sent.Records);
        sender.Ack(0, (30000, 40000), (10000, 20000));
        Assert.Equal(5u, sender.Recovery.Sent.Records);
        Assert.Equal(20000u, sender.Recovery.Sent.Sacked);
        sender.Ack(0, (10000, 40000));
        Assert.Equal(3u, sender.Recovery.Sent.Records);
        sender.Ack(64000);
        Assert.Equal(0, sender.InUse);
    }

    [Fact]
    public void The_last_eighth_of_the_pool_is_for_those_that_have_nothing()
    {
        using var sender = new Sender(records: 16);
        sender.Recovery.Sent.Start(sender.Iss);
        for (var i = 0; i < 30; i++)
        {
            Assert.True(sender.Recovery.CanSend(sender.Pool));
            sender.Send(1000);
        }
        // The last record takes what has no record of its own.
        Assert.Equal(14u, sender.Recovery.Sent.Records);
        Assert.Equal(30000u, sender.Recovery.Sent.Outstanding);

        var other = new LossRecovery();
        other.Start(new SeqNum(7), 1000, true, CongestionAlgorithm.Cubic, 10, sender.Now);
        Assert.True(other.CanSend(sender.Pool));
        Assert.True(other.OnSent(sender.Pool, new SeqNum(7), 1000, 1000, sender.Now));
        other.Free(sender.Pool);
        sender.Check();
    }

    [Fact]
    public void With_an_empty_pool_nothing_is_sent_and_no_SACK_is_believed_by_halves()
    {
        using var sender = new Sender(records: 3);
        sender.Send(1000);
        sender.Send(9000, asOne: true);
        sender.Send(1000);
        // Each ACK leaves the scoreboard whole; what could not be split is not marked.
        var outcome = sender.Ack(0, (2000, 3000));
        Assert.Equal(0u, outcome.SackedBytes);
        outcome = sender.Ack(0, (1000, 10000));
        Assert.Equal(9000u, outcome.SackedBytes);
        using var none = new Sender(records: 0);
        Assert.False(none.Recovery.CanSend(none.Pool));
        Assert.False(none.Recovery.OnSent(none.Pool, none.Iss, 1000, 1000, none.Now));
        Assert.Equal(0u, none.Recovery.Quota(none.Pool, 1000, 1000, none.Now));
    }

    [Fact]
    public void A_peer_that_cuts_everything_in_pieces_gets_only_so_many_records()
    {
        using var sender = new Sender(records: 40_000);
        sender.Send(60_000, asOne: true);
        sender.Unchecked = true;
        for (uint i = 1; i < 29_000; i++)
            sender.Ack(0, (2 * i, 2 * i + 1));
        sender.Unchecked = false;
        sender.Check();
        Assert.InRange(sender.Recovery.Sent.Records, 8000u, 8200u);
    }
}
