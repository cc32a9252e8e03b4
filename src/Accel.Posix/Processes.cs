using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// fork, exec and the end of processes. A stack belongs to a family of processes; each has a slot with its descriptor
/// table, and
/// each descriptor of each process counts as a reference, as in the kernel.
/// </summary>
public static unsafe class Processes
{
    /// <summary>Enters the first process of a stack.</summary>
    [ColdPath]
    public static void EnterFirst(StackRegion region, IKernel kernel, AccelProcess* process)
    {
        ProcessSlot* slot = region.ProcessAt(0);
        slot->State = ProcessSlot.Live;
        slot->Pid = process->Pid;
        slot->StartTime = kernel.StartTime(process->Pid);
        slot->StartedNs = kernel.NowNs();
        slot->Adopted = 1;
        process->Slot = 0;
        process->FdMapBase = (byte*)region.DescriptorsOf(0);
        process->FdMapStride = (ulong)StackRegion.DescriptorStride;
        process->FdMap = region.DescriptorsOf(0);
        process->Adopted = 1;
        process->InternalMin = 0;
        Volatile.Write(ref process->FdLimit, StackRegion.MaxDescriptors);
    }

    /// <summary>
    /// Before fork: a slot for the child, with a copy of the table and a reference for each entry. Returns the slot or
    /// minus an errno.
    /// </summary>
    public static long ForkPrepare(PosixStack s, AccelThread* t)
    {
        StackTables* tables = s.S.Tables;
        s.Lock(ref tables->Lock, t);
        int child = FreeSlot(s, t);
        if (child >= 0)
        {
            ProcessSlot* slot = s.S.ProcessAt(child);
            slot->State = ProcessSlot.Reserved;
            slot->Pid = 0;
            slot->Parent = (uint)s.Slot + 1;
            slot->Adopted = 0;
            slot->StartedNs = s.Kernel.NowNs();
            slot->HighestDescriptor = s.S.ProcessAt(s.Slot)->HighestDescriptor;
        }
        PosixStack.Unlock(ref tables->Lock);
        if (child < 0)
            return -Errno.EAGAIN;
        uint* from = s.S.DescriptorsOf(s.Slot);
        uint* to = s.S.DescriptorsOf(child);
        int high = s.S.ProcessAt(s.Slot)->HighestDescriptor;
        for (int fd = 0; fd < high; fd++)
        {
            uint entry = Volatile.Read(ref from[fd]);
            to[fd] = entry;
            if (entry != 0)
                Share(s, entry, child);
        }
        s.Count(t, Counter.Forks);
        return child;
    }

    private static int FreeSlot(PosixStack s, AccelThread* t)
    {
        for (int i = 0; i < StackRegion.MaxProcesses; i++)
        {
            ProcessSlot* slot = s.S.ProcessAt(i);
            if (slot->State == ProcessSlot.Unused)
                return i;
            // A child that came and went without a touch is noticed here at the latest.
            if (slot->State == ProcessSlot.Live && slot->Pid != s.Process->Pid
                && s.Kernel.StartTime(slot->Pid) != slot->StartTime)
            {
                Bury(s, t, i);
                return i;
            }
        }
        return -1;
    }

    private static void Share(PosixStack s, uint entry, int slot)
    {
        uint kind = DescriptorEntry.Kind(entry);
        int index = DescriptorEntry.Index(entry);
        if (kind == DescriptorEntry.KindEpoll)
            Interlocked.Increment(ref s.S.EpollSetAt(index)->References);
        if (kind != DescriptorEntry.KindSocket)
            return;
        Socket* socket = s.S.SocketAt(index);
        Interlocked.Increment(ref socket->References);
        if (socket->State is (uint)SocketState.Connected or (uint)SocketState.Connecting && s.Sides(socket, out Wire wire))
            Holders.Add(wire.Me->Holders, slot);
        else if (socket->State == (uint)SocketState.Listening && s.Region(socket->Region) is { IsMapped: true } region)
            Holders.Add(region.ListenerAt((int)socket->Index)->Holders, slot);
    }

    /// <summary>After fork, in the parent. A negative pid: there is no child.</summary>
    public static long ForkDone(PosixStack s, AccelThread* t, int slotIndex, int pid)
    {
        if ((uint)slotIndex >= StackRegion.MaxProcesses)
            return -Errno.EINVAL;
        ProcessSlot* slot = s.S.ProcessAt(slotIndex);
        if (pid < 0)
        {
            Sockets.ReleaseTable(s, t, slotIndex);
            slot->State = ProcessSlot.Unused;
            return 0;
        }
        Enter(s, slotIndex, pid);
        return 0;
    }

    private static void Enter(PosixStack s, int slotIndex, int pid)
    {
        ProcessSlot* slot = s.S.ProcessAt(slotIndex);
        uint start = s.Kernel.StartTime(pid);
        slot->StartTime = start;
        slot->Pid = pid;
        Interlocked.CompareExchange(ref slot->State, ProcessSlot.Live, ProcessSlot.Reserved);
        Regions.SetMemberEverywhere(s, slotIndex, pid, start);
    }

    /// <summary>In a fork child, at its first touch of a socket.</summary>
    public static long Adopt(PosixStack s, AccelThread* t)
    {
        ProcessSlot* slot = s.S.ProcessAt(s.Slot);
        Enter(s, s.Slot, s.Process->Pid);
        slot->Adopted = 1;
        s.Peers.StartOver(t);
        s.Process->Adopted = 1;
        int high = slot->HighestDescriptor;
        for (int fd = 0; fd < high; fd++)
        {
            uint entry = s.Process->FdMap[fd];
            if (entry >> 24 == DescriptorEntry.KindSocket)
                AdoptListener(s, DescriptorEntry.Index(entry));
        }
        return 0;
    }

    /// <summary>
    /// A meeting point whose maker has gone (a program that listens and then becomes a daemon) is answered for by this
    /// process.
    /// </summary>
    private static void AdoptListener(PosixStack s, int index)
    {
        Socket* socket = s.S.SocketAt(index);
        LocalRegion region = s.Region(socket->Region);
        if (socket->State != (uint)SocketState.Listening || !region.IsMapped)
            return;
        Listener* listener = region.ListenerAt((int)socket->Index);
        int maker = region.Tables->Header.OwnerPid;
        if (listener->Meeting >= 0 && s.Kernel.StartTime(maker) == 0)
            s.Kernel.Listen(listener->Meeting, 4096);
        s.Peers.AddMeeting(listener->Meeting);
    }

    /// <summary>A process of this stack has died: gives up what it held.</summary>
    public static void Reap(PosixStack s, AccelThread* t, int slotIndex, int pid)
    {
        if ((uint)slotIndex >= StackRegion.MaxProcesses)
            return;
        StackTables* tables = s.S.Tables;
        s.Lock(ref tables->Lock, t);
        if (s.S.ProcessAt(slotIndex)->Pid == pid)
            Bury(s, t, slotIndex);
        PosixStack.Unlock(ref tables->Lock);
    }

    private static void Bury(PosixStack s, AccelThread* t, int slotIndex)
    {
        ProcessSlot* slot = s.S.ProcessAt(slotIndex);
        if (slot->State == ProcessSlot.Unused)
            return;
        slot->Pid = 0;
        Sockets.ReleaseTable(s, t, slotIndex);
        Wakers.ReleaseOf(s, slotIndex);
        slot->State = ProcessSlot.Unused;
        s.Count(t, Counter.ProcessesReaped);
    }

    /// <summary>
    /// The process ends, or another program takes its place: gives up all that it holds, and its place among the
    /// neighbours' peers.
    /// </summary>
    public static long Leave(PosixStack s, AccelThread* t)
    {
        Sockets.ReleaseTable(s, t, s.Slot);
        Wakers.ReleaseOf(s, s.Slot);
        for (uint number = 1; number <= s.S.Tables->RegionsHigh; number++)
        {
            LocalRegion region = s.Region(number);
            if (!region.IsMapped)
                continue;
            uint attachment = s.S.RegionAt((int)number - 1)->Attachment;
            Regions.SetMember(region, attachment, s.Slot, 0, 0);
            region.DetachIfEmpty(attachment);
        }
        ProcessSlot* slot = s.S.ProcessAt(s.Slot);
        slot->Pid = 0;
        slot->State = ProcessSlot.Unused;
        return 0;
    }

    /// <summary>exec failed: the process goes on, with those sockets that others still hold.</summary>
    public static long Return(PosixStack s, AccelThread* t)
    {
        ProcessSlot* slot = s.S.ProcessAt(s.Slot);
        slot->State = ProcessSlot.Live;
        Enter(s, s.Slot, s.Process->Pid);
        return 0;
    }
}
