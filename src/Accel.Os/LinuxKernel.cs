using System.Diagnostics;
using System.Text;
using Accel.Core.Memory;
using Accel.Core.Stack;

namespace Accel.Os;

/// <summary>
/// <see cref="IKernel"/> on Linux, over one raw system call function: nothing here touches errno, is a cancellation
/// point, or can be
/// interposed by the library itself.
/// </summary>
public sealed unsafe partial class LinuxKernel : IKernel
{
    private const int AddressUnix = 1, Datagram = 2, Cloexec = 0x80000, NonBlock = 0x800;
    private const int DontWait = 0x40, NoSignal = 0x4000;
    private const int DuplicateCloexec = 1030, DuplicateFd = 0, GetFlagsCommand = 3, SetFlagsCommand = 4;
    private const int GetDescriptorFlagsCommand = 1, SetDescriptorFlagsCommand = 2;
    private const int BarrierGlobal = 1 << 1, BarrierRegister = 1 << 2;

    private readonly delegate* unmanaged<long, long, long, long, long, long, long, long> _call;
    private readonly delegate* unmanaged[SuppressGCTransition]<long, long, long, long, long, long, long, long> _brief;
    private readonly delegate* unmanaged[SuppressGCTransition]<ulong> _ticks;
    private readonly delegate* unmanaged[SuppressGCTransition]<uint> _cpu;
    private readonly bool _barrier;
    private int _wakeSender = -1;
    private int _highest = -1;

    /// <param name="call">A raw system call: number and six arguments, returns a result or minus an errno.</param>
    /// <param name="ticks">Reads the time stamp counter.</param>
    /// <param name="cpu">Reads the number of the current CPU.</param>
    /// <param name="isNative">The raw system call is no managed code.</param>
    [ColdPath]
    public LinuxKernel(nint call, nint ticks, nint cpu, bool isNative)
    {
        _call = (delegate* unmanaged<long, long, long, long, long, long, long, long>)call;
        if (isNative)
            _brief = (delegate* unmanaged[SuppressGCTransition]<long, long, long, long, long, long, long, long>)call;
        _ticks = (delegate* unmanaged[SuppressGCTransition]<ulong>)ticks;
        _cpu = (delegate* unmanaged[SuppressGCTransition]<uint>)cpu;
        _barrier = Call(SystemCall.Membarrier, BarrierRegister, 0) == 0;
    }

    /// <summary>True if <see cref="Barrier"/> works here.</summary>
    public bool HasBarrier => _barrier;

    private long Call(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) =>
        _call(number, a, b, c, d, e, f);

    /// <summary>
    /// For calls that never sleep: the thread stays in managed code for the runtime, which saves it as many
    /// instructions as a small call has of its own.
    /// </summary>
    private long Brief(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0) =>
        _brief != null ? _brief(number, a, b, c, d, e, 0) : _call(number, a, b, c, d, e, 0);

    public long NowNs() => Stopwatch.GetTimestamp();

    public long WallNs()
    {
        long* time = stackalloc long[2];
        Call(SystemCall.ClockGetTime, 0, (long)time);
        return time[0] * 1_000_000_000 + time[1];
    }

    public ulong Ticks() => _ticks();

    public uint Cpu() => _cpu();

    public bool Barrier() => _barrier && Call(SystemCall.Membarrier, BarrierGlobal, 0) == 0;

    public void Yield() => Call(SystemCall.SchedYield);

    public void Sleep(int* word, int value)
    {
        const int FutexWait = 0;
        long* time = stackalloc long[] { 0, 10_000_000 };
        Call(SystemCall.Futex, (long)word, FutexWait, value, (long)time);
    }

    public void Wake(int* word)
    {
        const int FutexWake = 1;
        Call(SystemCall.Futex, (long)word, FutexWake, int.MaxValue);
    }

    public bool CanWrite(void* at)
    {
        // Adds nothing to the word, atomically and in the kernel's hands, and wakes nobody.
        const int WakeOpPrivate = 5 | 128, AddZero = 1 << 28;
        int nobody = 0;
        return Call(SystemCall.Futex, (long)&nobody, WakeOpPrivate, 0, 0, (long)at & ~3, AddZero) >= 0;
    }

    public int Close(int fd) => (int)Call(SystemCall.Close, fd);

    public int Duplicate(int fd, bool closeOnExec) =>
        (int)Brief(SystemCall.Fcntl, fd, closeOnExec ? DuplicateCloexec : DuplicateFd, 0);

    public long Copy(int call, int fd, long second, long third) =>
        // What is replaced is closed, and may linger over that.
        Replaces(call) ? Call(call, fd, second, third) : Brief(call, fd, second, third);

    public bool Replaces(int call) => call is (int)SystemCall.Dup2 or (int)SystemCall.Dup3;

    public bool Replace(int from, int place)
    {
        int flags = GetDescriptorFlags(place);
        long done = Call(SystemCall.Dup3, from, place, flags == 1 ? Cloexec : 0);
        Close(from);
        return done >= 0;
    }

    public int Socket(int domain, int type, int protocol) => (int)Call(SystemCall.Socket, domain, type, protocol);

    public int Bind(int fd, byte* address, uint length) => (int)Brief(SystemCall.Bind, fd, (long)address, length);

    public int Listen(int fd, int backlog) => (int)Call(SystemCall.Listen, fd, backlog);

    public int Accept(int fd, byte* address, uint* length, int flags) =>
        (int)Call(SystemCall.Accept4, fd, (long)address, (long)length, flags);

    public int Connect(int fd, byte* address, uint length) => (int)Call(SystemCall.Connect, fd, (long)address, length);

    public long ReceiveDatagram(int fd, void* message, int flags) =>
        Call(SystemCall.ReceiveMessage, fd, (long)message, flags);

    public int GetSockName(int fd, byte* address, uint* length) =>
        (int)Brief(SystemCall.GetSockName, fd, (long)address, (long)length);

    public int GetSockOpt(int fd, int level, int name, void* value, uint* length) =>
        (int)Brief(SystemCall.GetSockOpt, fd, level, name, (long)value, (long)length);

    public int SetSockOpt(int fd, int level, int name, void* value, uint length) =>
        (int)Call(SystemCall.SetSockOpt, fd, level, name, (long)value, length);

    public int GetFlags(int fd) => (int)Brief(SystemCall.Fcntl, fd, GetFlagsCommand);

    public int GetDescriptorFlags(int fd) => (int)Brief(SystemCall.Fcntl, fd, GetDescriptorFlagsCommand);

    public int SetDescriptorFlags(int fd, int flags) =>
        (int)Brief(SystemCall.Fcntl, fd, SetDescriptorFlagsCommand, flags);

    public FileKind KindOf(int fd)
    {
        // struct stat of x86-64: st_mode is at 24.
        byte* stat = stackalloc byte[144];
        if (Call(SystemCall.Fstat, fd, (long)stat) < 0)
            return FileKind.Other;
        return (*(uint*)(stat + 24) & 0xF000) switch
        {
            0x8000 => FileKind.Regular,
            0x1000 => FileKind.Pipe,
            0xC000 => FileKind.Socket,
            0x2000 or 0x6000 => FileKind.Device,
            _ => FileKind.Other,
        };
    }

    public bool SameFile(int a, int b)
    {
        int pid = CurrentPid();
        return Call(SystemCall.Kcmp, pid, pid, 0, a, b) == 0;
    }

    public int SetFlags(int fd, int flags) => (int)Brief(SystemCall.Fcntl, fd, SetFlagsCommand, flags);

    public int EpollCreate() => (int)Call(SystemCall.EpollCreate1, Cloexec);

    public int EpollCtl(int epfd, int op, int fd, uint events, ulong data)
    {
        // struct epoll_event is packed on x86-64: 4 bytes of events, 8 of data.
        byte* packed = stackalloc byte[12];
        *(uint*)packed = events;
        *(ulong*)(packed + 4) = data;
        return (int)Brief(SystemCall.EpollCtl, epfd, op, fd, (long)packed);
    }

    public int EpollPeek(int epfd, void* events, int max) =>
        (int)Brief(SystemCall.EpollWait, epfd, (long)events, max, 0);

    public int Poll(void* fds, uint count) => (int)Call(SystemCall.Poll, (long)fds, count, 0);

    public long Read(int fd, void* to, ulong count, long offset) => offset < 0
        ? Call(SystemCall.Read, fd, (long)to, (long)count)
        : Call(SystemCall.Pread, fd, (long)to, (long)count, offset);

    public long Write(int fd, void* from, ulong count, long offset) => offset < 0
        ? Call(SystemCall.Write, fd, (long)from, (long)count)
        : Call(SystemCall.Pwrite, fd, (long)from, (long)count, offset);

    public long Seek(int fd, long offset, int whence) => Call(SystemCall.Seek, fd, offset, whence);

    public int WatchProcess(int pid) => (int)Call(SystemCall.PidfdOpen, pid);

    public int CurrentPid() => (int)Call(SystemCall.GetPid);

    public uint CurrentUid() => (uint)Brief(SystemCall.GetEuid);

    public ulong Random()
    {
        ulong value = 0;
        Call(SystemCall.GetRandom, (long)&value, sizeof(ulong), 0);
        return value;
    }

    public int OpenWaker(ulong name)
    {
        int fd = Socket(AddressUnix, Datagram | NonBlock | Cloexec, 0);
        if (fd < 0)
            return fd;
        byte* address = stackalloc byte[WakeAddressBytes];
        WriteWakeAddress(address, name);
        int bound = Bind(fd, address, WakeAddressBytes);
        if (bound < 0)
        {
            Close(fd);
            return bound;
        }
        return MoveHigh(fd);
    }

    public void Wake(ulong name)
    {
        int sender = _wakeSender;
        if (sender < 0 && (sender = OpenSender()) < 0)
            return;
        byte* address = stackalloc byte[WakeAddressBytes];
        WriteWakeAddress(address, name);
        // A full queue means that a wake is there already.
        Call(SystemCall.SendTo, sender, (long)address, 1, DontWait | NoSignal, (long)address, WakeAddressBytes);
    }

    public void TakeWake(int fd)
    {
        byte* scrap = stackalloc byte[8];
        Call(SystemCall.RecvFrom, fd, (long)scrap, 8, DontWait);
    }

    public void DrainWaker(int fd)
    {
        byte* scrap = stackalloc byte[8];
        for (int i = 0; i < 64 && Call(SystemCall.RecvFrom, fd, (long)scrap, 8, DontWait) >= 0; i++)
        {
        }
    }

    /// <summary>
    /// The descriptor that wakes are sent from, so that the descriptor table can protect it; -1 before the first wake.
    /// </summary>
    public int WakeSender => _wakeSender;

    public int OpenSender()
    {
        int fd = Socket(AddressUnix, Datagram | NonBlock | Cloexec, 0);
        if (fd < 0)
            return fd;
        fd = MoveHigh(fd);
        int other = Interlocked.CompareExchange(ref _wakeSender, fd, -1);
        if (other >= 0)
        {
            Close(fd);
            return other;
        }
        return fd;
    }

    private const int WakeAddressBytes = 2 + 1 + 11 + 16;

    private static void WriteWakeAddress(byte* address, ulong name)
    {
        *(ushort*)address = AddressUnix;
        address[2] = 0;
        ReadOnlySpan<byte> prefix = "accel-wake-"u8;
        for (int i = 0; i < prefix.Length; i++)
            address[3 + i] = prefix[i];
        for (int i = 0; i < 16; i++)
        {
            int digit = (int)(name >> (60 - 4 * i)) & 15;
            address[14 + i] = (byte)(digit < 10 ? '0' + digit : 'a' + digit - 10);
        }
    }
}
