using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Accel.Wire;

/// <summary>An IPv4 packet (RFC 791). That its checksum is right is asked for apart.</summary>
public readonly ref struct Ipv4View
{
    private readonly ReadOnlySpan<byte> _bytes;

    private Ipv4View(ReadOnlySpan<byte> bytes) => _bytes = bytes;

    /// <summary>A whole packet. What lies behind it (padding of a short frame) is cut off.</summary>
    public static bool TryParse(ReadOnlySpan<byte> bytes, out Ipv4View ip)
    {
        if (TryParseHead(bytes, out ip) && ip.TotalLength <= bytes.Length)
            return true;
        ip = default;
        return false;
    }

    /// <summary>
    /// A packet whose header is all there, but the payload need not be: the first buffer of a long frame, or what an
    /// ICMP error quotes. <see cref="Payload"/> is what there is, <see cref="PayloadLength"/> what was sent.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool TryParseHead(ReadOnlySpan<byte> bytes, out Ipv4View ip)
    {
        ip = default;
        if (bytes.Length < Ipv4Header.Length || bytes[0] >> 4 != 4)
            return false;
        var header = (bytes[0] & 15) * 4;
        var total = Big.U16(bytes, 2);
        if (header < Ipv4Header.Length || header > bytes.Length || total < header)
            return false;
        ip = new(bytes.Length > total ? bytes[..total] : bytes);
        return true;
    }

    public int HeaderLength => (_bytes[0] & 15) * 4;

    /// <summary>DSCP and ECN.</summary>
    public byte Tos => _bytes[1];

    /// <summary>RFC 3168 5: 0 not capable, 1 and 2 capable, 3 congestion experienced.</summary>
    public byte Ecn => (byte)(_bytes[1] & 3);

    /// <summary>Header and payload.</summary>
    public int TotalLength => Big.U16(_bytes, 2);

    public int PayloadLength => TotalLength - HeaderLength;

    public ushort Identification => Big.U16(_bytes, 4);

    public bool DontFragment => (_bytes[6] & 0x40) != 0;

    public bool MoreFragments => (_bytes[6] & 0x20) != 0;

    /// <summary>In bytes.</summary>
    public int FragmentOffset => (Big.U16(_bytes, 6) & 0x1FFF) * 8;

    public bool IsFragment => (Big.U16(_bytes, 6) & 0x3FFF) != 0;

    public byte Ttl => _bytes[8];

    public IpProtocol Protocol => (IpProtocol)_bytes[9];

    public ushort Checksum => Big.U16(_bytes, 10);

    public bool HasRightChecksum => Wire.Checksum.IsRight(Wire.Checksum.Add(_bytes[..HeaderLength], 0));

    /// <summary>Network byte order: as it lies in memory.</summary>
    public uint Source => MemoryMarshal.Read<uint>(SourceBytes);

    public uint Destination => MemoryMarshal.Read<uint>(DestinationBytes);

    public ReadOnlySpan<byte> SourceBytes => _bytes.Slice(12, 4);

    public ReadOnlySpan<byte> DestinationBytes => _bytes.Slice(16, 4);

    public ReadOnlySpan<byte> Options => _bytes[Ipv4Header.Length..HeaderLength];

    /// <summary>Up to the end that the header gives.</summary>
    public ReadOnlySpan<byte> Payload => _bytes[HeaderLength..];

    /// <summary>The pseudo header's sum for a transport with this packet's payload.</summary>
    public uint PseudoSum => Wire.Checksum.PseudoV4(Source, Destination, Protocol, PayloadLength);
}
