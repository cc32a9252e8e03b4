using Accel.Core.Memory;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// Epoll sets for a child that has no part in the stack. What the kernel has in place of ours means nothing to it, and
/// must stay there for the parent: so the child gets sets of its own, with the members that the kernel knows and those
/// that the stack knows, under the numbers that the program gave them.
/// </summary>
[ColdPath]
internal static unsafe class EpollCopies
{
    /// <summary>False: a set cannot be copied.</summary>
    public static bool Make(PosixStack s, AccelThread* t, ForkSteps steps)
    {
        int high = s.S.ProcessAt(s.Slot)->HighestDescriptor;
        for (int fd = 0; fd < high; fd++)
        {
            uint entry = s.Process->FdMap[fd];
            if (entry >> 24 != DescriptorEntry.KindEpoll)
                continue;
            int flags = s.Kernel.GetDescriptorFlags(fd) == 1 ? Af.SOCK_CLOEXEC : 0;
            int twin = FirstOf(s, entry);
            if (twin < fd)
            {
                steps.Add(AccelStep.Copy, twin, fd, flags);
                continue;
            }
            EpollSet* set = s.S.EpollSetAt(DescriptorEntry.Index(entry));
            int copy = s.Kernel.MoveHigh(s.Kernel.CopyEpoll(fd, set->Marker, EpollSets.LinkMarker(set)));
            if (copy < 0)
                return false;
            s.Own(copy);
            steps.Add(AccelStep.Put, copy, fd, flags);
        }
        // When all of them have their numbers: a set may be a member of another.
        for (int fd = 0; fd < high; fd++)
        {
            uint entry = s.Process->FdMap[fd];
            if (entry >> 24 == DescriptorEntry.KindEpoll && FirstOf(s, entry) == fd)
                AddMembers(s, t, DescriptorEntry.Index(entry), fd, steps);
        }
        return true;
    }

    private static int FirstOf(PosixStack s, uint entry)
    {
        int fd = 0;
        while (s.Process->FdMap[fd] != entry)
            fd++;
        return fd;
    }

    private static void AddMembers(PosixStack s, AccelThread* t, int index, int epfd, ForkSteps steps)
    {
        EpollSet* set = s.S.EpollSetAt(index);
        s.Lock(ref set->Lock, t);
        uint at = set->Items;
        for (int n = 0; at != 0 && n < StackRegion.MaxEpollItems; n++)
        {
            EpollItem* item = s.S.EpollItemAt((int)at - 1);
            at = item->SetNext;
            bool nested = (item->Flags & (uint)EpollItemFlags.Nested) != 0;
            uint kind = nested ? DescriptorEntry.KindEpoll : DescriptorEntry.KindSocket;
            // One that another process of the family has put in is not known here.
            if (s.Entry(item->Descriptor) != DescriptorEntry.Of(kind, (int)item->Target))
                continue;
            bool sleeps = (item->Flags & (uint)EpollItemFlags.Disabled) != 0;
            steps.Add(AccelStep.Member, epfd, item->Descriptor, sleeps ? Ev.ONESHOT : item->Events, (long)item->Data);
        }
        PosixStack.Unlock(ref set->Lock);
    }
}
