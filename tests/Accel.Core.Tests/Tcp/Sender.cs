using System.Runtime.InteropServices;
using Accel.Core.Memory;
using Accel.Core.Tcp;
using Accel.Wire;

namespace Accel.Core.Tests.Tcp;

/// <summary>A sending half without a machine: distances instead of sequence numbers, a clock by hand.</summary>
sealed unsafe class Sender : IDisposable
{
    public const uint Mss = 1000;
    public const long Ms = 1_000_000;
    readonly SegmentRecord* _records;
    readonly FreeList* _list;

    public Sender(int records = 4096, uint iss = 0xFFFF_F000, bool sack = true,
        CongestionAlgorithm algorithm = CongestionAlgorithm.Cubic, uint initialSegments = 10)
    {
        _records = (SegmentRecord*)NativeMemory.AllocZeroed((nuint)(records * sizeof(SegmentRecord)));
        _list = (FreeList*)NativeMemory.AllocZeroed((nuint)sizeof(FreeList));
        _list->Capacity = (uint)records;
        Pool = new SegmentPool(_records, _list);
        Iss = new SeqNum(iss);
        Now = 5_000 * Ms;
        Recovery.Start(Iss, Mss, sack, algorithm, initialSegments, Now);
    }

    public LossRecovery Recovery;

    public SegmentPool Pool { get; }
    public SeqNum Iss { get; }
    public long Now { get; set; }

    /// <summary>The echo of the next ACK, in milliseconds of the clock; null: no timestamps.</summary>
    public long? EchoMs { get; set; }

    /// <summary>Leaves out the checks between calls, where there are too many records.</summary>
    public bool Unchecked { get; set; }

    /// <summary>There is more to send.</summary>
    public bool HasNew { get; set; } = true;

    public uint Una => (uint)(Recovery.Sent.Una - Iss);
    public uint Nxt => (uint)(Recovery.Sent.Nxt - Iss);
    public uint CwndSegments => Recovery.Cwnd / Mss;
    public int InUse => _list->InUse;

    public void After(long ms) => Now += ms * Ms;

    /// <summary>Sends so many bytes, whatever the window is, a record for each segment or one for all.</summary>
    public void Send(uint bytes, bool asOne = false, long gapNs = 1)
    {
        while (bytes > 0)
        {
            var length = asOne ? bytes : Math.Min(bytes, Mss);
            Assert.True(Recovery.OnSent(Pool, Recovery.Sent.Nxt, length, Mss, Now));
            bytes -= length;
            Now += gapNs;
        }
        Check();
    }

    /// <summary>Sends as much new data as the window allows. Returns how many bytes.</summary>
    public uint SendAllowed(uint atMost = 1 << 30)
    {
        uint sent = 0;
        while (sent < atMost)
        {
            var quota = Math.Min(Mss, Recovery.Quota(Pool, atMost - sent, Mss, Now));
            if (quota == 0 || !Recovery.OnSent(Pool, Recovery.Sent.Nxt, quota, Mss, Now++))
                break;
            sent += quota;
        }
        Check();
        return sent;
    }

    /// <summary>Sends again what may be sent again. Returns the runs as "from-to".</summary>
    public string Resend(uint max = Mss)
    {
        var runs = new List<string>();
        while (Recovery.NextRetransmission(Pool, max, Mss, out var seq, out var length))
        {
            Assert.InRange(length, 1u, max);
            runs.Add($"{seq - Iss}-{seq - Iss + length}");
            Recovery.OnRetransmitted(Pool, seq, length, Mss, Now++);
            Check();
        }
        return string.Join(" ", runs);
    }

    public AckOutcome Ack(uint ack, params (uint Left, uint Right)[] sacks) => Ack(ack, false, sacks);

    public AckOutcome AckEcho(uint ack) => Ack(ack, true);

    AckOutcome Ack(uint ack, bool congestionEcho, params (uint Left, uint Right)[] sacks)
    {
        var options = new TcpOptions { SackCount = (byte)sacks.Length };
        if (sacks.Length > 0)
            options.Present |= TcpOptionKinds.Sack;
        for (var i = 0; i < sacks.Length; i++)
            options.Sacks[i] = new SackBlock { Left = Iss + sacks[i].Left, Right = Iss + sacks[i].Right };
        var input = new AckInput
        {
            Ack = Iss + ack,
            NowNs = Now,
            SegmentSize = Mss,
            MayBeDuplicate = true,
            HasNew = HasNew,
            CongestionEcho = congestionEcho,
            HasEcho = EchoMs != null,
            EchoMs = (uint)(EchoMs ?? 0),
        };
        AckOutcome outcome;
        using (new NoAllocation())
            outcome = Recovery.OnAck(Pool, in input, in options);
        Check();
        return outcome;
    }

    /// <summary>Waits for the timer and does what it is for.</summary>
    public RecoveryTimer Fire()
    {
        var timer = Recovery.Timer(out var at);
        Now = Math.Max(Now, at);
        if (timer == RecoveryTimer.Retransmit)
            Recovery.OnTimeout(Pool, Mss, Now);
        else if (timer == RecoveryTimer.LossProbe)
            Recovery.OnProbeTimer(Pool, HasNew, Mss, Now);
        else if (timer == RecoveryTimer.Reorder)
            Recovery.OnReorderTimer(Pool, Mss, Now);
        Check();
        return timer;
    }

    /// <summary>
    /// What must hold between any two calls: the lists are whole and in order, the counts are the records' sums, the
    /// pool has what the queue has not, and something waits for an end.
    /// </summary>
    public void Check()
    {
        if (Unchecked)
            return;
        ref var sent = ref Recovery.Sent;
        uint records = 0, sacked = 0, lost = 0, unsent = 0, resent = 0, timed = 0, previous = 0;
        var at = sent.Una;
        var highest = sent.Una;
        bool sackHint = sent.SackHint == 0, lostHint = sent.LostHint == 0;
        for (var link = sent.Head; link != 0; previous = link, link = Pool[link].Next)
        {
            ref var r = ref Pool[link];
            Assert.True(r.Seq == at && r.End > r.Seq, "a gap, or an empty record");
            Assert.Equal(previous, r.Previous);
            at = r.End;
            records++;
            sackHint |= link == sent.SackHint;
            lostHint |= link == sent.LostHint;
            sacked += r.Is(SegmentFlags.Sacked) ? r.Length : 0;
            lost += r.Is(SegmentFlags.Lost) ? r.Length : 0;
            resent += r.Is(SegmentFlags.Resent) ? r.Length : 0;
            timed += r.Is(SegmentFlags.Timed) ? 1u : 0;
            var open = SentQueue.IsUnsent(in r);
            unsent += open ? r.Length : 0;
            Assert.Equal(!open && !r.Is(SegmentFlags.Sacked), r.Is(SegmentFlags.Timed));
            Assert.False(r.Is(SegmentFlags.Sacked) && (r.Flags & (SegmentFlags.Lost | SegmentFlags.Resent)) != 0);
            if (r.Is(SegmentFlags.Sacked))
                highest = r.End;
        }
        Assert.True(sackHint && lostHint, "a hint names a record that was given back");
        Assert.Equal(sent.Tail, previous);
        Assert.Equal(sent.Nxt, at);
        Assert.Equal((records, lost, unsent, resent), (sent.Records, sent.Lost, sent.LostUnsent, sent.Resent));
        if (Recovery.HasSack)
        {
            Assert.Equal(sacked, sent.Sacked);
            Assert.Equal(highest, sent.HighestSacked);
        }
        Assert.Equal((int)records, InUse);
        CheckTimes(timed);
        Assert.Equal(sent.FirstLost(Pool) != 0, unsent != 0);
        if (sent.FirstLost(Pool) is var first and not 0)
            for (var link = Pool[first].Previous; link != 0; link = Pool[link].Previous)
                Assert.False(SentQueue.IsUnsent(in Pool[link]), "an earlier one is lost");
        Assert.True(records == 0 || Recovery.Timer(out _) != RecoveryTimer.None, "nothing is waited for");
        Assert.True(Recovery.Cwnd > 0);
    }

    void CheckTimes(uint timed)
    {
        ref var sent = ref Recovery.Sent;
        uint count = 0, earlier = 0;
        long last = 0;
        for (var link = sent.Oldest; link != 0; earlier = link, link = Pool[link].Later, count++)
        {
            ref var r = ref Pool[link];
            Assert.True(r.SentNs >= last && r.Is(SegmentFlags.Timed) && r.Earlier == earlier);
            last = r.SentNs;
        }
        Assert.Equal(earlier, sent.Newest);
        Assert.Equal(timed, count);
    }

    public void Dispose()
    {
        NativeMemory.Free(_records);
        NativeMemory.Free(_list);
    }
}
