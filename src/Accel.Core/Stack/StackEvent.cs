using System.Runtime.InteropServices;
using Accel.Core.Local;
using Accel.Core.Memory;

namespace Accel.Core.Stack;

/// <summary>What happened to a connection or a socket.</summary>
public enum StackEventKind : uint
{
    None = 0,
    Opened,
    Closed,

    /// <summary>A socket went to the kernel path; why is its <see cref="PathReason"/>.</summary>
    OnKernel,

    /// <summary>A live connection was given to the kernel.</summary>
    HandedOver,

    /// <summary>It could not be; why is a HandoverRefusal.</summary>
    HandoverRefused,
}

/// <summary>One event, for whoever reads the region from outside.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 128)]
public struct StackEvent
{
    /// <summary>Number of the event plus one; 0 while it is written. The last and the first thing that is.</summary>
    [FieldOffset(0)] public ulong Number;

    /// <summary>CLOCK_MONOTONIC.</summary>
    [FieldOffset(8)] public long AtNs;
    [FieldOffset(16)] public StackEventKind Kind;

    /// <summary>Path of a connection that opened or closed, and why a socket is on the kernel.</summary>
    [FieldOffset(20)] public byte Reason;
    [FieldOffset(24)] public int Pid;

    /// <summary>The connection was accepted here.</summary>
    [FieldOffset(28)] public uint Accepted;
    [FieldOffset(32)] public Endpoint Local;
    [FieldOffset(56)] public Endpoint Remote;

    /// <summary>Bytes that this end has sent and received when the connection closed.</summary>
    [FieldOffset(80)] public ulong Sent;
    [FieldOffset(88)] public ulong Received;
}

/// <summary>
/// The newest events of a stack (ACCEL_DIAGNOSTICS=1): a ring that readers follow by number. Who reads too slowly sees
/// from the numbers how many were overwritten; writers never wait.
/// </summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 64)]
public unsafe struct EventLog
{
    public const int Length = 4096;

    /// <summary>Events written until now.</summary>
    [FieldOffset(0)] public ulong Next;

    /// <summary>Writes an event whose number is not set yet.</summary>
    [ColdPath]
    public static void Write(EventLog* log, in StackEvent what)
    {
        ulong number = Interlocked.Increment(ref log->Next);
        StackEvent* to = EventAt(log, number - 1);
        Volatile.Write(ref to->Number, 0);
        // The fields after the number: nobody may see them under the old one.
        Interlocked.MemoryBarrier();
        StackEvent from = what;
        from.Number = 0;
        *to = from;
        Volatile.Write(ref to->Number, number);
    }

    /// <summary>Reads an event. False if it is being written, or was overwritten.</summary>
    [ColdPath]
    public static bool TryRead(EventLog* log, ulong index, out StackEvent what)
    {
        StackEvent* from = EventAt(log, index);
        ulong before = Volatile.Read(ref from->Number);
        what = *from;
        Interlocked.MemoryBarrier();
        return before == index + 1 && Volatile.Read(ref from->Number) == before;
    }

    private static StackEvent* EventAt(EventLog* log, ulong index) => (StackEvent*)(log + 1) + index % Length;
}
