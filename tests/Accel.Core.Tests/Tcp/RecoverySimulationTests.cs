using Accel.Core.Tcp;

namespace Accel.Core.Tests.Tcp;

/// <summary>
/// Loss recovery against a receiver behind a path that loses, delays, doubles and reorders: everything arrives, in a
/// bounded time, and between any two steps the records are whole.
/// </summary>
public class RecoverySimulationTests
{
    const uint Total = 400_000;

    [Fact]
    public void Everything_arrives_over_any_path()
    {
        var first = Prng.Seed(1);
        var seeds = Environment.GetEnvironmentVariable("ACCEL_SEED") == null ? 150ul : 1;
        for (var seed = first; seed < first + seeds; seed++)
            try
            {
                new Path(seed).Run();
            }
            catch (Exception e)
            {
                Assert.Fail($"ACCEL_SEED={seed}: {e.Message}\n{e.StackTrace}");
            }
    }

    [Fact]
    public void Reordering_costs_little()
    {
        for (ulong seed = 1; seed <= 20; seed++)
        {
            var path = new Path(seed, loss: 0, reorder: 20, sack: true) { Records = 4096 };
            path.Run();
            // RFC 8985 6.2 step 3: the first time it is taken for loss, then no more.
            Assert.InRange(path.Resent, 0u, Total / 20);
        }
    }

    [Fact]
    public void A_clean_path_needs_no_retransmission()
    {
        for (ulong seed = 1; seed <= 20; seed++)
        {
            var path = new Path(seed, loss: 0, reorder: 0, sack: seed % 2 == 0) { Records = 4096 };
            path.Run();
            Assert.Equal(0u, path.Resent);
        }
    }

    /// <summary>Data, or an ACK: then To is what it acknowledges.</summary>
    readonly record struct Packet(uint From, uint To, long SentMs, bool IsAck, (uint, uint)[] Sacks);

    /// <summary>One connection's data on its way, and what the receiver has of it.</summary>
    sealed class Path
    {
        readonly Prng _random;
        readonly PriorityQueue<Packet, (long At, long Order)> _flying = new();
        readonly bool[] _has = new bool[Total];
        readonly List<(uint Left, uint Right)> _islands = [];
        readonly int _loss, _reorder, _ackLoss, _double, _stall;
        readonly long _delay;
        readonly bool _sack, _echo, _super;
        long _order, _echoMs;
        uint _next;

        public Path(ulong seed, int? loss = null, int? reorder = null, bool? sack = null)
        {
            _random = new Prng(seed * 77);
            _loss = loss ?? Pick(0, 0, 200, 50, 20, 5);
            _ackLoss = loss ?? Pick(0, 0, 50, 5);
            _reorder = reorder ?? Pick(0, 0, 100, 10);
            _double = loss ?? Pick(0, 0, 50);
            _stall = loss ?? Pick(0, 0, 400);
            _delay = Pick(1, 10, 50, 200) * Sender.Ms / 2;
            _sack = sack ?? !_random.OneIn(3);
            _echo = !_random.OneIn(3);
            _super = _random.OneIn(3);
            Records = Pick(4096, 4096, 12, 40);
        }

        public int Records { get; init; }
        public uint Resent { get; private set; }

        int Pick(params int[] of) => of[_random.Below(of.Length)];

        public void Run()
        {
            using var sender = new Sender(Records, iss: (uint)_random.Next(), _sack,
                _random.OneIn(3) ? CongestionAlgorithm.Reno : CongestionAlgorithm.Cubic);
            var end = sender.Now + 3_600_000 * Sender.Ms;
            for (var steps = 0; sender.Una < Total; steps++)
            {
                Assert.True(steps < 200_000 && sender.Now < end, $"{sender.Una} of {Total} after {steps} steps");
                Transmit(sender);
                var timer = sender.Recovery.Timer(out var at);
                Assert.True(timer != RecoveryTimer.None || _flying.Count > 0, "nothing is waited for");
                if (_flying.TryPeek(out _, out var when) && (timer == RecoveryTimer.None || when.At <= at))
                {
                    sender.Now = Math.Max(sender.Now, when.At);
                    Arrive(sender, _flying.Dequeue());
                }
                else
                    sender.Fire();
            }
            Assert.Equal(0, sender.InUse);
            Assert.DoesNotContain(false, _has);
        }

        void Transmit(Sender sender)
        {
            ref var recovery = ref sender.Recovery;
            sender.HasNew = sender.Nxt < Total;
            uint most = _super ? 16_000u : Sender.Mss;
            while (recovery.NextRetransmission(sender.Pool, most, Sender.Mss, out var seq, out var length))
            {
                recovery.OnRetransmitted(sender.Pool, seq, length, Sender.Mss, sender.Now);
                sender.Check();
                Resent += length;
                Launch(sender, (uint)(seq - sender.Iss), length);
            }
            while (sender.Nxt < Total)
            {
                var from = sender.Nxt;
                var length = Math.Min(most, recovery.Quota(sender.Pool, Total - from, Sender.Mss, sender.Now));
                if (length == 0)
                    break;
                Assert.True(recovery.OnSent(sender.Pool, recovery.Sent.Nxt, length, Sender.Mss, sender.Now));
                sender.Check();
                Launch(sender, from, length);
            }
        }

        /// <summary>A super-frame is cut into segments on its way, each with its own fate.</summary>
        void Launch(Sender sender, uint from, uint length)
        {
            for (var end = from + length; from < end; from += Sender.Mss)
            {
                var to = Math.Min(end, from + Sender.Mss);
                for (var copies = Chance(_double) ? 2 : Chance(_loss) ? 0 : 1; copies > 0; copies--)
                    Fly(new(from, to, sender.Now / Sender.Ms, false, []), sender.Now, Chance(_reorder));
            }
        }

        bool Chance(int oneIn) => oneIn > 0 && _random.OneIn(oneIn);

        void Fly(Packet what, long now, bool late)
        {
            var delay = _delay + (late ? _delay / 4 + _random.Below((int)_delay) : 0);
            // A path that stands still for a while: timeouts that were not needed.
            if (Chance(_stall))
                delay += 1000 * Sender.Ms;
            _flying.Enqueue(what, (now + delay, _order++));
        }

        void Arrive(Sender sender, Packet what)
        {
            if (what.IsAck)
            {
                sender.EchoMs = _echo ? what.SentMs : null;
                sender.Ack(what.To, what.Sacks);
                return;
            }
            var whole = true;
            for (var i = what.From; i < what.To; i++)
            {
                whole &= _has[i];
                _has[i] = true;
            }
            if (what.From <= _next)
                _echoMs = what.SentMs;
            while (_next < Total && _has[_next])
                _next++;
            if (Chance(_ackLoss))
                return;
            var sacks = _sack ? Sacks(what.From, what.To, whole) : [];
            Fly(new(0, _next, _echoMs, true, sacks), sender.Now, Chance(_reorder));
        }

        /// <summary>RFC 2018 4, RFC 2883: a duplicate first, then the island that has just grown, then the others.
        /// </summary>
        (uint, uint)[] Sacks(uint from, uint to, bool duplicate)
        {
            var blocks = new List<(uint, uint)>();
            if (duplicate)
                blocks.Add((from, to));
            if (from > _next)
            {
                uint left = from, right = to;
                while (_has[left - 1])
                    left--;
                while (right < Total && _has[right])
                    right++;
                _islands.RemoveAll(i => i.Left >= left && i.Right <= right);
                _islands.Insert(0, (left, right));
            }
            _islands.RemoveAll(i => i.Left <= _next);
            blocks.AddRange(_islands.Select(i => (i.Left, i.Right)));
            return [.. blocks.Take(_echo ? 3 : 4)];
        }
    }
}
