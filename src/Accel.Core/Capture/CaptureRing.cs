using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;
using Accel.Core.Memory;

namespace Accel.Core.Capture;

/// <summary>The head of a stack's capture ring: who reads it, how far both ends are, what was lost.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 256)]
public struct CaptureControl
{
    // Line 0: written by the reader.
    /// <summary>Raised by each reader that takes the ring: one that finds another number has lost it.</summary>
    [FieldOffset(0)] public ulong Session;

    /// <summary>Bytes taken, ever.</summary>
    [FieldOffset(8)] public ulong Head;

    /// <summary>CLOCK_MONOTONIC of the reader's last look. See <see cref="CaptureRing.LeaseNs"/>.</summary>
    [FieldOffset(16)] public long ReaderSeenNs;

    /// <summary>For messages only: the reader may live in another pid namespace.</summary>
    [FieldOffset(24)] public int ReaderPid;

    /// <summary>Bytes of a frame, or of what was sent at once, that are kept.</summary>
    [FieldOffset(28)] public uint SnapLength;

    // Line 1: written by who captures, under Lock.
    /// <summary>Process that is writing a record.</summary>
    [FieldOffset(64)] public int Lock;

    /// <summary>Bytes written, ever.</summary>
    [FieldOffset(72)] public ulong Tail;
    [FieldOffset(80)] public ulong Records;

    // Line 2: records that were not written.
    /// <summary>The reader was too slow.</summary>
    [FieldOffset(128)] public ulong LostFull;

    /// <summary>Others were writing for longer than a program is kept waiting.</summary>
    [FieldOffset(136)] public ulong LostBusy;
}

/// <summary>
/// The ring that a stack's processes copy packets into while somebody listens: many writers, one reader from outside.
/// Nobody waits for anybody: a writer that finds no room, or another writer at work for long, counts a loss and goes
/// on. A record counts from the moment that Tail has passed it, so a writer that dies leaves none half-written. A
/// reader that dies leaves the ring full; writers see that its lease has run out and switch the capture off.
/// </summary>
public readonly unsafe struct CaptureRing(byte* address)
{
    /// <summary>Bytes of records in flight: some milliseconds of a fast program.</summary>
    public const int DataBytes = 8 << 20;
    public const int Unit = 64;

    /// <summary>The most that a record keeps of what it tells of: a super-frame with all its headers.</summary>
    public const int MaxCaptured = (64 << 10) + 128;

    /// <summary>A reader that has not looked for so long has died, or is stopped.</summary>
    public const long LeaseNs = 2_000_000_000;

    /// <summary>Head and data, in a region.</summary>
    public const long SizeBytes = DataAt + DataBytes;

    private const int DataAt = 4096;
    private const int SpinsBeforeYield = 200, Yields = 4;

    public CaptureControl* Control => (CaptureControl*)address;

    /// <summary>Where the bytes lie, for who gives their memory back.</summary>
    public byte* Data => address + DataAt;

    /// <summary>
    /// Writes a record, with at most SnapLength bytes out of a run of spans beginning <paramref name="skip"/> bytes
    /// in. Length, Captured and Position are filled in. False if it was lost.
    /// </summary>
    /// <param name="record">What is known of it; Bytes tells how many there are.</param>
    /// <param name="spans">The bytes; null: none are kept.</param>
    /// <param name="skip">Bytes of the spans that are passed over.</param>
    /// <param name="pid">This process.</param>
    /// <param name="liveness">Tells whether another that holds the ring has died.</param>
    public bool Write(ref CaptureRecord record, CaptureSpan* spans, ulong skip, int pid, ILiveness liveness)
    {
        CaptureControl* c = Control;
        record.Captured = spans == null ? 0 : Math.Min(Math.Min(record.Bytes, c->SnapLength), MaxCaptured);
        record.Length = (uint)(sizeof(CaptureRecord) + record.Captured + Unit - 1) & ~(Unit - 1u);
        if (!TryEnter(pid, liveness))
        {
            Interlocked.Increment(ref c->LostBusy);
            return false;
        }
        ulong at = c->Tail;
        bool room = at - Volatile.Read(ref c->Head) + record.Length <= DataBytes;
        if (room)
        {
            record.Position = at;
            fixed (CaptureRecord* head = &record)
                Put(at, (byte*)head, (ulong)sizeof(CaptureRecord));
            PutSpans(at + (ulong)sizeof(CaptureRecord), spans, skip, record.Captured);
            c->Records++;
            Volatile.Write(ref c->Tail, at + record.Length);
        }
        else
            c->LostFull++;
        Interlocked.CompareExchange(ref c->Lock, 0, pid);
        return room;
    }

    /// <summary>True if the reader is known to be gone: nobody will take what is written.</summary>
    public bool IsAbandoned(long nowNs) => nowNs - Volatile.Read(ref Control->ReaderSeenNs) > LeaseNs;

    /// <summary>
    /// Copies the record at a place of the stream, which must lie below Tail. Returns its length, 0 if what lies there
    /// makes no sense: the place, and the bytes behind it, must then be given up.
    /// </summary>
    public uint Read(ulong at, ulong tail, out CaptureRecord record, Span<byte> bytes)
    {
        fixed (CaptureRecord* head = &record)
            Get(at, (byte*)head, (ulong)sizeof(CaptureRecord));
        if (record.Position != at || record.Length > tail - at || record.Length % Unit != 0
            || record.Captured > record.Length - (uint)sizeof(CaptureRecord)
            || record.Length < (uint)sizeof(CaptureRecord) || record.Captured > (uint)bytes.Length)
            return 0;
        fixed (byte* to = bytes)
            Get(at + (ulong)sizeof(CaptureRecord), to, record.Captured);
        return record.Length;
    }

    private bool TryEnter(int pid, ILiveness liveness)
    {
        for (int round = 0; round < Yields; round++)
        {
            for (int spin = 0; spin < SpinsBeforeYield; spin++)
            {
                if (Volatile.Read(ref Control->Lock) == 0
                    && Interlocked.CompareExchange(ref Control->Lock, pid, 0) == 0)
                    return true;
                X86Base.Pause();
            }
            liveness.Yield();
        }
        // What a writer had begun when it died lies above Tail and is nothing.
        int holder = Volatile.Read(ref Control->Lock);
        return holder != 0 && holder != pid && !liveness.IsThreadAlive(holder)
            && Interlocked.CompareExchange(ref Control->Lock, pid, holder) == holder;
    }

    private void PutSpans(ulong at, CaptureSpan* spans, ulong skip, ulong length)
    {
        while (length > 0)
        {
            if (skip >= spans->Length)
            {
                skip -= spans->Length;
                spans++;
                continue;
            }
            ulong run = Math.Min(length, spans->Length - skip);
            Put(at, spans->Data + skip, run);
            at += run;
            length -= run;
            skip = 0;
            spans++;
        }
    }

    private void Put(ulong at, byte* from, ulong length)
    {
        ulong offset = at & (DataBytes - 1);
        ulong first = Math.Min(length, DataBytes - offset);
        NativeMemory.Copy(from, Data + offset, (nuint)first);
        NativeMemory.Copy(from + first, Data, (nuint)(length - first));
    }

    private void Get(ulong at, byte* to, ulong length)
    {
        ulong offset = at & (DataBytes - 1);
        ulong first = Math.Min(length, DataBytes - offset);
        NativeMemory.Copy(Data + offset, to, (nuint)first);
        NativeMemory.Copy(Data, to + first, (nuint)(length - first));
    }
}
