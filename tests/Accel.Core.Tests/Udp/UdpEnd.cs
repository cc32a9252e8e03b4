using System.Runtime.InteropServices;
using Accel.Core.Local;
using Accel.Core.Tests.Nic;
using Accel.Core.Udp;
using Accel.Wire;

namespace Accel.Core.Tests.Udp;

/// <summary>A UDP socket of a host: what a program does with it.</summary>
sealed unsafe class UdpEnd
{
    readonly TestHost _host;

    public UdpEnd(
        TestHost host, Endpoint local, Endpoint remote = default, uint limit = 200_000, bool v6Only = false,
        UdpSettings settings = default)
    {
        _host = host;
        Conn = host.Local.TakeConn(0, 0);
        host.Local.ConnAt(Conn)->Pipe1.ReceiveLimit = limit;
        host.Locked(0, engine => engine.Udp.Bind(Conn, local, remote, v6Only, settings));
    }

    public int Conn { get; }

    public UdpBinding* Binding => _host.Engine.Udp.BindingAt(Conn);

    public int Waiting => (int)PipeOps.Readable(&_host.Local.ConnAt(Conn)->Pipe1);

    public bool TrySend(Endpoint to, ReadOnlySpan<byte> payload, int ttl = -1, int tos = -1, Endpoint source = default)
    {
        UdpSend send = new()
        {
            Destination = to, Length = (uint)payload.Length, Ttl = ttl, Tos = tos, Source = source,
        };
        _host.Engine.Enter(100);
        var output = _host.Engine.Udp.Output;
        var sent = output.TryBegin(Conn, send, 1000, out var frame);
        if (sent)
        {
            // In two pieces, as from two buffers.
            var half = payload.Length / 2;
            var sum = Checksum.CopyAndAdd(payload[..half], new Span<byte>(frame.Payload, half), frame.Sum);
            sum = Checksum.CopyAndAdd(payload[half..], new Span<byte>(frame.Payload + half, payload.Length - half), sum,
                half);
            output.Commit(Conn, frame, sum);
        }
        _host.Engine.Exit(100, 1000);
        return sent;
    }

    public bool TryReceive(out UdpRecord record, out byte[] payload)
    {
        record = default;
        payload = [];
        if (Waiting == 0)
            return false;
        fixed (UdpRecord* to = &record)
            Copy(0, (byte*)to, UdpRecord.Bytes);
        payload = new byte[record.Length];
        fixed (byte* to = payload)
            Copy(UdpRecord.Bytes, to, record.Length);
        PipeOps.Consume(&_host.Local.ConnAt(Conn)->Pipe1, UdpRecord.Room(record.Length));
        return true;
    }

    void Copy(ulong skip, byte* to, ulong length)
    {
        while (length > 0)
        {
            var from = PipeOps.ReadRun(_host.Local, &_host.Local.ConnAt(Conn)->Pipe1, skip, length, out var run);
            Assert.NotEqual(0ul, run);
            NativeMemory.Copy(from, to, (nuint)run);
            to += run;
            skip += run;
            length -= run;
        }
    }

    public void Close()
    {
        _host.Locked(0, engine => engine.Udp.Unbind(Conn, out _));
        _host.Local.FreeConn(Conn);
    }
}
