using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Nic;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>How a process comes by its network interfaces: once, when the first socket needs them.</summary>
[ColdPath]
public static unsafe class NicAttach
{
    public const string RegionName = "accel-nic";

    private const long RetryNs = 1_000_000_000;

    /// <summary>
    /// The interfaces of this process, joined now if that was not done yet. Null if there are none: nobody serves this
    /// network namespace, or it refused (see <see cref="StackTables.NicRefusal"/>).
    /// </summary>
    public static NicPath? Of(PosixStack s, AccelThread* t)
    {
        if (s.Nic != null || s.NicControl == null || s.Option(Option.Nic) == 0)
            return s.Nic;
        long now = s.Kernel.NowNs();
        if (now < s.NicRetryNs)
            return null;
        s.LockStack(t);
        if (s.Nic == null && now >= s.NicRetryNs)
        {
            s.NicRetryNs = now + RetryNs;
            s.Nic = Join(s, t, s.NicControl);
        }
        s.UnlockStack(t);
        return s.Nic;
    }

    /// <summary>Under the stack's lock.</summary>
    private static NicPath? Join(PosixStack s, AccelThread* t, INicControl control)
    {
        StackTables* tables = s.S.Tables;
        // The engine's state is inherited by fork. A process that was forked before it existed stays without.
        if (tables->NicRegionId != 0 || HasSiblings(s))
            return null;
        if (!control.IsPresent)
        {
            tables->NicRefusal = (byte)NicRefusal.NoDaemon;
            return null;
        }
        uint own = Regions.OwnLocked(s, t);
        if (own == 0 || !s.Region(own).IsMapped)
            return null;
        byte* address = s.Kernel.CreateRegion(RegionName, NicRegion.SizeBytes, out int fd);
        if (address == null)
            return null;
        s.Kernel.WantHugePages(address, (ulong)NicRegion.BlocksAt, (ulong)NicRegion.BlockBytes);
        NicRegion region = new(address);
        region.Format(s.Kernel.Random() | 1, tables->Header.Id, s.Process->Pid, s.Kernel.CurrentUid(),
            s.Kernel.WallNs());
        ILink[] links = control.Attach(tables->Header.Id, region.LinkAt(0), NicRegion.MaxLinks,
            out NicRefusal refusal);
        tables->NicRefusal = (byte)refusal;
        if (links.Length == 0)
        {
            s.Kernel.UnmapRegion(address);
            s.Kernel.Close(fd);
            return null;
        }
        s.Own(fd, DescriptorEntry.NicTag);
        tables->NicRegionId = region.Tables->Header.Id;
        NicPath path = new(s, region, control, links, own);
        // Those that the engine made up are this stack's alone.
        region.Tables->Settings.SequenceKey0 = control.SequenceKey0;
        region.Tables->Settings.SequenceKey1 = control.SequenceKey1;
        path.JoinHub();
        s.Count(t, Counter.NicAttached);
        return path;
    }

    /// <summary>
    /// In the image that came by exec(): goes on with the interfaces that the one before it had. Connections over them
    /// are dead sockets if it cannot.
    /// </summary>
    public static void Resume(PosixStack s)
    {
        StackTables* tables = s.S.Tables;
        int fd = tables->NicRegionId == 0 || s.NicControl == null ? -1 : s.FindTagged(DescriptorEntry.NicTag);
        byte* address = fd < 0 ? null : s.Kernel.MapRegion(fd, RegionKind.Nic, tables->NicRegionId);
        uint own = tables->OwnRegion;
        if (address == null || !s.Region(own).IsMapped)
            return;
        NicRegion region = new(address);
        StackLock.Abandon(&region.Tables->Lock, s.Process->Pid);
        ILink[] links = s.NicControl!.Resume(tables->Header.Id, region.LinkAt(0), NicRegion.MaxLinks, s.FindTagged);
        if (links.Length == 0)
        {
            s.Kernel.UnmapRegion(address);
            return;
        }
        s.Kernel.WantHugePages(address, (ulong)NicRegion.BlocksAt, (ulong)NicRegion.BlockBytes);
        s.Nic = new NicPath(s, region, s.NicControl, links, own);
    }

    private static bool HasSiblings(PosixStack s)
    {
        for (int i = 0; i < StackRegion.MaxProcesses; i++)
        {
            if (i != s.Slot && s.S.ProcessAt(i)->State != ProcessSlot.Unused)
                return true;
        }
        return false;
    }
}
