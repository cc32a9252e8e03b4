namespace Accel.Testing;

/// <summary>A seeded generator (splitmix64): everything random in a test comes from one.</summary>
public sealed class Prng(ulong seed)
{
    ulong _state = seed;

    public ulong Seed { get; } = seed;

    public ulong Next()
    {
        var z = _state += 0x9E3779B97F4A7C15;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }

    public int Below(int bound) => (int)(Next() % (ulong)bound);

    /// <summary>A number from low up to and including high.</summary>
    public long Between(long low, long high) => low + (long)(Next() % (ulong)(high - low + 1));

    public bool OneIn(int n) => Below(n) == 0;

    /// <summary>True with this probability.</summary>
    public bool Chance(double probability) => (Next() >> 11) * (1.0 / (1ul << 53)) < probability;

    public T Pick<T>(params ReadOnlySpan<T> choices) => choices[Below(choices.Length)];
}
