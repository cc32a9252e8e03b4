using Accel.Core.Capture;
using Accel.Core.Local;
using Accel.Wire;

namespace Accel.Cli.Capture;

/// <summary>
/// A local connection as the packets that it would have been: TCP segments over Ethernet, with the numbers of RFC 9293.
/// Byte n of a direction's stream has the sequence number ISN + 1 + n, wherever the capture began. Both ends may tell
/// of the same bytes; what was written once is not written again.
/// </summary>
internal sealed class LocalFlow
{
    /// <summary>The payload of the largest IP packet.</summary>
    public const int SegmentMax = 65535 - Ipv6Header.Length - TcpHeader.MinLength;

    private const int HeadersMax = EthernetHeader.Length + Ipv6Header.Length + TcpHeader.MaxLength;

    /// <summary>Nothing is ever held back by a window here: as wide as it can be said.</summary>
    private const byte WindowScale = 14;

    private readonly Endpoint[] _names;
    private readonly uint[] _isn;
    private readonly ulong[] _next = new ulong[2];
    private readonly bool[] _isKnown = new bool[2];
    private readonly bool[] _hasFin = new bool[2];
    private readonly string?[] _owners = new string?[2];
    private bool _isOpened;
    private bool _isReset;
    private ushort _identification;

    public LocalFlow(in CaptureRecord record)
    {
        Endpoint client = record.Client.Unmapped(), server = record.Server.Unmapped();
        if (client.Family != server.Family) (client, server) = (client.Mapped(), server.Mapped());
        _names = [client, server];
        int seed = HashCode.Combine(record.Region, record.Conn, record.Generation);
        _isn = [(uint)seed, (uint)HashCode.Combine(seed, 1)];
    }

    /// <summary>When nothing more can come but what the other end's ring still holds.</summary>
    public bool HasEnded => _isReset || (_hasFin[0] && _hasFin[1]);

    public long LastNs { get; private set; }

    public bool IsNamed(int side) => _owners[side] is not null;

    /// <summary>A process is known to have this end.</summary>
    public void Name(int side, string owner) => _owners[side] = owner;

    /// <summary>The packets that a record stands for: none if they were written before.</summary>
    public void Add(in CaptureRecord record, ReadOnlySpan<byte> bytes, List<Packet> packets)
    {
        LastNs = record.WallNs;
        int side = record.Side & 1;
        switch (record.Kind)
        {
            case CaptureKind.Open when !_isOpened && !_isKnown[0] && !_isKnown[1]:
                Open(record.WallNs, packets);
                break;
            case CaptureKind.Data when !_isReset:
                Data(in record, side, bytes, packets);
                break;
            case CaptureKind.Fin when !_hasFin[side] && !_isReset:
                Place(side, record.Offset);
                packets.Add(Segment(record.WallNs, side, record.Offset, TcpFlags.Fin | TcpFlags.Ack, [], 0));
                _hasFin[side] = true;
                if (_hasFin[1 - side])
                    packets.Add(Segment(record.WallNs, 1 - side, _next[1 - side] + 1, TcpFlags.Ack, [], 0));
                break;
            case CaptureKind.Reset when !_isReset:
                Place(side, record.Offset);
                ulong at = _next[side] + (_hasFin[side] ? 1ul : 0);
                packets.Add(Segment(record.WallNs, side, at, TcpFlags.Rst | TcpFlags.Ack, [], 0));
                _isReset = true;
                break;
        }
    }

    /// <summary>RFC 9293 3.5: the three segments of a handshake.</summary>
    private void Open(long wallNs, List<Packet> packets)
    {
        _isOpened = _isKnown[0] = _isKnown[1] = true;
        packets.Add(Segment(wallNs, 0, ulong.MaxValue, TcpFlags.Syn, [], 0));
        packets.Add(Segment(wallNs, 1, ulong.MaxValue, TcpFlags.Syn | TcpFlags.Ack, [], 0));
        packets.Add(Segment(wallNs, 0, 0, TcpFlags.Ack, [], 0));
    }

    private void Data(in CaptureRecord record, int side, ReadOnlySpan<byte> bytes, List<Packet> packets)
    {
        ulong end = record.Offset + record.Bytes, at = record.Offset;
        if (_isKnown[side]) at = Math.Max(at, _next[side]);
        while (at < end)
        {
            int length = (int)Math.Min(end - at, SegmentMax), from = (int)(at - record.Offset);
            ReadOnlySpan<byte> payload = from >= bytes.Length ? [] : bytes.Slice(from,
                Math.Min(length, bytes.Length - from));
            TcpFlags flags = at + (ulong)length == end ? TcpFlags.Ack | TcpFlags.Psh : TcpFlags.Ack;
            packets.Add(Segment(record.WallNs, side, at, flags, payload, length));
            at += (ulong)length;
            Place(side, at);
        }
    }

    private void Place(int side, ulong next)
    {
        _next[side] = _isKnown[side] ? Math.Max(_next[side], next) : next;
        _isKnown[side] = true;
    }

    /// <summary>A segment whose first byte stands at a place of the stream; the one before byte 0 is the SYN.</summary>
    private Packet Segment(
        long wallNs, int side, ulong at, TcpFlags flags, ReadOnlySpan<byte> payload, int length)
    {
        bool syn = (flags & TcpFlags.Syn) != 0;
        TcpHeader tcp = new()
        {
            SourcePort = _names[side].Port,
            DestinationPort = _names[1 - side].Port,
            Seq = new SeqNum(_isn[side]) + (uint)(at + 1),
            Ack = new SeqNum((flags & TcpFlags.Ack) == 0 ? 0 : Acknowledged(1 - side, syn)),
            Flags = flags,
            Window = ushort.MaxValue,
        };
        if (syn)
        {
            tcp.Options = new TcpOptions
            {
                Present = TcpOptionKinds.Mss | TcpOptionKinds.WindowScale,
                Mss = ushort.MaxValue - Ipv4Header.Length - TcpHeader.MinLength,
                WindowScale = WindowScale,
            };
        }
        byte[] bytes = new byte[HeadersMax + payload.Length];
        int headers = WriteHeaders(bytes, side, ref tcp, payload, length);
        payload.CopyTo(bytes.AsSpan(headers));
        string comment = $"local {_owners[side] ?? "?"} > {_owners[1 - side] ?? "?"}";
        return new(wallNs, "local", Direction.Unknown, bytes.AsMemory(0, headers + payload.Length), headers + length,
            comment);
    }

    private uint Acknowledged(int side, bool syn) =>
        _isn[side] + 1 + (syn ? 0 : (uint)_next[side] + (_hasFin[side] ? 1u : 0));

    private int WriteHeaders(Span<byte> to, int side, ref TcpHeader tcp, ReadOnlySpan<byte> payload, int length)
    {
        Endpoint from = _names[side], target = _names[1 - side];
        bool v6 = from.Family == Endpoint.V6;
        int tcpLength = tcp.Length + length;
        // As on the loopback interface: no addresses.
        int at = new EthernetHeader { EtherType = v6 ? EtherType.Ipv6 : EtherType.Ipv4 }.WriteTo(to);
        Ipv6Address source6 = new(from.AddressLow, from.AddressHigh),
            target6 = new(target.AddressLow, target.AddressHigh);
        at += v6
            ? new Ipv6Header
            {
                PayloadLength = tcpLength, NextHeader = IpProtocol.Tcp, HopLimit = 64, Source = source6,
                Destination = target6,
            }.WriteTo(to[at..])
            : new Ipv4Header
            {
                PayloadLength = tcpLength, Identification = _identification++, DontFragment = true, Ttl = 64,
                Protocol = IpProtocol.Tcp, Source = (uint)from.AddressLow, Destination = (uint)target.AddressLow,
            }.WriteTo(to[at..]);
        uint sum = v6 ? Checksum.PseudoV6(source6, target6, IpProtocol.Tcp, tcpLength)
            : Checksum.PseudoV4((uint)from.AddressLow, (uint)target.AddressLow, IpProtocol.Tcp, tcpLength);
        int header = tcp.WriteTo(to[at..]);
        sum = Checksum.Add(payload, Checksum.Add(to.Slice(at, header), sum), header);
        TcpHeader.SetChecksum(to[at..], Checksum.Fold(sum));
        return at + header;
    }
}
