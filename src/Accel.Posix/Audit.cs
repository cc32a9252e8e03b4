using System.Runtime.InteropServices;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// After a process was killed between a count and its note: what refers to each socket, set, waker and listener of the
/// stack is counted anew from the notes, counts are put right, and what nothing refers to is given back. Every step may
/// be repeated, should the auditor be killed too: its own death is noticed in the same way.
/// </summary>
[ColdPath]
internal static unsafe class Audit
{
    private const long RetryNs = 100_000_000, SecondLookNs = 1_200_000_000;

    /// <summary>Something died between a count and its note.</summary>
    public static void Demand(PosixStack s)
    {
        s.S.Tables->NextAuditNs = 0;
        Volatile.Write(ref s.S.Tables->AuditDue, 1);
    }

    /// <summary>Without any lock.</summary>
    public static void RunIfDue(PosixStack s, AccelThread* t)
    {
        StackTables* tables = s.S.Tables;
        if (Volatile.Read(ref tables->AuditDue) == 0 || Changes.IsInside(t) || t->Tid == 0
            || s.Kernel.NowNs() < tables->NextAuditNs)
            return;
        // Who buries has it too, and must not have to wait for the auditor with it in hand.
        s.LockStack(t);
        if (SharedLock.TryEnter(ref tables->Auditor, t->Tid, s.Kernel))
        {
            long again = !Changes.BeginAlone(s, t) ? RetryNs : Run(s, t) ? 0 : SecondLookNs;
            if (again != 0)
            {
                tables->NextAuditNs = s.Kernel.NowNs() + again;
                Volatile.Write(ref tables->AuditDue, 1);
            }
            Changes.End(s, t);
            SharedLock.Exit(ref tables->Auditor);
        }
        s.UnlockStack(t);
    }

    private static bool Run(PosixStack s, AccelThread* t)
    {
        // Before: what is demanded meanwhile is of a later death.
        Volatile.Write(ref s.S.Tables->AuditDue, 0);
        return new Auditor(s, t).TryRun();
    }

    private readonly ref struct Auditor(PosixStack s, AccelThread* t)
    {
        private readonly int _sockets = (int)Math.Min(s.S.Tables->Sockets.Bumped, StackRegion.MaxSockets);
        private readonly int _sets = (int)Math.Min(s.S.Tables->EpollSets.Bumped, StackRegion.MaxEpollSets);
        private readonly int _wakers = (int)Math.Min(s.S.Tables->Wakers.Bumped, StackRegion.MaxWakers);

        /// <summary>In place of a number of references: the slot is in the free list.</summary>
        private const int IsFree = -1;

        /// <summary>False: something has to be looked at once more, a little later.</summary>
        public bool TryRun()
        {
            int* sockets = Counted(&s.S.Tables->Sockets, (byte*)s.S.SocketAt(0), sizeof(Socket), _sockets);
            int* sets = Counted(&s.S.Tables->EpollSets, (byte*)s.S.EpollSetAt(0), sizeof(EpollSet), _sets);
            int* wakers = Counted(&s.S.Tables->Wakers, (byte*)s.S.WakerAt(0), sizeof(Waker), _wakers);
            bool settled = sockets != null && sets != null && wakers != null;
            if (settled)
            {
                CountDescriptors(sockets, sets);
                CountSleepers(sockets, sets, wakers);
                SettleSockets(sockets);
                settled = SettleSets(sets);
                SettleWakers(wakers);
                SettleListeners();
                SettleUsers();
                s.Count(t, Counter.Audits);
            }
            NativeMemory.Free(sockets);
            NativeMemory.Free(sets);
            NativeMemory.Free(wakers);
            return settled;
        }

        /// <summary>A word for each slot that was ever used: 0, or that it is free. Null: no memory.</summary>
        private static int* Counted(FreeList* list, byte* links, int stride, int count)
        {
            int* words;
            try
            {
                words = (int*)NativeMemory.AllocZeroed((nuint)count + 1, sizeof(int));
            }
            catch (OutOfMemoryException)
            {
                return null;
            }
            list->InUse = count - FreeList.Walk(list, links, stride, words, IsFree);
            return words;
        }

        private void CountDescriptors(int* sockets, int* sets)
        {
            for (int slot = 0; slot < StackRegion.MaxProcesses; slot++)
            {
                ProcessSlot* process = s.S.ProcessAt(slot);
                if (process->State == ProcessSlot.Unused)
                    continue;
                Add(sockets, _sockets, (int)process->Giving - 1);
                Add(sockets, _sockets, (int)process->Fetching - 1);
                uint* table = s.S.DescriptorsOf(slot);
                int high = Math.Min(process->HighestDescriptor, StackRegion.MaxDescriptors);
                for (int fd = 0; fd < high; fd++)
                {
                    uint entry = Volatile.Read(ref table[fd]);
                    if (DescriptorEntry.Kind(entry) == DescriptorEntry.KindSocket)
                        Add(sockets, _sockets, DescriptorEntry.Index(entry));
                    else if (DescriptorEntry.Kind(entry) == DescriptorEntry.KindEpoll)
                        Add(sets, _sets, DescriptorEntry.Index(entry));
                }
            }
        }

        private void CountSleepers(int* sockets, int* sets, int* wakers)
        {
            for (int i = 0; i < _wakers; i++)
            {
                Waker* waker = s.S.WakerAt(i);
                if (wakers[i] == IsFree || Volatile.Read(ref waker->Owner) == 0)
                    continue;
                Add(wakers, _wakers, i);
                Add(sockets, _sockets, (int)waker->Socket - 1);
            }
            for (int i = 0; i < _sets; i++)
            {
                if (sets[i] != IsFree && s.S.EpollSetAt(i)->Used != 0)
                    Add(wakers, _wakers, (int)s.S.EpollSetAt(i)->Waker);
            }
        }

        private static void Add(int* references, int count, int index)
        {
            if ((uint)index < (uint)count && references[index] != IsFree)
                references[index]++;
        }

        private void SettleSockets(int* references)
        {
            for (int i = 0; i < _sockets; i++)
            {
                if (references[i] == IsFree)
                    continue;
                Socket* socket = s.S.SocketAt(i);
                int noted = references[i] + Math.Max(0, socket->InFlight);
                Volatile.Write(ref socket->References, Math.Max(noted, 1));
                if (noted != 0)
                    continue;
                Regions.EnsureMapped(s, t, socket->Region);
                Sockets.Release(s, t, i);
            }
        }

        /// <summary>
        /// A set that is in no table may still be a thread's that sleeps on it, which is noted nowhere: it is given
        /// back if nobody does so at a second look, after every sleep has ended once.
        /// </summary>
        private bool SettleSets(int* references)
        {
            bool settled = true;
            for (int i = 0; i < _sets; i++)
            {
                EpollSet* set = s.S.EpollSetAt(i);
                if (references[i] != 0)
                    continue;
                if (set->Used == 0)
                    s.S.GiveEpollSet(i);
                else if (set->Suspect == 0)
                {
                    set->Suspect = 1;
                    settled = false;
                }
                else if (s.S.WakerAt((int)set->Waker)->Sleepers <= 0)
                {
                    Volatile.Write(ref set->References, 1);
                    EpollSets.Release(s, t, i);
                }
            }
            return settled;
        }

        private void SettleWakers(int* references)
        {
            for (int i = 0; i < _wakers; i++)
            {
                if (references[i] == 0)
                    Wakers.Close(s, i);
            }
        }

        /// <summary>Only this stack gives listeners of its own region back.</summary>
        private void SettleListeners()
        {
            LocalRegion region = s.Region(s.S.Tables->OwnRegion);
            if (!region.IsMapped)
                return;
            int count = (int)Math.Min(region.Tables->Listeners.Bumped, LocalRegion.MaxListeners);
            int* references = Counted(&region.Tables->Listeners, (byte*)region.ListenerAt(0), sizeof(Listener), count);
            if (references == null)
                return;
            for (int i = 0; i < _sockets; i++)
            {
                Socket* socket = s.S.SocketAt(i);
                if (socket->State == (uint)SocketState.Listening && socket->Region == s.S.Tables->OwnRegion)
                    Add(references, count, (int)socket->Index);
            }
            for (int i = 0; i < count; i++)
            {
                if (references[i] == 0)
                    Closer.CloseListener(s, t, region, i);
            }
            NativeMemory.Free(references);
        }

        private void SettleUsers()
        {
            int* users = stackalloc int[StackRegion.MaxRegions + 1];
            int local = 0;
            for (int i = 0; i < _sockets; i++)
            {
                Socket* socket = s.S.SocketAt(i);
                if (socket->State == (uint)SocketState.Free)
                    continue;
                if (socket->Region <= StackRegion.MaxRegions)
                    users[socket->Region]++;
                local += socket->Is(SocketFlags.OnLocalPath) ? 1 : 0;
            }
            for (int i = 0; i < StackRegion.MaxRegions; i++)
                s.S.RegionAt(i)->Users = users[i + 1];
            s.S.Tables->LocalSockets = local;
        }
    }
}
