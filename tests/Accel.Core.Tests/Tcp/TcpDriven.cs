using Accel.Core.Tcp;
using Accel.Wire;

namespace Accel.Core.Tests.Tcp;

/// <summary>One machine, established, whose peer is the test: relative numbers on both sides.</summary>
sealed class TcpDriven : IDisposable
{
    public const long Ms = 1_000_000;
    public const uint PeerIss = 0xFFFF_F000;
    public const uint PeerTime = 500_000;

    readonly uint _peerMss;
    uint _elapsed;

    public TcpDriven(bool timestamps = true, bool sack = true, int capacity = 65536, uint peerMss = 1460,
        ushort window = 65535, bool ecn = false, Action<TcpEnd>? prepare = null, int rttMs = 20)
    {
        _peerMss = peerMss;
        End = new TcpEnd(true, capacity);
        End.Settings.Timestamps = timestamps;
        End.Settings.Sack = sack;
        if (ecn)
            End.Settings.Ecn = EcnMode.Full;
        prepare?.Invoke(End);
        End.Connect(Now);
        var syn = End.Wire.Dequeue();
        Iss = syn.Segment.Seq;
        var options = syn.Segment.Options;
        options.Mss = (ushort)_peerMss;
        options.WindowScale = 0;
        options.TsEcr = options.TsVal;
        options.TsVal = PeerTime;
        Now += rttMs * Ms;
        _elapsed = (uint)rttMs;
        End.Receive(
            TcpFlags.Syn | TcpFlags.Ack | (ecn ? TcpFlags.Ece : 0), PeerIss, Iss.Value + 1, Now, 0, window, options);
        Assert.Equal(TcpState.Established, End.Tcb.State);
        Window = window;
        Sends("ack 1");
    }

    public TcpEnd End { get; }
    public long Now { get; private set; } = 1_000_000 * Ms;
    public SeqNum Iss { get; }
    public ushort Window { get; set; }
    public ref Tcb Tcb => ref End.Tcb;

    public void After(long ms)
    {
        var end = Now + ms * Ms;
        while (TcpTimers.Deadline(in End.Tcb) is var next && next <= end)
        {
            Now = Math.Max(next, Now);
            End.Tick(Now);
        }
        Now = end;
        _elapsed = (uint)((Now - 1_000_000 * Ms) / Ms);
    }

    /// <summary>A segment of the peer's, numbers relative to the first of each side.</summary>
    public TcpEffects Gets(uint seq, int length = 0, uint ack = 1, TcpFlags flags = TcpFlags.Ack, int tsAge = 0,
        (uint Left, uint Right)[]? sacks = null, ushort urgent = 0, bool marked = false, bool withTs = true)
    {
        TcpOptions options = default;
        if (End.Tcb.Flags.HasFlag(TcbFlags.Timestamps) && withTs)
        {
            options.Present = TcpOptionKinds.Timestamps;
            options.TsVal = PeerTime + _elapsed - (uint)tsAge;
            options.TsEcr = (uint)(Now / Ms) + End.Tcb.TsOffset;
        }
        foreach (var (left, right) in sacks ?? [])
        {
            options.Present |= TcpOptionKinds.Sack;
            options.Sacks[options.SackCount++] = new SackBlock { Left = Iss + left, Right = Iss + right };
        }
        return End.Receive(flags, PeerIss + seq, Iss.Value + ack, Now, length, Window, options, urgent, marked);
    }

    /// <summary>What left, in words: flags that are not plain, seq:end, ack, blocks. Nothing else may have left.
    /// </summary>
    public void Sends(params string[] expected)
    {
        var seen = new List<string>();
        while (End.Wire.TryDequeue(out var sent))
            seen.Add(Text(sent.Segment));
        Assert.Equal(expected, seen);
    }

    string Text(in TcpSegment segment)
    {
        var words = new List<string>();
        var flags = segment.Flags & ~TcpFlags.Ack & ~TcpFlags.Psh;
        if (flags != 0)
            words.Add(flags.ToString());
        if (segment.Length > 0 || segment.Has(TcpFlags.Rst) || segment.Seq != End.Tcb.SndNxt)
            words.Add($"{segment.Seq - Iss}" + (segment.Length == 0 ? "" : $":{segment.Seq + segment.Length - Iss}"));
        if (segment.Has(TcpFlags.Ack))
            words.Add($"ack {segment.Ack - new SeqNum(PeerIss)}");
        for (var i = 0; i < segment.Options.SackCount; i++)
            words.Add($"sack {segment.Options.Sacks[i].Left - new SeqNum(PeerIss)}:"
                + $"{segment.Options.Sacks[i].Right - new SeqNum(PeerIss)}");
        return string.Join(' ', words);
    }

    public void Dispose() => End.Dispose();
}
