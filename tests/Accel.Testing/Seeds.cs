using System.Collections.Concurrent;

namespace Accel.Testing;

/// <summary>
/// Runs a test once for each of many seeds. A failure names its seed; ACCEL_SEED=n in the environment runs that one
/// alone.
/// </summary>
public static class Seeds
{
    public static ulong? Asked { get; } =
        ulong.TryParse(Environment.GetEnvironmentVariable("ACCEL_SEED"), out var seed) ? seed : null;

    public static ulong Or(ulong fallback) => Asked ?? fallback;

    /// <summary>Seeds from first on, on all processors; the failure of the lowest seed is thrown.</summary>
    public static void Run(ulong first, int count, Action<Prng> body)
    {
        if (Asked is { } asked)
            (first, count) = (asked, 1);
        var failures = new ConcurrentDictionary<ulong, Exception>();
        Parallel.For(0, count, (i, loop) =>
        {
            var seed = first + (ulong)i;
            try
            {
                body(new Prng(seed));
            }
            catch (Exception e)
            {
                failures[seed] = e;
                if (failures.Count >= 20)
                    loop.Stop();
            }
        });
        if (failures.IsEmpty)
            return;
        var lowest = failures.MinBy(f => f.Key);
        var others = string.Concat(failures.OrderBy(f => f.Key).Skip(1)
            .Select(f => $"\n  {f.Key}: {f.Value.Message.Split('\n')[0]}"));
        throw new SeedException($"{lowest.Value.Message}\n{lowest.Value.StackTrace}\n"
            + $"ACCEL_SEED={lowest.Key} runs this again. Other seeds that failed:{(others == "" ? " none" : others)}");
    }
}
