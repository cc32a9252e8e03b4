namespace Accel.Testing.Simulation;

/// <summary>One end of a simulated connection with its program: segments come in, timers run, segments leave.</summary>
public interface IPeer
{
    /// <summary>When <see cref="OnTime"/> must be called next.</summary>
    long Deadline { get; }

    /// <summary>Everything was delivered both ways, and nothing is left to do.</summary>
    bool IsDone { get; }

    /// <summary>Where its segments go.</summary>
    Action<Packet> Output { set; }

    void Deliver(Packet packet);

    void OnTime();

    /// <summary>One line about where it stands, for the message of a failure.</summary>
    string Describe();
}
