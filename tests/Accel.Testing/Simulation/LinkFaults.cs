namespace Accel.Testing.Simulation;

/// <summary>What a simulated link does to what it carries: probabilities, and times in nanoseconds.</summary>
public sealed record LinkFaults
{
    public double Loss { get; init; }

    /// <summary>A segment is held back by up to <see cref="ReorderNs"/>, so that later ones overtake it.</summary>
    public double Reorder { get; init; }

    public long ReorderNs { get; init; }

    public double Duplicate { get; init; }

    /// <summary>A damaged segment: its checksum shows it, so the receiver drops it.</summary>
    public double Corrupt { get; init; }

    /// <summary>The ECN field of a capable segment is set to "congestion experienced".</summary>
    public double Mark { get; init; }

    /// <summary>All segments of a while are lost: how often a while begins, and how long it lasts.</summary>
    public double Outage { get; init; }

    public long OutageNs { get; init; }

    public long DelayNs { get; init; } = VirtualClock.Millisecond;

    /// <summary>Added to each delay, without overtaking.</summary>
    public long JitterNs { get; init; }

    /// <summary>Bits in a second; 0: infinite. Then the queue holds so many bytes and drops the rest.</summary>
    public long Rate { get; init; }

    public long QueueBytes { get; init; } = long.MaxValue;
}
