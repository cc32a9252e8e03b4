namespace Accel.Testing.Simulation;

/// <summary>One direction of a path: delays segments and does to them what <see cref="LinkFaults"/> says.</summary>
public sealed class SimulatedLink(LinkFaults faults, Prng random, VirtualClock clock)
{
    /// <summary>What Ethernet, IP and TCP put around a payload.</summary>
    const int OverheadBytes = 66;
    const int BitsInByte = 8;

    readonly PriorityQueue<Packet, (long At, long Order)> _inFlight = new();
    long _order;
    long _lineFreeAt;
    long _lastArrival;
    long _outageUntil;

    public long Carried { get; private set; }

    public long Lost { get; private set; }

    public long NextArrival => _inFlight.TryPeek(out _, out var key) ? key.At : long.MaxValue;

    /// <summary>No faults from now on: what is under way may end.</summary>
    public bool IsPerfect { get; set; }

    public void Send(Packet packet)
    {
        Carried++;
        if (!TryQueue(packet, out var leaves) || (!IsPerfect && IsLost()))
        {
            Lost++;
            return;
        }
        var arrival = leaves + faults.DelayNs + (faults.JitterNs > 0 ? random.Between(0, faults.JitterNs) : 0);
        if (!IsPerfect && random.Chance(faults.Reorder))
        {
            arrival += random.Between(0, faults.ReorderNs);
        }
        else
        {
            arrival = Math.Max(arrival, _lastArrival);
            _lastArrival = arrival;
        }
        var copy = packet.Copy();
        if (!IsPerfect)
            Spoil(copy);
        _inFlight.Enqueue(copy, (arrival, _order++));
        if (!IsPerfect && random.Chance(faults.Duplicate))
            _inFlight.Enqueue(copy, (arrival + random.Between(0, faults.ReorderNs + 1), _order++));
    }

    /// <summary>The next segment that has arrived by now.</summary>
    public Packet? Take()
    {
        if (NextArrival > clock.NowNs)
            return null;
        return _inFlight.Dequeue();
    }

    bool TryQueue(Packet packet, out long leaves)
    {
        leaves = clock.NowNs;
        if (faults.Rate == 0)
            return true;
        var start = Math.Max(clock.NowNs, _lineFreeAt);
        var queued = (start - clock.NowNs) * faults.Rate / BitsInByte / VirtualClock.Second;
        if (queued > 0 && queued + packet.Payload.Length + OverheadBytes > faults.QueueBytes)
            return false;
        leaves = start + (packet.Payload.Length + OverheadBytes) * BitsInByte * VirtualClock.Second / faults.Rate;
        _lineFreeAt = leaves;
        return true;
    }

    bool IsLost()
    {
        if (clock.NowNs < _outageUntil)
            return true;
        if (random.Chance(faults.Outage))
            _outageUntil = clock.NowNs + random.Between(0, faults.OutageNs);
        return random.Chance(faults.Loss);
    }

    void Spoil(Packet packet)
    {
        packet.IsCorrupt = random.Chance(faults.Corrupt);
        if (packet.Ecn != 0 && random.Chance(faults.Mark))
        {
            packet.Ecn = 3;
            packet.Header.CongestionExperienced = true;
        }
    }
}
