using System.Runtime.InteropServices;
using Accel.Os;

namespace Accel.Control.Native;

/// <summary>
/// The rooms' view of Linux in an ordinary program, which has no C side to bring a raw system call: libc makes it.
/// </summary>
public static unsafe class DaemonKernel
{
    public static LinuxKernel Shared { get; } = Make();

    private static LinuxKernel Make()
    {
        delegate* unmanaged<long, long, long, long, long, long, long, long> call = &Call;
        nint libc = NativeLibrary.Load("libc.so.6");
        // Neither is on a path that is measured here: any counter that moves will do for the ticks.
        return new LinuxKernel((nint)call, NativeLibrary.GetExport(libc, "clock"),
            NativeLibrary.GetExport(libc, "sched_getcpu"), isNative: false);
    }

    [UnmanagedCallersOnly]
    private static long Call(long number, long a, long b, long c, long d, long e, long f)
    {
        nint result = Libc.SystemCall((nint)number, (nint)a, (nint)b, (nint)c, (nint)d, (nint)e, (nint)f);
        return result == -1 ? -Libc.Errno : result;
    }
}
