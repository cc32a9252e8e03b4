using Accel.Cli.Capture;
using Accel.Core.Capture;
using Accel.Core.Local;
using Accel.Wire;

namespace Accel.Cli.Tests;

/// <summary>Local connections become the packets that they would have been, each byte once.</summary>
public class LocalFlowTests
{
    private static CaptureRecord Record(CaptureKind kind, int side, ulong offset = 0, int bytes = 0, bool v6 = false) =>
        new()
        {
            Kind = kind, Side = (byte)side, Offset = offset, Bytes = (uint)bytes, Captured = (uint)bytes, WallNs = 5,
            Region = 1, Conn = 2, Generation = 3,
            Client = Endpoint.Loopback(v6 ? Endpoint.V6 : Endpoint.V4, 40000),
            Server = Endpoint.Loopback(v6 ? Endpoint.V6 : Endpoint.V4, 80),
        };

    private static byte[] Bytes(int count, int first = 0) => [.. Enumerable.Range(first, count).Select(i => (byte)i)];

    private sealed record Segment(uint Seq, uint Ack, TcpFlags Flags, byte[] Payload, ushort From);

    /// <summary>Checks lengths and checksums on the way.</summary>
    private static Segment Parse(Packet packet)
    {
        ReadOnlySpan<byte> frame = packet.Bytes.Span;
        Assert.True(EthernetView.TryParse(frame, out EthernetView ethernet));
        ReadOnlySpan<byte> transport;
        uint pseudo;
        if (ethernet.EtherType == EtherType.Ipv4)
        {
            Assert.True(Ipv4View.TryParse(ethernet.Payload, out Ipv4View ip) && ip.HasRightChecksum);
            transport = ip.Payload;
            pseudo = ip.PseudoSum;
        }
        else
        {
            Assert.True(Ipv6View.TryParse(ethernet.Payload, out Ipv6View ip));
            transport = ip.Payload;
            pseudo = ip.PseudoSum(IpProtocol.Tcp, transport.Length);
        }
        Assert.True(Checksum.IsRight(Checksum.Add(transport, pseudo)));
        Assert.True(TcpView.TryParse(transport, out TcpView tcp));
        return new(tcp.Seq.Value, tcp.Ack.Value, tcp.Flags, tcp.Payload.ToArray(), tcp.SourcePort);
    }

    private static List<Segment> Run(params (CaptureRecord Record, byte[] Bytes)[] records)
    {
        LocalFlow flow = new(in records[0].Record);
        var packets = new List<Packet>();
        foreach ((CaptureRecord record, byte[] bytes) in records) flow.Add(in record, bytes, packets);
        return [.. packets.Select(Parse)];
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void AConnectionHasItsHandshakeItsBytesAndItsEnd(bool v6)
    {
        List<Segment> all = Run((Record(CaptureKind.Open, 0, v6: v6), []),
            (Record(CaptureKind.Data, 0, 0, 10, v6), Bytes(10)), (Record(CaptureKind.Data, 1, 0, 4, v6), Bytes(4, 50)),
            (Record(CaptureKind.Fin, 0, 10, v6: v6), []), (Record(CaptureKind.Fin, 1, 4, v6: v6), []));
        uint client = all[0].Seq, server = all[1].Seq;
        Assert.Equal(
        [
            (TcpFlags.Syn, 0u, 0u), (TcpFlags.Syn | TcpFlags.Ack, 0, 1), (TcpFlags.Ack, 1, 1),
            (TcpFlags.Psh | TcpFlags.Ack, 1, 1), (TcpFlags.Psh | TcpFlags.Ack, 1, 11),
            (TcpFlags.Fin | TcpFlags.Ack, 11, 5), (TcpFlags.Fin | TcpFlags.Ack, 5, 12), (TcpFlags.Ack, 12, 6),
        ], all.Select(s => (s.Flags, s.Seq - (s.From == 80 ? server : client),
            s.Ack == 0 ? 0 : s.Ack - (s.From == 80 ? client : server))));
        Assert.Equal(Bytes(10), all[3].Payload);
        Assert.Equal(Bytes(4, 50), all[4].Payload);
    }

    [Fact]
    public void WhatTheOtherEndTellsTooIsWrittenOnce()
    {
        List<Segment> all = Run((Record(CaptureKind.Open, 0), []), (Record(CaptureKind.Open, 1), []),
            (Record(CaptureKind.Data, 0, 0, 10), Bytes(10)), (Record(CaptureKind.Data, 0, 0, 6), Bytes(6)),
            (Record(CaptureKind.Data, 0, 6, 8), Bytes(8, 6)), (Record(CaptureKind.Fin, 0, 14), []),
            (Record(CaptureKind.Fin, 0, 14), []), (Record(CaptureKind.Reset, 1, 0), []),
            (Record(CaptureKind.Reset, 1, 0), []), (Record(CaptureKind.Data, 0, 14, 3), Bytes(3)));
        Assert.Equal(3 + 2 + 1 + 1, all.Count);
        Assert.Equal(Bytes(14), all.SelectMany(s => s.Payload));
        Assert.Equal(TcpFlags.Rst | TcpFlags.Ack, all[^1].Flags);
    }

    [Fact]
    public void ACaptureThatBeginsLateGoesOnFromThere()
    {
        List<Segment> all = Run((Record(CaptureKind.Data, 0, 5000, 3), Bytes(3)),
            (Record(CaptureKind.Data, 0, 5003, 2), Bytes(2)), (Record(CaptureKind.Data, 0, 6000, 1), Bytes(1)));
        Assert.Equal(3u, all[1].Seq - all[0].Seq);
        Assert.Equal(1000u, all[2].Seq - all[0].Seq); // a gap: the reader of the file sees that something is missing
    }

    [Fact]
    public void MoreThanAPacketHoldsIsCutUp()
    {
        const int Count = 150_000;
        CaptureRecord record = Record(CaptureKind.Data, 1, 0, Count);
        List<Segment> all = Run((record, Bytes(Count)));
        Assert.Equal(3, all.Count);
        Assert.Equal(Bytes(Count), all.SelectMany(s => s.Payload));
        Assert.Equal(TcpFlags.Ack, all[0].Flags);
        Assert.Equal(TcpFlags.Ack | TcpFlags.Psh, all[^1].Flags);
    }

    [Fact]
    public void AFilterOfTcpdumpsChoosesPacketsAndSaysWhatIsWrongWithIt()
    {
        LocalFlow flow = new(Record(CaptureKind.Open, 0));
        var packets = new List<Packet>();
        flow.Add(Record(CaptureKind.Open, 0), [], packets);
        using PacketFilter syn = PacketFilter.Compile("tcp dst port 80 and tcp[tcpflags] & tcp-syn != 0", out _)!;
        Assert.Equal([true, false, false], packets.Select(p => syn.Matches(in p)));
        Assert.Null(PacketFilter.Compile("tcp port", out string? error));
        Assert.Contains("syntax", error, StringComparison.Ordinal);
    }
}
