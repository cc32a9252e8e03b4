using System.Runtime.InteropServices;
using Accel.Core.Capture;
using Accel.Core.Memory;

namespace Accel.Core.Tests.Capture;

/// <summary>The capture ring: what was written comes out, nobody waits, what is lost is counted.</summary>
public sealed unsafe class CaptureRingTests : IDisposable
{
    const int Me = 100, Dead = 666;

    readonly byte* _memory = (byte*)NativeMemory.AllocZeroed((nuint)CaptureRing.SizeBytes);
    readonly People _people = new();
    readonly byte[] _bytes = new byte[CaptureRing.MaxCaptured];

    public CaptureRingTests() => Ring.Control->SnapLength = CaptureRing.MaxCaptured;

    CaptureRing Ring => new(_memory);

    public void Dispose() => NativeMemory.Free(_memory);

    sealed class People : ILiveness
    {
        public bool IsThreadAlive(int tid) => tid != Dead;

        public void Yield() => Thread.Yield();

        public void Sleep(int* word, int value) => Assert.Fail("a writer sleeps");

        public void Wake(int* word) => Assert.Fail("a writer wakes somebody");
    }

    /// <summary>Bytes that tell which record they are of, in two runs.</summary>
    bool Write(int number, int length, int pid = Me)
    {
        var payload = new byte[length + 3];
        for (var i = 0; i < length; i++)
            payload[i + 3] = (byte)(number * 31 + i);
        fixed (byte* p = payload)
        {
            CaptureSpan* spans = stackalloc CaptureSpan[2];
            spans[0] = new CaptureSpan { Data = p, Length = (ulong)(3 + length / 3) };
            spans[1] = new CaptureSpan { Data = p + 3 + length / 3, Length = (ulong)(length - length / 3) };
            CaptureRecord record = new() { Kind = CaptureKind.Data, Bytes = (uint)length, Conn = (uint)number };
            return Ring.Write(ref record, spans, 3, pid, _people);
        }
    }

    bool TryRead(out CaptureRecord record)
    {
        record = default;
        ulong head = Ring.Control->Head, tail = Volatile.Read(ref Ring.Control->Tail);
        if (head == tail)
            return false;
        uint length = Ring.Read(head, tail, out record, _bytes);
        Assert.NotEqual(0u, length);
        var wrong = 0;
        for (var i = 0; i < record.Captured; i++)
            wrong += (byte)(record.Conn * 31 + i) == _bytes[i] ? 0 : 1;
        Assert.Equal(0, wrong);
        Volatile.Write(ref Ring.Control->Head, head + length);
        return true;
    }

    [Fact]
    public void Records_come_out_as_they_went_in_over_many_turns_of_the_ring()
    {
        var random = new Random(1);
        for (var number = 0; number < 2000; number++)
        {
            var length = random.Next(3) == 0 ? random.Next(200) : random.Next(65536);
            Assert.True(Write(number, length));
            Assert.True(TryRead(out var record));
            Assert.Equal((uint)number, record.Conn);
            Assert.Equal((uint)length, record.Captured);
        }
        Assert.True(Ring.Control->Tail > 3 * CaptureRing.DataBytes);
        Assert.False(TryRead(out _));
    }

    [Fact]
    public void A_full_ring_loses_what_comes_and_counts_it()
    {
        var written = 0;
        while (Write(written, 60_000))
            written++;
        Assert.InRange(written, 100, CaptureRing.DataBytes / 60_000);
        Assert.Equal(1ul, Ring.Control->LostFull);
        Assert.True(TryRead(out var first));
        Assert.Equal(0u, first.Conn);
        Assert.True(Write(written, 60_000));
        var read = 1;
        while (TryRead(out _))
            read++;
        Assert.Equal(written + 1, read);
    }

    [Fact]
    public void A_snap_length_keeps_the_beginning_and_tells_the_length()
    {
        Ring.Control->SnapLength = 100;
        Assert.True(Write(5, 5000));
        Assert.True(TryRead(out var record));
        Assert.Equal(100u, record.Captured);
        Assert.Equal(5000u, record.Bytes);
    }

    [Fact]
    public void A_writer_at_work_costs_another_its_record_and_no_wait()
    {
        Ring.Control->Lock = Me + 1;
        Assert.False(Write(1, 10));
        Assert.Equal(1ul, Ring.Control->LostBusy);
        Assert.Equal(Me + 1, Ring.Control->Lock);
        Ring.Control->Lock = 0;
        Assert.True(Write(2, 10));
    }

    [Fact]
    public void A_dead_writers_lock_is_taken_and_its_half_record_is_nothing()
    {
        Assert.True(Write(1, 10));
        new Span<byte>(Ring.Data + Ring.Control->Tail, 500).Fill(0xEE);
        Ring.Control->Lock = Dead;
        Assert.True(Write(2, 10));
        Assert.Equal(0, Ring.Control->Lock);
        Assert.True(TryRead(out _) && TryRead(out var record) && record.Conn == 2);
    }

    [Fact]
    public void Writers_of_many_threads_lose_nothing_that_they_do_not_count()
    {
        const int Threads = 4, Each = 3000;
        var written = 0;
        var threads = Enumerable.Range(1, Threads).Select(t => new Thread(() =>
        {
            for (var i = 0; i < Each; i++)
            {
                if (Write(t, i % 500, Me + t))
                    Interlocked.Increment(ref written);
            }
        })).ToArray();
        foreach (var thread in threads)
            thread.Start();
        var read = 0;
        while (threads.Any(t => t.IsAlive) || Ring.Control->Head != Volatile.Read(ref Ring.Control->Tail))
        {
            if (TryRead(out _))
                read++;
        }
        Assert.Equal(written, read);
        Assert.Equal((ulong)(Threads * Each), (ulong)read + Ring.Control->LostBusy + Ring.Control->LostFull);
    }

    [Fact]
    public void Nonsense_in_the_ring_is_noticed()
    {
        var random = new Random(7);
        for (var round = 0; round < 500; round++)
        {
            Ring.Control->Head = Ring.Control->Tail = 0;
            Assert.True(Write(1, 300));
            for (var i = 0; i < 8; i++)
                Ring.Data[random.Next(sizeof(CaptureRecord))] = (byte)random.Next(256);
            uint length = Ring.Read(0, Ring.Control->Tail, out var record, _bytes);
            Assert.True(length <= Ring.Control->Tail && (length == 0 || record.Captured <= length));
        }
    }

    [Fact]
    public void A_reader_that_does_not_look_has_lost_its_lease()
    {
        Ring.Control->ReaderSeenNs = 1000;
        Assert.False(Ring.IsAbandoned(1000 + CaptureRing.LeaseNs));
        Assert.True(Ring.IsAbandoned(1001 + CaptureRing.LeaseNs));
    }

    [Fact]
    public void Writing_allocates_nothing()
    {
        CaptureRecord record = new() { Kind = CaptureKind.Fin };
        Ring.Write(ref record, null, 0, Me, _people);
        using (new NoAllocation())
            Ring.Write(ref record, null, 0, Me, _people);
    }
}
