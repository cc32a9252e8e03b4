using System.Runtime.InteropServices;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// exec(): the image that comes takes over the stack, if it is going to be accelerated too. Nothing is given up before:
/// the regions stay open by descriptor, and the new image (same pid, same slot) maps them, closes what was marked
/// close-on-exec, and goes on. So an exec() that fails has changed nothing.
/// </summary>
[ColdPath]
public static unsafe class Exec
{
    /// <summary>Where unix sockets that processes talk over are looked for. What is below is for logs.</summary>
    private const int FirstChannel = 3, LastChannel = 256;

    /// <summary>
    /// Before exec(). Returns the descriptor of the stack's region, by which a new image that is accelerated takes
    /// over; 0: there is nothing for it, and the process has left the stack.
    /// </summary>
    public static long Prepare(PosixStack s, AccelThread* t, bool takesOver)
    {
        s.ProgressGate.Close(s, t);
        int fd = s.FindTagged(DescriptorEntry.StackTag);
        // Another user's program does not get the memory of this one's stack.
        bool sameUser = s.Kernel.CurrentUid() == s.S.Tables->Header.OwnerUid;
        if (takesOver && sameUser && fd > 0 && HasHeritage(s))
        {
            Handover.BeforeEnd(s, t);
            MarkInternals(s, closeOnExec: false);
            return fd;
        }
        Handover.BeforeExec(s, t);
        s.Left.Remember(s);
        Processes.Leave(s, t, ends: false);
        return 0;
    }

    /// <summary>exec() has failed: all is as before.</summary>
    public static long Failed(PosixStack s, AccelThread* t, bool tookOver)
    {
        if (tookOver)
            MarkInternals(s, closeOnExec: true);
        else
        {
            Processes.Return(s, t);
            s.Left.TakeBack(s, t);
        }
        s.ProgressGate.Open();
        return 0;
    }

    /// <summary>
    /// True if a socket or epoll set is for the new image, or ends with the old one: only the new image knows that the
    /// exec() has happened. Or if there is a unix socket, over which it may be sent some. Else a child that others
    /// share everything with leaves beforehand; that is cheaper.
    /// </summary>
    private static bool HasHeritage(PosixStack s)
    {
        int high = s.S.ProcessAt(s.Slot)->HighestDescriptor;
        for (int fd = FirstChannel; fd < LastChannel; fd++)
        {
            if (s.Kernel.GetDescriptorFlags(fd) == 0 && IsUnixSocket(s, fd))
                return true;
        }
        for (int fd = 0; fd < high; fd++)
        {
            uint entry = s.Process->FdMap[fd];
            if (entry >> 24 is not (DescriptorEntry.KindSocket or DescriptorEntry.KindEpoll))
                continue;
            int flags = s.Kernel.GetDescriptorFlags(fd);
            if (flags == 0 || (flags > 0 && References(s, entry) <= Count(s, entry)))
                return true;
        }
        return false;
    }

    private static bool IsUnixSocket(PosixStack s, int fd)
    {
        int domain = 0;
        uint length = sizeof(int);
        return s.Kernel.GetSockOpt(fd, So.SOL_SOCKET, So.DOMAIN, &domain, &length) >= 0 && domain == Af.UNIX;
    }

    private static int References(PosixStack s, uint entry)
    {
        int index = DescriptorEntry.Index(entry);
        return entry >> 24 == DescriptorEntry.KindEpoll
            ? Volatile.Read(ref s.S.EpollSetAt(index)->References)
            : Volatile.Read(ref s.S.SocketAt(index)->References);
    }

    /// <summary>How many descriptors of this process are what an entry says: counted where it can be two.</summary>
    private static int Count(PosixStack s, uint entry)
    {
        if (entry >> 24 == DescriptorEntry.KindSocket
            && !s.S.SocketAt(DescriptorEntry.Index(entry))->Is(SocketFlags.Duplicated))
            return 1;
        int high = s.S.ProcessAt(s.Slot)->HighestDescriptor, count = 0;
        for (int fd = 0; fd < high; fd++)
            count += s.Process->FdMap[fd] == entry ? 1 : 0;
        return count;
    }

    /// <summary>
    /// The library's own descriptors that mean something to the next image too. What a thread slept on does not: the
    /// thread will be gone.
    /// </summary>
    private static void MarkInternals(PosixStack s, bool closeOnExec)
    {
        int high = s.S.ProcessAt(s.Slot)->HighestDescriptor;
        for (int fd = (int)s.Process->InternalMin; fd < high; fd++)
        {
            uint entry = s.Process->FdMap[fd];
            int tag = DescriptorEntry.Index(entry);
            if (DescriptorEntry.Kind(entry) != DescriptorEntry.KindInternal || tag == 0
                || (tag < DescriptorEntry.SetTag && s.S.WakerAt(tag - DescriptorEntry.WakerTag)->Owner != 0))
                continue;
            s.Kernel.SetDescriptorFlags(fd, closeOnExec ? 1 : 0);
        }
    }

    /// <summary>In the new image, before anything else: the process as the old image left it.</summary>
    public static bool TryEnter(StackRegion region, IKernel kernel, AccelProcess* process)
    {
        // 0 where there is no /proc, as after a chroot().
        uint start = kernel.StartTime(process->Pid);
        for (int i = 0; i < StackRegion.MaxProcesses; i++)
        {
            ProcessSlot* slot = region.ProcessAt(i);
            if (slot->State != ProcessSlot.Live || slot->Pid != process->Pid
                || (start != 0 && slot->StartTime != start))
                continue;
            process->Slot = (uint)i;
            process->FdMapBase = (byte*)region.DescriptorsOf(0);
            process->FdMapStride = (ulong)StackRegion.DescriptorStride;
            process->FdMap = region.DescriptorsOf(i);
            process->PidsBefore = region.PidsBefore;
            process->Adopted = 0;
            process->InternalMin = 0;
            Volatile.Write(ref process->FdLimit, StackRegion.MaxDescriptors);
            return true;
        }
        return false;
    }

    /// <summary>In the new image: takes over.</summary>
    public static long TakeOver(PosixStack s, AccelThread* t)
    {
        s.IsSuccessor = false;
        StackLock.Abandon(&s.S.Tables->Lock, s.Process->Pid);
        SharedLock.Abandon(ref s.S.Tables->Auditor, s.Process->Pid);
        // Threads of the old image ended wherever they were.
        if (Interlocked.Exchange(ref s.S.ProcessAt(s.Slot)->Changing, 0) != 0)
            Audit.Demand(s);
        SortInternals(s);
        // Before anything is opened that could get the number of what exec() closed.
        ulong* closed = stackalloc ulong[StackRegion.MaxDescriptors / 64];
        FindClosed(s, closed);
        Regions.MapInherited(s);
        AbandonLocks(s);
        NicAttach.Resume(s);
        // The threads of the old image.
        Wakers.ReleaseOf(s, t, s.Slot);
        ProcessSlot* slot = s.S.ProcessAt(s.Slot);
        int high = slot->HighestDescriptor;
        for (int fd = 0; fd < high; fd++)
        {
            uint entry = s.Process->FdMap[fd];
            if ((closed[fd / 64] & 1ul << (fd & 63)) != 0)
                Sockets.Close(s, t, fd);
            else if (entry >> 24 == DescriptorEntry.KindSocket)
                Notifier.UnwatchDead(s, s.S.SocketAt(DescriptorEntry.Index(entry)));
            else if (entry >> 24 == DescriptorEntry.KindEpoll)
                EpollSets.TakeOver(s, entry, Count(s, entry));
        }
        slot->Adopted = 1;
        s.Process->Adopted = 1;
        s.Own(s.Kernel.OpenSender());
        s.Nic?.AfterExec(t);
        s.Peers.Refresh(t);
        Processes.Answer(s);
        s.Count(t, Counter.Execs);
        return 0;
    }

    /// <summary>A bit for each of the program's descriptors that was close-on-exec.</summary>
    private static void FindClosed(PosixStack s, ulong* closed)
    {
        NativeMemory.Clear(closed, StackRegion.MaxDescriptors / 8);
        int high = s.S.ProcessAt(s.Slot)->HighestDescriptor;
        for (int fd = 0; fd < high; fd++)
        {
            uint entry = s.Process->FdMap[fd];
            if (entry != 0 && DescriptorEntry.Kind(entry) != DescriptorEntry.KindInternal
                && s.Kernel.GetFlags(fd) == -Errno.EBADF)
                closed[fd / 64] |= 1ul << (fd & 63);
        }
    }

    /// <summary>What exec() closed is forgotten, what it left is protected as before.</summary>
    private static void SortInternals(PosixStack s)
    {
        int high = s.S.ProcessAt(s.Slot)->HighestDescriptor;
        for (int fd = 0; fd < high; fd++)
        {
            uint entry = s.Process->FdMap[fd];
            if (DescriptorEntry.Kind(entry) != DescriptorEntry.KindInternal)
                continue;
            if (s.Kernel.SetDescriptorFlags(fd, 1) < 0)
                s.SetEntry(fd, 0);
            else
                s.Own(fd, DescriptorEntry.Index(entry));
        }
    }

    /// <summary>
    /// The thread that has this process's id now is another than the one that had it. What that one held when exec()
    /// ended it would seem to be held by this one for ever.
    /// </summary>
    private static void AbandonLocks(PosixStack s)
    {
        int tid = s.Process->Pid;
        StackTables* tables = s.S.Tables;
        for (int i = 0; i < (int)Math.Min(tables->Sockets.Bumped, StackRegion.MaxSockets); i++)
        {
            Socket* socket = s.S.SocketAt(i);
            SharedLock.Abandon(ref socket->SendLock, tid);
            SharedLock.Abandon(ref socket->ReceiveLock, tid);
            SharedLock.Abandon(ref socket->ListLock, tid);
        }
        for (int i = 0; i < (int)Math.Min(tables->EpollSets.Bumped, StackRegion.MaxEpollSets); i++)
            SharedLock.Abandon(ref s.S.EpollSetAt(i)->Lock, tid);
        for (int i = 0; i < (int)Math.Min(tables->Wakers.Bumped, StackRegion.MaxWakers); i++)
            SharedLock.Abandon(ref s.S.WakerAt(i)->Lock, tid);
        for (uint number = 1; number <= tables->RegionsHigh; number++)
        {
            LocalRegion region = s.Region(number);
            int listeners = !region.IsMapped ? 0
                : (int)Math.Min(region.Tables->Listeners.Bumped, LocalRegion.MaxListeners);
            for (int i = 0; i < listeners; i++)
                SharedLock.Abandon(ref region.ListenerAt(i)->Lock, tid);
            int high = !region.IsMapped ? 0 : (int)Math.Min(region.Tables->AttachmentsHigh, LocalRegion.MaxAttachments);
            for (int i = 0; i < high * Attachment.MaxMembers; i++)
            {
                Attachment* attachment = region.AttachmentAt(i / Attachment.MaxMembers);
                SharedLock.Abandon(ref Attachment.MemberAt(attachment, i % Attachment.MaxMembers)->Burier, tid);
            }
        }
    }
}

/// <summary>
/// What a process held when it left its stack for an exec() that then failed. What others still hold, it gets back.
/// </summary>
public sealed unsafe class LeftDescriptors
{
    private struct Entry
    {
        public int Descriptor;
        public uint Word;
        public ulong Identity;
    }

    private Entry* _entries;
    private int _count;

    [ColdPath]
    public void Remember(PosixStack s)
    {
        int high = s.S.ProcessAt(s.Slot)->HighestDescriptor;
        int room = 0;
        for (int fd = 0; fd < high; fd++)
            room += IsProgram(s.Process->FdMap[fd]) ? 1 : 0;
        NativeMemory.Free(_entries);
        _entries = room == 0 ? null : (Entry*)NativeMemory.Alloc((nuint)room, (nuint)sizeof(Entry));
        _count = 0;
        for (int fd = 0; fd < high && _count < room; fd++)
        {
            uint word = s.Process->FdMap[fd];
            if (IsProgram(word))
                _entries[_count++] = new Entry { Descriptor = fd, Word = word, Identity = Identity(s, word) };
        }
    }

    [ColdPath]
    public void TakeBack(PosixStack s, AccelThread* t)
    {
        for (int i = 0; i < _count; i++)
        {
            Entry entry = _entries[i];
            // What an index meant may have gone with the last of the others, and mean another socket by now.
            if (s.Entry(entry.Descriptor) != 0 || Identity(s, entry.Word) != entry.Identity
                || !TryShare(s, t, entry))
                continue;
            if (Identity(s, entry.Word) != entry.Identity)
                Sockets.Close(s, t, entry.Descriptor);
        }
        _count = 0;
    }

    private static bool TryShare(PosixStack s, AccelThread* t, in Entry entry)
    {
        Changes.Begin(s, t);
        bool shared = Processes.TryShare(s, entry.Word);
        if (shared)
            s.SetEntry(entry.Descriptor, entry.Word);
        Changes.End(s, t);
        return shared;
    }

    private static bool IsProgram(uint word) =>
        DescriptorEntry.Kind(word) is DescriptorEntry.KindSocket or DescriptorEntry.KindEpoll;

    private static ulong Identity(PosixStack s, uint word)
    {
        int index = DescriptorEntry.Index(word);
        return DescriptorEntry.Kind(word) == DescriptorEntry.KindEpoll
            ? s.S.EpollSetAt(index)->Marker : s.S.SocketAt(index)->Generation;
    }
}
