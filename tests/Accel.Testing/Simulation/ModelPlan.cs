namespace Accel.Testing.Simulation;

/// <summary>How a <see cref="ModelPeer"/> behaves.</summary>
public sealed record ModelPlan
{
    public bool IsClient { get; init; }

    public ushort Mss { get; init; } = 1000;

    public bool Sack { get; init; }

    public bool Timestamps { get; init; }

    /// <summary>Shift of its windows; null: it has no window scaling.</summary>
    public byte? Scale { get; init; }

    /// <summary>Bytes of its receiving buffer.</summary>
    public uint Buffer { get; init; } = 65_535;

    /// <summary>Bytes it sends, and that it expects.</summary>
    public long Total { get; init; }

    public long Expected { get; init; }

    /// <summary>The most it has in flight.</summary>
    public uint Flight { get; init; } = 20_000;

    /// <summary>It acknowledges every so many segments at once, others after a while.</summary>
    public int AckEvery { get; init; } = 1;

    public long AckDelayNs { get; init; } = 40 * VirtualClock.Millisecond;

    /// <summary>Its program takes up to so much, up to so long apart.</summary>
    public int LargestRead { get; init; } = 65_536;

    public long ReaderPauseNs { get; init; }

    /// <summary>Against a closed window it sends a byte of data (RFC 9293) instead of nothing (Linux).</summary>
    public bool ProbesWithData { get; init; }
}
