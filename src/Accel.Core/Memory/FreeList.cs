using System.Runtime.InteropServices;

namespace Accel.Core.Memory;

/// <summary>
/// A lock-free pool of equal slots in shared memory, safe between processes: a Treiber stack of released slots
/// (with a tag against ABA) before a bump counter of never-used ones. Holds indices, never pointers. A process that
/// dies between two steps leaks at most the one slot it was handling.
/// </summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 64)]
public unsafe struct FreeList
{
    /// <summary>High 32 bits: tag; low 32 bits: index of the first free slot plus one.</summary>
    [FieldOffset(0)] public ulong Head;
    [FieldOffset(8)] public uint Bumped;
    [FieldOffset(12)] public uint Capacity;
    [FieldOffset(16)] public int InUse;
    [FieldOffset(20)] public uint Refused;

    /// <summary>
    /// Takes a slot. <paramref name="links"/> is the address of slot 0's link word. Returns its index or -1 if all are
    /// in use.
    /// </summary>
    public static int Take(FreeList* list, byte* links, int strideBytes)
    {
        while (true)
        {
            ulong head = Volatile.Read(ref list->Head);
            uint first = (uint)head;
            if (first == 0)
                break;
            if (first > list->Capacity)
                return -1;
            uint next = Volatile.Read(ref *(uint*)(links + (long)(first - 1) * strideBytes));
            ulong wanted = ((head >> 32) + 1) << 32 | next;
            if (Interlocked.CompareExchange(ref list->Head, wanted, head) == head)
            {
                Interlocked.Increment(ref list->InUse);
                return (int)(first - 1);
            }
        }
        while (true)
        {
            uint bumped = Volatile.Read(ref list->Bumped);
            if (bumped >= list->Capacity)
            {
                Interlocked.Increment(ref list->Refused);
                return -1;
            }
            if (Interlocked.CompareExchange(ref list->Bumped, bumped + 1, bumped) == bumped)
            {
                Interlocked.Increment(ref list->InUse);
                return (int)bumped;
            }
        }
    }

    /// <summary>
    /// While nobody takes or gives: writes a mark for each free slot into a table of as many words as were ever used,
    /// and returns how many there are.
    /// </summary>
    public static int Walk(FreeList* list, byte* links, int strideBytes, int* words, int mark)
    {
        int free = 0;
        for (uint at = (uint)list->Head; at != 0 && at <= list->Bumped && words[at - 1] != mark; free++)
        {
            words[at - 1] = mark;
            at = *(uint*)(links + (long)(at - 1) * strideBytes);
        }
        return free;
    }

    /// <summary>Gives a slot back.</summary>
    public static void Give(FreeList* list, byte* links, int strideBytes, int index)
    {
        while (true)
        {
            ulong head = Volatile.Read(ref list->Head);
            Volatile.Write(ref *(uint*)(links + (long)index * strideBytes), (uint)head);
            ulong wanted = ((head >> 32) + 1) << 32 | (uint)(index + 1);
            if (Interlocked.CompareExchange(ref list->Head, wanted, head) == head)
            {
                Interlocked.Decrement(ref list->InUse);
                return;
            }
        }
    }
}
