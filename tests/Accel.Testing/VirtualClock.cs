namespace Accel.Testing;

/// <summary>The time of a test. It moves when the test says so.</summary>
public sealed class VirtualClock
{
    public const long Second = 1_000_000_000;
    public const long Millisecond = 1_000_000;

    /// <summary>Monotonic, in nanoseconds. Not 0 at the start: 0 is "no time" in many places.</summary>
    public long NowNs { get; private set; } = 5 * Second;

    public void AdvanceTo(long ns)
    {
        if (ns < NowNs)
            throw new InvalidOperationException($"time cannot go back from {NowNs} to {ns}");
        NowNs = ns;
    }
}
