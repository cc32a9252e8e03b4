using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// A connection that another process of the family gave to the kernel: this process has descriptors of it as well,
/// which still are what they were. It fetches the new one.
/// </summary>
[ColdPath]
internal static unsafe class Followers
{
    /// <summary>
    /// One number of a socket that the kernel has: it passes through from now on. If it still is what it was and cannot
    /// be exchanged, its socket is not connected any more, which is counted.
    /// </summary>
    public static void Follow(PosixStack s, int fd, uint entry, Socket* socket)
    {
        bool isOld = socket->HandoverPid != 0 && socket->HandoverPid != s.Process->Pid;
        int made = isOld ? Fetch(s, socket, socket->HandoverDescriptor) : -1;
        if (isOld && made < 0)
            made = Fetch(s, socket, socket->FirstDescriptor);
        Numbers.Enter(s);
        // Another thread may have done it, or closed the number.
        bool mine = Volatile.Read(ref s.Process->FdMap[fd]) == entry;
        bool done = mine && made >= 0 && s.Kernel.Replace(made, fd);
        if (mine)
            s.SetEntry(fd, entry | DescriptorEntry.OnKernel);
        Numbers.Exit(s);
        if (mine && isOld)
            s.Count(0, done ? Counter.HandoversFollowed : Counter.HandoversLost);
        else if (made >= 0)
            s.Kernel.Close(made);
    }

    /// <summary>A copy of a descriptor of the process that gave the connection away, if it still is that.</summary>
    private static int Fetch(PosixStack s, Socket* socket, int descriptor)
    {
        if (descriptor < 0)
            return -1;
        int made = s.Kernel.Borrow(socket->HandoverPid, descriptor);
        if (made < 0)
            return -1;
        byte* name = stackalloc byte[(int)Addresses.V6Bytes];
        uint length = Addresses.V6Bytes;
        if (s.Kernel.GetSockName(made, name, &length) >= 0 && Addresses.TryRead(name, length, out Endpoint local)
            && local.Port == socket->Local.Port && local.Unmapped().SameAddress(socket->Local.Unmapped()))
            return made;
        s.Kernel.Close(made);
        return -1;
    }

    /// <summary>All numbers of this process, and its epoll sets.</summary>
    public static void FollowAll(PosixStack s, AccelThread* t)
    {
        int high = s.S.ProcessAt(s.Slot)->HighestDescriptor;
        for (int fd = 0; fd < high; fd++)
        {
            uint entry = s.Process->FdMap[fd];
            int index = DescriptorEntry.Index(entry);
            if (entry >> 24 != DescriptorEntry.KindSocket || index >= StackRegion.MaxSockets)
                continue;
            Socket* socket = s.S.SocketAt(index);
            if (socket->State == (uint)SocketState.Kernel && socket->HandoverPid != 0
                && s.Find(fd, out _) == null)
                EpollSets.MoveToKernel(s, t, index);
        }
    }
}
