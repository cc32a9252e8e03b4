using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Accel.Core.Handover;
using Accel.Core.Local;
using Accel.Core.Memory;

namespace Accel.Os.Handover;

/// <summary>
/// Makes a connection of the kernel's out of an image, with TCP_REPAIR (tcp_repair of Linux; CRIU and passt do it the
/// same way): no handshake, no segment, until both queues and windows are as they were. Needs CAP_NET_ADMIN, and for a
/// half-closed one CAP_NET_RAW.
/// </summary>
[ColdPath]
public static unsafe class TcpRestore
{
    private const int Inet = 2, Inet6 = 10, Stream = 1, Cloexec = 0x80000, NonBlock = 0x800, DontWait = 0x40;
    private const int SocketLevel = 1, AttachFilter = 26, DetachFilter = 27, SendBufferForce = 32;
    private const int ReceiveBufferForce = 33, BufferLock = 72;
    private const int Tcp = 6, Info = 11, Repair = 19, RepairQueue = 20, QueueSeq = 21, RepairOptions = 22;
    private const int Timestamp = 24, RepairWindow = 29;
    private const int NoQueue = 0, ReceiveQueue = 1, SendQueue = 2;
    private const int OptionMss = 2, OptionWindow = 3, OptionSackPermitted = 4, OptionTimestamp = 8;
    private const int ShutWrite = 1, NoSignal = 0x4000;

    /// <summary>What a segment takes in the kernel's buffers beside its bytes (the kernel doubles it).</summary>
    private const uint Overhead = 64 << 10;

    /// <summary>One write into a queue: what the kernel surely finds the memory for at once.</summary>
    private const ulong Chunk = 32 << 10;
    private const ulong MostQueued = 256ul << 20;
    private const uint MostBuffer = 1u << 29;
    private const long FinWaitNs = 50_000_000;

    /// <summary>
    /// Returns a descriptor of the connection, or minus an errno and at what it failed: then the peer heard nothing.
    /// </summary>
    /// <param name="kernel">System calls.</param>
    /// <param name="local">Its own name, as the program knows it: v4-mapped on a socket of IPv6.</param>
    /// <param name="remote">The peer's.</param>
    /// <param name="image">How it stands.</param>
    /// <param name="queues">Unread bytes, then sent ones, then those still to be sent.</param>
    /// <param name="step">What was being done when it failed.</param>
    public static int Make(LinuxKernel kernel, in Endpoint local, in Endpoint remote, in TcpImage image, byte* queues,
        out string step)
    {
        step = "size";
        if (image.QueueBytes > MostQueued)
            return -Errno.EINVAL;
        step = "socket";
        int fd = NewSocket(kernel, in image);
        if (fd < 0)
            return fd;
        int result = Rebuild(kernel, fd, in local, in remote, in image, queues, ref step);
        if (result >= 0)
            result = GoOn(kernel, fd, in local, in remote, in image, queues, ref step);
        if (result >= 0)
            return fd;
        Abandon(kernel, fd);
        return result;
    }

    /// <summary>
    /// Both ends of a connection within this host: neither may say a word before the other is there. 0 or minus an
    /// errno; then neither is.
    /// </summary>
    public static int MakePair(LinuxKernel kernel, in Endpoint local, in Endpoint remote, in TcpImage image,
        byte* queues, in TcpImage peer, byte* peerQueues, out int made, out int madePeer)
    {
        string step = "";
        int a = NewSocket(kernel, in image), b = NewSocket(kernel, in peer);
        int r = Math.Min(Math.Min(a, b), 0);
        r = r < 0 ? r : Rebuild(kernel, a, in local, in remote, in image, queues, ref step);
        r = r < 0 ? r : Rebuild(kernel, b, in remote, in local, in peer, peerQueues, ref step);
        r = r < 0 ? r : GoOn(kernel, a, in local, in remote, in image, queues, ref step);
        r = r < 0 ? r : GoOn(kernel, b, in remote, in local, in peer, peerQueues, ref step);
        if (r < 0)
        {
            Abandon(kernel, a);
            Abandon(kernel, b);
            a = b = -1;
        }
        made = a;
        madePeer = b;
        return r;
    }

    private static int NewSocket(LinuxKernel kernel, in TcpImage image) =>
        kernel.Socket(image.Has(ImageFlags.V6Socket) ? Inet6 : Inet, Stream | Cloexec | NonBlock, 0);

    /// <summary>In repair a close is silent.</summary>
    private static void Abandon(LinuxKernel kernel, int fd)
    {
        if (fd < 0)
            return;
        Set(kernel, fd, Tcp, Repair, 1);
        kernel.Close(fd);
    }

    /// <summary>Everything that is done before a segment may come or go.</summary>
    private static int Rebuild(LinuxKernel kernel, int fd, in Endpoint local, in Endpoint remote, in TcpImage image,
        byte* queues, ref string step)
    {
        byte* address = stackalloc byte[28];
        step = "TCP_REPAIR";
        int r = Set(kernel, fd, Tcp, Repair, 1);
        step = r < 0 ? step : "buffers";
        r = r < 0 ? r : SetBuffers(kernel, fd, in image);
        step = r < 0 ? step : "sequence numbers";
        r = r < 0 ? r : SetSequence(kernel, fd, ReceiveQueue, image.ReceiveSeq);
        r = r < 0 ? r : SetSequence(kernel, fd, SendQueue, image.SendSeq);
        // From connect() on the kernel knows the name, and would believe what comes before the rest is in its place.
        step = r < 0 ? step : "filter";
        r = r < 0 ? r : DropAll(kernel, fd);
        step = r < 0 ? step : "bind";
        r = r < 0 ? r : kernel.Bind(fd, address, Write(in local, image.Has(ImageFlags.V6Socket), address));
        step = r < 0 ? step : "connect";
        r = r < 0 ? r : kernel.Connect(fd, address, Write(in remote, image.Has(ImageFlags.V6Socket), address));
        step = r < 0 ? step : "options";
        r = r < 0 ? r : SetOptions(kernel, fd, in image);
        step = r < 0 ? step : "receive queue";
        r = r < 0 ? r : Fill(kernel, fd, ReceiveQueue, queues, image.Unread);
        step = r < 0 ? step : "send queue";
        r = r < 0 ? r : Fill(kernel, fd, SendQueue, queues + image.Unread, image.Sent);
        step = r < 0 ? step : "window";
        r = r < 0 ? r : SetWindow(kernel, fd, in image);
        // A FIN that was sent goes into the queue of what was sent, as data did.
        step = r < 0 ? step : "FIN";
        if (r >= 0 && image.Has(ImageFlags.FinSent))
            r = kernel.ShutdownSocket(fd, ShutWrite);
        return r;
    }

    /// <summary>The connection lives: what was not sent yet is, and what the peer has ended is ended.</summary>
    private static int GoOn(LinuxKernel kernel, int fd, in Endpoint local, in Endpoint remote, in TcpImage image,
        byte* queues, ref string step)
    {
        step = "filter";
        int r = Set(kernel, fd, SocketLevel, DetachFilter, 0);
        r = r < 0 ? r : Set(kernel, fd, Tcp, RepairQueue, NoQueue);
        step = r < 0 ? step : "end of TCP_REPAIR";
        // The kernel probes the window now: the answer acknowledges what was acknowledged in between.
        r = r < 0 ? r : Set(kernel, fd, Tcp, Repair, 0);
        step = r < 0 ? step : "the peer's FIN";
        if (r >= 0 && image.Has(ImageFlags.FinReceived))
            r = TakeFin(kernel, fd, in local, in remote, in image);
        step = r < 0 ? step : "what was not sent";
        r = r < 0 ? r : Feed(kernel, fd, queues + image.Unread + image.Sent, image.Unsent);
        if (r >= 0 && image.Has(ImageFlags.FinDue))
            r = kernel.ShutdownSocket(fd, ShutWrite);
        // The buffers may grow and shrink by themselves again.
        if (r >= 0)
            Set(kernel, fd, SocketLevel, BufferLock, 0);
        return r;
    }

    private static int Set(LinuxKernel kernel, int fd, int level, int name, int value) =>
        kernel.SetSockOpt(fd, level, name, &value, sizeof(int));

    private static int SetBuffers(LinuxKernel kernel, int fd, in TcpImage image)
    {
        uint send = image.Sent + image.Unsent + Overhead;
        uint receive = (uint)Math.Min((ulong)image.Unread + image.RcvWnd + Overhead, MostBuffer);
        int r = Set(kernel, fd, SocketLevel, SendBufferForce, (int)send);
        return r < 0 ? r : Set(kernel, fd, SocketLevel, ReceiveBufferForce, (int)receive);
    }

    private static int SetSequence(LinuxKernel kernel, int fd, int queue, uint value)
    {
        int r = Set(kernel, fd, Tcp, RepairQueue, queue);
        return r < 0 ? r : kernel.SetSockOpt(fd, Tcp, QueueSeq, &value, sizeof(uint));
    }

    /// <summary>A filter of one instruction: keep nothing.</summary>
    private static int DropAll(LinuxKernel kernel, int fd)
    {
        const ulong ReturnConstant = 6;
        ulong instruction = ReturnConstant;
        ulong* program = stackalloc ulong[] { 1, (ulong)&instruction };
        return kernel.SetSockOpt(fd, SocketLevel, AttachFilter, program, 16);
    }

    private static int SetOptions(LinuxKernel kernel, int fd, in TcpImage image)
    {
        uint* options = stackalloc uint[8];
        uint count = 0;
        options[count++] = OptionMss;
        options[count++] = image.PeerMss;
        // Without scaling, too: the kernel would shift by what it would have asked for itself.
        options[count++] = OptionWindow;
        options[count++] = image.SndWscale | (uint)image.RcvWscale << 16;
        if (image.Has(ImageFlags.Sack))
        {
            options[count++] = OptionSackPermitted;
            options[count++] = 0;
        }
        if (image.Has(ImageFlags.Timestamps))
        {
            options[count++] = OptionTimestamp;
            options[count++] = 0;
        }
        int r = kernel.SetSockOpt(fd, Tcp, RepairOptions, options, count * sizeof(uint));
        return r < 0 || !image.Has(ImageFlags.Timestamps) ? r : Set(kernel, fd, Tcp, Timestamp, (int)image.TsVal);
    }

    private static int SetWindow(LinuxKernel kernel, int fd, in TcpImage image)
    {
        uint* window = stackalloc uint[]
            { image.SndWl1, image.SndWnd, image.MaxWindow, image.RcvWnd, image.RcvWup };
        return kernel.SetSockOpt(fd, Tcp, RepairWindow, window, 5 * sizeof(uint));
    }

    private static int Fill(LinuxKernel kernel, int fd, int queue, byte* bytes, uint count)
    {
        int r = Set(kernel, fd, Tcp, RepairQueue, queue);
        return r < 0 ? r : Feed(kernel, fd, bytes, count);
    }

    private static int Feed(LinuxKernel kernel, int fd, byte* bytes, uint count)
    {
        for (uint done = 0; done < count;)
        {
            long sent = kernel.Send(fd, bytes + done, Math.Min(Chunk, count - done), DontWait | NoSignal);
            if (sent <= 0)
                return sent < 0 ? (int)sent : -Errno.EINVAL;
            done += (uint)sent;
        }
        return 0;
    }

    /// <summary>The peer's FIN was acknowledged and will not come again: the kernel is given one like it.</summary>
    private static int TakeFin(LinuxKernel kernel, int fd, in Endpoint local, in Endpoint remote, in TcpImage image)
    {
        int r = ForgedFin.Send(kernel, in local, in remote, in image);
        long end = kernel.NowNs() + FinWaitNs;
        while (r >= 0 && !HasFin(kernel, fd))
        {
            if (kernel.NowNs() > end)
                return -Errno.EAGAIN;
            kernel.Yield();
        }
        return r;
    }

    private static bool HasFin(LinuxKernel kernel, int fd)
    {
        const byte Established = 1, FinWait1 = 4, FinWait2 = 5;
        byte state = 0;
        uint length = 1;
        return kernel.GetSockOpt(fd, Tcp, Info, &state, &length) < 0
            || state is not (Established or FinWait1 or FinWait2);
    }

    /// <summary>Writes a sockaddr. Returns its length.</summary>
    private static uint Write(in Endpoint name, bool v6, byte* address)
    {
        Endpoint plain = v6 ? name.Mapped() : name.Unmapped();
        NativeMemory.Clear(address, 28);
        *(ushort*)(address + 2) = BinaryPrimitives.ReverseEndianness(plain.Port);
        if (!v6)
        {
            *(ushort*)address = Inet;
            *(uint*)(address + 4) = (uint)plain.AddressLow;
            return 16;
        }
        *(ushort*)address = Inet6;
        *(ulong*)(address + 8) = plain.AddressLow;
        *(ulong*)(address + 16) = plain.AddressHigh;
        *(uint*)(address + 24) = plain.ScopeId;
        return 28;
    }
}
