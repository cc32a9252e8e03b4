using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>The stack's own local region, and those of neighbours that it is attached to.</summary>
[ColdPath]
public static unsafe class Regions
{
    /// <summary>A quarter of what the program may have is for its local connections.</summary>
    private const int ShareOfMemory = 4;

    public const string LocalName = "accel-local";
    public const string StackName = "accel-stack";

    /// <summary>
    /// The region for this stack's listeners, made when first needed. Returns its number plus one, 0 if it cannot be
    /// had.
    /// </summary>
    public static uint Own(PosixStack s, AccelThread* t)
    {
        StackTables* tables = s.S.Tables;
        if (tables->OwnRegion != 0)
            return EnsureMapped(s, t, tables->OwnRegion) ? tables->OwnRegion : 0;
        s.LockStack(t);
        OwnLocked(s, t);
        s.UnlockStack(t);
        return tables->OwnRegion;
    }

    /// <summary>The same for who has the stack's lock.</summary>
    public static uint OwnLocked(PosixStack s, AccelThread* t)
    {
        StackTables* tables = s.S.Tables;
        if (tables->OwnRegion == 0)
            tables->OwnRegion = Create(s, t);
        return tables->OwnRegion;
    }

    private static uint Create(PosixStack s, AccelThread* t)
    {
        byte* address = null;
        int fd = -1;
        long bytes = s.Option(Option.LocalMegabytes) << 20;
        // Under an address space limit a smaller region is better than none.
        for (; address == null && bytes >= LocalRegion.FixedBytes + (16 << 20); bytes /= 2)
        {
            address = s.Kernel.CreateRegion(LocalName, bytes, out fd);
            if (address != null)
                break;
        }
        if (address == null)
        {
            s.Count(t, Counter.NoBuffers);
            return 0;
        }
        LocalRegion region = new(address);
        region.Format(s.Kernel.Random() | 1, s.S.Tables->Header.Id, bytes, s.Process->Pid, s.Kernel.CurrentUid(),
            s.Kernel.WallNs());
        region.LimitBuffers(s.Kernel.MemoryLimit() / ShareOfMemory);
        uint number = Enter(s, region, fd);
        if (number == 0)
            Discard(s, address, fd);
        return number;
    }

    /// <summary>
    /// Maps the local region of another process. Returns its number plus one, 0 and a reason if it cannot.
    /// </summary>
    public static uint Attach(PosixStack s, AccelThread* t, int pid, out string? refusal)
    {
        byte* address = s.Kernel.AttachRegion(pid, LocalName, RegionKind.Local, 0, out int fd, out refusal);
        if (address == null)
        {
            s.Count(t, Counter.AttachRefused);
            return 0;
        }
        LocalRegion region = new(address);
        ulong id = region.Tables->Header.Id;
        s.LockStack(t);
        uint number = Known(s, id);
        if (number == 0)
        {
            number = Enter(s, region, fd);
            s.Count(t, Counter.RegionsAttached);
            if (number != 0)
                s.S.RegionAt((int)number - 1)->Pid = pid;
        }
        else if (!IsCurrent(s, number))
            Map(s, number, address, fd);
        else
            Discard(s, address, fd);
        s.UnlockStack(t);
        if (number == 0)
        {
            Discard(s, address, fd);
            refusal = "the stack's region table is full";
        }
        return number;
    }

    private static void Discard(PosixStack s, byte* address, int fd)
    {
        s.Kernel.UnmapRegion(address);
        s.Kernel.Close(fd);
    }

    private static uint Known(PosixStack s, ulong id)
    {
        for (int i = 0; i < StackRegion.MaxRegions; i++)
        {
            if (s.S.RegionAt(i)->Id == id)
                return (uint)i + 1;
        }
        return 0;
    }

    /// <summary>
    /// Enters a freshly mapped region in the table, and this process among the region's users. Under the stack lock.
    /// </summary>
    private static uint Enter(PosixStack s, LocalRegion region, int fd)
    {
        DropUnused(s);
        // Numbers that never meant anything come first: what other processes of the stack remember of a dropped
        // region is then out of use for a long time before its number means another.
        int high = (int)Math.Min(s.S.Tables->RegionsHigh, StackRegion.MaxRegions);
        uint number = 0;
        for (int i = 0; i < StackRegion.MaxRegions && number == 0; i++)
        {
            int at = (high + i) % StackRegion.MaxRegions;
            if (s.S.RegionAt(at)->Id == 0)
                number = (uint)at + 1;
        }
        if (number == 0)
            return 0;
        RegionSlot* slot = s.S.RegionAt((int)number - 1);
        slot->Attachment = region.Attach(s.S.Tables->Header.Id, s.Kernel.CurrentUid());
        if (slot->Attachment == 0)
            return 0;
        if (!s.HasBarrier)
            region.Tables->Header.FenceAlways = 1;
        slot->Pid = s.Process->Pid;
        slot->StackId = region.Tables->Header.StackId;
        slot->Users = 0;
        if (s.Region(number).IsMapped)
            s.Retired.Add(s, s.Region(number).Address);
        s.SetRegion(number, region.Address);
        Keep(s, number, fd);
        for (int p = 0; p < StackRegion.MaxProcesses; p++)
        {
            ProcessSlot* process = s.S.ProcessAt(p);
            if (process->State != ProcessSlot.Unused)
                SetMember(region, slot->Attachment, p, process->Pid, process->StartTime);
        }
        Volatile.Write(ref slot->Id, region.Tables->Header.Id);
        if (s.S.Tables->RegionsHigh < number)
            s.S.Tables->RegionsHigh = number;
        return number;
    }

    /// <summary>Unmaps neighbours' regions whose processes are all gone and that no socket of ours lies in.</summary>
    private static void DropUnused(PosixStack s)
    {
        for (int i = 0; i < StackRegion.MaxRegions; i++)
        {
            RegionSlot* slot = s.S.RegionAt(i);
            uint number = (uint)i + 1;
            LocalRegion region = s.Region(number);
            if (slot->Id == 0 || number == s.S.Tables->OwnRegion || !IsCurrent(s, number)
                || Volatile.Read(ref slot->Users) > 0
                || s.Kernel.StartTime(slot->Pid) != 0)
                continue;
            if (OwnerLives(s, region))
                continue;
            Volatile.Write(ref slot->Id, 0);
            s.SetRegion(number, null);
            s.Disown(s.FindTagged(DescriptorEntry.RegionTag + (int)number));
            s.Retired.Add(s, region.Address);
            Wakers.ForgetRegion(s, number);
        }
        s.Retired.Unmap(s);
    }

    private static bool OwnerLives(PosixStack s, LocalRegion region)
    {
        Attachment* owner = region.AttachmentAt(0);
        for (int m = 0; m < Attachment.MaxMembers; m++)
        {
            Member* member = Attachment.MemberAt(owner, m);
            if (member->Pid != 0 && s.Kernel.StartTime(member->Pid) == member->StartTime)
                return true;
        }
        return false;
    }

    /// <summary>
    /// True if the region of a number is mapped here. Another process of the stack may have dropped what the number
    /// meant, and given it to another region.
    /// </summary>
    public static bool IsCurrent(PosixStack s, uint number)
    {
        LocalRegion region = s.Region(number);
        return region.IsMapped && region.Tables->Header.Id == Volatile.Read(ref s.S.RegionAt((int)number - 1)->Id);
    }

    /// <summary>Enters this process among the users of a region that the stack knew already.</summary>
    private static void Map(PosixStack s, uint number, byte* address, int fd)
    {
        byte* before = s.Region(number).Address;
        s.SetRegion(number, address);
        Keep(s, number, fd);
        if (before != null)
            s.Retired.Add(s, before);
        LocalRegion region = new(address);
        if (!s.HasBarrier)
            region.Tables->Header.FenceAlways = 1;
        ProcessSlot* process = s.S.ProcessAt(s.Slot);
        if (process->State == ProcessSlot.Live && process->Pid == s.Process->Pid)
            SetMember(region, s.S.RegionAt((int)number - 1)->Attachment, s.Slot, process->Pid, process->StartTime);
    }

    /// <summary>
    /// The descriptor stays: the image that comes after exec() maps the region by it, even if all others have gone.
    /// </summary>
    private static void Keep(PosixStack s, uint number, int fd)
    {
        s.Disown(s.FindTagged(DescriptorEntry.RegionTag + (int)number));
        s.Own(fd, DescriptorEntry.RegionTag + (int)number);
    }

    /// <summary>In the image that came by exec(): maps the regions whose descriptors came along.</summary>
    public static void MapInherited(PosixStack s)
    {
        for (uint number = 1; number <= Math.Min(s.S.Tables->RegionsHigh, StackRegion.MaxRegions); number++)
        {
            ulong id = Volatile.Read(ref s.S.RegionAt((int)number - 1)->Id);
            int fd = id == 0 ? -1 : s.FindTagged(DescriptorEntry.RegionTag + (int)number);
            byte* address = fd < 0 ? null : s.Kernel.MapRegion(fd, RegionKind.Local, id);
            if (address == null)
                continue;
            s.SetRegion(number, address);
            if (!s.HasBarrier)
                s.Region(number).Tables->Header.FenceAlways = 1;
        }
    }

    /// <summary>membarrier() fails all of a sudden (a seccomp filter): from now on every producer must fence.</summary>
    public static void FenceAlways(PosixStack s)
    {
        for (uint number = 1; number <= s.S.Tables->RegionsHigh; number++)
        {
            LocalRegion region = s.Region(number);
            if (region.IsMapped)
                Volatile.Write(ref region.Tables->Header.FenceAlways, 1);
        }
        Interlocked.MemoryBarrier();
    }

    /// <summary>Index plus one of this stack in a mapped region's attachment table.</summary>
    public static uint AttachmentIn(PosixStack s, LocalRegion region)
    {
        for (uint number = 1; number <= s.S.Tables->RegionsHigh; number++)
        {
            if (s.Region(number).Address == region.Address)
                return s.S.RegionAt((int)number - 1)->Attachment;
        }
        return 0;
    }

    /// <summary>Maps a region that another process of this stack entered in the table.</summary>
    public static bool EnsureMapped(PosixStack s, AccelThread* t, uint number)
    {
        if (number - 1 >= StackRegion.MaxRegions)
            return false;
        if (IsCurrent(s, number))
            return true;
        RegionSlot* slot = s.S.RegionAt((int)number - 1);
        ulong id = Volatile.Read(ref slot->Id);
        if (id == 0)
            return false;
        byte* address = s.Kernel.AttachRegion(slot->Pid, LocalName, RegionKind.Local, id, out int fd, out _);
        // Children have what their parent made before them.
        for (int p = 0; address == null && number == s.S.Tables->OwnRegion && p < StackRegion.MaxProcesses; p++)
        {
            ProcessSlot* process = s.S.ProcessAt(p);
            if (process->State == ProcessSlot.Live && p != s.Slot && process->Pid > 0 && process->Pid != slot->Pid)
                address = s.Kernel.AttachRegion(process->Pid, LocalName, RegionKind.Local, id, out fd, out _);
        }
        if (address == null)
        {
            s.Count(t, Counter.AttachRefused);
            return false;
        }
        Map(s, number, address, fd);
        return true;
    }

    /// <summary>Writes a process of a stack into the attachment that its neighbours watch.</summary>
    public static void SetMember(LocalRegion region, uint attachmentPlusOne, int slot, int pid, uint startTime)
    {
        if (attachmentPlusOne - 1 >= LocalRegion.MaxAttachments || (uint)slot >= Attachment.MaxMembers)
            return;
        Attachment* attachment = region.AttachmentAt((int)attachmentPlusOne - 1);
        Member* member = Attachment.MemberAt(attachment, slot);
        member->StartTime = startTime;
        Volatile.Write(ref member->Pid, pid);
        Interlocked.Increment(ref region.Tables->MemberChanges);
    }

    /// <summary>The same in every region that this process has mapped.</summary>
    public static void SetMemberEverywhere(PosixStack s, int slot, int pid, uint startTime)
    {
        for (int i = 0; i < StackRegion.MaxRegions; i++)
        {
            RegionSlot* entry = s.S.RegionAt(i);
            LocalRegion region = s.Region((uint)i + 1);
            if (entry->Id != 0 && IsCurrent(s, (uint)i + 1))
                SetMember(region, entry->Attachment, slot, pid, startTime);
        }
    }
}
