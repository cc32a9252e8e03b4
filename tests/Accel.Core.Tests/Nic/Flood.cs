using Accel.Core.Local;
using Accel.Wire;

namespace Accel.Core.Tests.Nic;

/// <summary>Segments from peers that are not there.</summary>
sealed class Flood(ulong seed)
{
    readonly Prng _random = new(Prng.Seed(seed));

    public void Syn(TestNetwork net, int count) => Send(net, count, TcpFlags.Syn);

    public void Ack(TestNetwork net, int count) => Send(net, count, TcpFlags.Ack);

    void Send(TestNetwork net, int count, TcpFlags flags)
    {
        for (var i = 0; i < count; i++)
        {
            var source = new Endpoint { Family = Endpoint.V4, AddressLow = (uint)_random.Next() };
            if ((byte)source.AddressLow is 0 or 127 or >= 224)
                source.AddressLow ^= 0xFFu & ((uint)(byte)source.AddressLow ^ 11);
            source.Port = (ushort)(1 + _random.Below(65535));
            var tcp = new TcpHeader
            {
                Flags = flags,
                Seq = new((uint)_random.Next()),
                Ack = flags == TcpFlags.Ack ? new((uint)_random.Next()) : default,
                Window = 65535,
            };
            net.Server.Link.Inject(Frames.Tcp(net.Server.Name(80), source, tcp, []));
            if (i % 64 == 63)
                net.Server.Turn(net.Now);
        }
        while (net.Server.Link.IsReadable)
            net.Server.Turn(net.Now);
    }
}

/// <summary>Frames as a peer would write them.</summary>
static class Frames
{
    public static byte[] Tcp(Endpoint to, Endpoint from, TcpHeader tcp, ReadOnlySpan<byte> payload, byte host = 2)
    {
        tcp.SourcePort = from.Port;
        tcp.DestinationPort = to.Port;
        var length = tcp.Length + payload.Length;
        var v6 = to.Family == Endpoint.V6;
        var ip = v6 ? 40 : 20;
        var frame = new byte[14 + ip + length];
        new EthernetHeader
        {
            Destination = MemoryLink.Mac(host), Source = MemoryLink.Mac(99),
            EtherType = v6 ? EtherType.Ipv6 : EtherType.Ipv4,
        }.WriteTo(frame);
        uint pseudo;
        if (v6)
        {
            var header = new Ipv6Header
            {
                PayloadLength = length, NextHeader = IpProtocol.Tcp, HopLimit = 64,
                Source = new(from.AddressLow, from.AddressHigh), Destination = new(to.AddressLow, to.AddressHigh),
            };
            header.WriteTo(frame.AsSpan(14));
            pseudo = Checksum.PseudoV6(header.Source, header.Destination, IpProtocol.Tcp, length);
        }
        else
        {
            var header = new Ipv4Header
            {
                PayloadLength = length, Protocol = IpProtocol.Tcp, Ttl = 64, DontFragment = true,
                Source = (uint)from.AddressLow, Destination = (uint)to.AddressLow,
            };
            header.WriteTo(frame.AsSpan(14));
            pseudo = Checksum.PseudoV4(header.Source, header.Destination, IpProtocol.Tcp, length);
        }
        var segment = frame.AsSpan(14 + ip);
        tcp.WriteTo(segment);
        payload.CopyTo(segment[tcp.Length..]);
        TcpHeader.SetChecksum(segment, Checksum.Fold(Checksum.Add(segment, pseudo)));
        return frame;
    }

    /// <summary>Makes the checksums of a TCP frame right again.</summary>
    public static void Mend(byte[] frame)
    {
        if (frame.Length < 54 || frame[12] != 8 || frame[13] != 0)
            return;
        var header = (frame[14] & 15) * 4;
        if (header < 20 || 14 + header + 20 > frame.Length)
            return;
        frame[24] = frame[25] = 0;
        var sum = Checksum.Fold(Checksum.Add(frame.AsSpan(14, header), 0));
        frame[24] = (byte)(sum >> 8);
        frame[25] = (byte)sum;
        if (!Ipv4View.TryParse(frame.AsSpan(14), out var ip) || ip.PayloadLength < 20)
            return;
        var segment = frame.AsSpan(14 + header, ip.PayloadLength);
        TcpHeader.SetChecksum(segment, 0);
        TcpHeader.SetChecksum(segment, Checksum.Fold(Checksum.Add(segment, ip.PseudoSum)));
    }
}
