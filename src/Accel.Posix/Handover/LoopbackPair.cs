using Accel.Core.Handover;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// Two kernel sockets that are connected with each other, with bytes that wait in both. With the names of the
/// connection that they take the place of, if this process may repair connections; else the kernel chooses the names.
/// </summary>
[ColdPath]
internal static unsafe class LoopbackPair
{
    /// <summary>Both ends of a loopback connection agree on this, as on Linux by default.</summary>
    private const byte Scale = 7;
    private const uint Offered = 1 << 20;
    private const ushort Mss = 65483, Mss6 = 65463;
    private const int BufferLock = 72, MostBuffer = 4 << 20;

    /// <param name="s">The stack.</param>
    /// <param name="socket">The end that leaves.</param>
    /// <param name="remote">The name of the other.</param>
    /// <param name="incoming">What it has not read, and how much.</param>
    /// <param name="incomingBytes">Bytes of that.</param>
    /// <param name="outgoing">What the other end has not read, and how much.</param>
    /// <param name="outgoingBytes">Bytes of that.</param>
    /// <param name="mine">The socket of the end that leaves.</param>
    /// <param name="theirs">The other.</param>
    public static HandoverRefusal Make(PosixStack s, Socket* socket, in Endpoint remote, byte* incoming,
        uint incomingBytes, byte* outgoing, uint outgoingBytes, out int mine, out int theirs)
    {
        uint here = (uint)s.Kernel.Random(), there = (uint)s.Kernel.Random(), time = (uint)s.Kernel.Random();
        TcpImage image = Image(socket, here, there, incomingBytes, time);
        TcpImage peer = Image(socket, there, here, outgoingBytes, time + 1);
        if (s.Kernel.RestorePair(socket->Local, in remote, in image, incoming, in peer, outgoing,
            out mine, out theirs) >= 0)
            return HandoverRefusal.None;
        if (!TryConnect(s, socket->Family, out mine, out theirs))
            return HandoverRefusal.Kernel;
        if (Fill(s, theirs, incoming, incomingBytes) && Fill(s, mine, outgoing, outgoingBytes))
            return HandoverRefusal.None;
        s.Kernel.Close(mine);
        s.Kernel.Close(theirs);
        mine = theirs = -1;
        return HandoverRefusal.NoMemory;
    }

    private static TcpImage Image(Socket* socket, uint next, uint peerNext, uint unread, uint time) => new()
    {
        SendSeq = next,
        ReceiveSeq = unchecked(peerNext - unread),
        Unread = unread,
        SndWl1 = peerNext,
        SndWnd = Offered,
        MaxWindow = Offered,
        RcvWnd = Offered,
        RcvWup = peerNext,
        TsVal = time,
        PeerMss = socket->Local.Unmapped().Family == Endpoint.V4 ? Mss : Mss6,
        SndWscale = Scale,
        RcvWscale = Scale,
        Flags = ImageFlags.Timestamps | ImageFlags.Sack
            | (socket->Family == Af.INET6 ? ImageFlags.V6Socket : 0),
    };

    private static bool TryConnect(PosixStack s, int family, out int mine, out int theirs)
    {
        mine = theirs = -1;
        int listener = s.Kernel.Socket(family, Af.SOCK_STREAM | Af.SOCK_CLOEXEC, 0);
        if (listener < 0)
            return false;
        byte* name = stackalloc byte[(int)Addresses.V6Bytes];
        uint length = Addresses.Write(Endpoint.Loopback(Addresses.FamilyOf(family), 0), name);
        if (s.Kernel.Bind(listener, name, length) >= 0 && s.Kernel.Listen(listener, 1) >= 0
            && s.Kernel.GetSockName(listener, name, &length) >= 0)
        {
            mine = s.Kernel.Socket(family, Af.SOCK_STREAM | Af.SOCK_CLOEXEC, 0);
            Widen(s, mine);
            Widen(s, listener);
            if (mine >= 0 && s.Kernel.Connect(mine, name, length) >= 0)
                theirs = AcceptOwn(s, listener, mine);
        }
        s.Kernel.Close(listener);
        if (theirs >= 0)
            return true;
        if (mine >= 0)
            s.Kernel.Close(mine);
        mine = -1;
        return false;
    }

    /// <summary>The connection that was just made; anybody may have come to the port before.</summary>
    private static int AcceptOwn(PosixStack s, int listener, int mine)
    {
        byte* own = stackalloc byte[(int)Addresses.V6Bytes], peer = stackalloc byte[(int)Addresses.V6Bytes];
        uint ownLength = Addresses.V6Bytes;
        s.Kernel.GetSockName(mine, own, &ownLength);
        Addresses.TryRead(own, ownLength, out Endpoint wanted);
        for (int i = 0; i < 4; i++)
        {
            uint length = Addresses.V6Bytes;
            int fd = s.Kernel.Accept(listener, peer, &length, Af.SOCK_CLOEXEC);
            if (fd < 0)
                return fd;
            if (Addresses.TryRead(peer, length, out Endpoint who) && who.Port == wanted.Port
                && who.SameAddress(wanted))
                return fd;
            s.Kernel.Close(fd);
        }
        return -1;
    }

    /// <summary>Makes room for bytes that nobody reads yet. False: the kernel does not give that much.</summary>
    public static bool Widen(PosixStack s, int fd, uint bytes)
    {
        const int SendBufferForce = 32;
        int wanted = (int)bytes, given = 0;
        uint length = sizeof(int);
        if (s.Kernel.GetSockOpt(fd, So.SOL_SOCKET, So.SNDBUF, &given, &length) >= 0 && given / 2 >= bytes)
            return true;
        if (s.Kernel.SetSockOpt(fd, So.SOL_SOCKET, SendBufferForce, &wanted, sizeof(int)) < 0)
            s.Kernel.SetSockOpt(fd, So.SOL_SOCKET, So.SNDBUF, &wanted, sizeof(int));
        // The kernel doubles what it is told, for what a segment takes beside its bytes.
        return s.Kernel.GetSockOpt(fd, So.SOL_SOCKET, So.SNDBUF, &given, &length) >= 0 && given / 2 >= bytes;
    }

    private static void Widen(PosixStack s, int fd)
    {
        int bytes = MostBuffer;
        s.Kernel.SetSockOpt(fd, So.SOL_SOCKET, So.SNDBUF, &bytes, sizeof(int));
        s.Kernel.SetSockOpt(fd, So.SOL_SOCKET, So.RCVBUF, &bytes, sizeof(int));
    }

    /// <summary>Sends what the other socket is to find. False: the kernel's buffers do not hold it.</summary>
    public static bool Fill(PosixStack s, int fd, byte* bytes, uint count)
    {
        for (uint done = 0; done < count;)
        {
            long sent = s.Kernel.Send(fd, bytes + done, count - done, Msg.DONTWAIT | Msg.NOSIGNAL);
            if (sent <= 0)
                return false;
            done += (uint)sent;
        }
        int free = 0;
        s.Kernel.SetSockOpt(fd, So.SOL_SOCKET, BufferLock, &free, sizeof(int));
        return true;
    }
}
