using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;

namespace Accel.Control.Tests;

/// <summary>
/// The least of a TCP that a kernel at the other end takes for one: opens a connection over a link, acknowledges, and
/// sends what the test wants. Knows no options, and sends nothing again.
/// </summary>
sealed unsafe class HandMadeTcp
{
    readonly TestStack _stack;
    readonly byte[] _header;
    readonly bool _isV4;

    /// <summary>Connects from a steered port to a listener in the far namespace.</summary>
    public HandMadeTcp(TestStack stack, NetworkPair pair, IPEndPoint local, IPEndPoint remote)
    {
        _stack = stack;
        _isV4 = local.AddressFamily == AddressFamily.InterNetwork;
        _header = new byte[HeaderLength];
        MacOf(pair.Far, NetworkPair.FarDevice).CopyTo(_header, 0);
        MacOf(pair.Near, NetworkPair.NearDevice).CopyTo(_header, 6);
        BinaryPrimitives.WriteUInt16BigEndian(_header.AsSpan(12), (ushort)(_isV4 ? 0x0800 : 0x86DD));
        if (_isV4)
        {
            _header[14] = 0x45;
            _header[20] = 0x40;
            _header[22] = 64;
            _header[23] = 6;
            local.Address.GetAddressBytes().CopyTo(_header, 26);
            remote.Address.GetAddressBytes().CopyTo(_header, 30);
        }
        else
        {
            _header[14] = 0x60;
            _header[20] = 6;
            _header[21] = 64;
            local.Address.GetAddressBytes().CopyTo(_header, 22);
            remote.Address.GetAddressBytes().CopyTo(_header, 38);
        }
        var tcp = _header.AsSpan(Tcp);
        BinaryPrimitives.WriteUInt16BigEndian(tcp, (ushort)local.Port);
        BinaryPrimitives.WriteUInt16BigEndian(tcp[2..], (ushort)remote.Port);
        tcp[12] = 0x50;
        BinaryPrimitives.WriteUInt16BigEndian(tcp[14..], 65535);
        Send(2, []);
        Next++;
        var answer = stack.Receive();
        Assert.NotNull(answer);
        Assert.Equal(0x12, answer[Echo.Transport(answer) + 13] & 0x3F);
        Expected = BinaryPrimitives.ReadUInt32BigEndian(answer.AsSpan(Echo.Transport(answer) + 4)) + 1;
        Send(0x10, []);
    }

    public uint Next { get; private set; } = 1000;

    public uint Expected { get; private set; }

    int Tcp => _isV4 ? 34 : 54;

    int HeaderLength => Tcp + 20;

    /// <summary>So many bytes left in a frame that the test sent itself.</summary>
    public void Skip(int bytes) => Next += (uint)bytes;

    /// <summary>One segment.</summary>
    public void Send(byte flags, ReadOnlySpan<byte> payload)
    {
        _stack.Send(Frame(flags, payload));
        Next += (uint)payload.Length;
    }

    public byte[] Frame(byte flags, ReadOnlySpan<byte> payload)
    {
        byte[] frame = [.. Header(flags, payload.Length), .. payload];
        Echo.Fill(frame, Tcp);
        return frame;
    }

    /// <summary>A super-frame of two runs. False if the link has no room.</summary>
    public bool TrySendSuper(byte[] first, byte[] second, int segmentSize)
    {
        var header = Header(0x18, first.Length + second.Length);
        Echo.Begin(header, Tcp, HeaderLength - Tcp + first.Length + second.Length);
        fixed (byte* h = header, a = first, b = second)
        {
            if (!_stack.Link.TrySendSuper(h, header.Length, a, first.Length, b, second.Length, segmentSize))
                return false;
        }
        Next += (uint)(first.Length + second.Length);
        return true;
    }

    /// <summary>Takes the next frame of the other side's data and acknowledges it.</summary>
    public byte[] Receive(out int parts)
    {
        while (true)
        {
            var frame = _stack.Receive(5000, out parts);
            Assert.NotNull(frame);
            var tcp = Echo.Transport(frame);
            var at = tcp + (frame[tcp + 12] >> 4) * 4;
            var end = _isV4 ? 14 + BinaryPrimitives.ReadUInt16BigEndian(frame.AsSpan(16)) : frame.Length;
            if (end == at)
                continue;
            // A link may lose a frame when its owner is late: what comes after a gap is not kept, the ACK tells of it,
            // and the kernel sends it again, in frames cut as it likes.
            var known = (int)(Expected - BinaryPrimitives.ReadUInt32BigEndian(frame.AsSpan(tcp + 4)));
            var isNext = known >= 0 && known < end - at;
            if (isNext)
                Expected += (uint)(end - at - known);
            Send(0x10, []);
            if (isNext)
                return frame[(at + known)..end];
        }
    }

    byte[] Header(byte flags, int payload)
    {
        byte[] header = [.. _header];
        var tcp = header.AsSpan(Tcp);
        BinaryPrimitives.WriteUInt32BigEndian(tcp[4..], Next);
        BinaryPrimitives.WriteUInt32BigEndian(tcp[8..], (flags & 0x10) != 0 ? Expected : 0);
        tcp[13] = flags;
        if (_isV4)
        {
            BinaryPrimitives.WriteUInt16BigEndian(header.AsSpan(16), (ushort)(40 + payload));
            header.AsSpan(24, 2).Clear();
            BinaryPrimitives.WriteUInt16BigEndian(header.AsSpan(24),
                (ushort)~Echo.Sum(header.AsSpan(14, 20), 0));
        }
        else
            BinaryPrimitives.WriteUInt16BigEndian(header.AsSpan(18), (ushort)(20 + payload));
        return header;
    }

    static byte[] MacOf(string space, string device)
    {
        var text = NetworkPair.IpText("-n", space, "-o", "link", "show", device);
        var at = text.IndexOf("link/ether ", StringComparison.Ordinal) + "link/ether ".Length;
        return Convert.FromHexString(text.Substring(at, 17).Replace(":", "", StringComparison.Ordinal));
    }
}
