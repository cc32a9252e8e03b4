using System.Runtime.InteropServices;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// getsockopt() and setsockopt(), as <see cref="SocketOptionTable"/> says. The kernel socket behind the descriptor
/// checks every option; an accepted socket, which has only a placeholder, is given a kernel socket of its own when the
/// first one comes that is not kept here.
/// </summary>
public static unsafe class SocketOptions
{
    /// <summary>An accepted socket begins with the listener's options.</summary>
    public static void Inherit(Socket* parent, Socket* child)
    {
        child->OptionsSet = parent->OptionsSet;
        var kept = new ReadOnlySpan<int>(parent->Options, Socket.MaxOptions);
        kept.CopyTo(new Span<int>(child->Options, Socket.MaxOptions));
    }

    public static long Set(PosixStack s, AccelThread* t, int fd, int level, int name, void* value, uint length)
    {
        Socket* socket = s.Find(fd, out int index);
        if (socket == null)
            return AccelResult.Pass;
        if (UdpSockets.Is(socket))
            return UdpOptions.Set(s, t, socket, index, fd, level, name, value, length);
        if (LocalArrival.TryFollow(s, t, socket, index))
            return AccelResult.Pass;
        int row = SocketOptionTable.Find(level, name);
        OptionVerdict verdict = SocketOptionTable.OfTcp(row);
        if (Connected.SetError(socket, row, value, length) is var error and not 0)
            return error;
        if (verdict == OptionVerdict.Kept && length >= sizeof(int) && (ulong)value >= 4096)
            Keep(socket, SocketOptionTable.PlaceOf(row), *(int*)value != 0 ? 1 : 0);
        else if (!socket->Is(SocketFlags.OwnsKernelSocket) && !Materialize(s, socket, fd))
            return -Errno.ENOBUFS;
        if (socket->Is(SocketFlags.OwnsKernelSocket))
        {
            int result = s.Kernel.SetSockOpt(fd, level, name, value, length);
            if (result < 0)
                return result;
        }
        if (verdict == OptionVerdict.NeedsKernel)
            return !IsOn(level, name, value, length) ? 0
                : Depart(s, t, socket, index, fd, level, name, value, length);
        if (row >= 0 && level == So.SOL_SOCKET)
            Apply(s, socket, fd, name, value);
        if (NicOptions.Concerns(level, name))
            NicOptions.Changed(s, t, socket, fd, level, name);
        return 0;
    }

    /// <summary>What the kernel's own socket has accepted, only the kernel can do: there it is set again.</summary>
    [ColdPath]
    private static long Depart(PosixStack s, AccelThread* t, Socket* socket, int index, int fd, int level, int name,
        void* value, uint length)
    {
        if (socket->State == (uint)SocketState.Unconnected)
        {
            socket->Reason = (byte)PathReason.OptionNeedsKernel;
            return 0;
        }
        if (!Departure.Leave(s, t, socket, index, fd, PathReason.OptionNeedsKernel))
            return socket->State == (uint)SocketState.Connected && !socket->Is(SocketFlags.Dead)
                ? -Errno.EOPNOTSUPP : 0;
        return s.Kernel.SetSockOpt(fd, level, name, value, length);
    }

    /// <summary>True if the value of an option that needs the kernel switches something on.</summary>
    public static bool IsOn(int level, int name, void* value, uint length) => (level, name) switch
    {
        (So.SOL_SOCKET, So.PEEK_OFF) => *(int*)value >= 0,
        (So.SOL_SOCKET, So.BINDTODEVICE) => length > 0 && *(byte*)value != 0,
        (So.SOL_SOCKET, So.MAX_PACING_RATE) => length < sizeof(int) || *(int*)value != -1,
        _ => length != sizeof(int) || *(int*)value != 0,
    };

    private static void Keep(Socket* socket, int place, int value)
    {
        socket->Options[place] = value;
        socket->OptionsSet |= 1ul << place;
    }

    /// <summary>What an option of SOL_SOCKET that the kernel has accepted means here.</summary>
    public static void Apply(PosixStack s, Socket* socket, int fd, int name, void* value)
    {
        switch (name)
        {
            case So.RCVLOWAT:
                int bytes = *(int*)value;
                socket->LowWater = bytes < 0 ? int.MaxValue : (uint)Math.Max(1, bytes);
                break;
            case So.LINGER:
                socket->LingerOn = ((int*)value)[0] != 0 ? 1 : 0;
                if (socket->LingerOn != 0)
                    socket->LingerSeconds = ((int*)value)[1];
                break;
            case So.RCVTIMEO or So.RCVTIMEO_NEW:
                socket->ReceiveTimeoutNs = Nanoseconds((long*)value);
                break;
            case So.SNDTIMEO or So.SNDTIMEO_NEW:
                socket->SendTimeoutNs = Nanoseconds((long*)value);
                break;
            case So.SNDBUF or So.SNDBUFFORCE:
                SetBuffer(s, socket, fd, So.SNDBUF);
                break;
            case So.RCVBUF or So.RCVBUFFORCE:
                SetBuffer(s, socket, fd, So.RCVBUF);
                break;
        }
    }

    private static long Nanoseconds(long* timeval)
    {
        // Linux takes a negative time to mean that nothing is waited for.
        long seconds = Math.Min(timeval[0], long.MaxValue / 2_000_000_000);
        return seconds < 0 ? -1 : seconds * 1_000_000_000 + timeval[1] * 1000;
    }

    private static void SetBuffer(PosixStack s, Socket* socket, int fd, int name)
    {
        int bytes = 0;
        uint length = sizeof(int);
        s.Kernel.GetSockOpt(fd, So.SOL_SOCKET, name, &bytes, &length);
        Interlocked.Or(ref socket->Flags,
            (uint)(name == So.SNDBUF ? SocketFlags.SendBufferSet : SocketFlags.ReceiveBufferSet));
        if (socket->State == (uint)SocketState.Connected && s.Sides(socket, out Wire wire))
        {
            if (name == So.SNDBUF)
                wire.Out->SendLimit = (uint)bytes;
            else
                wire.In->ReceiveLimit = (uint)bytes;
        }
    }

    /// <summary>
    /// Gives an accepted socket a kernel socket of its own, under the same number, with the options that were kept.
    /// </summary>
    public static bool Materialize(PosixStack s, Socket* socket, int fd)
    {
        int own = s.Kernel.Socket(socket->Family, Af.SOCK_STREAM | Af.SOCK_CLOEXEC, 0);
        if (own < 0)
            return false;
        if (!s.Kernel.Replace(own, fd))
            return false;
        Interlocked.Or(ref socket->Flags, (uint)SocketFlags.OwnsKernelSocket);
        GiveKept(s, socket, fd);
        CopyFromListener(s, socket, fd);
        return true;
    }

    /// <summary>Tells a kernel socket the flags that are kept here.</summary>
    public static void GiveKept(PosixStack s, Socket* socket, int fd)
    {
        ulong left = socket->OptionsSet;
        for (int row = 0; left != 0 && row < SocketOptionTable.Rows.Length; row++)
        {
            int place = SocketOptionTable.PlaceOf(row);
            if (place < 0 || (left & 1ul << place) == 0)
                continue;
            left &= ~(1ul << place);
            int value = socket->Options[place];
            OptionRow option = SocketOptionTable.Rows[row];
            s.Kernel.SetSockOpt(fd, option.Level, option.Name, &value, sizeof(int));
        }
    }

    /// <summary>Options that an accepted socket has from its listener, beyond those that are kept here.</summary>
    public static void CopyFromListener(PosixStack s, Socket* socket, int fd)
    {
        if (socket->Parent - 1 >= StackRegion.MaxSockets || !s.Sides(socket, out Wire wire))
            return;
        Socket* parent = s.S.SocketAt((int)socket->Parent - 1);
        if (parent->State != (uint)SocketState.Listening || parent->Index != wire.Conn->Listener)
            return;
        int from = Sockets.KernelDescriptor(s, (int)socket->Parent - 1);
        ReadOnlySpan<int> pairs = socket->Family == Af.INET ? Inherited : Inherited6;
        int value;
        for (int i = 0; i + 1 < pairs.Length && from >= 0; i += 2)
        {
            value = 0;
            uint length = sizeof(int);
            if (s.Kernel.GetSockOpt(from, pairs[i], pairs[i + 1], &value, &length) >= 0)
                s.Kernel.SetSockOpt(fd, pairs[i], pairs[i + 1], &value, length);
        }
        // Setting IP_TOS sets the priority too; an accepted socket begins without one.
        value = 0;
        s.Kernel.SetSockOpt(fd, So.SOL_SOCKET, So.PRIORITY, &value, sizeof(int));
    }

    // TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_USER_TIMEOUT, TCP_SYNCNT, TCP_NOTSENT_LOWAT, TCP_LINGER2, IP_TOS,
    // IP_TTL.
    private static ReadOnlySpan<int> Inherited =>
        [So.IPPROTO_TCP, 4, So.IPPROTO_TCP, 5, So.IPPROTO_TCP, 6, So.IPPROTO_TCP, 18, So.IPPROTO_TCP, 7,
         So.IPPROTO_TCP, 25, So.IPPROTO_TCP, 8,
         So.IPPROTO_IP, 1, So.IPPROTO_IP, 2];

    // The same with IPV6_TCLASS, IPV6_UNICAST_HOPS and IPV6_V6ONLY.
    private static ReadOnlySpan<int> Inherited6 =>
        [So.IPPROTO_TCP, 4, So.IPPROTO_TCP, 5, So.IPPROTO_TCP, 6, So.IPPROTO_TCP, 18, So.IPPROTO_TCP, 7,
         So.IPPROTO_TCP, 25, So.IPPROTO_TCP, 8,
         So.IPPROTO_IPV6, 67, So.IPPROTO_IPV6, 16, So.IPPROTO_IPV6, So.IPV6_V6ONLY];

    public static long Get(PosixStack s, AccelThread* t, int fd, int level, int name, void* value, uint* length)
    {
        Socket* socket = s.Find(fd, out int index);
        if (socket == null || UdpSockets.Is(socket) || LocalArrival.TryFollow(s, t, socket, index))
            return AccelResult.Pass;
        if ((ulong)length < 4096)
            return -Errno.EFAULT;
        if ((int)*length < 0)
            return -Errno.EINVAL;
        int row = SocketOptionTable.Find(level, name);
        OptionVerdict verdict = SocketOptionTable.OfTcp(row);
        bool ofPeer = level == So.SOL_SOCKET && name == So.PEERNAME;
        if (ofPeer && socket->State == (uint)SocketState.Connected)
            return GivePeer(socket, value, length);
        if (verdict == OptionVerdict.Answered && !ofPeer)
            return Answer(s, t, socket, name, level, value, length);
        if (Connected.TryGet(socket, level, name, out int special))
            return special < 0 ? special : GiveInt(special, value, length);
        if (TcpInfo.OfConnection(s, t, socket, level, name) is uint known and > 0)
            return GiveInt((int)known, value, length);
        // What an accepted socket has from its listener is here, even if it was given a kernel socket since.
        bool isKept = verdict == OptionVerdict.Kept || (verdict == OptionVerdict.Own && level == So.SOL_SOCKET);
        bool kept = isKept && socket->Parent != 0 && socket->State == (uint)SocketState.Connected;
        if (socket->Is(SocketFlags.OwnsKernelSocket) && !kept)
            return s.Kernel.GetSockOpt(fd, level, name, value, length);
        if (verdict == OptionVerdict.Kept)
            return GiveInt(socket->Options[SocketOptionTable.PlaceOf(row)], value, length);
        switch (level, name)
        {
            case (So.SOL_SOCKET, So.RCVLOWAT):
                return GiveInt((int)socket->LowWater, value, length);
            case (So.SOL_SOCKET, So.LINGER):
                long linger = (uint)socket->LingerOn | (long)socket->LingerSeconds << 32;
                return Give(&linger, sizeof(long), value, length);
            case (So.SOL_SOCKET, So.RCVTIMEO):
                return GiveTime(socket->ReceiveTimeoutNs, value, length);
            case (So.SOL_SOCKET, So.SNDTIMEO):
                return GiveTime(socket->SendTimeoutNs, value, length);
            case (So.SOL_SOCKET, So.TYPE or So.DOMAIN or So.PROTOCOL):
                return s.Kernel.GetSockOpt(fd, level, name, value, length);
            case (So.SOL_SOCKET, So.SNDBUF) when s.Sides(socket, out Wire wire):
                return GiveInt((int)wire.Out->SendLimit, value, length);
            case (So.SOL_SOCKET, So.RCVBUF) when s.Sides(socket, out Wire wire):
                return GiveInt((int)wire.In->ReceiveLimit, value, length);
        }
        return Materialize(s, socket, fd) ? s.Kernel.GetSockOpt(fd, level, name, value, length) : -Errno.ENOBUFS;
    }

    private static long Answer(
        PosixStack s, AccelThread* t, Socket* socket, int name, int level, void* value, uint* length)
    {
        if (level == So.SOL_SOCKET && name == So.ERROR)
        {
            // A look at the state first: a reset from the other end becomes an error when somebody looks.
            Readiness.Mask(s, socket);
            return GiveInt(Interlocked.Exchange(ref socket->Error, 0), value, length);
        }
        if (level == So.SOL_SOCKET)
            return GiveInt(socket->State == (uint)SocketState.Listening ? 1 : 0, value, length);
        byte* info = stackalloc byte[TcpInfo.MaxBytes];
        TcpInfo.Fill(s, t, socket, info);
        return Give(info, TcpInfo.BytesOf(s.Kernel), value, length);
    }

    /// <summary>SO_PEERNAME: as much as was asked for, which may not be more than there is.</summary>
    private static long GivePeer(Socket* socket, void* value, uint* length)
    {
        byte* full = stackalloc byte[(int)Addresses.V6Bytes];
        uint bytes = Addresses.Write(socket->Remote, full);
        return *length > bytes ? -Errno.EINVAL : Give(full, bytes, value, length);
    }

    private static long GiveInt(int number, void* value, uint* length) => Give(&number, sizeof(int), value, length);

    private static long GiveTime(long nanoseconds, void* value, uint* length)
    {
        long* timeval = stackalloc long[2];
        timeval[0] = Math.Max(0, nanoseconds) / 1_000_000_000;
        timeval[1] = Math.Max(0, nanoseconds) % 1_000_000_000 / 1000;
        return Give(timeval, 16, value, length);
    }

    private static long Give(void* from, uint bytes, void* value, uint* length)
    {
        uint room = Math.Min(*length, bytes);
        if (room > 0 && (ulong)value < 4096)
            return -Errno.EFAULT;
        NativeMemory.Copy(from, value, room);
        *length = room;
        return 0;
    }
}
