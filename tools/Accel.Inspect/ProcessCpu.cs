using System.Globalization;
using System.Runtime.InteropServices;

namespace Accel.Inspect;

/// <summary>User and system time of a process, all of its threads.</summary>
public static partial class ProcessCpu
{
    /// <summary>To a hundredth of a second as the kernel accounts it; finer where it says so.</summary>
    public static long Nanoseconds(int pid)
    {
        // CPUCLOCK_SCHED of a process: the kernel's own encoding of a clock's number, see clock_getcpuclockid(3).
        if (Time(~pid << 3 | 2, out TimeSpec time) == 0) return time.Seconds * 1_000_000_000 + time.Nanoseconds;
        try
        {
            string stat = File.ReadAllText($"/proc/{pid}/stat");
            string[] fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
            long ticks = long.Parse(fields[11], CultureInfo.InvariantCulture)
                + long.Parse(fields[12], CultureInfo.InvariantCulture);
            return ticks * (1_000_000_000 / 100);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return 0;
        }
    }

    private struct TimeSpec
    {
        public long Seconds;
        public long Nanoseconds;
    }

    [LibraryImport("libc", EntryPoint = "clock_gettime")]
    private static partial int Time(int clock, out TimeSpec time);
}
