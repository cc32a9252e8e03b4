using Accel.Control.Native;

namespace Accel.Control.Links;

/// <summary>Makes AF_XDP sockets.</summary>
internal static unsafe class XdpSocket
{
    public const ushort SharedUmem = 1, Copy = 2, ZeroCopy = 4, NeedWakeup = 8, ScatterGather = 16;
    private const int RxRing = 2, TxRing = 3, RegisterUmem = 4, FillRing = 5, CompletionRing = 6, SendBudget = 9;
    private const int BudgetFrames = 512;

    /// <summary>
    /// The first socket of a queue: brings the memory. Returns its descriptor, or minus an errno with the step that
    /// failed.
    /// </summary>
    public static int Open(byte* memory, ulong bytes, uint frameBytes, uint fillSize, uint completionSize,
        int interfaceIndex, uint queue, ushort flags, out string step)
    {
        step = "socket";
        int fd = Libc.Socket(Libc.AfXdp, Libc.SockRaw | Libc.SockCloexec, 0);
        if (fd < 0)
            return -Libc.Errno;
        UmemRegistration registration = new() { Address = (ulong)memory, Bytes = bytes, FrameBytes = frameBytes };
        step = "memory";
        if (Libc.SetSockOpt(fd, Libc.SolXdp, RegisterUmem, &registration, (uint)sizeof(UmemRegistration)) < 0)
            return Failed(fd);
        step = "rings";
        // It neither receives nor sends, but must have a ring of its own.
        if (!Libc.SetOption(fd, Libc.SolXdp, FillRing, (int)fillSize)
            || !Libc.SetOption(fd, Libc.SolXdp, CompletionRing, (int)completionSize)
            || !Libc.SetOption(fd, Libc.SolXdp, TxRing, 2))
            return Failed(fd);
        step = "bind";
        return Bind(fd, interfaceIndex, queue, flags, 0) ? fd : Failed(fd);
    }

    /// <summary>A further socket of a queue. Returns its descriptor or minus an errno.</summary>
    public static int Share(int first, uint receiveSize, uint sendSize, int interfaceIndex, uint queue)
    {
        int fd = Libc.Socket(Libc.AfXdp, Libc.SockRaw | Libc.SockCloexec, 0);
        if (fd < 0)
            return -Libc.Errno;
        if ((receiveSize != 0 && !Libc.SetOption(fd, Libc.SolXdp, RxRing, (int)receiveSize))
            || !Libc.SetOption(fd, Libc.SolXdp, TxRing, (int)sendSize))
            return Failed(fd);
        // Older kernels send 32 frames for each call, and have no such option.
        Libc.SetOption(fd, Libc.SolXdp, SendBudget, Math.Min(BudgetFrames, (int)sendSize));
        return Bind(fd, interfaceIndex, queue, SharedUmem, first) ? fd : Failed(fd);
    }

    private static bool Bind(int fd, int interfaceIndex, uint queue, ushort flags, int shared)
    {
        XdpAddress address = new()
        {
            Family = Libc.AfXdp,
            Flags = flags,
            InterfaceIndex = (uint)interfaceIndex,
            Queue = queue,
            SharedUmem = (uint)shared,
        };
        return Libc.Bind(fd, &address, (uint)sizeof(XdpAddress)) == 0;
    }

    private static int Failed(int fd)
    {
        int errno = Libc.Errno;
        Libc.Close(fd);
        return -errno;
    }

    /// <summary>struct xdp_umem_reg</summary>
    private struct UmemRegistration
    {
        public ulong Address;
        public ulong Bytes;
        public uint FrameBytes;
        public uint Headroom;
        public uint Flags;
        public uint MetadataBytes;
    }

    /// <summary>struct sockaddr_xdp</summary>
    private struct XdpAddress
    {
        public ushort Family;
        public ushort Flags;
        public uint InterfaceIndex;
        public uint Queue;
        public uint SharedUmem;
    }
}
