using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// Epoll sets with accelerated members: who is in. The program's epoll descriptor stays a real one and keeps the
/// kernel's
/// descriptors; the first accelerated member makes an <see cref="EpollSet"/> for it.
/// </summary>
public static unsafe partial class EpollSets
{
    internal const ulong WakerData = 1ul << 32, HubData = 2ul << 32, ItemData = 3ul << 32;

    /// <summary>How the program's set names our queues.</summary>
    internal static ulong LinkMarker(EpollSet* set) => ~set->Marker;

    private const uint Allowed = Ev.IN | Ev.OUT | Ev.ERR | Ev.HUP | Ev.WAKEUP | Ev.ET | Ev.EXCLUSIVE;

    public static long Control(PosixStack s, AccelThread* t, int epfd, int op, int fd, EpollEvent* change) =>
        Control(s, t, epfd, op, fd, change, wasThere: false);

    /// <param name="wasThere">The kernel had it in the set: there is no loop.</param>
    internal static long Control(
        PosixStack s, AccelThread* t, int epfd, int op, int fd, EpollEvent* change, bool wasThere)
    {
        uint entry = s.Entry(fd);
        uint kind = entry >> 24;
        if (kind is not (DescriptorEntry.KindSocket or DescriptorEntry.KindEpoll)
            || (kind == DescriptorEntry.KindSocket && s.Find(fd, out _) == null))
            return AccelResult.Pass;
        if (op != Ev.CTL_DEL && (ulong)change < 4096)
            return -Errno.EFAULT;
        if (epfd == fd)
            return -Errno.EINVAL;
        uint epollEntry = s.Entry(epfd);
        int setIndex;
        if (epollEntry >> 24 == DescriptorEntry.KindEpoll)
            setIndex = DescriptorEntry.Index(epollEntry);
        else
        {
            // What the kernel has of a set that is ours by now, it knows best.
            if (epollEntry == 0 && kind == DescriptorEntry.KindEpoll && op != Ev.CTL_ADD)
                return AccelResult.Pass;
            // An unknown set has none of our members; let the kernel say what is wrong with the request, if anything
            // is.
            if (epollEntry != 0 || op != Ev.CTL_ADD)
                return s.Kernel.EpollCtl(epfd, op == Ev.CTL_ADD ? Ev.CTL_MOD : op, fd, 0, 0);
            if (op is not (Ev.CTL_ADD or Ev.CTL_DEL or Ev.CTL_MOD))
                return -Errno.EINVAL;
            // Two threads may add the first member at once.
            s.LockStack(t);
            Changes.Begin(s, t);
            epollEntry = s.Entry(epfd);
            bool isNew = epollEntry >> 24 != DescriptorEntry.KindEpoll;
            setIndex = isNew ? Create(s, t, epfd) : DescriptorEntry.Index(epollEntry);
            Changes.End(s, t);
            s.UnlockStack(t);
            if (setIndex < 0)
                return setIndex;
            if (isNew)
                EpollNests.Join(s, t, epfd, setIndex);
        }
        int target = DescriptorEntry.Index(entry);
        bool nested = kind == DescriptorEntry.KindEpoll;
        EpollSet* set = s.S.EpollSetAt(setIndex);
        s.Lock(ref set->Lock, t);
        long result = op switch
        {
            Ev.CTL_ADD => Add(s, t, setIndex, target, nested, fd, change, wasThere),
            Ev.CTL_MOD => Modify(s, t, setIndex, target, nested, fd, change),
            Ev.CTL_DEL => Delete(s, t, setIndex, target, nested, fd),
            _ => -Errno.EINVAL,
        };
        PosixStack.Unlock(ref set->Lock);
        if (result == -Errno.ENOENT && nested)
            // It may be there by a number that was not seen to be a set's.
            return AccelResult.Pass;
        if (result == 0 && op != Ev.CTL_DEL && Volatile.Read(ref s.S.WakerAt((int)set->Waker)->Sleepers) > 0)
            // Somebody waits on the set meanwhile: what was added may be ready.
            s.Kernel.Wake(s.S.WakerAt((int)set->Waker)->Name);
        return result;
    }

    private static int Create(PosixStack s, AccelThread* t, int epfd)
    {
        if ((uint)epfd >= s.Process->FdLimit)
            return -Errno.EBADF;
        int twin = FindTwin(s, epfd);
        if (twin >= 0)
            return twin;
        int index = s.S.TakeEpollSet();
        if (index < 0)
            return -Errno.ENOMEM;
        EpollSet* set = s.S.EpollSetAt(index);
        int waker = Wakers.Open(s);
        int inner = s.Own(s.Kernel.MoveHigh(s.Kernel.EpollCreate()), DescriptorEntry.SetTag + index);
        ulong marker = s.Kernel.Random();
        int result = waker < 0 || inner < 0 ? -Errno.EMFILE : s.Kernel.EpollCtl(epfd, Ev.CTL_ADD, inner, Ev.IN, marker);
        if (result < 0)
        {
            s.Disown(inner);
            if (waker >= 0)
                Wakers.Close(s, waker);
            s.S.GiveEpollSet(index);
            return result;
        }
        set->Waker = (uint)waker;
        set->Inner = inner;
        set->Marker = marker;
        set->References = 1;
        set->Descriptor = epfd;
        set->Used = 1;
        s.Kernel.EpollCtl(inner, Ev.CTL_ADD, s.S.WakerAt(waker)->Descriptor, Ev.IN, WakerData);
        s.SetEntry(epfd, DescriptorEntry.Of(DescriptorEntry.KindEpoll, index));
        return index;
    }

    /// <summary>
    /// A descriptor that was duplicated before its set had accelerated members is the same set. -1 if it is none.
    /// </summary>
    private static int FindTwin(PosixStack s, int epfd)
    {
        int high = s.S.ProcessAt(s.Slot)->HighestDescriptor;
        for (int fd = 0; fd < high; fd++)
        {
            uint entry = s.Process->FdMap[fd];
            if (entry >> 24 != DescriptorEntry.KindEpoll || !s.Kernel.SameFile(epfd, fd))
                continue;
            Interlocked.Increment(ref s.S.EpollSetAt(DescriptorEntry.Index(entry))->References);
            s.SetEntry(epfd, entry);
            return DescriptorEntry.Index(entry);
        }
        return -1;
    }

    private static EpollItem* FindItem(PosixStack s, int setIndex, int target, bool nested, int fd, out int itemIndex)
    {
        EpollSet* set = s.S.EpollSetAt(setIndex);
        uint at = nested ? set->Items : s.S.SocketAt(target)->Items;
        for (int steps = 0; at != 0 && steps < StackRegion.MaxEpollItems; steps++)
        {
            EpollItem* item = s.S.EpollItemAt((int)at - 1);
            bool same = item->Set == (uint)setIndex && item->Target == (uint)target && item->Descriptor == fd
                && (item->Flags & (uint)EpollItemFlags.Nested) != 0 == nested;
            if (same)
            {
                itemIndex = (int)at - 1;
                return item;
            }
            at = nested ? item->SetNext : item->SocketNext;
        }
        itemIndex = -1;
        return null;
    }

    private static long Add(
        PosixStack s, AccelThread* t, int setIndex, int target, bool nested, int fd, EpollEvent* change, bool wasThere)
    {
        if ((change->Events & Ev.EXCLUSIVE) != 0 && (nested || (change->Events & ~Allowed) != 0))
            return -Errno.EINVAL;
        if (FindItem(s, setIndex, target, nested, fd, out _) != null)
            return -Errno.EEXIST;
        if (nested && Contains(s, target, setIndex, 0))
            return -Errno.ELOOP;
        int index = s.S.TakeEpollItem();
        if (index < 0)
        {
            s.Count(t, Counter.NoEpollItems);
            return -Errno.ENOSPC;
        }
        EpollSet* set = s.S.EpollSetAt(setIndex);
        EpollItem* item = s.S.EpollItemAt(index);
        long joined = !nested ? 0 : s.Kernel.EpollCtl(
            set->Inner, Ev.CTL_ADD, fd, Ev.IN | (change->Events & Ev.ET), ItemData | (uint)index);
        // A loop may lead through sets that only the kernel knows. But where there are sets in the set, it may mean
        // that the kernel's are nested too deep: each of ours is two of those.
        if (joined < 0 && (joined != -Errno.ELOOP || (!wasThere && s.S.EpollSetAt(target)->NestedCount == 0)))
        {
            s.S.GiveEpollItem(index);
            return joined;
        }
        item->Set = (uint)setIndex;
        item->Target = (uint)target;
        item->Descriptor = fd;
        item->Process = (uint)s.Slot;
        Arm(item, change);
        item->SetNext = set->Items;
        if (set->Items != 0)
            s.S.EpollItemAt((int)set->Items - 1)->SetPrevious = (uint)index + 1;
        set->Items = (uint)index + 1;
        set->ItemCount++;
        if (nested)
        {
            item->Flags |= (uint)EpollItemFlags.Nested;
            set->NestedCount++;
            Interlocked.Increment(ref s.S.EpollSetAt(target)->NestedIn);
        }
        else
        {
            Socket* socket = s.S.SocketAt(target);
            s.Lock(ref socket->ListLock, t);
            item->SocketNext = socket->Items;
            socket->Items = (uint)index + 1;
            PosixStack.Unlock(ref socket->ListLock);
            Attach(s, t, setIndex, index);
        }
        if ((item->Flags & (uint)EpollItemFlags.Hot) == 0)
            EpollHeat.MakeHot(s, t, set, index);
        return 0;
    }

    /// <summary>True if a set holds another one, directly or through others.</summary>
    private static bool Contains(PosixStack s, int outer, int wanted, int depth)
    {
        if (outer == wanted || depth > 4)
            return true;
        uint at = s.S.EpollSetAt(outer)->NestedCount == 0 ? 0 : s.S.EpollSetAt(outer)->Items;
        for (; at != 0; at = s.S.EpollItemAt((int)at - 1)->SetNext)
        {
            EpollItem* item = s.S.EpollItemAt((int)at - 1);
            if ((item->Flags & (uint)EpollItemFlags.Nested) != 0 && Contains(s, (int)item->Target, wanted, depth + 1))
                return true;
        }
        return false;
    }

    private static void Arm(EpollItem* item, EpollEvent* change)
    {
        item->Events = change->Events | Ev.ERR | Ev.HUP;
        item->Data = change->Data;
        item->QuietRegion = 0;
        // One that is on the ready list already keeps its place there.
        if ((item->Flags & (uint)EpollItemFlags.Disabled) != 0)
            item->Flags &= ~(uint)(EpollItemFlags.Disabled | EpollItemFlags.Reported);
        item->ReportedTail = ulong.MaxValue;
        item->ReportedState = ulong.MaxValue;
    }

    private static long Modify(
        PosixStack s, AccelThread* t, int setIndex, int target, bool nested, int fd, EpollEvent* change)
    {
        EpollItem* item = FindItem(s, setIndex, target, nested, fd, out int index);
        if (item == null)
            return -Errno.ENOENT;
        if (((change->Events | item->Events) & Ev.EXCLUSIVE) != 0)
            return -Errno.EINVAL;
        bool slept = (item->Flags & (uint)EpollItemFlags.Disabled) != 0;
        Arm(item, change);
        if (slept)
            AskKernelSide(s, s.S.EpollSetAt(setIndex), item, index, true);
        if ((item->Flags & (uint)EpollItemFlags.Hot) == 0)
            EpollHeat.MakeHot(s, t, s.S.EpollSetAt(setIndex), index);
        return 0;
    }

    /// <summary>
    /// Whether the kernel reports what comes to a listener's own queue: not while the item is disabled, since nobody
    /// would take it and every sleep would end at once.
    /// </summary>
    public static void AskKernelSide(PosixStack s, EpollSet* set, EpollItem* item, int index, bool ask)
    {
        if ((item->Flags & (uint)EpollItemFlags.Nested) != 0
            || !Sockets.HasKernelSide(s.S.SocketAt((int)item->Target)))
            return;
        int fd = Sockets.KernelDescriptor(s, (int)item->Target);
        uint events = ask ? Ev.IN | (item->Events & Ev.ET) : 0;
        s.Kernel.EpollCtl(InnerHere(s, (int)item->Set), Ev.CTL_MOD, fd, events, ItemData | (uint)index);
    }

    private static long Delete(PosixStack s, AccelThread* t, int setIndex, int target, bool nested, int fd)
    {
        EpollItem* item = FindItem(s, setIndex, target, nested, fd, out int index);
        if (item == null)
            return -Errno.ENOENT;
        Remove(s, t, setIndex, index);
        return 0;
    }

    /// <summary>
    /// Takes an item out of its set, its socket's list, and the doorbell's sources. Under the set's lock.
    /// </summary>
    private static void Remove(PosixStack s, AccelThread* t, int setIndex, int index)
    {
        EpollSet* set = s.S.EpollSetAt(setIndex);
        EpollItem* item = s.S.EpollItemAt(index);
        EpollHeat.MakeCold(s, set, item);
        if (item->SetNext != 0)
            s.S.EpollItemAt((int)item->SetNext - 1)->SetPrevious = item->SetPrevious;
        if (item->SetPrevious != 0)
            s.S.EpollItemAt((int)item->SetPrevious - 1)->SetNext = item->SetNext;
        else
            set->Items = item->SetNext;
        set->ItemCount--;
        if ((item->Flags & (uint)EpollItemFlags.Nested) != 0)
        {
            set->NestedCount--;
            Interlocked.Decrement(ref s.S.EpollSetAt((int)item->Target)->NestedIn);
            s.Kernel.EpollCtl(InnerHere(s, setIndex), Ev.CTL_DEL, item->Descriptor, 0, 0);
        }
        else
        {
            Socket* socket = s.S.SocketAt((int)item->Target);
            Unlink(s, t, socket, index);
            Detach(s, t, setIndex, socket, item);
        }
        s.S.GiveEpollItem(index);
    }

    private static void Unlink(PosixStack s, AccelThread* t, Socket* socket, int index)
    {
        s.Lock(ref socket->ListLock, t);
        uint* link = &socket->Items;
        while (*link != 0 && *link != (uint)index + 1)
            link = &s.S.EpollItemAt((int)*link - 1)->SocketNext;
        if (*link != 0)
            *link = s.S.EpollItemAt(index)->SocketNext;
        PosixStack.Unlock(ref socket->ListLock);
    }

    /// <summary>A descriptor of the set in this process, -1 if there is none.</summary>
    private static int DescriptorHere(PosixStack s, int setIndex)
    {
        uint entry = DescriptorEntry.Of(DescriptorEntry.KindEpoll, setIndex);
        int first = s.S.EpollSetAt(setIndex)->Descriptor;
        if (s.Entry(first) == entry)
            return first;
        int high = s.S.ProcessAt(s.Slot)->HighestDescriptor;
        for (int fd = 0; fd < high; fd++)
        {
            if (s.Entry(fd) == entry)
                return fd;
        }
        return -1;
    }

    /// <summary>
    /// The set's inner epoll descriptor, -1 in a process that does not have it: a set of a dead child, or one that
    /// belongs to another of the family.
    /// </summary>
    private static int InnerHere(PosixStack s, int setIndex)
    {
        int inner = s.S.EpollSetAt(setIndex)->Inner;
        return s.IsTagged(inner, DescriptorEntry.SetTag + setIndex) ? inner : -1;
    }

    /// <summary>One descriptor of a set is gone; the last one ends the set. True if this was the last.</summary>
    public static bool Release(PosixStack s, AccelThread* t, int setIndex)
    {
        EpollSet* set = s.S.EpollSetAt(setIndex);
        Changes.Begin(s, t);
        bool isLast = Interlocked.Decrement(ref set->References) == 0;
        if (isLast)
            End(s, t, set, setIndex);
        Changes.End(s, t);
        return isLast;
    }

    private static void End(PosixStack s, AccelThread* t, EpollSet* set, int setIndex)
    {
        if (Volatile.Read(ref set->NestedIn) != 0)
            LeaveOthers(s, t, setIndex);
        s.Lock(ref set->Lock, t);
        UnwatchListeners(s, t, set);
        for (int steps = 0; set->Items != 0 && steps < StackRegion.MaxEpollItems; steps++)
            Remove(s, t, setIndex, (int)set->Items - 1);
        set->Used = 0;
        PosixStack.Unlock(ref set->Lock);
        s.Disown(set->Inner, DescriptorEntry.SetTag + setIndex);
        Wakers.Close(s, (int)set->Waker);
        s.S.GiveEpollSet(setIndex);
    }

    /// <summary>A set that is closed leaves the sets that it is in, as on Linux.</summary>
    [ColdPath]
    private static void LeaveOthers(PosixStack s, AccelThread* t, int setIndex)
    {
        int count = (int)Math.Min(s.S.Tables->EpollSets.Bumped, StackRegion.MaxEpollSets);
        for (int i = 0; i < count; i++)
        {
            EpollSet* other = s.S.EpollSetAt(i);
            if (i == setIndex || Volatile.Read(ref other->NestedCount) == 0)
                continue;
            s.Lock(ref other->Lock, t);
            uint at = other->Used != 0 ? other->Items : 0;
            for (int steps = 0; at != 0 && steps < StackRegion.MaxEpollItems; steps++)
            {
                int index = (int)at - 1;
                EpollItem* item = s.S.EpollItemAt(index);
                at = item->SetNext;
                if ((item->Flags & (uint)EpollItemFlags.Nested) != 0 && item->Target == (uint)setIndex)
                    Remove(s, t, i, index);
            }
            PosixStack.Unlock(ref other->Lock);
        }
    }

    /// <summary>
    /// No descriptor of the set is left: the references that it still has are those of threads that were killed in
    /// epoll_wait().
    /// </summary>
    public static void ReleaseSleepers(PosixStack s, AccelThread* t, int setIndex)
    {
        EpollSet* set = s.S.EpollSetAt(setIndex);
        if (Interlocked.Exchange(ref set->References, 1) > 0)
            Release(s, t, setIndex);
    }

    /// <summary>
    /// In the image that came by exec(): threads that waited on the set are gone, and what they held of it, and so is
    /// the hub that was in it.
    /// </summary>
    [ColdPath]
    public static void TakeOver(PosixStack s, uint entry, int descriptors)
    {
        EpollSet* set = s.S.EpollSetAt(DescriptorEntry.Index(entry));
        set->Hub = 0;
        if (Volatile.Read(ref set->References) <= descriptors || Processes.HeldByOthers(s, entry))
            return;
        Volatile.Write(ref set->References, descriptors);
        Wakers.Reset(s, s.S.WakerAt((int)set->Waker));
    }

    /// <summary>
    /// Listeners outlive the sets of the processes that come and go around them: each would leave its doorbell behind.
    /// </summary>
    private static void UnwatchListeners(PosixStack s, AccelThread* t, EpollSet* set)
    {
        for (uint at = set->Items; at != 0; at = s.S.EpollItemAt((int)at - 1)->SetNext)
        {
            EpollItem* item = s.S.EpollItemAt((int)at - 1);
            if ((item->Flags & (uint)EpollItemFlags.Nested) != 0)
                continue;
            Socket* socket = s.S.SocketAt((int)item->Target);
            if (!Notifier.WatchWords(s, socket, out uint* watch, out ushort* bells, out _))
                continue;
            int bell = Wakers.ExistingBell(s, (int)set->Waker, socket->Region);
            if (bell >= 0)
                Notifier.Unwatch(watch, bells, (uint)bell);
        }
    }

    public static long Abort(PosixStack s, AccelThread* t) => EpollWaits.Abort(s, t);
}
