using System.Runtime.InteropServices;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// The processes whose death this one must notice: those of its own stack, and of every stack that shares a region with
/// it. Each is
/// watched by a pidfd in the hub, an epoll descriptor that every sleep includes.
/// </summary>
public sealed unsafe class PeerTable
{
    private const int Capacity = 8192;
    private const ulong MeetingKind = 1ul << 62, ProcessKind = 2ul << 62, LinkKind = 3ul << 62, Kinds = 3ul << 62;

    private struct Watched
    {
        public uint Region, Attachment;
        public int Slot, Pid, Descriptor;
    }

    private readonly PosixStack _s;
    private readonly Watched* _watched;
    private readonly uint* _seen;
    private int _count;
    private int _lock;

    [ColdPath]
    public PeerTable(PosixStack s)
    {
        _s = s;
        _watched = (Watched*)NativeMemory.AllocZeroed(Capacity, (nuint)sizeof(Watched));
        _seen = (uint*)NativeMemory.AllocZeroed(StackRegion.MaxRegions, sizeof(uint));
    }

    /// <summary>Looks for processes that came since the last look. Cheap when none did.</summary>
    public void Refresh(AccelThread* t)
    {
        int high = (int)_s.S.Tables->RegionsHigh;
        for (int i = 0; i < high; i++)
        {
            LocalRegion region = _s.Region((uint)i + 1);
            if (!region.IsMapped)
                continue;
            uint changes = Volatile.Read(ref region.Tables->MemberChanges);
            if (changes == _seen[i])
                continue;
            _seen[i] = changes;
            Scan(t, region, (uint)i + 1);
            // In the stack's own region all its processes are members.
            if (_s.S.Tables->OwnRegion == 0 || _s.S.Tables->OwnRegion == (uint)i + 1)
                ReapUnwatched(t, region, _s.S.RegionAt(i)->Attachment);
        }
        _s.Nic?.KickAll(t);
        StackTables* tables = _s.S.Tables;
        if ((Volatile.Read(ref tables->AuditDue) | Volatile.Read(ref tables->Orphans)) != 0)
        {
            Orphans.Look(_s, t);
            Audit.RunIfDue(_s, t);
        }
    }

    /// <summary>
    /// A relative that died before this process watched it: a neighbour that did has taken it from the members, and
    /// from their connections, but what it held in the stack is for its relatives to give up.
    /// </summary>
    private void ReapUnwatched(AccelThread* t, LocalRegion region, uint attachment)
    {
        if (attachment - 1 >= LocalRegion.MaxAttachments)
            return;
        Attachment* members = region.AttachmentAt((int)attachment - 1);
        for (int i = 0; i < StackRegion.MaxProcesses; i++)
        {
            ProcessSlot* slot = _s.S.ProcessAt(i);
            int pid = Volatile.Read(ref slot->Pid);
            if (pid != 0 && pid != _s.Process->Pid && slot->State == ProcessSlot.Live
                && Volatile.Read(ref Attachment.MemberAt(members, i)->Pid) == 0 && HasEnded(_s, pid, slot->StartTime))
                Processes.Reap(_s, t, i, pid);
        }
    }

    /// <summary>Asks the kernel for the process itself: there may be no /proc here, as after a chroot().</summary>
    public static bool HasEnded(PosixStack s, int pid, uint startTime)
    {
        int fd = s.Kernel.WatchProcess(pid);
        if (fd < 0)
            return fd == -Errno.ESRCH;
        PollFd watched = new() { Fd = fd, Events = (short)Ev.IN };
        bool ended = s.Kernel.Poll(&watched, 1) > 0;
        s.Kernel.Close(fd);
        uint start = ended ? 0 : s.Kernel.StartTime(pid);
        return ended || (start != 0 && startTime != 0 && start != startTime);
    }

    /// <summary>A region's number means another one now, or one that could not be watched before.</summary>
    public void LookAgain(uint regionPlusOne) => _seen[regionPlusOne - 1] = 0;

    private void Scan(AccelThread* t, LocalRegion region, uint number)
    {
        _s.Lock(ref _lock, t);
        // In a neighbour's region only its owner and our own stack matter to us: the other clients are the owner's
        // affair, and there may be hundreds.
        uint mine = _s.S.RegionAt((int)number - 1)->Attachment;
        for (int a = 0; a < (int)Math.Min(region.Tables->AttachmentsHigh, LocalRegion.MaxAttachments); a++)
        {
            Attachment* attachment = region.AttachmentAt(a);
            if (attachment->StackId == 0 || (mine != 1 && a != 0 && (uint)a + 1 != mine))
                continue;
            for (int m = 0; m < Attachment.MaxMembers; m++)
            {
                Member* member = Attachment.MemberAt(attachment, m);
                int pid = Volatile.Read(ref member->Pid);
                if (pid != 0 && pid != _s.Process->Pid && !Knows(number, (uint)a + 1, m, pid))
                    Watch(t, region, number, (uint)a + 1, m, pid, member->StartTime);
            }
        }
        PosixStack.Unlock(ref _lock);
    }

    private bool Knows(uint region, uint attachment, int slot, int pid)
    {
        for (int i = 0; i < _count; i++)
        {
            Watched* w = _watched + i;
            if (w->Pid == pid && w->Region == region && w->Attachment == attachment && w->Slot == slot)
                return true;
        }
        return false;
    }

    private void Watch(
        AccelThread* t, LocalRegion region, uint number, uint attachment, int slot, int pid, uint startTime)
    {
        // StartTime 0: a fork under way; its child's pid is entered once it is known.
        if (_count >= Capacity || !HubExists())
            return;
        int fd = _s.Kernel.WatchProcess(pid);
        if (fd < 0 || (startTime != 0 && _s.Kernel.StartTime(pid) != startTime))
        {
            if (fd >= 0)
                _s.Kernel.Close(fd);
            if (fd >= 0 || fd == -Errno.ESRCH)
                Lost(t, region, number, attachment, slot, pid);
            else if (fd is -Errno.EMFILE or -Errno.ENFILE or -Errno.ENOMEM)
                LookAgain(number);
            return;
        }
        fd = _s.Own(_s.Kernel.MoveHigh(fd));
        int index = _count++;
        _watched[index] =
            new Watched { Region = number, Attachment = attachment, Slot = slot, Pid = pid, Descriptor = fd };
        _s.Kernel.EpollCtl(_s.Hub, Ev.CTL_ADD, fd, Ev.IN, ProcessKind | (uint)pid);
    }

    /// <summary>
    /// Watches a meeting point for strangers, whose connections are taken and closed: they only ask who is there.
    /// </summary>
    public void AddMeeting(int fd)
    {
        if (HubExists())
            _s.Kernel.EpollCtl(_s.Hub, Ev.CTL_ADD, fd, Ev.IN, MeetingKind | (uint)fd);
    }

    /// <summary>A descriptor of the network path: every sleep of this process includes it.</summary>
    public bool AddLink(int fd) =>
        HubExists() && _s.Kernel.EpollCtl(_s.Hub, Ev.CTL_ADD, fd, Ev.IN, LinkKind | (uint)fd) >= 0;

    private bool HubExists()
    {
        if (_s.Hub < 0)
            _s.Hub = _s.Own(_s.Kernel.MoveHigh(_s.Kernel.EpollCreate()));
        return _s.Hub >= 0;
    }

    /// <summary>Something happened at the hub.</summary>
    public void OnHub(AccelThread* t)
    {
        const int Max = 32;
        EpollEvent* events = stackalloc EpollEvent[Max];
        int count = _s.Kernel.EpollPeek(_s.Hub, events, Max);
        for (int i = 0; i < count; i++)
        {
            ulong data = events[i].Data;
            switch (data & Kinds)
            {
                case MeetingKind:
                    DrainMeeting((int)(uint)data);
                    break;
                case ProcessKind:
                    OnDeath(t, (int)(uint)data);
                    break;
                default:
                    _s.Nic?.OnDescriptor(t, (int)(uint)data);
                    break;
            }
        }
    }

    /// <summary>Takes the connections of those who came to ask who listens.</summary>
    public void DrainMeeting(int fd)
    {
        int stranger;
        const int flags = Af.SOCK_NONBLOCK | Af.SOCK_CLOEXEC;
        for (int i = 0; i < 256 && (stranger = _s.Kernel.Accept(fd, null, null, flags)) >= 0; i++)
            _s.Kernel.Close(stranger);
    }

    private void OnDeath(AccelThread* t, int pid)
    {
        _s.Lock(ref _lock, t);
        for (int i = _count - 1; i >= 0; i--)
        {
            if (_watched[i].Pid != pid)
                continue;
            Watched w = _watched[i];
            _watched[i] = _watched[--_count];
            _s.Disown(w.Descriptor);
            LocalRegion region = _s.Region(w.Region);
            if (region.IsMapped)
                Lost(t, region, w.Region, w.Attachment, w.Slot, pid);
        }
        PosixStack.Unlock(ref _lock);
    }

    private void Lost(AccelThread* t, LocalRegion region, uint number, uint attachment, int slot, int pid)
    {
        Member* member = Attachment.MemberAt(region.AttachmentAt((int)attachment - 1), slot);
        bool ours = _s.S.RegionAt((int)number - 1)->Attachment == attachment;
        if (Volatile.Read(ref member->Pid) == pid)
        {
            if (SharedLock.TryEnter(ref member->Burier, t->Tid, _s.Kernel))
                Bury(t, region, attachment, slot, member, pid);
            else
                // Somebody is at it, who may die over it.
                LookAgain(number);
        }
        if (!ours)
            return;
        Processes.Reap(_s, t, slot, pid);
        if (number == _s.S.Tables->OwnRegion)
            Processes.Survive(_s);
    }

    private void Bury(AccelThread* t, LocalRegion region, uint attachment, int slot, Member* member, int pid)
    {
        if (Volatile.Read(ref member->Pid) == pid)
        {
            _s.Count(t, Counter.PeersLost);
            Closer.Bury(_s, t, region, attachment, slot);
            Volatile.Write(ref member->Pid, 0);
        }
        SharedLock.Exit(ref member->Burier);
        region.DetachIfEmpty(attachment);
        Interlocked.Increment(ref region.Tables->MemberChanges);
    }

    /// <summary>In a fork child: the parent's hub keeps watching for the parent; this process starts its own.</summary>
    public void StartOver(AccelThread* t)
    {
        for (int i = 0; i < _count; i++)
            _s.Disown(_watched[i].Descriptor);
        _count = 0;
        _lock = 0;
        NativeMemory.Clear(_seen, StackRegion.MaxRegions * sizeof(uint));
        // Sets of the parent hold the parent's hub: it must end with the parent.
        _s.Disown(_s.Hub);
        _s.Hub = -1;
    }
}
