using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>A kernel socket takes the place of an accelerated one: numbers, options, epoll sets, sleepers.</summary>
[ColdPath]
internal static unsafe class Settlement
{
    /// <summary>
    /// True if there is a number left for a new socket. To be asked before it is made: one that lives already cannot be
    /// let go without its peer hearing of it.
    /// </summary>
    public static bool HasRoom(PosixStack s, int fd)
    {
        int spare = s.Kernel.Duplicate(fd, closeOnExec: true);
        if (spare >= 0)
            s.Kernel.Close(spare);
        return spare >= 0;
    }

    /// <summary>
    /// Puts a new kernel socket, with the options of the program, in the place of all numbers that the socket has in
    /// this process. It is used up.
    /// </summary>
    public static void Exchange(PosixStack s, Socket* socket, int index, in Wire wire, int fd, int made)
    {
        KernelOptions.Carry(s, socket, in wire, fd, made);
        int parked = -1;
        if (HasRelatives(s, index))
        {
            parked = s.Kernel.MoveHigh(s.Kernel.Duplicate(made, closeOnExec: true));
            if (parked >= 0)
                s.Own(parked);
        }
        uint entry = DescriptorEntry.Of(DescriptorEntry.KindSocket, index);
        int high = s.S.ProcessAt(s.Slot)->HighestDescriptor;
        ulong cookie = Rights.CookieOf(s, made);
        Numbers.Enter(s);
        socket->HandoverCookie = cookie;
        for (int i = 0; i < high; i++)
        {
            if (s.Process->FdMap[i] != entry)
                continue;
            // The new one's own number goes into the first place, and from there into the others.
            int next = socket->Is(SocketFlags.Duplicated) ? s.Kernel.Duplicate(made, closeOnExec: true) : -1;
            s.Kernel.Replace(made, i);
            made = next;
            if (made < 0)
                break;
        }
        socket->HandoverPid = s.Process->Pid;
        socket->HandoverDescriptor = parked;
        Numbers.Exit(s);
        if (made >= 0)
            s.Kernel.Close(made);
        if (parked >= 0)
            s.Parked.Add(s, index, parked);
    }

    /// <summary>
    /// True if another process of the family has the socket and has not followed yet, or is about to get it by a
    /// message.
    /// </summary>
    public static bool HasRelatives(PosixStack s, int index)
    {
        if (Volatile.Read(ref s.S.SocketAt(index)->InFlight) > 0)
            return true;
        uint entry = DescriptorEntry.Of(DescriptorEntry.KindSocket, index);
        for (int slot = 0; slot < StackRegion.MaxProcesses; slot++)
        {
            if (slot != s.Slot && Processes.Holds(s, slot, entry))
                return true;
        }
        return false;
    }

    /// <summary>
    /// The numbers are the kernel's: the stack forgets the connection, and whoever sleeps on it comes and looks.
    /// </summary>
    public static void Leave(PosixStack s, AccelThread* t, Socket* socket, int index, in Wire wire)
    {
        Changes.Begin(s, t);
        uint region = socket->Region;
        s.LeaveToKernel(t, socket, PathReason.HandedOver);
        Sockets.MarkOnKernel(s, index);
        EpollSets.MoveToKernel(s, t, index);
        if (HasRelatives(s, index))
            Interlocked.Increment(ref s.S.Tables->Handovers);
        Notifier.Notify(s, t, wire.Region, wire.Me, wire.Source);
        socket->Region = 0;
        Interlocked.Decrement(ref s.S.RegionAt((int)region - 1)->Users);
        Closer.Leave(s, in wire);
        Changes.End(s, t);
    }
}
