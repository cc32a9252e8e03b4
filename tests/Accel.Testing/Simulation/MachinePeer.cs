using Accel.Core.Tcp;

namespace Accel.Testing.Simulation;

/// <summary>A peer that is the TCP machine, with a program that follows a <see cref="ProgramPlan"/>; every step is held
/// against the <see cref="TcpInvariants"/>.</summary>
public sealed class MachinePeer : IPeer
{
    const long NeverNs = long.MaxValue;

    readonly ProgramPlan _plan;
    readonly Prng _random;
    readonly VirtualClock _clock;
    readonly TcpInvariants _invariants;
    long _writeAt;
    long _readAt;
    bool _closed;

    public MachinePeer(
        HostOptions options, ProgramPlan plan, Prng random, VirtualClock clock, RecordMemory records, bool isClient)
    {
        (_plan, _random, _clock) = (plan, random, clock);
        Host = isClient
            ? new TcpHost(options, clock, records, Pattern.Local, Pattern.Remote, 4000)
            : new TcpHost(options, clock, records, Pattern.Remote, Pattern.Local, 7);
        _invariants = new TcpInvariants(Host, isClient ? "client" : "server");
        Host.AfterStep = _invariants.Check;
        _writeAt = _readAt = clock.NowNs;
    }

    public TcpHost Host { get; }

    public Action<Packet> Output
    {
        set => Host.Transmit = (packet, _) =>
        {
            _invariants.OnSent(packet);
            value(packet);
        };
    }

    public long Deadline => Math.Min(Host.Deadline, Math.Min(NextWrite, NextRead));

    public bool IsDone => _closed && Host.IsOver;

    bool IsWritten => Host.Sending.Written >= _plan.Total;

    long NextWrite => !Host.IsEstablished || Host.Finished || Host.IsOver ? NeverNs
        : IsWritten || Host.Sending.Queued < _plan.SendBuffer ? _writeAt : NeverNs;

    /// <summary>A closed socket's data is given up after few timeouts: only a hasty program closes before it is there.
    /// </summary>
    bool MayClose => Host.IsEndOfStream && Host.Finished && (_plan.IsHasty || Host.Sending.Queued == 0);

    long NextRead => _closed ? NeverNs
        : Host.Receiving.Readable > 0 || MayClose ? _readAt
        : Host.IsOver && Host.Seen != TcpEvents.None ? _readAt : NeverNs;

    public void Deliver(Packet packet)
    {
        _invariants.OnReceived(packet);
        Host.Deliver(packet);
    }

    public void OnTime()
    {
        if (Host.Deadline <= _clock.NowNs)
            Host.RunTimers();
        if (NextWrite <= _clock.NowNs)
            Write();
        if (NextRead <= _clock.NowNs)
            Read();
    }

    void Write()
    {
        _writeAt = _clock.NowNs + (_plan.WriterPauseNs > 0 ? _random.Between(0, _plan.WriterPauseNs) : 0);
        if (_plan.IsFickle && _random.OneIn(20))
            Host.SetNoDelay(_random.OneIn(2));
        if (_plan.IsFickle && _random.OneIn(20))
            Host.SetCork(_random.OneIn(2));
        if (IsWritten)
        {
            Host.Shutdown();
            return;
        }
        var most = Math.Min(_plan.Total - Host.Sending.Written, _plan.SendBuffer - Host.Sending.Queued);
        var count = (int)Math.Min(most, 1 + _random.Below(_plan.LargestWrite));
        if (_plan.IsFickle && _random.OneIn(30))
            Host.WriteUrgent(count);
        else
            Host.Write(count);
    }

    void Read()
    {
        _readAt = _clock.NowNs + (_plan.ReaderPauseNs > 0 ? _random.Between(0, _plan.ReaderPauseNs) : 0);
        if (Host.Receiving.Readable > 0)
        {
            Host.Read((uint)(1 + _random.Below(_plan.LargestRead)));
            return;
        }
        if (!Host.IsEndOfStream)
            throw new InvariantException($"the connection ended too early: {Host.Error}; {Describe()}");
        if (_plan.Expected >= 0 && Host.Receiving.Delivered != _plan.Expected)
            throw new InvariantException($"end after {Host.Receiving.Delivered} of {_plan.Expected} bytes");
        _closed = true;
        if (!Host.IsOver)
            Host.Close(abort: false);
    }

    public string Describe() => $"{Host.State}, {Host.Sending.Acked}/{Host.Sending.Written}/{_plan.Total} bytes sent, "
        + $"{Host.Receiving.Taken}/{Host.Receiving.Delivered} read, error {Host.Error}, "
        + $"next timer {(Host.Deadline == long.MaxValue ? "none" : $"{Host.Deadline / 1e9:0.000} s")}, "
        + $"window {Host.Tcb.SndWnd}, flight {Host.Tcb.SndNxt - Host.Tcb.SndUna}";
}
