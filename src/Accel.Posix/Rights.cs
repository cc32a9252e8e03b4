using Accel.Core.Memory;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// Sockets that are sent over a unix socket (SCM_RIGHTS) to another process of the stack. The kernel carries the file
/// behind the descriptor, and a file of its own tells the receiver which socket came: the kernel's cookie of it. What
/// is on its way holds a reference, as in the kernel.
/// </summary>
[ColdPath]
public static unsafe class Rights
{
    private const int PeerCredentials = 17, Cookie = 57;

    /// <summary>Before the message is sent: what of it is ours gets ready for the way.</summary>
    public static long Send(PosixStack s, AccelThread* t, int channel, int* descriptors, int count)
    {
        if (!LeadsToFamily(s, channel))
        {
            // Who knows nothing of the stack gets a connection of the kernel's.
            for (int i = 0; i < count; i++)
                Handover.ToKernel(s, t, descriptors[i]);
            return 0;
        }
        for (int i = 0; i < count; i++)
        {
            Socket* socket = s.Find(descriptors[i], out int index);
            if (socket == null)
                continue;
            Changes.Begin(s, t);
            Numbers.Enter(s);
            if (Identify(s, socket, index, descriptors[i]))
            {
                Interlocked.Increment(ref socket->References);
                Interlocked.Increment(ref socket->InFlight);
            }
            Numbers.Exit(s);
            Changes.End(s, t);
        }
        return 0;
    }

    /// <summary>pidfd_getfd(): a process of the stack reaches for a descriptor of another, or of its own.</summary>
    public static long Taken(PosixStack s, int pid, int fd)
    {
        for (int slot = 0; slot < StackRegion.MaxProcesses && (uint)fd < StackRegion.MaxDescriptors; slot++)
        {
            if (s.S.ProcessAt(slot)->Pid != pid)
                continue;
            uint kind = s.S.DescriptorsOf(slot)[fd] >> 24;
            if (kind is DescriptorEntry.KindSocket or DescriptorEntry.KindInternal)
                return kind == DescriptorEntry.KindSocket ? -Errno.EPERM : -Errno.EBADF;
        }
        return 0;
    }

    /// <summary>The message was not sent.</summary>
    public static long Unsend(PosixStack s, AccelThread* t, int channel, int* descriptors, int count)
    {
        for (int i = 0; i < count; i++)
        {
            // It may have gone to the kernel meanwhile.
            uint entry = s.Entry(descriptors[i]);
            int index = DescriptorEntry.Index(entry);
            if (DescriptorEntry.Kind(entry) != DescriptorEntry.KindSocket || index >= StackRegion.MaxSockets)
                continue;
            Socket* socket = s.S.SocketAt(index);
            if (!IsPassed(socket, CookieOf(s, descriptors[i])))
                continue;
            Changes.Begin(s, t);
            if (TryTake(socket))
                Sockets.Release(s, t, index);
            Changes.End(s, t);
        }
        return 0;
    }

    /// <summary>
    /// A descriptor has come: is it one of the stack's sockets? A message that was only looked at stays on its way.
    /// </summary>
    public static long Receive(PosixStack s, AccelThread* t, int fd, bool peeked)
    {
        ulong cookie = (uint)fd < s.Process->FdLimit ? CookieOf(s, fd) : 0;
        int count = cookie == 0 ? 0 : (int)Math.Min(s.S.Tables->Sockets.Bumped, StackRegion.MaxSockets);
        for (int index = 0; index < count; index++)
        {
            Socket* socket = s.S.SocketAt(index);
            if (Volatile.Read(ref socket->InFlight) <= 0 || socket->State == (uint)SocketState.Free
                || !IsPassed(socket, cookie))
                continue;
            // It went to the kernel between the sender's last look and the kernel's.
            uint onKernel = socket->PassedCookie != cookie ? DescriptorEntry.OnKernel : 0;
            Changes.Begin(s, t);
            uint entry = DescriptorEntry.Of(DescriptorEntry.KindSocket, index) | onKernel;
            bool shared = TryShare(s, socket, entry, fd, peeked);
            Changes.End(s, t);
            return shared ? 1 : 0;
        }
        return 0;
    }

    private static bool TryShare(PosixStack s, Socket* socket, uint entry, int fd, bool peeked)
    {
        if (!Processes.TryShare(s, entry))
            return false;
        if (!peeked && TryTake(socket))
            Interlocked.Decrement(ref socket->References);
        if (HasTwin(s, entry))
            Interlocked.Or(ref socket->Flags, (uint)SocketFlags.Duplicated);
        s.SetEntry(fd, entry);
        return true;
    }

    /// <summary>A message carries the file that the socket had, or the one that it was exchanged for.</summary>
    private static bool IsPassed(Socket* socket, ulong cookie) =>
        cookie != 0 && (cookie == socket->PassedCookie || cookie == Volatile.Read(ref socket->HandoverCookie));

    private static bool TryTake(Socket* socket)
    {
        int now;
        do
        {
            now = Volatile.Read(ref socket->InFlight);
            if (now <= 0)
                return false;
        }
        while (Interlocked.CompareExchange(ref socket->InFlight, now - 1, now) != now);
        return true;
    }

    private static bool HasTwin(PosixStack s, uint entry)
    {
        int high = s.S.ProcessAt(s.Slot)->HighestDescriptor;
        for (int fd = 0; fd < high; fd++)
        {
            if (s.Process->FdMap[fd] == entry)
                return true;
        }
        return false;
    }

    /// <summary>
    /// The other end was made by a process of the stack, and there is another one that may have it. One that has become
    /// another image since is still of it: exec() keeps a process that has a unix socket in the stack; but not one that
    /// was made before there was a stack, as a server's workers are when it listens only after them.
    /// </summary>
    private static bool LeadsToFamily(PosixStack s, int channel)
    {
        // struct ucred: pid, uid, gid.
        int* credentials = stackalloc int[3];
        uint length = 12;
        if (s.Kernel.GetSockOpt(channel, So.SOL_SOCKET, PeerCredentials, credentials, &length) < 0)
            return false;
        bool isOfStack = false, hasOthers = false;
        for (int i = 0; i < StackRegion.MaxProcesses; i++)
        {
            ProcessSlot* slot = s.S.ProcessAt(i);
            if (slot->State != ProcessSlot.Live)
                continue;
            isOfStack |= slot->Pid == credentials[0];
            hasOthers |= i != s.Slot;
        }
        // One that was forked when there was no place for it is no process of the stack.
        return isOfStack && hasOthers && !Lending.IsAnybodyOutside(s);
    }

    public static ulong CookieOf(PosixStack s, int fd)
    {
        ulong cookie = 0;
        uint length = sizeof(ulong);
        return s.Kernel.GetSockOpt(fd, So.SOL_SOCKET, Cookie, &cookie, &length) < 0 ? 0 : cookie;
    }

    /// <summary>
    /// Accepted connections share one file: one that is sent gets a file of its own. Within <see cref="Numbers"/>.
    /// False: it has gone to the kernel, or is about to have.
    /// </summary>
    private static bool Identify(PosixStack s, Socket* socket, int index, int fd)
    {
        if (s.Entry(fd) != DescriptorEntry.Of(DescriptorEntry.KindSocket, index) || socket->HandoverPid != 0)
            return false;
        ulong cookie = CookieOf(s, fd);
        if (!socket->Is(SocketFlags.OwnsKernelSocket) && (cookie == 0 || cookie != socket->PassedCookie))
        {
            int file = s.Kernel.MoveHigh(s.Kernel.Socket(socket->Family, Af.SOCK_STREAM | Af.SOCK_CLOEXEC, 0));
            if (file < 0)
                return false;
            uint entry = DescriptorEntry.Of(DescriptorEntry.KindSocket, index);
            int high = s.S.ProcessAt(s.Slot)->HighestDescriptor;
            for (int place = 0; place < high; place++)
            {
                if (s.Process->FdMap[place] == entry)
                    s.Kernel.Replace(s.Kernel.Duplicate(file, closeOnExec: true), place);
            }
            cookie = CookieOf(s, file);
            s.Kernel.Close(file);
        }
        socket->PassedCookie = cookie;
        return cookie != 0;
    }
}
