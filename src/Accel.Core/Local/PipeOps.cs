using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Accel.Core.Memory;

namespace Accel.Core.Local;

/// <summary>
/// Moving bytes through a <see cref="Pipe"/>. The two ends are in different processes that need not trust each other
/// with more than the bytes: every number read from the other end is checked before it is used as an address.
/// </summary>
public static unsafe class PipeOps
{
    public const int FirstLog2 = 14;
    public const int BulkLog2 = 18;
    public const int ShortLog2 = 20;
    public const int StalledLog2 = 22;

    /// <summary>More than any ring holds: a distance above this means that the neighbour wrote nonsense.</summary>
    public const ulong MaxInFlight = 64ul << 20;

    /// <summary>Gives a zeroed pipe its first ring. False if the region is full.</summary>
    public static bool Open(LocalRegion region, Pipe* pipe)
    {
        uint unit = BufferArena.Take(&region.Tables->Buffers, region.Address, FirstLog2);
        if (unit == 0)
            return false;
        pipe->WriteBuffer = pipe->ReadBuffer = unit;
        pipe->WriteLog2 = pipe->ReadLog2 = FirstLog2;
        return true;
    }

    /// <summary>Gives the rings back. Only when both ends are closed.</summary>
    public static void Close(LocalRegion region, Pipe* pipe)
    {
        // Forgotten before it is given back: who finishes for a process that died here loses a ring and gives none
        // twice.
        uint buffer = pipe->ReadBuffer, next = pipe->NextReady != 0 ? pipe->NextBuffer : 0;
        if (next == buffer)
            next = 0;
        pipe->ReadBuffer = pipe->WriteBuffer = 0;
        pipe->NextReady = 0;
        BufferArena* arena = &region.Tables->Buffers;
        if (buffer != 0)
            BufferArena.Give(arena, region.Address, buffer, (int)pipe->ReadLog2);
        if (next != 0)
            BufferArena.Give(arena, region.Address, next, (int)pipe->NextLog2);
    }

    /// <summary>Bytes that wait for the reader, as the reader sees it. Also says no (0) to nonsense.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Readable(Pipe* pipe)
    {
        ulong available = Volatile.Read(ref pipe->Tail) - pipe->Head;
        return available <= MaxInFlight ? available : 0;
    }

    /// <summary>True if the other end has written a position that cannot be.</summary>
    public static bool IsNonsense(Pipe* pipe) => Volatile.Read(ref pipe->Tail) - pipe->Head > MaxInFlight;

    /// <summary>Bytes that the peer has not read yet, as the writer sees it.</summary>
    public static ulong Unread(Pipe* pipe)
    {
        ulong inFlight = pipe->Tail - Volatile.Read(ref pipe->Head);
        return inFlight <= MaxInFlight ? inFlight : 0;
    }

    /// <summary>The next contiguous run that the reader may read, at most <paramref name="want"/> bytes from <paramref
    /// name="skip"/> bytes
    /// ahead of Head. Moves to the next ring only when skip is 0. Stops before an urgent byte.</summary>
    public static byte* ReadRun(LocalRegion region, Pipe* pipe, ulong skip, ulong want, out ulong run) =>
        Run(region, pipe, skip, want, stopAtMark: true, out run);

    /// <summary>As <see cref="ReadRun"/>, for who carries the bytes on: urgent ones are bytes like others, and it never
    /// moves to the next ring (<see cref="Forget"/> does).</summary>
    public static byte* PeekRun(LocalRegion region, Pipe* pipe, ulong skip, ulong want, out ulong run) =>
        Run(region, pipe, skip, want, stopAtMark: false, out run);

    /// <summary>The first bytes of a pipe, which stay in it. False if its words make no sense.</summary>
    [ColdPath]
    public static bool TryCopy(LocalRegion region, Pipe* pipe, ulong count, byte* to)
    {
        for (ulong done = 0; done < count;)
        {
            byte* from = PeekRun(region, pipe, done, count - done, out ulong run);
            if (run == 0)
                return false;
            NativeMemory.Copy(from, to + done, (nuint)run);
            done += run;
        }
        return true;
    }

    private static byte* Run(LocalRegion region, Pipe* pipe, ulong skip, ulong want, bool stopAtMark, out ulong run)
    {
        ulong at = pipe->Head + skip;
        ulong tail = pipe->CachedTail;
        if (tail - at < want || tail - at > MaxInFlight)
        {
            tail = Volatile.Read(ref pipe->Tail);
            pipe->CachedTail = tail;
        }
        ulong available = tail - at;
        run = 0;
        if (available == 0 || available > MaxInFlight)
            return null;
        // After Tail: whoever sees the urgent byte sees its mark.
        ulong urgent = stopAtMark ? Volatile.Read(ref pipe->Urgent) : 0;
        if (urgent > at && (available = Math.Min(available, BeforeMark(pipe, at, urgent))) == 0)
            return null;
        uint buffer = pipe->ReadBuffer;
        int log2 = (int)pipe->ReadLog2;
        ulong start = pipe->ReadStart;
        if (Volatile.Read(ref pipe->NextReady) != 0)
        {
            ulong switchAt = pipe->NextStart;
            if (at < switchAt)
                available = Math.Min(available, switchAt - at);
            else
            {
                uint nextBuffer = pipe->NextBuffer;
                int nextLog2 = (int)pipe->NextLog2;
                if (!BufferArena.Contains(&region.Tables->Buffers, nextBuffer, nextLog2))
                    return null;
                if (skip == 0 && stopAtMark)
                    MoveOn(region, pipe);
                buffer = nextBuffer;
                log2 = nextLog2;
                start = switchAt;
            }
        }
        ulong size = 1ul << log2;
        if (available > size || !BufferArena.Contains(&region.Tables->Buffers, buffer, log2))
            return null;
        ulong offset = (at - start) & (size - 1);
        run = Math.Min(Math.Min(want, available), size - offset);
        return region.Address + ((ulong)buffer << BufferArena.UnitLog2) + offset;
    }

    /// <summary>The reader has passed the last byte of its ring and goes on in the next; the old one is given back.
    /// </summary>
    private static void MoveOn(LocalRegion region, Pipe* pipe)
    {
        uint buffer = pipe->ReadBuffer;
        int log2 = (int)pipe->ReadLog2;
        pipe->ReadBuffer = pipe->NextBuffer;
        pipe->ReadLog2 = pipe->NextLog2;
        pipe->ReadStart = pipe->NextStart;
        Volatile.Write(ref pipe->NextReady, 0);
        if (buffer != pipe->ReadBuffer)
            BufferArena.Give(&region.Tables->Buffers, region.Address, buffer, log2);
    }

    /// <summary>Frees bytes that were carried on with <see cref="PeekRun"/>. Returns true if the writer may have been
    /// waiting for room.</summary>
    public static bool Forget(LocalRegion region, Pipe* pipe, ulong bytes)
    {
        bool mayWait = Consume(pipe, bytes);
        if (Volatile.Read(ref pipe->NextReady) != 0 && pipe->Head >= pipe->NextStart
            && BufferArena.Contains(&region.Tables->Buffers, pipe->NextBuffer, (int)pipe->NextLog2))
            MoveOn(region, pipe);
        return mayWait;
    }

    /// <summary>Bytes to the next place where urgent data stops the reader.</summary>
    private static ulong BeforeMark(Pipe* pipe, ulong at, ulong urgent)
    {
        bool passed = at < pipe->UrgentPassed;
        if (at < Volatile.Read(ref pipe->UrgentSkip) && !passed)
            return 0;
        return at + 1 == urgent && passed ? ulong.MaxValue : urgent - 1 - at;
    }

    /// <summary>Frees bytes that were read. Returns true if the writer may have been waiting for room.</summary>
    public static bool Consume(Pipe* pipe, ulong bytes)
    {
        ulong head = pipe->Head;
        ulong inFlight = pipe->CachedTail - head;
        Volatile.Write(ref pipe->Head, head + bytes);
        // A writer finds the ring full only above half its size; below that the fence can be saved.
        if (inFlight >= 1ul << ((int)pipe->ReadLog2 - 1) || inFlight >= Limit(pipe) / 2)
        {
            Interlocked.MemoryBarrier();
            return true;
        }
        return false;
    }

    /// <summary>Bytes that may be in flight in this direction.</summary>
    public static ulong Limit(Pipe* pipe) => (ulong)pipe->SendLimit + pipe->ReceiveLimit;

    /// <summary>The next contiguous run that the writer may fill, at most <paramref name="want"/> bytes from
    /// <paramref name="skip"/> bytes ahead of Tail.</summary>
    public static byte* WriteRun(LocalRegion region, Pipe* pipe, ulong skip, ulong want, out ulong run)
    {
        ulong at = pipe->Tail + skip;
        ulong space = Space(pipe, at, want);
        run = 0;
        if (space == 0 || !BufferArena.Contains(&region.Tables->Buffers, pipe->WriteBuffer, (int)pipe->WriteLog2))
            return null;
        ulong size = 1ul << (int)pipe->WriteLog2;
        ulong offset = (at - pipe->WriteStart) & (size - 1);
        run = Math.Min(Math.Min(want, space), size - offset);
        return region.Address + ((ulong)pipe->WriteBuffer << BufferArena.UnitLog2) + offset;
    }

    /// <summary>As <see cref="WriteRun"/>, for a writer who has promised the room before and keeps to that: the limit,
    /// which may have been lowered since, is not asked for.</summary>
    public static byte* StoreRun(LocalRegion region, Pipe* pipe, ulong skip, ulong want, out ulong run)
    {
        ulong at = pipe->Tail + skip;
        ulong used = at - Math.Max(Volatile.Read(ref pipe->Head), pipe->WriteStart);
        ulong size = 1ul << (int)pipe->WriteLog2;
        run = 0;
        if (used >= size || !BufferArena.Contains(&region.Tables->Buffers, pipe->WriteBuffer, (int)pipe->WriteLog2))
            return null;
        ulong offset = (at - pipe->WriteStart) & (size - 1);
        run = Math.Min(Math.Min(want, size - used), size - offset);
        return region.Address + ((ulong)pipe->WriteBuffer << BufferArena.UnitLog2) + offset;
    }

    /// <summary>
    /// Room for the writer at stream position <paramref name="at"/>; asks the reader's Head only if the remembered one
    /// does not do.
    /// </summary>
    public static ulong Space(Pipe* pipe, ulong at, ulong want)
    {
        ulong space = SpaceGiven(pipe, at, pipe->CachedHead);
        if (space >= want)
            return space;
        pipe->CachedHead = Volatile.Read(ref pipe->Head);
        return SpaceGiven(pipe, at, pipe->CachedHead);
    }

    /// <summary>All the room that there is for the writer right behind Tail.</summary>
    public static ulong Room(Pipe* pipe)
    {
        ulong head = Volatile.Read(ref pipe->Head);
        pipe->CachedHead = head;
        return SpaceGiven(pipe, pipe->Tail, head);
    }

    private static ulong SpaceGiven(Pipe* pipe, ulong at, ulong head)
    {
        // Bytes before WriteStart lie in the previous ring and take no room in this one, but count against the limit.
        ulong oldest = Math.Max(head, pipe->WriteStart);
        ulong size = 1ul << (int)pipe->WriteLog2;
        ulong used = at - oldest;
        ulong inFlight = at - head;
        ulong limit = Limit(pipe);
        if (used > size || inFlight > MaxInFlight || inFlight >= limit)
            return 0;
        return Math.Min(size - used, limit - inFlight);
    }

    /// <summary>Makes bytes visible that were written by <see cref="WriteRun"/>.</summary>
    public static void Publish(Pipe* pipe, ulong bytes) => Volatile.Write(ref pipe->Tail, pipe->Tail + bytes);

    /// <summary>
    /// True if a send that finds the first ring full will move to a larger one (unless memory is short).
    /// </summary>
    public static bool CanGrow(Pipe* pipe) =>
        pipe->WriteLog2 == FirstLog2 && Limit(pipe) > 1ul << FirstLog2 && Volatile.Read(ref pipe->NextReady) == 0;

    /// <summary>
    /// Moves the writer to a larger ring if there is one to move to, the reader has taken the last move, and the limit
    /// asks for
    /// more than the ring holds. False if the writer must wait instead.
    /// </summary>
    public static bool Grow(LocalRegion region, Pipe* pipe, bool stalled)
    {
        int log2 = (int)pipe->WriteLog2;
        if (Limit(pipe) <= 1ul << log2 || Volatile.Read(ref pipe->NextReady) != 0)
            return false;
        int next = log2 == FirstLog2 ? BulkLog2 : log2 == StalledLog2 || !stalled ? 0
            : log2 == BulkLog2 && Limit(pipe) <= 1ul << ShortLog2 ? ShortLog2 : StalledLog2;
        if (next == 0)
            return false;
        uint unit = BufferArena.Take(&region.Tables->Buffers, region.Address, next);
        if (unit == 0)
            return false;
        pipe->NextBuffer = unit;
        pipe->NextLog2 = (uint)next;
        pipe->NextStart = pipe->Tail;
        pipe->WriteBuffer = unit;
        pipe->WriteLog2 = (uint)next;
        pipe->WriteStart = pipe->Tail;
        Volatile.Write(ref pipe->NextReady, 1);
        return true;
    }

    /// <summary>
    /// Begins an empty ring from its start again, so that a reader who keeps up is written to where the bytes before
    /// were, which are in the caches and mapped, and a large ring costs no more memory than what waits in it. Nothing
    /// may lie beyond Tail.
    /// </summary>
    public static void Rewind(Pipe* pipe)
    {
        ulong tail = pipe->Tail;
        if (tail - pipe->WriteStart < RewindAfter || Volatile.Read(ref pipe->Head) != tail
            || Volatile.Read(ref pipe->NextReady) != 0)
            return;
        // A move to the ring that it is in.
        pipe->NextBuffer = pipe->WriteBuffer;
        pipe->NextLog2 = pipe->WriteLog2;
        pipe->NextStart = tail;
        pipe->WriteStart = tail;
        Volatile.Write(ref pipe->NextReady, 1);
    }

    private const ulong RewindAfter = 64 << 10;

    /// <summary>True if a third of what may be in flight is free.</summary>
    public static bool HasThird(Pipe* pipe)
    {
        ulong room = Math.Min(Limit(pipe), 1ul << (int)pipe->WriteLog2);
        return Space(pipe, pipe->Tail, room) * 3 >= room;
    }

    /// <summary>
    /// Writer: the byte before a stream position is urgent. To be marked before it is published.
    /// </summary>
    public static void MarkUrgent(Pipe* pipe, ulong end)
    {
        ulong before = pipe->Urgent;
        ulong head = Math.Max(Volatile.Read(ref pipe->Head), pipe->UrgentSkip);
        // A reader that stands right before an urgent byte does not get it as data when the next mark replaces this
        // one; elsewhere it becomes ordinary data (tcp_check_urg() of Linux).
        if (before == head + 1 && pipe->Tail > head)
            Volatile.Write(ref pipe->UrgentSkip, before);
        Volatile.Write(ref pipe->Urgent, end);
    }
}
