using System.Runtime.InteropServices;
using Accel.Core.Local;

namespace Accel.Core.Nic;

/// <summary>A segment's payload where the link keeps it: the rest of the first buffer, and those after it.</summary>
internal unsafe readonly struct NicPayload(byte* first, int firstLength, FrameRef* rest, int restCount, int length)
{
    public static NicPayload None => default;

    /// <summary>In bytes; what the buffers hold beyond it is padding.</summary>
    public int Length => length;

    /// <summary>
    /// Writes bytes [from, from + count) into a stream, so many bytes beyond its end, and makes nothing visible. False
    /// if there is no such room.
    /// </summary>
    public bool TryStore(LocalRegion region, Pipe* pipe, uint from, uint count, ulong beyond)
    {
        if ((ulong)from + count > (ulong)length)
            return false;
        byte* at = first;
        ulong piece = (ulong)firstLength, skip = from, left = count;
        int next = 0;
        while (left > 0)
        {
            if (skip >= piece)
            {
                if (next == restCount)
                    return false;
                skip -= piece;
                at = rest[next].Data;
                piece = (ulong)rest[next++].Length;
                continue;
            }
            ulong take = Math.Min(piece - skip, left);
            if (!TryWrite(region, pipe, at + skip, take, beyond))
                return false;
            beyond += take;
            left -= take;
            skip += take;
        }
        return true;
    }

    private static bool TryWrite(LocalRegion region, Pipe* pipe, byte* from, ulong count, ulong beyond)
    {
        while (count > 0)
        {
            byte* to = PipeOps.StoreRun(region, pipe, beyond, count, out ulong run);
            if (run == 0)
                return false;
            NativeMemory.Copy(from, to, (nuint)run);
            from += run;
            beyond += run;
            count -= run;
        }
        return true;
    }
}
