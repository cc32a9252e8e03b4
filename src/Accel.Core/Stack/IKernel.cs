using Accel.Core.Handover;
using Accel.Core.Local;
using Accel.Core.Memory;

namespace Accel.Core.Stack;

/// <summary>What a descriptor refers to.</summary>
public enum FileKind
{
    Other,
    Regular,
    Pipe,
    Socket,

    /// <summary>A character or block device.</summary>
    Device,
}

/// <summary>
/// What the stack asks of the operating system. Calls return a result or minus an errno. None of them blocks. Tests put
/// their own in its place.
/// </summary>
public unsafe interface IKernel : ILiveness
{
    /// <summary>CLOCK_MONOTONIC.</summary>
    long NowNs();

    /// <summary>The most memory that the process may have by its control group; long.MaxValue if nobody says.</summary>
    long MemoryLimit();

    /// <summary>A cheap counter that runs at one speed on all CPUs.</summary>
    ulong Ticks();

    /// <summary>The CPU that the thread runs on.</summary>
    uint Cpu();

    /// <summary>
    /// A full fence on every CPU that runs a process which called this class' start-up. False if the kernel has none.
    /// </summary>
    bool Barrier();

    /// <summary>True if a word of the program's memory may be written to. It stays what it is.</summary>
    bool CanWrite(void* at);

    int Close(int fd);

    /// <summary>A copy of a descriptor at the lowest free number.</summary>
    int Duplicate(int fd, bool closeOnExec);

    /// <summary>
    /// A copy of a descriptor by a system call, given by its number: dup, dup2, dup3, or fcntl with a command.
    /// </summary>
    long Copy(int call, int fd, long second, long third);

    /// <summary>True if the system call puts its copy in the place of its second argument.</summary>
    bool Replaces(int call);

    /// <summary>
    /// Puts a file in the place of another (dup3), keeping close-on-exec of the place, and closes its first number.
    /// </summary>
    bool Replace(int from, int place);

    int Socket(int domain, int type, int protocol);

    int Bind(int fd, byte* address, uint length);

    int Listen(int fd, int backlog);

    int Accept(int fd, byte* address, uint* length, int flags);

    int Connect(int fd, byte* address, uint length);

    /// <summary>recvmsg(), which never blocks if the flags say so.</summary>
    long ReceiveDatagram(int fd, void* message, int flags);

    /// <summary>send(), which never blocks if the flags say so.</summary>
    long Send(int fd, void* data, ulong length, int flags);

    /// <summary>shutdown()</summary>
    int ShutdownSocket(int fd, int how);

    /// <summary>A copy of another process's descriptor (pidfd_getfd), or minus an errno.</summary>
    int Borrow(int pid, int fd);

    /// <summary>
    /// A connection of the kernel's that goes on where an image stops. <paramref name="queues"/>: the bytes that go
    /// with it. Returns its descriptor or minus an errno: this process may not, or the name is in use.
    /// </summary>
    int RestoreTcp(in Endpoint local, in Endpoint remote, in TcpImage image, byte* queues);

    /// <summary>
    /// Two connections of the kernel's with each other, from two images of which each is the other's peer: the names of
    /// the second are those of the first exchanged. 0 or minus an errno.
    /// </summary>
    int RestorePair(in Endpoint local, in Endpoint remote, in TcpImage image, byte* queues, in TcpImage peer,
        byte* peerQueues, out int made, out int madePeer);

    int GetSockName(int fd, byte* address, uint* length);

    int GetSockOpt(int fd, int level, int name, void* value, uint* length);

    int SetSockOpt(int fd, int level, int name, void* value, uint length);

    int GetFlags(int fd);

    /// <summary>1 if the descriptor is closed by exec, 0 if it is not.</summary>
    int GetDescriptorFlags(int fd);

    int SetDescriptorFlags(int fd, int flags);

    FileKind KindOf(int fd);

    /// <summary>True if two descriptors of this process are one open file.</summary>
    bool SameFile(int a, int b);

    int SetFlags(int fd, int flags);

    /// <summary>True if a descriptor is open and stays so over exec().</summary>
    bool IsInherited(int fd);

    /// <summary>
    /// Moves one of our own descriptors out of the program's way and marks it close-on-exec. Returns its new number.
    /// </summary>
    int MoveHigh(int fd);

    /// <summary>A descriptor of our own for the same open file, out of the program's way and close-on-exec.</summary>
    int DuplicateHigh(int fd);

    int EpollCreate();

    int EpollCtl(int epfd, int op, int fd, uint events, ulong data);

    /// <summary>Takes what is ready now.</summary>
    int EpollPeek(int epfd, void* events, int max);

    /// <summary>
    /// A set of its own with the members that the kernel knows of another one, but for those with one of two data.
    /// </summary>
    int CopyEpoll(int epfd, ulong without, ulong alsoWithout);

    /// <summary>
    /// What the kernel has of a number that was put into a set; false if that is no set, or has no such member.
    /// </summary>
    bool FindMember(int epfd, int fd, out uint events, out ulong data);

    /// <summary>Another open file on what a descriptor refers to.</summary>
    int OpenAgain(int fd);

    /// <summary>A lock that belongs to the open file, and ends with its last descriptor in any process.</summary>
    int LockByte(int fd, long at);

    /// <summary>True if another open file of the same has that lock.</summary>
    bool IsByteLocked(int fd, long at);

    /// <summary>poll() with timeout 0.</summary>
    int Poll(void* fds, uint count);

    /// <summary>Reads from a file or pipe into memory; offset -1: at the file's own position.</summary>
    long Read(int fd, void* to, ulong count, long offset);

    long Write(int fd, void* from, ulong count, long offset);

    /// <summary>The file's own position after moving it by offset from whence, as lseek().</summary>
    long Seek(int fd, long offset, int whence);

    /// <summary>
    /// A datagram socket whose abstract name holds <paramref name="name"/>. Wakes for that name arrive there.
    /// </summary>
    int OpenWaker(ulong name);

    /// <summary>
    /// Makes the socket that wakes are sent from, if it is not there yet. Returns its number or minus an errno.
    /// </summary>
    int OpenSender();

    /// <summary>Sends a wake.</summary>
    void Wake(ulong name);

    /// <summary>Takes all wakes that have arrived.</summary>
    void DrainWaker(int fd);

    /// <summary>Takes one wake: enough after a sleep, since a second one only ends the next sleep early.</summary>
    void TakeWake(int fd);

    /// <summary>A descriptor that becomes readable when the process ends.</summary>
    int WatchProcess(int pid);

    /// <summary>Start time of a process as a mark of identity, 0 if there is none.</summary>
    uint StartTime(int pid);

    int CurrentPid();

    int CurrentTid();

    uint CurrentUid();

    ulong Random();

    /// <summary>Ports that connections of this network namespace get (net.ipv4.ip_local_port_range). False if that
    /// cannot be read.</summary>
    bool TryReadPortRange(out ushort low, out ushort high);

    /// <summary>Makes a shared memory file and maps it. Returns its address or null.</summary>
    byte* CreateRegion(string name, long bytes, out int fd);

    /// <summary>Gives the memory of a part of a region back; it reads as zeros afterwards.</summary>
    void DropPages(byte* address, ulong bytes);

    /// <summary>
    /// Asks for huge pages in a part of a region, where the machine's owner lets shared memory have them. A page that
    /// is used for the first time costs more than its bytes.
    /// </summary>
    void WantHugePages(byte* region, ulong from, ulong bytes);

    /// <summary>CLOCK_REALTIME.</summary>
    long WallNs();

    /// <summary>Undoes a mapping of a region.</summary>
    void UnmapRegion(byte* address);

    /// <summary>
    /// Finds and maps a region of a process by name and kind. Returns null and a reason if it cannot; else the
    /// descriptor is the caller's.
    /// </summary>
    byte* AttachRegion(int pid, string name, RegionKind kind, ulong wantedId, out int fd, out string? refusal);

    /// <summary>Maps a region by its descriptor. Null if it is not of that kind and id.</summary>
    byte* MapRegion(int fd, RegionKind kind, ulong wantedId);
}
