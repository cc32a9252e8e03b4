using System.Reflection;
using System.Runtime.InteropServices;

namespace Accel.Wire.Tests;

/// <summary>
/// For each parser of the room a method of its name that parses bytes, reads everything there is to read, and returns a
/// digest of it.
/// </summary>
static class FuzzTargets
{
    public delegate ulong Target(ReadOnlySpan<byte> bytes);

    public static readonly IReadOnlyDictionary<string, Target> All = typeof(FuzzTargets)
        .GetMethods(BindingFlags.Public | BindingFlags.Static)
        .ToDictionary(m => m.Name, m => m.CreateDelegate<Target>());

    public static ulong EthernetView(ReadOnlySpan<byte> bytes)
    {
        var digest = new Digest(bytes);
        if (!Wire.EthernetView.TryParse(bytes, out var view))
            return 0;
        digest.Add(view.Destination.GetHashCode());
        digest.Add(view.Source.GetHashCode());
        digest.Add((int)view.EtherType);
        digest.Add(view.Payload);
        return digest.Value;
    }

    public static ulong VlanView(ReadOnlySpan<byte> bytes)
    {
        var digest = new Digest(bytes);
        if (!Wire.VlanView.TryParse(bytes, out var view))
            return 0;
        Assert.InRange(view.Id, 0, 4095);
        Assert.InRange(view.Priority, 0, 7);
        digest.Add(view.Id << 4 | view.Priority << 1 | (view.DropEligible ? 1 : 0));
        digest.Add((int)view.EtherType);
        digest.Add(view.Payload);
        return digest.Value;
    }

    public static ulong ArpView(ReadOnlySpan<byte> bytes)
    {
        var digest = new Digest(bytes);
        if (!Wire.ArpView.TryParse(bytes, out var view))
            return 0;
        digest.Add(view.Operation);
        digest.Add(view.SenderHardware.GetHashCode());
        digest.Add(view.TargetHardware.GetHashCode());
        digest.Add(view.SenderAddress);
        digest.Add(view.TargetAddress);
        return digest.Value;
    }

    public static ulong Ipv4View(ReadOnlySpan<byte> bytes)
    {
        var digest = new Digest(bytes);
        if (!Wire.Ipv4View.TryParseHead(bytes, out var view))
            return 0;
        Assert.True(view.Payload.Length <= view.PayloadLength);
        Assert.Equal(view.TotalLength, view.HeaderLength + view.PayloadLength);
        Assert.Equal(view.TotalLength <= bytes.Length, Wire.Ipv4View.TryParse(bytes, out _));
        digest.Add(view.Tos << 8 | view.Ecn);
        digest.Add(view.Identification);
        digest.Add((view.DontFragment ? 1 : 0) | (view.MoreFragments ? 2 : 0) | (view.IsFragment ? 4 : 0));
        digest.Add(view.FragmentOffset);
        digest.Add(view.Ttl << 8 | (int)view.Protocol);
        digest.Add(view.Checksum);
        digest.Add(view.HasRightChecksum ? 1 : 0);
        digest.Add((int)view.Source);
        digest.Add((int)view.Destination);
        digest.Add((int)view.PseudoSum);
        digest.Add(view.SourceBytes);
        digest.Add(view.DestinationBytes);
        digest.Add(view.Options);
        digest.Add(view.Payload);
        return digest.Value;
    }

    public static ulong Ipv6View(ReadOnlySpan<byte> bytes)
    {
        var digest = new Digest(bytes);
        if (!Wire.Ipv6View.TryParseHead(bytes, out var view))
            return 0;
        Assert.True(view.Payload.Length <= view.PayloadLength);
        Assert.Equal(40 + view.PayloadLength <= bytes.Length, Wire.Ipv6View.TryParse(bytes, out _));
        digest.Add(view.TrafficClass << 8 | view.Ecn);
        digest.Add((int)view.FlowLabel);
        digest.Add((int)view.NextHeader << 8 | view.HopLimit);
        digest.Add(view.Source);
        digest.Add(view.Destination);
        digest.Add(view.Payload);
        if (!view.TryFindUpper(out var protocol, out var offset, out var fragment))
            return digest.Value;
        Assert.InRange(offset, 0, view.Payload.Length);
        digest.Add(offset << 8 | (int)protocol);
        digest.Add(fragment ? 1 : 0);
        digest.Add((int)view.PseudoSum(protocol, view.PayloadLength - offset));
        return digest.Value;
    }

    public static ulong IcmpView(ReadOnlySpan<byte> bytes)
    {
        var digest = new Digest(bytes);
        if (!Wire.IcmpView.TryParse(bytes, out var view))
            return 0;
        digest.Add(view.Type << 8 | view.Code);
        digest.Add(view.Checksum);
        digest.Add(view.HasRightChecksum ? 1 : 0);
        digest.Add(view.Identifier << 16 | view.Sequence);
        digest.Add(view.NextHopMtu);
        digest.Add(view.Body);
        if (view.TryGetQuote(out var quote))
            Assert.True(view.IsError && !quote.IsIpv6 && quote.Source.Length == 4);
        return digest.Value;
    }

    public static ulong Icmpv6View(ReadOnlySpan<byte> bytes)
    {
        var digest = new Digest(bytes);
        if (!Wire.Icmpv6View.TryParse(bytes, out var view))
            return 0;
        digest.Add(view.Type << 8 | view.Code);
        digest.Add(view.Checksum);
        digest.Add(view.Bytes);
        digest.Add(view.Identifier << 16 | view.Sequence);
        digest.Add((int)view.Mtu);
        digest.Add(view.Body);
        if (view.TryGetQuote(out var quote))
            Assert.True(view.IsError && quote.IsIpv6 && quote.Source.Length == 16);
        if (view.TryGetTarget(out var target))
            digest.Add(target);
        return digest.Value;
    }

    public static ulong QuoteView(ReadOnlySpan<byte> bytes)
    {
        var digest = new Digest(bytes);
        if (!Wire.QuoteView.TryParse(bytes, out var view))
            return 0;
        digest.Add((int)view.Protocol);
        Assert.Equal(view.IsIpv6 ? 16 : 4, view.Source.Length);
        digest.Add(view.Source);
        digest.Add(view.Destination);
        digest.Add(view.SourcePort << 16 | view.DestinationPort);
        digest.Add((int)view.Seq.Value);
        return digest.Value;
    }

    public static ulong UdpView(ReadOnlySpan<byte> bytes)
    {
        var digest = new Digest(bytes);
        if (!Wire.UdpView.TryParseHead(bytes, out var view))
            return 0;
        Assert.Equal(view.Length <= bytes.Length, Wire.UdpView.TryParse(bytes, out _));
        Assert.Equal(Math.Min(view.Length, bytes.Length) - 8, view.Payload.Length);
        digest.Add(view.SourcePort << 16 | view.DestinationPort);
        digest.Add(view.Checksum);
        digest.Add(view.Payload);
        return digest.Value;
    }

    public static ulong TcpView(ReadOnlySpan<byte> bytes)
    {
        var digest = new Digest(bytes);
        if (!Wire.TcpView.TryParse(bytes, out var view))
            return 0;
        Assert.Equal(bytes.Length, view.HeaderLength + view.Payload.Length);
        Assert.Equal(view.HeaderLength, 20 + view.OptionBytes.Length);
        digest.Add(view.SourcePort << 16 | view.DestinationPort);
        digest.Add((int)view.Seq.Value);
        digest.Add((int)view.Ack.Value);
        digest.Add((int)view.Flags);
        digest.Add(view.Window << 16 | view.Urgent);
        digest.Add(view.Checksum);
        digest.Add(view.OptionBytes);
        digest.Add(view.Payload);
        return digest.Value ^ TcpOptions(view.OptionBytes);
    }

    /// <summary>Whatever was read can be written, and reads the same again.</summary>
    public static ulong TcpOptions(ReadOnlySpan<byte> bytes)
    {
        var digest = new Digest(bytes);
        digest.Add(Wire.TcpOptions.TryParse(bytes, out var options) ? 1 : 0);
        Assert.InRange(options.WindowScale, 0, Wire.TcpOptions.MaxWindowScale);
        Assert.InRange(options.SackCount, 0, SackBlocks.Length);
        Assert.InRange(options.SacksThatFit, 0, options.SackCount);
        Assert.Equal(options.Has(TcpOptionKinds.Sack), options.SackCount > 0);
        Assert.Equal(options.Has(TcpOptionKinds.Mss), options.Mss != 0);
        digest.Add(MemoryMarshal.AsBytes(new ReadOnlySpan<TcpOptions>(in options)), inside: false);
        Span<byte> written = stackalloc byte[Wire.TcpOptions.MaxLength];
        var length = options.WriteTo(written);
        Assert.Equal((options.Length, 0), (length, length % 4));
        Assert.True(Wire.TcpOptions.TryParse(written[..length], out var again));
        options.SackCount = (byte)options.SacksThatFit;
        WireAssert.Same(options, again);
        return digest.Value;
    }

    public static ulong PacketText(ReadOnlySpan<byte> bytes)
    {
        var digest = new Digest(bytes);
        var text = Wire.PacketText.Frame(bytes);
        Assert.False(string.IsNullOrEmpty(text));
        Assert.DoesNotContain('\n', text);
        digest.Add(string.GetHashCode(text, StringComparison.Ordinal));
        digest.Add(string.GetHashCode(Wire.PacketText.Packet(bytes), StringComparison.Ordinal));
        return digest.Value;
    }

    /// <summary>FNV over what a parser gave. A span that a parser gave lies in what the parser got.</summary>
    ref struct Digest(ReadOnlySpan<byte> input)
    {
        readonly ReadOnlySpan<byte> _input = input;

        public ulong Value { get; private set; } = 14695981039346656037;

        public void Add(int value) => Value = (Value ^ (uint)value) * 1099511628211;

        public void Add(scoped ReadOnlySpan<byte> bytes, bool inside = true)
        {
            if (inside && bytes.Length > 0)
            {
                Assert.True(_input.Overlaps(bytes, out var offset));
                Assert.InRange(offset, 0, _input.Length - bytes.Length);
            }
            Add(bytes.Length);
            foreach (var value in bytes)
                Add(value);
        }
    }
}
