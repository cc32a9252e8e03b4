using System.Runtime.InteropServices;
using Accel.Control.Native;

namespace Accel.Control.Mirror;

/// <summary>What a dump or a stream of events calls for each message.</summary>
internal delegate void NetlinkHandler(in NetlinkMessage message);

/// <summary>
/// A conversation with the kernel's routing tables, those of the network namespace in which it was opened.
/// </summary>
internal sealed unsafe class NetlinkSocket : IDisposable
{
    private const int BufferBytes = 256 << 10, DumpTries = 8, AnswerSeconds = 5;

    private readonly byte[] _buffer = GC.AllocateUninitializedArray<byte>(BufferBytes, pinned: true);
    private uint _sequence;

    private NetlinkSocket(int fd) => Fd = fd;

    public int Fd { get; }

    /// <summary>A socket to ask questions with.</summary>
    public static NetlinkSocket Open()
    {
        var socket = new NetlinkSocket(NewSocket(0));
        // Without it the kernel also tells of cached exceptions, and does not look at the filters of a request.
        Libc.SetOption(socket.Fd, Libc.SolNetlink, Libc.NetlinkStrictCheck, 1);
        long* timeout = stackalloc long[] { AnswerSeconds, 0 };
        Libc.SetSockOpt(socket.Fd, Libc.SolSocket, Libc.SoRcvTimeO, timeout, 16);
        return socket;
    }

    /// <summary>A socket that hears of changes.</summary>
    public static NetlinkSocket Listen(ReadOnlySpan<int> groups, int bufferBytes)
    {
        var socket = new NetlinkSocket(NewSocket(Libc.SockNonBlock));
        if (!Libc.SetOption(socket.Fd, Libc.SolSocket, Libc.SoRcvBufForce, bufferBytes))
            Libc.SetOption(socket.Fd, Libc.SolSocket, Libc.SoRcvBuf, bufferBytes);
        foreach (int group in groups)
            // A kernel without a group has nothing to tell of it.
            Libc.SetOption(socket.Fd, Libc.SolNetlink, Libc.NetlinkAddMembership, group);
        return socket;
    }

    private static int NewSocket(int flags)
    {
        const int Route = 0;
        int fd = Libc.Socket(Libc.AfNetlink, Libc.SockRaw | Libc.SockCloexec | flags, Route);
        if (fd < 0)
            throw new ControlException($"no netlink socket: {Libc.Error}");
        byte* address = stackalloc byte[12];
        new Span<byte>(address, 12).Clear();
        *(ushort*)address = Libc.AfNetlink;
        if (Libc.Bind(fd, address, 12) == 0)
            return fd;
        string error = Libc.Error;
        Libc.Close(fd);
        throw new ControlException($"netlink socket cannot be bound: {error}");
    }

    /// <summary>
    /// Reads a whole table. A table that changes meanwhile is read again: <paramref name="begin"/> is called before
    /// each reading.
    /// </summary>
    public void Dump(ushort type, ReadOnlySpan<byte> body, Action begin, NetlinkHandler handler)
    {
        for (int i = 0; i < DumpTries; i++)
        {
            begin();
            if (TryDump(type, body, handler))
                return;
        }
        // It changes all the time; the next event brings the next reading.
    }

    private bool TryDump(ushort type, ReadOnlySpan<byte> body, NetlinkHandler handler)
    {
        Send(type, NetlinkMessage.Request | NetlinkMessage.Dump, body);
        bool whole = true;
        while (true)
        {
            nint count = Receive(0);
            if (count < 0)
                throw new ControlException($"netlink request {type} was not answered: {Libc.Error}");
            ReadOnlySpan<byte> rest = _buffer.AsSpan(0, (int)count);
            while (NetlinkMessage.TryTake(ref rest, out NetlinkMessage message))
            {
                if (message.Sequence != _sequence)
                    continue;
                whole &= (message.Flags & NetlinkMessage.DumpInterrupted) == 0;
                if (message.Type == NetlinkMessage.Done)
                    return whole;
                if (message.Type == NetlinkMessage.Error)
                    throw new ControlException($"netlink request {type}: {ErrorOf(message)}");
                handler(message);
            }
        }
    }

    private static string ErrorOf(in NetlinkMessage message) =>
        Marshal.GetPInvokeErrorMessage(message.Body.Length >= 4 ? -MemoryMarshal.Read<int>(message.Body) : 0);

    /// <summary>Sends a request whose answer nobody waits for.</summary>
    public void Send(ushort type, ushort flags, ReadOnlySpan<byte> body)
    {
        int length = NetlinkMessage.HeaderBytes + body.Length;
        byte* bytes = stackalloc byte[length];
        *(int*)bytes = length;
        *(ushort*)(bytes + 4) = type;
        *(ushort*)(bytes + 6) = flags;
        *(uint*)(bytes + 8) = ++_sequence;
        *(uint*)(bytes + 12) = 0;
        body.CopyTo(new Span<byte>(bytes + NetlinkMessage.HeaderBytes, body.Length));
        if (Libc.Send(Fd, bytes, length, 0) != length)
            throw new ControlException($"netlink request {type} cannot be sent: {Libc.Error}");
    }

    /// <summary>Throws away what was answered to requests whose answer nobody waits for.</summary>
    public void Drain()
    {
        while (Receive(Libc.DontWait) > 0)
        {
        }
    }

    /// <summary>
    /// Takes the events that wait. False if some were lost, since they came faster than they were taken: then whole
    /// tables must be read.
    /// </summary>
    public bool TakeEvents(NetlinkHandler handler)
    {
        for (int i = 0; i < 4096; i++)
        {
            nint count = Receive(Libc.DontWait);
            if (count <= 0)
                return count == 0 || Libc.Errno != Libc.ENOBUFS;
            ReadOnlySpan<byte> rest = _buffer.AsSpan(0, (int)count);
            while (NetlinkMessage.TryTake(ref rest, out NetlinkMessage message))
                handler(message);
        }
        return true;
    }

    private nint Receive(int flags)
    {
        fixed (byte* buffer = _buffer)
        {
            nint count;
            do
                count = Libc.Receive(Fd, buffer, _buffer.Length, flags);
            while (count < 0 && Libc.Errno == Libc.EINTR);
            return count;
        }
    }

    public void Dispose() => Libc.Close(Fd);
}
