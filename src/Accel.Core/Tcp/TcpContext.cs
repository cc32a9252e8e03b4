using System.Runtime.CompilerServices;

namespace Accel.Core.Tcp;

/// <summary>
/// What a step of the machine may use besides its connection: the time, the stack's records, settings and counters.
/// </summary>
public readonly ref struct TcpContext(
    long nowNs, SegmentPool pool, ref readonly TcpSettings settings, ref TcpCounters counters)
{
    public const long NsPerMs = 1_000_000;
    public const long NsPerSecond = 1_000_000_000;

    /// <summary>Monotonic, never 0.</summary>
    public readonly long NowNs = nowNs;
    public readonly SegmentPool Pool = pool;
    public readonly ref readonly TcpSettings Settings = ref settings;
    public readonly ref TcpCounters Counters = ref counters;

    /// <summary>RFC 7323 5.4: the timestamp clock ticks once in a millisecond, as Linux's.</summary>
    public uint NowMs => (uint)((ulong)NowNs / NsPerMs);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Count(TcpCounter counter) => Counters[(int)counter]++;
}
