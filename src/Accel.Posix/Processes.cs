using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// fork and the end of processes. A stack belongs to a family of processes; each has a slot with its descriptor
/// table, and
/// each descriptor of each process counts as a reference, as in the kernel.
/// </summary>
public static unsafe class Processes
{
    /// <summary>So much longer than it takes to look which processes have gone nobody looks again.</summary>
    private const int LookShare = 20;

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
        process->PidsBefore = region.PidsBefore;
        process->Adopted = 1;
        process->InternalMin = 0;
        Volatile.Write(ref process->FdLimit, StackRegion.MaxDescriptors);
    }

    /// <summary>
    /// Before fork: a slot for the child, with a copy of the table and a reference for each entry. Returns the slot;
    /// <see cref="AccelResult.Pass"/> if there is none and the child goes without (<see cref="PlainFork"/>); or minus
    /// an errno.
    /// </summary>
    public static long ForkPrepare(PosixStack s, AccelThread* t)
    {
        if (Volatile.Read(ref s.S.Tables->Lent) != 0)
            Lending.Look(s, t);
        s.ProgressGate.BeginFork(s, t);
        s.LockStack(t);
        int child = FreeSlot(s, t);
        int stale = 0;
        if (child >= 0)
        {
            ProcessSlot* slot = s.S.ProcessAt(child);
            stale = slot->HighestDescriptor;
            slot->State = ProcessSlot.Reserved;
            slot->Pid = 0;
            slot->Parent = (uint)s.Slot + 1;
            slot->Adopted = 0;
            slot->StartedNs = s.Kernel.NowNs();
            slot->Changing = 0;
            slot->HighestDescriptor = s.S.ProcessAt(s.Slot)->HighestDescriptor;
        }
        s.UnlockStack(t);
        if (child < 0)
        {
            s.ProgressGate.EndFork(t);
            return s.PlainFork.Prepare(s, t);
        }
        Changes.Begin(s, t);
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
        // Internal entries of a process that left in order.
        for (int fd = high; fd < stale; fd++)
            to[fd] = 0;
        Changes.End(s, t);
        s.Count(t, Counter.Forks);
        return child;
    }

    private static int FreeSlot(PosixStack s, AccelThread* t)
    {
        // Not the slot that became free last: a neighbour may still be busy taking its dead process from connections.
        uint last = s.S.Tables->LastSlot;
        long begun = s.Kernel.NowNs();
        bool looks = begun >= s.S.Tables->NextSlotLookNs;
        for (uint n = 1; n <= StackRegion.MaxProcesses; n++)
        {
            int i = (int)((last + n) % StackRegion.MaxProcesses);
            ProcessSlot* slot = s.S.ProcessAt(i);
            // A child that came and went without a touch is noticed here at the latest.
            if (looks && slot->State == ProcessSlot.Live && slot->Pid != s.Process->Pid
                && s.Kernel.StartTime(slot->Pid) != slot->StartTime)
                Bury(s, t, i);
            if (slot->State != ProcessSlot.Unused)
                continue;
            // What the threads of a process slept on that has become another program.
            Wakers.ReleaseOf(s, t, i);
            s.S.Tables->LastSlot = (uint)i;
            return i;
        }
        // To ask after each of them again takes longer than all the rest of a fork.
        long ended = s.Kernel.NowNs();
        if (looks)
            s.S.Tables->NextSlotLookNs = ended + (ended - begun) * LookShare;
        return -1;
    }

    /// <summary>True if a descriptor of a process is what an entry says.</summary>
    public static bool Holds(PosixStack s, int slot, uint entry)
    {
        ProcessSlot* process = s.S.ProcessAt(slot);
        if (Volatile.Read(ref process->State) == ProcessSlot.Unused)
            return false;
        uint* table = s.S.DescriptorsOf(slot);
        int high = Math.Min(process->HighestDescriptor, StackRegion.MaxDescriptors);
        for (int fd = 0; fd < high; fd++)
        {
            if (Volatile.Read(ref table[fd]) == entry)
                return true;
        }
        return false;
    }

    /// <summary>True if some process of the stack has a descriptor that is what an entry says.</summary>
    public static bool AnyHolds(PosixStack s, uint entry)
    {
        for (int slot = 0; slot < StackRegion.MaxProcesses; slot++)
        {
            if (Holds(s, slot, entry))
                return true;
        }
        return false;
    }

    /// <summary>
    /// A socket that was shared by fork() before it was connected or listened: those who have it hold what it has
    /// become. After its state is written; a fork meanwhile copies the descriptor first and looks at the state then.
    /// </summary>
    public static void AddHolders(PosixStack s, Socket* socket, int index, ulong* holders)
    {
        Interlocked.MemoryBarrier();
        if (Volatile.Read(ref socket->References) <= 1)
            return;
        uint entry = DescriptorEntry.Of(DescriptorEntry.KindSocket, index);
        for (int slot = 0; slot < StackRegion.MaxProcesses; slot++)
        {
            if (slot != s.Slot && Holds(s, slot, entry))
                Holders.Add(holders, slot);
        }
    }

    /// <summary>Within <see cref="Changes"/>.</summary>
    private static void Share(PosixStack s, uint entry, int slot)
    {
        uint kind = DescriptorEntry.Kind(entry);
        int index = DescriptorEntry.Index(entry);
        if (kind == DescriptorEntry.KindEpoll)
            Interlocked.Increment(ref s.S.EpollSetAt(index)->References);
        if (kind != DescriptorEntry.KindSocket)
            return;
        Interlocked.Increment(ref s.S.SocketAt(index)->References);
        Hold(s, s.S.SocketAt(index), slot);
    }

    /// <summary>
    /// One more descriptor of this process refers to what others hold. False if nobody does any more. Within
    /// <see cref="Changes"/>.
    /// </summary>
    public static bool TryShare(PosixStack s, uint entry)
    {
        int index = DescriptorEntry.Index(entry);
        bool isSet = DescriptorEntry.Kind(entry) == DescriptorEntry.KindEpoll;
        ref int references = ref isSet ? ref s.S.EpollSetAt(index)->References : ref s.S.SocketAt(index)->References;
        int now;
        do
        {
            now = Volatile.Read(ref references);
            if (now <= 0)
                return false;
        }
        while (Interlocked.CompareExchange(ref references, now + 1, now) != now);
        if (!isSet)
            Hold(s, s.S.SocketAt(index), s.Slot);
        return true;
    }

    /// <summary>A process holds a descriptor of a socket: whoever watches the processes must know.</summary>
    private static void Hold(PosixStack s, Socket* socket, int slot)
    {
        if (socket->State is (uint)SocketState.Connected or (uint)SocketState.Connecting
            && s.Sides(socket, out Wire wire))
            Holders.Add(wire.Me->Holders, slot);
        else if (socket->State == (uint)SocketState.Listening && s.Region(socket->Region) is { IsMapped: true } region)
            Holders.Add(region.ListenerAt((int)socket->Index)->Holders, slot);
    }

    /// <summary>
    /// After fork, in the parent. A negative pid: there is no child. A negative slot: it has none.
    /// </summary>
    public static long ForkDone(PosixStack s, AccelThread* t, int slotIndex, int pid)
    {
        if (slotIndex < 0)
            s.PlainFork.Done(s);
        s.ProgressGate.EndFork(t);
        if ((uint)slotIndex >= StackRegion.MaxProcesses)
            return -Errno.EINVAL;
        ProcessSlot* slot = s.S.ProcessAt(slotIndex);
        if (pid < 0)
        {
            Sockets.ReleaseTable(s, t, slotIndex);
            slot->State = ProcessSlot.Unused;
            return 0;
        }
        s.LockStack(t);
        // The child may have been quicker, and even have left again; or been killed before it was among the members.
        if (slot->State == ProcessSlot.Reserved || (slot->State == ProcessSlot.Live && slot->Pid == pid))
            Enter(s, slotIndex, pid);
        s.UnlockStack(t);
        return 0;
    }

    /// <summary>Under the stack lock.</summary>
    public static void Enter(PosixStack s, int slotIndex, int pid)
    {
        ProcessSlot* slot = s.S.ProcessAt(slotIndex);
        uint start = s.Kernel.StartTime(pid);
        slot->StartTime = start;
        slot->Pid = pid;
        Volatile.Write(ref slot->State, ProcessSlot.Live);
        Regions.SetMemberEverywhere(s, slotIndex, pid, start);
    }

    /// <summary>
    /// A seccomp filter is about to be set: the process has adopted by now, and what this thread sleeps on is made, so
    /// that waiting and moving bytes need no more than the calls that a program with sockets has to allow itself.
    /// </summary>
    public static long Confine(PosixStack s, AccelThread* t) => Wakers.OfThread(s, t) < 0 ? -Errno.ENFILE : 0;

    /// <summary>In a fork child, at its first touch of a socket; or in an image that came by exec().</summary>
    public static long Adopt(PosixStack s, AccelThread* t)
    {
        if (s.IsSuccessor)
            return Exec.TakeOver(s, t);
        ProcessSlot* slot = s.S.ProcessAt(s.Slot);
        s.LockStack(t);
        Enter(s, s.Slot, s.Process->Pid);
        s.UnlockStack(t);
        slot->Adopted = 1;
        s.ProgressGate.AfterFork();
        s.Peers.StartOver(t);
        s.Nic?.AfterFork(t);
        s.Parked.AfterFork(s);
        s.Process->Adopted = 1;
        int high = slot->HighestDescriptor;
        for (int fd = 0; fd < high; fd++)
        {
            uint entry = s.Process->FdMap[fd];
            // Another thread of the parent closed it after the table was copied, and before the kernel copied its own.
            if (entry == 0 || s.Kernel.GetFlags(fd) != -Errno.EBADF)
                continue;
            if (DescriptorEntry.Kind(entry) == DescriptorEntry.KindInternal)
                s.SetEntry(fd, 0);
            else
                Sockets.Close(s, t, fd);
        }
        // Whom this process watches from now on, it need not take for gone below.
        s.Peers.Refresh(t);
        Answer(s);
        return 0;
    }

    /// <summary>
    /// This process answers those who ask at its meeting points who listens, also in place of one that has gone.
    /// </summary>
    public static void Answer(PosixStack s)
    {
        LocalRegion region = s.Region(s.S.Tables->OwnRegion);
        if (region.IsMapped)
            AnswerForListeners(s, watch: true, relisten: !IsLive(s, region.Tables->Header.OwnerPid));
    }

    private static bool IsLive(PosixStack s, int pid)
    {
        for (int i = 0; i < StackRegion.MaxProcesses; i++)
        {
            ProcessSlot* slot = s.S.ProcessAt(i);
            if (Volatile.Read(ref slot->Pid) == pid && slot->State != ProcessSlot.Unused)
                return s.Kernel.StartTime(pid) == slot->StartTime;
        }
        return false;
    }

    /// <summary>
    /// The kernel names the process that last listened on a meeting point. If that one has gone (a program that listens
    /// and then becomes a daemon, a worker that was killed), this process answers for those that it holds.
    /// </summary>
    private static void AnswerForListeners(PosixStack s, bool watch, bool relisten)
    {
        LocalRegion region = s.Region(s.S.Tables->OwnRegion);
        int high = s.S.ProcessAt(s.Slot)->HighestDescriptor;
        for (int fd = 0; fd < high; fd++)
        {
            uint entry = s.Process->FdMap[fd];
            if (entry >> 24 != DescriptorEntry.KindSocket)
                continue;
            Socket* socket = s.S.SocketAt(DescriptorEntry.Index(entry));
            if (socket->State != (uint)SocketState.Listening || socket->Index >= LocalRegion.MaxListeners)
                continue;
            int meeting = region.ListenerAt((int)socket->Index)->Meeting;
            if (!s.IsTagged(meeting, DescriptorEntry.MeetingTag))
                continue;
            if (relisten && s.Kernel.Listen(meeting, 4096) >= 0)
                region.Tables->Header.OwnerPid = s.Process->Pid;
            if (watch)
                s.Peers.AddMeeting(meeting);
        }
    }

    /// <summary>A process of this stack has gone, whatever it held: somebody must answer for its listeners.</summary>
    public static void Survive(PosixStack s)
    {
        if (s.Region(s.S.Tables->OwnRegion).IsMapped)
            AnswerForListeners(s, watch: false, relisten: true);
    }

    /// <summary>
    /// A process of this stack has died: gives up what it held, or leaves that to whoever has the stack's lock.
    /// </summary>
    public static void Reap(PosixStack s, AccelThread* t, int slotIndex, int pid)
    {
        if ((uint)slotIndex >= StackRegion.MaxProcesses)
            return;
        ProcessSlot* slot = s.S.ProcessAt(slotIndex);
        if (Volatile.Read(ref slot->Pid) != pid)
            return;
        Volatile.Write(ref slot->DeadPid, pid);
        if (StackLock.Defer(&s.S.Tables->Lock, slotIndex, t->Tid, s.Kernel))
            s.UnlockStack(t);
        s.Nic?.KickAll(t);
    }

    /// <summary>Under the stack lock: a process that was found dead while somebody held it.</summary>
    public static void BuryDeferred(PosixStack s, AccelThread* t, int slotIndex)
    {
        ProcessSlot* slot = s.S.ProcessAt(slotIndex);
        // The slot may be another process's by now.
        if (slot->DeadPid != 0 && slot->DeadPid == slot->Pid)
            Bury(s, t, slotIndex);
        slot->DeadPid = 0;
    }

    private static void Bury(PosixStack s, AccelThread* t, int slotIndex)
    {
        ProcessSlot* slot = s.S.ProcessAt(slotIndex);
        if (slot->State == ProcessSlot.Unused)
            return;
        Changes.Begin(s, t);
        if (slot->Changing > (slotIndex == s.Slot ? 1 : 0))
            Audit.Demand(s);
        Sockets.ReleaseTable(s, t, slotIndex);
        Wakers.ReleaseOf(s, t, slotIndex);
        s.Nic?.Queues.Sleepers.Bury(slot);
        Changes.End(s, t);
        Orphans.Of(s, slotIndex);
        // Last of all: should this thread die over it, whoever has the lock next finds the process dead again.
        Volatile.Write(ref slot->State, ProcessSlot.Unused);
        slot->Pid = 0;
        s.Nic?.KicksAreDue();
        s.Count(t, Counter.ProcessesReaped);
    }

    /// <summary>
    /// The process ends, or another program takes its place: gives up all that it holds, and its place among the
    /// neighbours' peers.
    /// </summary>
    public static long Leave(PosixStack s, AccelThread* t, bool ends)
    {
        RestoreBlocking(s);
        Changes.Begin(s, t);
        Sockets.ReleaseTable(s, t, s.Slot);
        if (ends)
            Wakers.ReleaseOf(s, t, s.Slot);
        s.Nic?.Queues.Sleepers.Bury(s.S.ProcessAt(s.Slot));
        Changes.End(s, t);
        StackTables* tables = s.S.Tables;
        s.LockStack(t);
        ProcessSlot* slot = s.S.ProcessAt(s.Slot);
        // Other threads end with the process wherever they are.
        if (Volatile.Read(ref slot->Changing) != 0)
            Audit.Demand(s);
        Orphans.Of(s, s.Slot);
        // First of all: a child that does not find this process among the members any more must find it gone.
        Volatile.Write(ref slot->Pid, 0);
        for (uint number = 1; number <= tables->RegionsHigh; number++)
        {
            LocalRegion region = s.Region(number);
            if (!Regions.IsCurrent(s, number))
                continue;
            uint attachment = s.S.RegionAt((int)number - 1)->Attachment;
            Regions.SetMember(region, attachment, s.Slot, 0, 0);
            region.DetachIfEmpty(attachment);
        }
        Volatile.Write(ref slot->State, ProcessSlot.Unused);
        s.UnlockStack(t);
        return 0;
    }

    /// <summary>
    /// A program that is not accelerated and comes after exec() finds the kernel's listening sockets as this one left
    /// them, without the O_NONBLOCK that accept() here needs, and epoll sets without our queues; unless a sibling still
    /// needs that.
    /// </summary>
    private static void RestoreBlocking(PosixStack s)
    {
        int high = s.S.ProcessAt(s.Slot)->HighestDescriptor;
        for (int fd = 0; fd < high; fd++)
        {
            uint entry = s.Process->FdMap[fd];
            if (entry >> 24 == DescriptorEntry.KindEpoll && s.Nic != null && !HeldByOthers(s, entry))
                s.Nic.Queues.Leave(s.S.EpollSetAt(DescriptorEntry.Index(entry)), fd);
            Socket* socket = s.S.SocketAt(DescriptorEntry.Index(entry) % StackRegion.MaxSockets);
            if (entry >> 24 != DescriptorEntry.KindSocket || socket->State != (uint)SocketState.Listening
                || socket->Is(SocketFlags.NonBlocking) || HeldByOthers(s, entry))
                continue;
            int flags = s.Kernel.GetFlags(fd);
            if (flags >= 0)
                s.Kernel.SetFlags(fd, flags & ~Af.O_NONBLOCK);
        }
    }

    public static bool HeldByOthers(PosixStack s, uint entry)
    {
        for (int slot = 0; slot < StackRegion.MaxProcesses; slot++)
        {
            if (slot != s.Slot && Holds(s, slot, entry))
                return true;
        }
        return false;
    }

    /// <summary>exec failed: the process goes on, with those sockets that others still hold.</summary>
    public static long Return(PosixStack s, AccelThread* t)
    {
        StackTables* tables = s.S.Tables;
        s.LockStack(t);
        for (uint number = 1; number <= tables->RegionsHigh; number++)
        {
            if (!Regions.IsCurrent(s, number))
                continue;
            LocalRegion region = s.Region(number);
            RegionSlot* entry = s.S.RegionAt((int)number - 1);
            if (Volatile.Read(ref region.AttachmentAt((int)entry->Attachment - 1)->StackId) == tables->Header.Id)
                continue;
            // The last process of the stack had left the region: its doorbells there are others' by now.
            entry->Attachment = region.Attach(tables->Header.Id, s.Kernel.CurrentUid());
            Wakers.ForgetRegion(s, number);
        }
        Enter(s, s.Slot, s.Process->Pid);
        s.UnlockStack(t);
        return 0;
    }
}
