using System.Numerics;
using System.Runtime.InteropServices;

namespace Accel.Core.Memory;

/// <summary>What a timer keeps in its own record. All zero: not armed.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 24)]
public struct TimerNode
{
    [FieldOffset(0)] public ulong Deadline;

    /// <summary>Number plus one of the next timer of its list, 0 at the end.</summary>
    [FieldOffset(8)] public uint Next;
    [FieldOffset(12)] public uint Previous;

    /// <summary>List plus one that it is in; 0: not armed.</summary>
    [FieldOffset(16)] public uint List;
}

/// <summary>
/// Timers by deadline, in shared memory: a wheel of 64 lists for each 6 bits of a tick. A timer lies on the level of
/// the highest digit in which its deadline differs from the current tick, so each level has only slots that are still
/// to come, and every 64-bit deadline fits. Arming and cancelling take constant time; a timer moves down at most once
/// per level. Timers are numbers; <c>nodes</c> is the address of number 0's node, <c>strideBytes</c> what lies between
/// two. The wheel has neither clock nor lock: the caller brings both.
/// </summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 2944)]
public unsafe struct TimerWheel
{
    private const int DigitBits = 6, Slots = 1 << DigitBits, Levels = 11;

    /// <summary>The tick up to which timers have been taken. Never goes back.</summary>
    [FieldOffset(0)] public ulong Now;
    [FieldOffset(8)] public uint Armed;

    /// <summary>Per level: which slots have timers.</summary>
    [FieldOffset(32)] public fixed ulong Occupied[Levels];

    /// <summary>Number plus one of each list's first timer.</summary>
    [FieldOffset(128)] public fixed uint Heads[Levels * Slots];

    /// <summary>
    /// Arms a timer, or moves it if it is armed. One whose deadline has passed is taken next.
    /// </summary>
    public static void Arm(TimerWheel* wheel, byte* nodes, int strideBytes, int timer, ulong deadline)
    {
        Cancel(wheel, nodes, strideBytes, timer);
        ((TimerNode*)(nodes + (long)timer * strideBytes))->Deadline = deadline;
        Link(wheel, nodes, strideBytes, timer);
    }

    /// <summary>Takes a timer out. Returns false if it was not armed.</summary>
    public static bool Cancel(TimerWheel* wheel, byte* nodes, int strideBytes, int timer)
    {
        TimerNode* node = (TimerNode*)(nodes + (long)timer * strideBytes);
        uint list = node->List - 1;
        if (list >= Levels * Slots)
            return false;
        if (node->Next != 0)
            ((TimerNode*)(nodes + (long)(node->Next - 1) * strideBytes))->Previous = node->Previous;
        if (node->Previous != 0)
            ((TimerNode*)(nodes + (long)(node->Previous - 1) * strideBytes))->Next = node->Next;
        else
        {
            wheel->Heads[list] = node->Next;
            if (node->Next == 0)
                wheel->Occupied[list / Slots] &= ~(1ul << (int)(list % Slots));
        }
        node->Next = node->Previous = node->List = 0;
        wheel->Armed--;
        return true;
    }

    /// <summary>
    /// Takes the timer of the earliest deadline if that is not after <paramref name="now"/>; it may be armed again at
    /// once. Returns -1 if none is due. Timers of one deadline come in any order.
    /// </summary>
    public static int TryPop(TimerWheel* wheel, byte* nodes, int strideBytes, ulong now)
    {
        while (true)
        {
            int level = LowestLevel(wheel);
            int slot = level < 0 ? 0 : BitOperations.TrailingZeroCount(wheel->Occupied[level]);
            ulong start = level < 0 ? ulong.MaxValue : StartOf(wheel->Now, level, slot);
            if (level < 0 || start > now)
            {
                // All slots that are taken lie behind, so each timer's highest different digit remains the same.
                wheel->Now = Math.Max(wheel->Now, now);
                return -1;
            }
            wheel->Now = start;
            uint* head = &wheel->Heads[level * Slots + slot];
            if (level == 0)
            {
                int timer = (int)(*head - 1);
                Cancel(wheel, nodes, strideBytes, timer);
                return timer;
            }
            while (*head != 0)
            {
                int timer = (int)(*head - 1);
                Cancel(wheel, nodes, strideBytes, timer);
                Link(wheel, nodes, strideBytes, timer);
            }
        }
    }

    /// <summary>
    /// The tick at which to look again: no timer is due before. A timer far away may have it looked at once per level
    /// in vain. ulong.MaxValue if there is none.
    /// </summary>
    public static ulong NextTick(TimerWheel* wheel)
    {
        int level = LowestLevel(wheel);
        return level < 0 ? ulong.MaxValue
            : StartOf(wheel->Now, level, BitOperations.TrailingZeroCount(wheel->Occupied[level]));
    }

    private static void Link(TimerWheel* wheel, byte* nodes, int strideBytes, int timer)
    {
        TimerNode* node = (TimerNode*)(nodes + (long)timer * strideBytes);
        ulong tick = Math.Max(node->Deadline, wheel->Now);
        int level = BitOperations.Log2((tick ^ wheel->Now) | 1) / DigitBits;
        int slot = (int)(tick >> (level * DigitBits)) & (Slots - 1);
        uint list = (uint)(level * Slots + slot);
        uint first = wheel->Heads[list];
        node->Next = first;
        node->Previous = 0;
        node->List = list + 1;
        if (first != 0)
            ((TimerNode*)(nodes + (long)(first - 1) * strideBytes))->Previous = (uint)timer + 1;
        wheel->Heads[list] = (uint)timer + 1;
        wheel->Occupied[level] |= 1ul << slot;
        wheel->Armed++;
    }

    /// <summary>The level of the earliest deadline: what lies on a lower level comes first.</summary>
    private static int LowestLevel(TimerWheel* wheel)
    {
        for (int level = 0; level < Levels; level++)
        {
            if (wheel->Occupied[level] != 0)
                return level;
        }
        return -1;
    }

    /// <summary>First tick of a slot, whose higher digits are those of the current tick.</summary>
    private static ulong StartOf(ulong now, int level, int slot)
    {
        int shift = level * DigitBits;
        ulong higher = level == Levels - 1 ? 0 : now >> (shift + DigitBits) << (shift + DigitBits);
        return higher | (ulong)slot << shift;
    }
}
