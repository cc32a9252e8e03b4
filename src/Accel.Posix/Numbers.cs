using Accel.Core.Memory;

namespace Accel.Posix;

/// <summary>
/// A number of the program means a file to the kernel and a socket to the stack, and both change together: when a
/// thread closes or copies a number, or sends what it stands for to another process, and when another thread puts a
/// connection of the kernel's in the place of an accelerated one. So that the second never meets half of the first, or
/// a number that is another file's by then. Nobody waits for anything in between.
/// </summary>
internal static unsafe class Numbers
{
    public static void Enter(PosixStack s)
    {
        while (Interlocked.CompareExchange(ref s.Process->Numbers, 1, 0) != 0)
            s.Kernel.Yield();
    }

    public static void Exit(PosixStack s) => Volatile.Write(ref s.Process->Numbers, 0);
}
