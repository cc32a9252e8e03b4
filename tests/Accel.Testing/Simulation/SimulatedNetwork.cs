using Accel.Wire;

namespace Accel.Testing.Simulation;

/// <summary>Two peers and the links between them: delivers what is due, runs timers that are due, moves time.</summary>
public sealed class SimulatedNetwork
{
    readonly VirtualClock _clock;
    readonly (IPeer Peer, SimulatedLink In)[] _ends;
    readonly SeqNum?[] _bases = [null, null];

    public SimulatedNetwork(VirtualClock clock, IPeer a, IPeer b, SimulatedLink fromA, SimulatedLink fromB)
    {
        _clock = clock;
        _ends = [(a, fromB), (b, fromA)];
        a.Output = Tracing(fromA, "A >");
        b.Output = Tracing(fromB, "  < B");
    }

    /// <summary>ACCEL_TRACE=1 with ACCEL_SEED=n: one line for each segment that is sent.</summary>
    Action<Packet> Tracing(SimulatedLink link, string arrow)
    {
        if (Environment.GetEnvironmentVariable("ACCEL_TRACE") != "1" || Seeds.Asked == null)
            return link.Send;
        return packet =>
        {
            var lost = link.Lost;
            link.Send(packet);
            Console.WriteLine($"{_clock.NowNs / 1e9,10:0.000000} {arrow} "
                + PacketText.Of(in packet.Header, _bases[arrow[0] == 'A' ? 0 : 1] ??= packet.Header.Seq,
                    _bases[arrow[0] == 'A' ? 1 : 0] ?? packet.Header.Ack, packet.Ecn)
                + (link.Lost > lost ? "  LOST" : ""));
        };
    }

    public long Steps { get; private set; }

    /// <summary>Runs until both ends are done; fails if they are not within the limits.</summary>
    public void Run(long maxSteps, long maxNs)
    {
        var end = _clock.NowNs + maxNs;
        while (_ends.Any(e => !e.Peer.IsDone))
        {
            if (++Steps > maxSteps)
                throw new InvariantException($"not done after {maxSteps} steps; {Describe()}");
            if (!Step(end))
                throw new InvariantException($"not done, and nothing will happen any more; {Describe()}");
        }
    }

    /// <summary>Lets this much time pass.</summary>
    public void RunFor(long ns)
    {
        var end = _clock.NowNs + ns;
        while (Step(end))
            Steps++;
        _clock.AdvanceTo(end);
    }

    /// <summary>The next thing that happens, if it is not after <paramref name="end"/>.</summary>
    bool Step(long end)
    {
        var next = long.MaxValue;
        foreach (var (peer, link) in _ends)
            next = Math.Min(next, Math.Min(peer.Deadline, link.NextArrival));
        if (next > end)
            return false;
        _clock.AdvanceTo(Math.Max(_clock.NowNs, next));
        foreach (var (peer, link) in _ends)
        {
            if (link.Take() is { } packet)
            {
                if (!packet.IsCorrupt)
                    peer.Deliver(packet);
            }
            else if (peer.Deadline <= _clock.NowNs)
            {
                peer.OnTime();
            }
        }
        return true;
    }

    string Describe() =>
        $"{_clock.NowNs / 1e9:0.000} s\n  A: {_ends[0].Peer.Describe()}\n  B: {_ends[1].Peer.Describe()}";
}
