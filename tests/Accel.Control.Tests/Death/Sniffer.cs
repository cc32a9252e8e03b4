using System.Buffers.Binary;
using System.Diagnostics;
using System.Net;
using Accel.Control.Native;

namespace Accel.Control.Tests.Death;

/// <summary>Sees each frame that comes to a device of a namespace.</summary>
sealed unsafe class Sniffer : IDisposable
{
    readonly int _socket;

    public Sniffer(string space, string device)
    {
        var index = int.Parse(NetworkPair.IpText("-n", space, "-o", "link", "show", device).Split(':')[0]);
        _socket = NetworkPair.In(space, () => Libc.Socket(Libc.AfPacket, Libc.SockRaw, 0));
        var address = stackalloc byte[20];
        new Span<byte>(address, 20).Clear();
        *(ushort*)address = Libc.AfPacket;
        *(ushort*)(address + 2) = BinaryPrimitives.ReverseEndianness((ushort)3);
        *(int*)(address + 4) = index;
        Assert.Equal(0, Libc.Bind(_socket, address, 20));
    }

    /// <summary>The next RST over IPv4: from where to where. Null if none comes in time.</summary>
    public (IPEndPoint From, IPEndPoint To)? NextReset(int milliseconds)
    {
        var frame = new byte[2048];
        var clock = Stopwatch.StartNew();
        while (clock.ElapsedMilliseconds < milliseconds)
        {
            nint bytes;
            fixed (byte* to = frame)
                bytes = Libc.Receive(_socket, to, frame.Length, Libc.DontWait);
            if (bytes < 0)
            {
                Thread.Sleep(5);
                continue;
            }
            if (bytes < 54 || BinaryPrimitives.ReadUInt16BigEndian(frame.AsSpan(12)) != 0x0800 || frame[23] != 6
                || (frame[47] & 4) == 0)
                continue;
            return (Name(frame, 26, 34), Name(frame, 30, 36));
        }
        return null;
    }

    static IPEndPoint Name(byte[] frame, int address, int port) =>
        new(new IPAddress(frame.AsSpan(address, 4)), BinaryPrimitives.ReadUInt16BigEndian(frame.AsSpan(port)));

    public void Dispose() => Libc.Close(_socket);
}
