using System.Runtime.InteropServices;
using Accel.Core.Memory;
using Accel.Core.Tcp;
using Accel.Wire;

namespace Accel.Core.Tests.Tcp;

/// <summary>A segment on its way, with its payload.</summary>
sealed class Sent(TcpSegment segment, byte[] payload, TcpEmit emit)
{
    public readonly TcpSegment Segment = segment;
    public readonly byte[] Payload = payload;
    public readonly TcpEmit Emit = emit;
}

/// <summary>One machine with two byte queues as its program.</summary>
sealed unsafe class TcpEnd : IDisposable
{
    const int Records = 4096;

    readonly SegmentRecord* _records = (SegmentRecord*)NativeMemory.AllocZeroed(Records, (nuint)sizeof(SegmentRecord));
    readonly FreeList* _free = (FreeList*)NativeMemory.AllocZeroed((nuint)sizeof(FreeList));
    readonly byte[] _ring;
    long _head, _tail;

    public Tcb Tcb;
    public TcpSettings Settings = TcpSettings.Linux(1, 2, 3, 4);
    public TcpCounters Counters;
    public TcpOpening Opening;
    public TcpStreams Flags;

    /// <summary>All that happened since it was last looked at.</summary>
    public TcpEvents Events;
    public TcpError Error;
    public SeqNum NextIss;

    public TcpEnd(bool first, int capacity = 65536, uint mtu = 1500)
    {
        _free->Capacity = Records;
        _ring = new byte[capacity];
        Opening = new TcpOpening
        {
            Flow = new TcpFlow
            {
                LocalLow = first ? 1u : 2u,
                RemoteLow = first ? 2u : 1u,
                LocalPort = (ushort)(first ? 40000 : 80),
                RemotePort = (ushort)(first ? 80 : 40000),
            },
            Mtu = mtu,
            ReceiveSpace = (uint)capacity,
        };
        Flags.MaxEmission = mtu;
    }

    /// <summary>What the program has written and the peer has not acknowledged.</summary>
    public List<byte> Outgoing { get; } = [];

    /// <summary>Leave through here.</summary>
    public Queue<Sent> Wire { get; } = new();

    /// <summary>RSTs that are no connection's.</summary>
    public bool ReadsAtOnce { get; set; }
    public List<byte> Read { get; } = [];
    public SegmentPool Pool => new(_records, _free);
    public int RecordsInUse => _free->InUse;
    public int Unread => (int)(_tail - _head);
    public long Counter(TcpCounter counter) => (long)Counters[(int)counter];

    public TcpContext Context(long now) => new(now, Pool, ref Settings, ref Counters);

    public TcpStreams Streams()
    {
        var streams = Flags;
        streams.Queued = (uint)Outgoing.Count;
        streams.ReceiveSpace = (uint)(_ring.Length - Unread);
        streams.Unread = (uint)Unread;
        return streams;
    }

    public void Connect(long now)
    {
        TcpOpen.Active(ref Tcb, in Opening, Context(now));
        Pump(now);
    }

    public void Accept(in TcpSegment syn, long now)
    {
        TcpOpen.Passive(ref Tcb, in syn, in Opening, Context(now));
        Pump(now);
    }

    public void Write(int bytes, long now)
    {
        for (var i = 0; i < bytes; i++)
            Outgoing.Add((byte)(Written++ * 7));
        Pump(now);
    }

    public long Written { get; private set; }

    public byte[] Take(int most, long now)
    {
        var count = Math.Min(most, Unread);
        var bytes = new byte[count];
        for (var i = 0; i < count; i++)
            bytes[i] = _ring[(_head + i) % _ring.Length];
        _head += count;
        Read.AddRange(bytes);
        Pump(now);
        return bytes;
    }

    public void Close(long now, bool abort = false)
    {
        Flags.Finished = true;
        TcpEffects fx = default;
        TcpClose.OnDetached(ref Tcb, Context(now), Streams(), abort, ref fx);
        Apply(in fx, [], now);
    }

    public void Shutdown(long now)
    {
        Flags.Finished = true;
        Pump(now);
    }

    public TcpEffects Receive(Sent sent, long now)
    {
        TcpEffects fx = default;
        TcpInput.OnSegment(ref Tcb, in sent.Segment, Context(now), Streams(), ref fx);
        Apply(in fx, sent.Payload, now);
        return fx;
    }

    /// <summary>A segment made by hand.</summary>
    public TcpEffects Receive(
        TcpFlags flags, uint seq, uint ack, long now, int length = 0, ushort window = 65535,
        TcpOptions options = default, ushort urgent = 0, bool marked = false)
    {
        TcpSegment segment = new()
        {
            Seq = new(seq), Ack = new(ack), Flags = flags, Window = window, Length = (uint)length, Merged = 1,
            Options = options, Urgent = urgent, CongestionExperienced = marked,
        };
        return Receive(new Sent(segment, new byte[length], default), now);
    }

    public TcpEffects Tick(long now)
    {
        TcpEffects fx = default;
        TcpTimers.OnTimer(ref Tcb, Context(now), Streams(), ref fx);
        Apply(in fx, [], now);
        return fx;
    }

    public void Pump(long now)
    {
        for (var i = 0; TcpOutput.Next(ref Tcb, Context(now), Streams(), out var emit); i++)
        {
            Assert.True(i < 10_000, "endless output");
            Cut(in emit);
        }
        Assert.True(Tcb.SndUna <= Tcb.SndNxt);
    }

    void Apply(in TcpEffects fx, byte[] payload, long now)
    {
        Events |= fx.Events;
        if (fx.Error != TcpError.None)
            Error = fx.Error;
        if (fx.Has(TcpEvents.Reopen))
            NextIss = fx.NextIss;
        Assert.True(fx.StoreAt + fx.StoreLength <= _ring.Length - Unread, "stored beyond the buffer");
        for (var i = 0; i < fx.StoreLength; i++)
            _ring[(_tail + fx.StoreAt + i) % _ring.Length] = payload[fx.StoreFrom + i];
        _tail += fx.Advance;
        Outgoing.RemoveRange(0, (int)fx.Acked);
        if (fx.Has(TcpEvents.SendReset))
            Cut(new TcpEmit { Seq = fx.ResetSeq, Ack = fx.ResetAck, Flags = fx.ResetFlags, SegmentSize = 1 });
        if (ReadsAtOnce && Unread > 0)
            Take(int.MaxValue, now);
        if (fx.Has(TcpEvents.Send))
            Pump(now);
    }

    /// <summary>As the link does it: a run of segments is cut, PSH and FIN go with the last.</summary>
    void Cut(in TcpEmit emit)
    {
        uint done = 0;
        do
        {
            var length = Math.Min(emit.SegmentSize, emit.Length - done);
            var last = done + length == emit.Length;
            TcpSegment segment = new()
            {
                Seq = emit.Seq + done, Ack = emit.Ack, Window = emit.Window, Length = length, Merged = 1,
                Flags = last ? emit.Flags : emit.Flags & ~(TcpFlags.Psh | TcpFlags.Fin),
                Options = emit.Options, Urgent = emit.Urgent,
            };
            var payload = Outgoing.Skip((int)(emit.Offset + done)).Take((int)length).ToArray();
            Assert.Equal((int)length, payload.Length);
            Wire.Enqueue(new Sent(segment, payload, emit));
            done += length;
        }
        while (done < emit.Length);
    }

    public void Dispose()
    {
        NativeMemory.Free(_records);
        NativeMemory.Free(_free);
    }
}
