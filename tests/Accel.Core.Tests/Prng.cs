namespace Accel.Core.Tests;

/// <summary>A seeded generator (splitmix64). The test names its seed; ACCEL_SEED tries another.</summary>
sealed class Prng(ulong seed)
{
    ulong _state = seed;

    public static ulong Seed(ulong fallback) =>
        ulong.TryParse(Environment.GetEnvironmentVariable("ACCEL_SEED"), out var given) ? given : fallback;

    public ulong Next()
    {
        var z = _state += 0x9E3779B97F4A7C15;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }

    public int Below(int bound) => (int)(Next() % (ulong)bound);

    public bool OneIn(int n) => Below(n) == 0;
}
