using System.Buffers.Binary;
using Accel.Core.Tests;

namespace Accel.Wire.Tests;

/// <summary>Checksums against the sentence of RFC 1071 that defines them, taken literally.</summary>
public class ChecksumTests
{
    /// <summary>RFC 1071: the 16-bit one's complement of the one's complement sum of all 16-bit words.</summary>
    static ushort Literally(ReadOnlySpan<byte> bytes)
    {
        uint sum = 0;
        for (var i = 0; i < bytes.Length; i += 2)
        {
            sum += (uint)(bytes[i] << 8 | (i + 1 < bytes.Length ? bytes[i + 1] : 0));
            if (sum > 0xFFFF)
                sum -= 0xFFFF;
        }
        return (ushort)~sum;
    }

    static byte[] Bytes(int count, Prng random, int kind = 0)
    {
        var bytes = new byte[count];
        for (var i = 0; i < count; i++)
            bytes[i] = kind switch { 1 => 0xFF, 2 => 0, _ => (byte)random.Next() };
        return bytes;
    }

    [Fact]
    public void The_example_of_RFC_1071_3()
    {
        byte[] words = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        Assert.Equal(unchecked((ushort)~0xddf2), Checksum.Fold(Checksum.Add(words, 0)));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(16)]
    [InlineData(32)]
    public void Every_width_length_and_alignment_sums_alike(int width)
    {
        var random = new Prng(Prng.Seed(1));
        for (var kind = 0; kind < 3; kind++)
        {
            var bytes = Bytes(400, random, kind);
            for (var start = 0; start < 33; start++)
            {
                for (var length = 0; length <= 300; length++)
                {
                    var run = bytes.AsSpan(start, length);
                    ref var first = ref bytes[start];
                    var sum = Checksum.Run(ref first, ref first, length, 0, copy: false, width);
                    if (Checksum.Fold(sum) != Literally(run))
                        Assert.Fail($"width {width}, start {start}, length {length}, kind {kind}");
                }
            }
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(16)]
    [InlineData(32)]
    public void Every_width_copies_what_it_sums_and_nothing_else(int width)
    {
        var random = new Prng(Prng.Seed(2));
        var from = Bytes(400, random);
        var to = new byte[400];
        for (var start = 0; start < 33; start++)
        {
            for (var length = 0; length <= 200; length++)
            {
                var target = (start * 7 + length) % 33 + 1;
                to.AsSpan().Fill(0xA5);
                var sum = Checksum.Run(ref from[start], ref to[target], length, 0, copy: true, width);
                if (Checksum.Fold(sum) != Literally(from.AsSpan(start, length))
                    || !to.AsSpan(target, length).SequenceEqual(from.AsSpan(start, length))
                    || to.AsSpan(0, target).ContainsAnyExcept((byte)0xA5)
                    || to.AsSpan(target + length).ContainsAnyExcept((byte)0xA5))
                    Assert.Fail($"width {width}, start {start}, target {target}, length {length}");
            }
        }
    }

    [Fact]
    public void A_sum_in_pieces_is_the_sum_of_the_whole_wherever_it_is_cut()
    {
        var random = new Prng(Prng.Seed(3));
        for (var round = 0; round < 20_000; round++)
        {
            var bytes = Bytes(random.Below(300), random, random.OneIn(10) ? 1 : 0);
            var to = new byte[bytes.Length];
            uint added = 0, copied = 0, joined = 0;
            for (var at = 0; at < bytes.Length;)
            {
                var length = 1 + random.Below(bytes.Length - at);
                var piece = bytes.AsSpan(at, length);
                added = Checksum.Add(piece, added, at);
                copied = Checksum.CopyAndAdd(piece, to.AsSpan(at), copied, at);
                joined = Checksum.Join(joined, at, Checksum.Add(piece, 0));
                at += length;
            }
            Assert.Equal(bytes, to);
            Assert.Equal((Literally(bytes), Literally(bytes), Literally(bytes)),
                (Checksum.Fold(added), Checksum.Fold(copied), Checksum.Fold(joined)));
        }
    }

    [Fact]
    public void The_longest_super_frame_of_all_ones_does_not_overflow()
    {
        var bytes = Bytes(1 << 22, new Prng(0), kind: 1);
        uint sum = uint.MaxValue;
        for (var i = 0; i < 4; i++)
            sum = Checksum.Add(bytes, sum);
        Assert.Equal(0, Checksum.Fold(sum));
    }

    [Fact]
    public void A_target_that_is_too_short_is_filled_and_not_run_over()
    {
        var from = Bytes(200, new Prng(1));
        var to = new byte[201];
        var sum = Checksum.CopyAndAdd(from, to.AsSpan(0, 131), 0);
        Assert.Equal(Literally(from.AsSpan(0, 131)), Checksum.Fold(sum));
        Assert.Equal(0, to[131]);
    }

    [Fact]
    public void Nothing_is_read_or_written_beyond_either_end()
    {
        using var from = new GuardedPage();
        using var to = new GuardedPage();
        for (var length = 0; length <= 200; length++)
        {
            Checksum.CopyAndAdd(from.AtEnd(length), to.AtEnd(length), 0);
            Checksum.CopyAndAdd(from.AtStart(length), to.AtStart(length), 0, at: 1);
            Checksum.Add(from.AtEnd(length), 0);
            Checksum.Add(from.AtStart(length), 0);
        }
    }

    [Fact]
    public void A_checksum_follows_any_change_of_a_field()
    {
        var random = new Prng(Prng.Seed(4));
        for (var round = 0; round < 20_000; round++)
        {
            // The bytes in front are never all zero, as in any header: +0 and -0 are the same sum then.
            var bytes = Bytes(2 + 2 * random.Below(20) + 4, random, random.OneIn(4) ? 1 : 0);
            bytes[0] = 0x45;
            var checksum = Literally(bytes);
            var field = bytes.AsSpan(bytes.Length - 4);
            var was = BinaryPrimitives.ReadUInt32BigEndian(field);
            var now = random.Below(4) switch { 0 => 0u, 1 => uint.MaxValue, _ => (uint)random.Next() };
            BinaryPrimitives.WriteUInt32BigEndian(field, now);
            Assert.Equal(Literally(bytes), Checksum.Update(checksum, was, now));
            BinaryPrimitives.WriteUInt16BigEndian(field, 0x1234);
            Assert.Equal(Literally(bytes), Checksum.Update(Checksum.Update(checksum, was, now),
                (ushort)(now >> 16), 0x1234));
        }
    }

    [Fact]
    public void The_example_of_RFC_1624_4() =>
        Assert.Equal(0x0000, Checksum.Update(0xDD2F, was: (ushort)0x5555, now: 0x3285));

    [Fact]
    public void Pseudo_headers_are_the_bytes_that_the_RFCs_draw()
    {
        var random = new Prng(Prng.Seed(5));
        for (var round = 0; round < 1000; round++)
        {
            var protocol = random.OneIn(2) ? IpProtocol.Tcp : IpProtocol.Udp;
            var length = random.Below(65536);
            var addresses = Bytes(32, random);
            byte[] v4 = [.. addresses[..8], 0, (byte)protocol, (byte)(length >> 8), (byte)length];
            var sum = Checksum.PseudoV4(BitConverter.ToUInt32(v4, 0), BitConverter.ToUInt32(v4, 4), protocol, length);
            Assert.Equal(Literally(v4), Checksum.Fold(sum));
            byte[] v6 = [.. addresses, 0, 0, (byte)(length >> 8), (byte)length, 0, 0, 0, (byte)protocol];
            var source = addresses.AsSpan(0, 16);
            var target = addresses.AsSpan(16);
            Assert.Equal(Literally(v6), Checksum.Fold(Checksum.PseudoV6(source, target, protocol, length)));
            Assert.Equal(Literally(v6), Checksum.Fold(
                Checksum.PseudoV6(Ipv6Address.Read(source), Ipv6Address.Read(target), protocol, length)));
        }
    }

    [Fact]
    public void What_a_device_is_to_finish_is_the_sum_and_not_its_complement()
    {
        var sum = Checksum.PseudoV4(0x0100000A, 0x0200000A, IpProtocol.Tcp, 20);
        Assert.Equal(0x0A00 + 1 + 0x0A00 + 2 + 6 + 20, Checksum.Partial(sum));
        Assert.Equal((ushort)~Checksum.Partial(sum), Checksum.Fold(sum));
        Assert.Equal(Checksum.Fold(Checksum.AddWord(sum, 0x1234)), (ushort)~(Checksum.Partial(sum) + 0x1234));
    }

    [Fact]
    public void A_UDP_checksum_is_never_zero()
    {
        var sum = Checksum.AddWord(0, 0xFFFF);
        Assert.Equal(0, Checksum.Fold(sum));
        Assert.Equal(0xFFFF, Checksum.FoldUdp(sum));
        Assert.Equal(0xFFFE, Checksum.FoldUdp(Checksum.AddWord(0, 1)));
    }

    [Fact]
    public void One_flipped_bit_is_always_found()
    {
        var random = new Prng(Prng.Seed(6));
        var bytes = Bytes(1500, random);
        BinaryPrimitives.WriteUInt16BigEndian(bytes, 0);
        BinaryPrimitives.WriteUInt16BigEndian(bytes, Checksum.Fold(Checksum.Add(bytes, 0)));
        Assert.True(Checksum.IsRight(Checksum.Add(bytes, 0)));
        for (var bit = 0; bit < bytes.Length * 8; bit++)
        {
            bytes[bit / 8] ^= (byte)(1 << bit % 8);
            Assert.False(Checksum.IsRight(Checksum.Add(bytes, 0)));
            bytes[bit / 8] ^= (byte)(1 << bit % 8);
        }
    }
}
