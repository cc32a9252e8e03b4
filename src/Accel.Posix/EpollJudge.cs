using Accel.Core.Local;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// One member of an epoll set: whether it is ready, whether that is news, and what is remembered of it once told.
/// </summary>
public static unsafe class EpollJudge
{
    /// <summary>
    /// What of an item is to be reported now, 0 if nothing. For edges: only what has changed since the last report.
    /// </summary>
    public static uint Look(PosixStack s, EpollSet* set, EpollItem* item)
    {
        if ((item->Flags & (uint)EpollItemFlags.Disabled) != 0 || IsQuiet(s, item))
            return 0;
        bool nested = (item->Flags & (uint)EpollItemFlags.Nested) != 0;
        if (!nested)
        {
            Sketch(s, item);
            if (item->KernelReady != 0 && KernelSide(s, item) == 0)
                item->KernelReady = 0;
        }
        bool edges = (item->Events & Ev.ET) != 0;
        if (edges)
            See(s, item, nested);
        uint mask = Judge(s, item, nested);
        if (mask == 0)
        {
            item->Flags &= ~(uint)EpollItemFlags.Reported;
            return 0;
        }
        item->QuietRegion = 0;
        if (edges && !IsEdge(item))
            return 0;
        item->LastReady = set->Waits;
        return mask;
    }

    /// <summary>True if nothing has happened to a connection since it was last found not ready.</summary>
    private static bool IsQuiet(PosixStack s, EpollItem* item)
    {
        if (item->QuietRegion == 0)
            return false;
        LocalRegion region = s.Region(item->QuietRegion);
        if (!region.IsMapped)
            return false;
        Conn* conn = region.ConnAt((int)(item->QuietSource >> 1));
        int side = (int)item->QuietSource & 1;
        return Volatile.Read(ref LocalRegion.PipeOf(conn, 1 - side)->Tail) == item->QuietTail
            && FlagsOf(conn, side) == item->QuietFlags;
    }

    private static ulong FlagsOf(Conn* conn, int side) =>
        Volatile.Read(ref LocalRegion.SideOf(conn, side)->Flags)
        | (ulong)Volatile.Read(ref LocalRegion.SideOf(conn, 1 - side)->Flags) << 32;

    /// <summary>
    /// Remembers a connection's looks before it is looked at closely, for those who only wait for it to be readable.
    /// </summary>
    private static void Sketch(PosixStack s, EpollItem* item)
    {
        Socket* socket = s.S.SocketAt((int)item->Target);
        item->QuietRegion = 0;
        if ((item->Events & Ev.OUT) != 0 || socket->State != (uint)SocketState.Connected || socket->LowWater > 1
            || !s.Sides(socket, out Wire wire))
            return;
        item->QuietRegion = socket->Region;
        item->QuietSource = (uint)wire.Source;
        item->QuietTail = Volatile.Read(ref wire.In->Tail);
        item->QuietFlags = FlagsOf(wire.Conn, wire.SideIndex);
    }

    /// <summary>
    /// What the kernel reported of an item's socket and is still true: another call may have taken it meanwhile, as
    /// accept() does that asks both queues. ep_send_events() of Linux asks once more for the same reason.
    /// </summary>
    private static uint KernelSide(PosixStack s, EpollItem* item)
    {
        uint reported = item->KernelReady & 0xFFFF;
        int descriptor = reported == 0 ? -1 : Sockets.KernelDescriptor(s, (int)item->Target);
        if (descriptor < 0)
            return reported;
        PollFd fd = new() { Fd = descriptor, Events = (short)reported };
        return s.Kernel.Poll(&fd, 1) <= 0 ? 0 : (uint)(ushort)fd.Revents & reported;
    }

    /// <summary>What is true of an item's target, of what the item asks for.</summary>
    private static uint Judge(PosixStack s, EpollItem* item, bool nested)
    {
        uint mask = nested ? (NestedReady(s, (int)item->Target) ? Ev.IN | Ev.RDNORM : 0)
            : Readiness.Mask(s, s.S.SocketAt((int)item->Target), item->Events);
        if (item->KernelReady != 0 && !nested)
            mask |= item->KernelReady & 0xFFFF;
        return mask & item->Events;
    }

    /// <summary>
    /// Takes down what the item's target looks like before it is judged. What happens after this is not in the report,
    /// and so must be an edge of its own: bytes that arrive while the other members are looked at would otherwise be
    /// lost.
    /// </summary>
    private static void See(PosixStack s, EpollItem* item, bool nested)
    {
        if (nested)
        {
            item->SeenTail = NestedActivity(s, item);
            item->SeenState = 0;
            return;
        }
        Socket* socket = s.S.SocketAt((int)item->Target);
        // A look may itself turn a reset or new room into state: let it, before the state is noted.
        Readiness.Mask(s, socket);
        item->SeenTail = Readiness.TailWord(s, socket);
        item->SeenState = Readiness.StateWord(s, socket);
    }

    private static bool IsEdge(EpollItem* item)
    {
        bool nested = (item->Flags & (uint)EpollItemFlags.Nested) != 0;
        return (item->KernelReady != 0 && !nested) || item->ReportedTail != item->SeenTail
            || item->ReportedState != item->SeenState;
    }

    /// <summary>A number that changes whenever a member of a nested set does something that makes an edge.</summary>
    private static ulong NestedActivity(PosixStack s, EpollItem* nested)
    {
        ulong sum = nested->KernelReady;
        for (uint at = s.S.EpollSetAt((int)nested->Target)->Items; at != 0; at = s.S.EpollItemAt((int)at - 1)->SetNext)
        {
            EpollItem* item = s.S.EpollItemAt((int)at - 1);
            if ((item->Flags & (uint)EpollItemFlags.Nested) != 0)
                sum = sum * 31 + NestedActivity(s, item);
            else
            {
                Socket* socket = s.S.SocketAt((int)item->Target);
                sum = (sum * 31 + Readiness.TailWord(s, socket)) * 31 + Readiness.StateWord(s, socket);
            }
        }
        return sum;
    }

    /// <summary>True if epoll_wait() on the set would return something.</summary>
    public static bool NestedReady(PosixStack s, int setIndex)
    {
        EpollSet* set = s.S.EpollSetAt(setIndex);
        for (uint at = set->Items; at != 0; at = s.S.EpollItemAt((int)at - 1)->SetNext)
        {
            EpollItem* item = s.S.EpollItemAt((int)at - 1);
            if ((item->Flags & (uint)EpollItemFlags.Disabled) != 0)
                continue;
            if ((item->Flags & (uint)EpollItemFlags.Nested) != 0)
            {
                if (NestedReady(s, (int)item->Target))
                    return true;
                continue;
            }
            uint mask = Readiness.Mask(s, s.S.SocketAt((int)item->Target)) | KernelSide(s, item);
            if ((mask & item->Events) == 0)
                continue;
            if ((item->Events & Ev.ET) == 0)
                return true;
            See(s, item, nested: false);
            if (IsEdge(item))
                return true;
        }
        return HasKernelEvent(s, setIndex);
    }

    public static bool HasKernelEvent(PosixStack s, int setIndex)
    {
        EpollSet* set = s.S.EpollSetAt(setIndex);
        s.Kernel.DrainWaker(s.S.WakerAt((int)set->Waker)->Descriptor);
        PollFd fd = new() { Fd = set->Descriptor, Events = (short)Ev.IN };
        return s.Kernel.Poll(&fd, 1) > 0;
    }

    /// <summary>The event for the program; what was seen is from now on what was reported.</summary>
    public static EpollEvent Report(PosixStack s, EpollSet* set, int index, uint mask, ulong order)
    {
        EpollItem* item = s.S.EpollItemAt(index);
        bool isNested = (item->Flags & (uint)EpollItemFlags.Nested) != 0;
        if (!isNested)
            item->KernelReady = 0;
        item->Flags |= (uint)EpollItemFlags.Reported;
        item->Order = order;
        if ((item->Events & Ev.ET) != 0)
        {
            item->ReportedTail = item->SeenTail;
            item->ReportedState = item->SeenState;
        }
        if ((item->Events & Ev.ONESHOT) != 0)
        {
            item->Flags |= (uint)EpollItemFlags.Disabled;
            EpollSets.AskKernelSide(s, set, item, index, false);
        }
        return new EpollEvent { Events = mask, Data = item->Data };
    }
}
