namespace Accel.Testing.Simulation;

/// <summary>What a simulated program does with its connection.</summary>
public sealed record ProgramPlan
{
    /// <summary>Bytes that it sends before it shuts its side down.</summary>
    public long Total { get; init; }

    /// <summary>Bytes that the other end sends; -1: it is not known.</summary>
    public long Expected { get; init; } = -1;

    /// <summary>What the kernel of a real program would keep unsent and unacknowledged for it.</summary>
    public long SendBuffer { get; init; } = 262_144;

    public int LargestWrite { get; init; } = 65_536;

    public int LargestRead { get; init; } = 65_536;

    /// <summary>It waits up to so long between two calls; 0: it is always there.</summary>
    public long WriterPauseNs { get; init; }

    public long ReaderPauseNs { get; init; }

    /// <summary>It closes when it has read all, though its own bytes may be on their way.</summary>
    public bool IsHasty { get; init; }

    /// <summary>Switches TCP_NODELAY and TCP_CORK now and then, and marks bytes as urgent.</summary>
    public bool IsFickle { get; init; }
}
