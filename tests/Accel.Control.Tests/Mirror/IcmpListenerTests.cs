using System.Buffers.Binary;
using System.Net;
using Accel.Control.Mirror;
using Accel.Core.Nic;
using Accel.Wire;

namespace Accel.Control.Tests.Mirror;

/// <summary>What is read in an ICMP error. Its bytes come from anywhere.</summary>
public class IcmpListenerTests
{
    /// <summary>An ICMP error in IPv4 that quotes the start of a segment from 10.0.0.1:5000 to 10.9.0.2:80.</summary>
    static byte[] Error4(byte type, byte code, ushort mtu, byte protocol = 6, int quoted = 28)
    {
        var quote = new byte[28];
        quote[0] = 0x45;
        BinaryPrimitives.WriteUInt16BigEndian(quote.AsSpan(2), 1500);
        (quote[8], quote[9]) = (60, protocol);
        IPAddress.Parse("10.0.0.1").GetAddressBytes().CopyTo(quote, 12);
        IPAddress.Parse("10.9.0.2").GetAddressBytes().CopyTo(quote, 16);
        Ports(quote.AsSpan(20));
        var icmp = new byte[8 + quoted];
        (icmp[0], icmp[1]) = (type, code);
        BinaryPrimitives.WriteUInt16BigEndian(icmp.AsSpan(6), mtu);
        quote.AsSpan(0, quoted).CopyTo(icmp.AsSpan(8));
        BinaryPrimitives.WriteUInt16BigEndian(icmp.AsSpan(2), Checksum.Fold(Checksum.Add(icmp, 0)));
        var packet = new byte[20 + icmp.Length];
        packet[0] = 0x45;
        BinaryPrimitives.WriteUInt16BigEndian(packet.AsSpan(2), (ushort)packet.Length);
        (packet[8], packet[9]) = (60, 1);
        IPAddress.Parse("192.0.2.9").GetAddressBytes().CopyTo(packet, 12);
        IPAddress.Parse("10.0.0.1").GetAddressBytes().CopyTo(packet, 16);
        BinaryPrimitives.WriteUInt16BigEndian(packet.AsSpan(10), Checksum.Fold(Checksum.Add(packet.AsSpan(0, 20), 0)));
        icmp.CopyTo(packet, 20);
        return packet;
    }

    static byte[] Error6(byte type, byte code, uint word, string local, string remote)
    {
        var icmp = new byte[8 + 48];
        (icmp[0], icmp[1]) = (type, code);
        BinaryPrimitives.WriteUInt32BigEndian(icmp.AsSpan(4), word);
        icmp[8] = 0x60;
        BinaryPrimitives.WriteUInt16BigEndian(icmp.AsSpan(12), 1000);
        (icmp[14], icmp[15]) = (6, 60);
        IPAddress.Parse(local).GetAddressBytes().CopyTo(icmp, 16);
        IPAddress.Parse(remote).GetAddressBytes().CopyTo(icmp, 32);
        Ports(icmp.AsSpan(48));
        return icmp;
    }

    static void Ports(Span<byte> transport)
    {
        BinaryPrimitives.WriteUInt16BigEndian(transport, 5000);
        BinaryPrimitives.WriteUInt16BigEndian(transport[2..], 80);
        BinaryPrimitives.WriteUInt32BigEndian(transport[4..], 0x89ABCDEF);
    }

    [Fact]
    public void Ipv4_fragmentation_needed_for_a_segment()
    {
        Assert.True(IcmpListener.TryReadV4(Error4(3, 4, 1400), out var report));
        Assert.Equal((Transport.Tcp, (byte)3, (byte)4, 1400u, 0x89ABCDEFu),
            (report.Transport, report.Type, report.Code, report.Mtu, report.Seq));
        Assert.Equal(("10.0.0.1", 5000, "10.9.0.2", 80),
            (Kernel.Text(report.Local), report.Local.Port, Kernel.Text(report.Remote), report.Remote.Port));
    }

    [Fact]
    public void Only_the_error_that_has_one_brings_an_mtu()
    {
        Assert.True(IcmpListener.TryReadV4(Error4(3, 1, 1400), out var report));
        Assert.Equal(0u, report.Mtu);
        Assert.True(IcmpListener.TryReadV4(Error4(11, 0, 1400, protocol: 17), out report));
        Assert.Equal((Transport.Udp, 0u, 0u), (report.Transport, report.Mtu, report.Seq));
        Assert.True(IcmpListener.TryReadV6(Error6(1, 3, 1400, "2001:db8::1", "2001:db8::2"), 0, out report));
        Assert.Equal(0u, report.Mtu);
    }

    [Fact]
    public void Ipv6_packet_too_big_and_scopes()
    {
        Assert.True(IcmpListener.TryReadV6(Error6(2, 0, 1300, "2001:db8::1", "fe80::2"), 7, out var report));
        Assert.Equal((1300u, 0x89ABCDEFu, 0u, 7u),
            (report.Mtu, report.Seq, report.Local.ScopeId, report.Remote.ScopeId));
        Assert.Equal(("2001:db8::1", "fe80::2"), (Kernel.Text(report.Local), Kernel.Text(report.Remote)));
    }

    [Theory]
    [InlineData(8, 0)]
    [InlineData(0, 0)]
    [InlineData(5, 1)]
    [InlineData(4, 0)]
    public void What_is_no_error_is_passed_over(byte type, byte code) =>
        Assert.False(IcmpListener.TryReadV4(Error4(type, code, 0), out _));

    [Fact]
    public void Broken_ones_are_passed_over()
    {
        var wrong = Error4(3, 4, 1400);
        wrong[26] ^= 1;
        Assert.False(IcmpListener.TryReadV4(wrong, out _), "checksum");
        Assert.False(IcmpListener.TryReadV4(Error4(3, 4, 1400, protocol: 1), out _), "about ICMP");
        Assert.False(IcmpListener.TryReadV4(Error4(3, 4, 1400, quoted: 27), out _), "too short a quote");
        var whole = Error4(3, 4, 1400);
        for (var length = 0; length < whole.Length; length++)
            Assert.False(IcmpListener.TryReadV4(whole.AsSpan(0, length), out _));
        var whole6 = Error6(2, 0, 1300, "2001:db8::1", "2001:db8::2");
        for (var length = 0; length < whole6.Length; length++)
            Assert.False(IcmpListener.TryReadV6(whole6.AsSpan(0, length), 0, out _));
    }

    [Fact]
    public void Noise_does_no_harm()
    {
        var random = new Random(71);
        var bytes = new byte[200];
        for (var i = 0; i < 200_000; i++)
        {
            random.NextBytes(bytes);
            var packet = random.Next(2) == 0 ? bytes : Error4(3, 4, 1400);
            if (packet != bytes)
                packet[random.Next(packet.Length)] ^= (byte)(1 << random.Next(8));
            IcmpListener.TryReadV4(packet.AsSpan(0, random.Next(packet.Length + 1)), out _);
            IcmpListener.TryReadV6(packet.AsSpan(0, random.Next(packet.Length + 1)), 0, out _);
        }
    }
}
