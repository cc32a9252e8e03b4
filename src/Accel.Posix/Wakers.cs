using Accel.Core.Local;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>What a thread or an epoll set sleeps on, and its doorbells in the regions that it depends on.</summary>
public static unsafe class Wakers
{
    private const int OwnWaker = 0, OwnMark = 7;

    /// <summary>Bit of Waker.Owner: the thread has ended. The C side sets it through the address in own[7].</summary>
    private const uint Abandoned = 1u << 31;

    /// <summary>The waker of the calling thread, made at its first sleep. -1 if there is none to be had.</summary>
    public static int OfThread(PosixStack s, AccelThread* t)
    {
        if (t->Own[OwnWaker] != 0)
            return (int)t->Own[OwnWaker] - 1;
        Changes.Begin(s, t);
        int index = TakeAbandoned(s);
        if (index < 0)
            index = Open(s);
        if (index >= 0)
            s.S.WakerAt(index)->Owner = (uint)s.Slot + 1;
        Changes.End(s, t);
        if (index < 0)
            return -1;
        Waker* waker = s.S.WakerAt(index);
        t->Own[OwnWaker] = (ulong)index + 1;
        t->Own[OwnMark] = (ulong)&waker->Owner;
        return index;
    }

    /// <summary>
    /// A waker that a thread of this process left behind: the C side sets the mark in Owner when a thread ends, since
    /// nothing managed can run then. It goes to the next thread as it is, with its socket and its doorbells.
    /// </summary>
    private static int TakeAbandoned(PosixStack s)
    {
        uint wanted = Abandoned | ((uint)s.Slot + 1);
        int count = (int)Math.Min(s.S.Tables->Wakers.Bumped, StackRegion.MaxWakers);
        for (int i = 0; i < count; i++)
        {
            Waker* waker = s.S.WakerAt(i);
            if (Volatile.Read(ref waker->Owner) != wanted
                || Interlocked.CompareExchange(ref waker->Owner, 0, wanted) != wanted)
                continue;
            // It may have died asleep.
            Reset(s, waker);
            return i;
        }
        return -1;
    }

    /// <summary>Nobody sleeps on it any more, whatever it says.</summary>
    public static void Reset(PosixStack s, Waker* waker)
    {
        waker->Sleepers = 0;
        SetSleeping(s, waker, 0);
        s.Kernel.DrainWaker(waker->Descriptor);
    }

    /// <summary>
    /// A process ends, or has died: what its threads held or slept on is free again. Its descriptors are the
    /// kernel's affair.
    /// </summary>
    public static void ReleaseOf(PosixStack s, AccelThread* t, int slot)
    {
        Changes.Begin(s, t);
        Sockets.ReleaseHeld(s, t, slot);
        int count = (int)Math.Min(s.S.Tables->Wakers.Bumped, StackRegion.MaxWakers);
        for (int i = 0; i < count; i++)
        {
            Waker* waker = s.S.WakerAt(i);
            uint owner = Volatile.Read(ref waker->Owner);
            if (waker->Used == 0 || (owner & ~Abandoned) != (uint)slot + 1
                || Interlocked.CompareExchange(ref waker->Owner, 0, owner) != owner)
                continue;
            uint held = Interlocked.Exchange(ref waker->Socket, 0);
            if (held != 0)
                Sockets.Release(s, t, (int)held - 1);
            GiveBells(s, waker);
            s.S.GiveWaker(i);
        }
        Changes.End(s, t);
    }

    /// <summary>The waker of the calling thread if it has one, else -1.</summary>
    public static int ExistingOfThread(AccelThread* t) => (int)t->Own[OwnWaker] - 1;

    public static int Open(PosixStack s)
    {
        int index = s.S.TakeWaker();
        if (index < 0)
            return -1;
        Waker* waker = s.S.WakerAt(index);
        waker->Name = s.Kernel.Random();
        int fd = s.Own(s.Kernel.OpenWaker(waker->Name), DescriptorEntry.WakerTag + index);
        if (fd < 0)
        {
            s.S.GiveWaker(index);
            return -1;
        }
        waker->Descriptor = fd;
        waker->Used = 1;
        return index;
    }

    /// <summary>Gives up a waker with its doorbells.</summary>
    public static void Close(PosixStack s, int index)
    {
        Waker* waker = s.S.WakerAt(index);
        GiveBells(s, waker);
        s.Disown(waker->Descriptor, DescriptorEntry.WakerTag + index);
        s.S.GiveWaker(index);
    }

    private static void GiveBells(PosixStack s, Waker* waker)
    {
        for (int i = 0; i < waker->BellCount; i++)
        {
            BellLink* link = Waker.BellAt(waker, i);
            LocalRegion region = s.Region(link->Region);
            // Another stack may have the doorbell by now.
            if (region.IsMapped && link->Bell < LocalRegion.MaxDoorbells
                && region.DoorbellAt((int)link->Bell)->WakeName == waker->Name)
                region.GiveDoorbell((int)link->Bell);
        }
        waker->BellCount = 0;
    }

    /// <summary>A region's number means nothing any more, and will mean another: its doorbells are forgotten.</summary>
    public static void ForgetRegion(PosixStack s, uint regionPlusOne)
    {
        int count = (int)Math.Min(s.S.Tables->Wakers.Bumped, StackRegion.MaxWakers);
        for (int i = 0; i < count; i++)
        {
            Waker* waker = s.S.WakerAt(i);
            for (int b = 0; b < (int)Math.Min(waker->BellCount, Waker.MaxBells); b++)
            {
                if (Waker.BellAt(waker, b)->Region == regionPlusOne)
                    Waker.BellAt(waker, b)->Region = 0;
            }
        }
    }

    /// <summary>The waker's doorbell in a region, -1 if it has none.</summary>
    public static int ExistingBell(PosixStack s, int wakerIndex, uint regionPlusOne)
    {
        Waker* waker = s.S.WakerAt(wakerIndex);
        for (int i = 0; i < (int)waker->BellCount; i++)
        {
            if (Waker.BellAt(waker, i)->Region == regionPlusOne)
                return (int)Waker.BellAt(waker, i)->Bell;
        }
        return -1;
    }

    /// <summary>The waker's doorbell in a region, made if need be. -1 if there is none to be had.</summary>
    public static int BellIn(PosixStack s, AccelThread* t, int wakerIndex, uint regionPlusOne)
    {
        int existing = ExistingBell(s, wakerIndex, regionPlusOne);
        if (existing >= 0)
            return existing;
        Waker* waker = s.S.WakerAt(wakerIndex);
        LocalRegion region = s.Region(regionPlusOne);
        if (!region.IsMapped || PlaceFor(waker) >= Waker.MaxBells)
            return -1;
        int bell = region.TakeDoorbell(s.S.RegionAt((int)regionPlusOne - 1)->Attachment, waker->Name);
        if (bell < 0)
        {
            s.Count(t, Counter.NoDoorbells);
            return -1;
        }
        s.Lock(ref waker->Lock, t);
        int place = PlaceFor(waker);
        if (place >= Waker.MaxBells)
        {
            PosixStack.Unlock(ref waker->Lock);
            region.GiveDoorbell(bell);
            return -1;
        }
        BellLink* link = Waker.BellAt(waker, place);
        link->Bell = (uint)bell;
        Volatile.Write(ref link->Region, regionPlusOne);
        if (place == (int)waker->BellCount)
            Volatile.Write(ref waker->BellCount, (uint)place + 1);
        PosixStack.Unlock(ref waker->Lock);
        return bell;
    }

    /// <summary>The first unused link: of a region that was forgotten, or behind the last.</summary>
    private static int PlaceFor(Waker* waker)
    {
        int place = 0;
        while (place < (int)waker->BellCount && Waker.BellAt(waker, place)->Region != 0)
            place++;
        return place;
    }

    /// <summary>Announces sleep on every doorbell. After it, and a barrier, the caller must look once more.</summary>
    public static void Announce(PosixStack s, AccelThread* t, Waker* waker)
    {
        s.Lock(ref waker->Lock, t);
        waker->Sleepers++;
        SetSleeping(s, waker, 1);
        PosixStack.Unlock(ref waker->Lock);
        FenceAll(s);
    }

    /// <summary>
    /// Orders what this process wrote before what every other process reads next. Only senders of the local path save
    /// their fence: while there are none it is this CPU's own affair.
    /// </summary>
    public static void FenceAll(PosixStack s)
    {
        Interlocked.MemoryBarrier();
        // After the fence: a socket that is not counted yet is watched only after it is, and its watcher looks then.
        if (Volatile.Read(ref s.S.Tables->LocalSockets) == 0 || s.Kernel.Barrier())
            return;
        if (s.HasBarrier)
            Regions.FenceAlways(s);
    }

    /// <summary>Takes the announcement back. While other threads sleep on the same waker it stays.</summary>
    public static bool Retract(PosixStack s, AccelThread* t, Waker* waker)
    {
        s.Lock(ref waker->Lock, t);
        bool others = --waker->Sleepers > 0;
        bool rung = SetSleeping(s, waker, others ? 1u : 0u);
        PosixStack.Unlock(ref waker->Lock);
        // The ring that woke us took the announcement of the others with it; the caller looks after this.
        if (others)
            FenceAll(s);
        return rung;
    }

    /// <summary>True if somebody had rung.</summary>
    private static bool SetSleeping(PosixStack s, Waker* waker, uint value)
    {
        bool rung = false;
        for (int i = 0; i < (int)waker->BellCount; i++)
        {
            BellLink* link = Waker.BellAt(waker, i);
            LocalRegion region = s.Region(link->Region);
            if (!region.IsMapped || link->Bell >= LocalRegion.MaxDoorbells)
                continue;
            Doorbell* bell = region.DoorbellAt((int)link->Bell);
            rung |= Volatile.Read(ref bell->Sleeping) == 0;
            Volatile.Write(ref bell->Sleeping, value);
        }
        return rung;
    }
}
