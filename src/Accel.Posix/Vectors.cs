using System.Runtime.CompilerServices;

namespace Accel.Posix;

/// <summary>Arrays of buffers.</summary>
public static unsafe class Vectors
{
    private const ulong MaxCount = 1024;
    private const ulong MaxTotal = 0x7FFFF000;
    private const ulong FirstPage = 4096, EndOfUserSpace = 0x7FFF_FFFF_F000;

    /// <summary>
    /// True for an address that cannot be one: what is unmapped between the ends is for the program to answer.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool IsBad(void* pointer) => (ulong)pointer - FirstPage >= EndOfUserSpace - FirstPage;

    /// <summary>Sums up and checks an array of buffers, with the errors of Linux (import_iovec).</summary>
    public static bool Total(IoVec* vectors, ulong count, out ulong total, out long error)
    {
        total = 0;
        error = 0;
        if (count > MaxCount)
        {
            error = -Errno.EMSGSIZE;
            return false;
        }
        if (count > 0 && IsBad(vectors))
        {
            error = -Errno.EFAULT;
            return false;
        }
        for (ulong i = 0; i < count; i++)
        {
            ulong length = vectors[i].Length;
            if ((long)length < 0)
            {
                error = -Errno.EINVAL;
                return false;
            }
            if (length > 0 && IsBad(vectors[i].Base))
            {
                error = -Errno.EFAULT;
                return false;
            }
            total += Math.Min(length, MaxTotal - total);
        }
        return true;
    }
}
