namespace Accel.Control;

/// <summary>The limits that the program on the interface was compiled with (Bpf/steering.h).</summary>
public static class SteeringLimits
{
    public const int MaxSlots = 128, MaxQueues = 64, MaxAddresses = 4096, MaxExact = 16384;

    /// <summary>
    /// More SYNs than this come in a second: a flood. A stack makes that many connections, but a few cores that answer
    /// what nobody meant have time for nothing else, so many queues share the number.
    /// </summary>
    private const uint SynsPerSecond = 20_000, LeastSynsPerSecond = 2_000;

    /// <summary>On each of so many queues.</summary>
    public static uint MostSyns(uint queues) => Math.Max(SynsPerSecond / Math.Max(queues, 1), LeastSynsPerSecond);
}
