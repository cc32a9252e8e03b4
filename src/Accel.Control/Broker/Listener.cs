using System.Text;
using Accel.Control.Native;

namespace Accel.Control.Broker;

/// <summary>The socket that stacks come to, and the lock that there is one acceld for a network namespace.</summary>
internal sealed unsafe class Listener : IDisposable
{
    private const int Backlog = 256, LockExclusive = 2, LockNonBlocking = 4, MaxPath = 107;

    private readonly string _path;
    private readonly int _lock;

    public Listener(string path)
    {
        _path = path;
        if (Encoding.UTF8.GetByteCount(path) > MaxPath)
            throw new ControlException($"{path}: too long for a socket");
        string folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        if (!Directory.Exists(folder))
            Directory.CreateDirectory(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute
                | UnixFileMode.GroupRead | UnixFileMode.GroupExecute
                | UnixFileMode.OtherRead | UnixFileMode.OtherExecute);
        _lock = Lock(path);
        // What an acceld that died left there.
        File.Delete(path);
        Fd = Libc.Socket(Libc.AfUnix, Libc.SockSeqPacket | Libc.SockCloexec | Libc.SockNonBlock, 0);
        byte* address = stackalloc byte[110];
        new Span<byte>(address, 110).Clear();
        *(ushort*)address = Libc.AfUnix;
        int length = Encoding.UTF8.GetBytes(path, new Span<byte>(address + 2, MaxPath));
        if (Fd < 0 || Libc.Bind(Fd, address, (uint)(2 + length + 1)) < 0 || Libc.Listen(Fd, Backlog) < 0)
            throw new ControlException($"{path}: {Libc.Error}");
        // Who may do what is decided by who it is, not by who reaches the socket.
        File.SetUnixFileMode(path, (UnixFileMode)0x1B6);
    }

    public int Fd { get; }

    private static int Lock(string path)
    {
        const int readWriteCreate = 2 | 0x40 | 0x80000;
        byte[] name = Encoding.UTF8.GetBytes(path + ".lock\0");
        while (true)
        {
            int fd;
            fixed (byte* bytes = name)
                fd = Libc.Open(bytes, readWriteCreate, 0x180);
            if (fd < 0)
                throw new ControlException($"{path}.lock: {Libc.Error}");
            if (Libc.FileLock(fd, LockExclusive | LockNonBlocking) < 0)
            {
                Libc.Close(fd);
                throw new ControlException($"another acceld serves this network namespace ({path})");
            }
            // One that stops deletes it: a lock on a file that is not there any more keeps nobody out.
            if (File.Exists(path + ".lock"))
                return fd;
            Libc.Close(fd);
        }
    }

    /// <summary>The next connection; -1 if there is none.</summary>
    public int Accept(out Peer peer)
    {
        peer = new Peer(0, uint.MaxValue, uint.MaxValue, []);
        int fd = Libc.Accept(Fd, null, null, Libc.SockCloexec | Libc.SockNonBlock);
        if (fd < 0)
            return -1;
        // struct ucred: pid, uid, gid.
        uint* credentials = stackalloc uint[3];
        uint bytes = 12;
        if (Libc.GetSockOpt(fd, Libc.SolSocket, Libc.SoPeerCred, credentials, &bytes) < 0)
        {
            Libc.Close(fd);
            return -1;
        }
        const int mostGroups = 256;
        uint* groups = stackalloc uint[mostGroups];
        bytes = mostGroups * sizeof(uint);
        bool known = Libc.GetSockOpt(fd, Libc.SolSocket, Libc.SoPeerGroups, groups, &bytes) >= 0;
        peer = new Peer((int)credentials[0], credentials[1], credentials[2],
            known ? new Span<uint>(groups, (int)(bytes / sizeof(uint))).ToArray() : []);
        return fd;
    }

    public void Dispose()
    {
        Libc.Close(Fd);
        File.Delete(_path);
        File.Delete(_path + ".lock");
        Libc.Close(_lock);
    }
}
