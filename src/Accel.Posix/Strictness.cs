using System.Runtime.InteropServices;
using System.Text;
using Accel.Core.Memory;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// ACCEL_STRICT: what would fall back to the kernel fails instead, and says why on standard error, once for each
/// reason.
/// </summary>
public sealed unsafe class Strictness
{
    private const int Bytes = 512;

    // In memory of the system's, so that nothing is allocated when a connection fails.
    private readonly byte* _lines;
    private long _said;

    /// <summary>Writes the sentences down.</summary>
    [ColdPath]
    public Strictness()
    {
        _lines = (byte*)NativeMemory.AllocZeroed((nuint)PathReason.Count, Bytes);
        foreach (PathReasonRow row in PathReasonTable.Rows)
        {
            byte[] text = Encoding.UTF8.GetBytes($"accel: strict: {row.Text}. To change that: {row.Remedy}.\n");
            text.AsSpan(0, Math.Min(text.Length, Bytes - 1)).CopyTo(new Span<byte>(LineOf(row.Reason), Bytes));
        }
    }

    /// <summary>True if the reason is one that a program which asked for strictness must hear of.</summary>
    public static bool Refuses(PathReason reason) =>
        reason < PathReason.Count && PathReasonTable.Rows[(int)reason].Verdict == PathVerdict.Fallback;

    /// <summary>Says the sentence if it was not said before in this process.</summary>
    public void Say(PosixStack s, PathReason reason)
    {
        long bit = 1L << (int)reason;
        // A descriptor 2 that is one of ours is a socket of the program's: no place for sentences.
        if ((Interlocked.Or(ref _said, bit) & bit) != 0 || s.Entry(2) != 0)
            return;
        byte* line = LineOf(reason);
        int length = new ReadOnlySpan<byte>(line, Bytes).IndexOf((byte)0);
        s.Kernel.Write(2, line, (ulong)length, -1);
    }

    private byte* LineOf(PathReason reason) => _lines + (int)reason * Bytes;
}
