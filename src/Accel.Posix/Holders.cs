using Accel.Core.Local;

namespace Accel.Posix;

/// <summary>
/// The set of process slots that hold a descriptor of one end of a connection or of a listener: 256 bits.
/// </summary>
public static unsafe class Holders
{
    public static void Add(ulong* holders, int slot) => Interlocked.Or(ref holders[slot >> 6 & 3], 1ul << (slot & 63));

    public static bool Has(ulong* holders, int slot) =>
        (Volatile.Read(ref holders[slot >> 6 & 3]) & 1ul << (slot & 63)) != 0;

    /// <summary>Takes a slot out. True if it was in and nobody is left.</summary>
    public static bool Remove(ulong* holders, int slot)
    {
        ulong before = Interlocked.And(ref holders[slot >> 6 & 3], ~(1ul << (slot & 63)));
        return (before & 1ul << (slot & 63)) != 0 && IsEmpty(holders);
    }

    public static bool IsEmpty(ulong* holders) =>
        (Volatile.Read(ref holders[0]) | Volatile.Read(ref holders[1])
        | Volatile.Read(ref holders[2]) | Volatile.Read(ref holders[3])) == 0;
}
