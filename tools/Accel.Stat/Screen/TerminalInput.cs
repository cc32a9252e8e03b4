using System.Runtime.InteropServices;

namespace Accel.Stat.Screen;

/// <summary>
/// Says that nobody is at the other end of standard input any more. The console does not: it takes the end of a
/// terminal for keys, one after the other.
/// </summary>
internal static partial class TerminalInput
{
    private const short HangUp = 0x10, Error = 0x08, Invalid = 0x20;  // POLLHUP, POLLERR, POLLNVAL: poll(2)

    public static bool HasGone
    {
        get
        {
            var entry = new PollEntry { Descriptor = 0 };
            return Poll(ref entry, 1, 0) > 0 && (entry.Seen & (HangUp | Error | Invalid)) != 0;
        }
    }

    [LibraryImport("libc", EntryPoint = "poll")]
    private static partial int Poll(ref PollEntry entries, nuint count, int milliseconds);

    /// <summary>struct pollfd.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct PollEntry
    {
        public int Descriptor;
        public short Wanted, Seen;
    }
}
