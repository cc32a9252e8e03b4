using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// Where connecting programs find accelerated listeners: an abstract unix socket per listening address and port. It
/// exists in one
/// network namespace, disappears with its process, and the kernel vouches for who holds it (SO_PEERCRED). Nothing is
/// ever sent on it.
/// </summary>
public static unsafe class Meeting
{
    private const int AddressBytes = 2 + 1 + 8 + 1 + 32 + 1 + 4;
    private const int PeerCredentials = 17;

    /// <summary>No user has this number: setuid() takes it for "as it is".</summary>
    private const uint NotAsked = uint.MaxValue;

    private static void WriteName(byte* address, in Endpoint endpoint)
    {
        *(ushort*)address = Af.UNIX;
        address[2] = 0;
        ReadOnlySpan<byte> prefix = "accel-1-"u8;
        for (int i = 0; i < prefix.Length; i++)
            address[3 + i] = prefix[i];
        address[11] = endpoint.Family == Endpoint.V4 ? (byte)'4' : (byte)'6';
        Hex(address + 12, endpoint.AddressLow, 16);
        Hex(address + 28, endpoint.AddressHigh, 16);
        address[44] = (byte)'-';
        Hex(address + 45, endpoint.Port, 4);
    }

    private static void Hex(byte* to, ulong value, int digits)
    {
        for (int i = 0; i < digits; i++)
        {
            int digit = (int)(value >> (4 * (digits - 1 - i))) & 15;
            to[i] = (byte)(digit < 10 ? '0' + digit : 'a' + digit - 10);
        }
    }

    /// <summary>
    /// Opens the meeting point of a listener. Returns its descriptor or minus an errno (EADDRINUSE: somebody has it).
    /// </summary>
    public static int Open(PosixStack s, in Endpoint endpoint)
    {
        int fd = s.Kernel.Socket(Af.UNIX, Af.SOCK_STREAM | Af.SOCK_NONBLOCK | Af.SOCK_CLOEXEC, 0);
        if (fd < 0)
            return fd;
        byte* address = stackalloc byte[AddressBytes];
        WriteName(address, endpoint);
        int result = s.Kernel.Bind(fd, address, AddressBytes);
        if (result >= 0)
            result = s.Kernel.Listen(fd, 4096);
        if (result >= 0)
            return s.Own(s.Kernel.MoveHigh(fd), DescriptorEntry.MeetingTag);
        s.Kernel.Close(fd);
        return result;
    }

    /// <summary>
    /// Somebody listens on the address already, which the kernel allows with SO_REUSEPORT. True if it is this stack:
    /// then the listeners share the meeting point, of which this process gets another descriptor if it has one. False
    /// if it is another stack, whose listener leaves the sharing out to the kernel from now on.
    /// </summary>
    public static bool Share(PosixStack s, AccelThread* t, uint ownRegion, in Endpoint name, out int meeting)
    {
        meeting = -1;
        Listener* mine = Named(s.Region(ownRegion), name);
        if (mine != null)
        {
            if (mine->Meeting >= 0 && Holders.Has(mine->Holders, s.Slot))
                meeting = s.Own(
                    s.Kernel.MoveHigh(s.Kernel.Duplicate(mine->Meeting, true)), DescriptorEntry.MeetingTag);
            return true;
        }
        int pid = Holder(s, name, out _, out _);
        uint number = pid == 0 ? 0 : Regions.Attach(s, t, pid, out _);
        Listener* theirs = number == 0 ? null : Named(s.Region(number), name);
        if (theirs != null)
            Interlocked.Or(ref theirs->Shared, Listener.SharedForGood);
        return false;
    }

    private static Listener* Named(LocalRegion region, in Endpoint name)
    {
        int count = (int)Math.Min(region.Tables->Listeners.Bumped, LocalRegion.MaxListeners);
        for (int i = 0; i < count; i++)
        {
            Listener* listener = region.ListenerAt(i);
            if ((Volatile.Read(ref listener->Generation) & 1) != 0 && listener->Name.Port == name.Port
                && listener->Name.SameAddress(name) && !Holders.IsEmpty(listener->Holders))
                return listener;
        }
        return null;
    }

    /// <summary>Asks who holds the meeting point of an address. Returns a pid, 0 if there is nobody.</summary>
    public static int Holder(PosixStack s, in Endpoint endpoint, out uint uid, out bool foreignNamespace)
    {
        uid = 0;
        foreignNamespace = false;
        int fd = s.Kernel.Socket(Af.UNIX, Af.SOCK_STREAM | Af.SOCK_NONBLOCK | Af.SOCK_CLOEXEC, 0);
        if (fd < 0)
            return 0;
        byte* address = stackalloc byte[AddressBytes];
        WriteName(address, endpoint);
        int pid = 0;
        if (s.Kernel.Connect(fd, address, AddressBytes) >= 0)
        {
            // struct ucred: pid, uid, gid.
            int* credentials = stackalloc int[3];
            uint length = 12;
            if (s.Kernel.GetSockOpt(fd, So.SOL_SOCKET, PeerCredentials, credentials, &length) >= 0)
            {
                pid = credentials[0];
                uid = (uint)credentials[1];
                foreignNamespace = pid == 0;
            }
        }
        s.Kernel.Close(fd);
        return pid;
    }

    /// <summary>
    /// Finds the open listener that takes connections to an address, as the kernel would choose it: the exact address
    /// first, then
    /// the wildcard of its family, then a dual-stack IPv6 wildcard.
    /// </summary>
    public static bool Find(
        PosixStack s, AccelThread* t, in Endpoint target, out uint region, out int listener, out PathReason reason)
    {
        Endpoint exact = target.Unmapped();
        // A listener whose process was killed is noticed here at the latest.
        s.Peers.Refresh(t);
        if (s.Hub >= 0)
            s.Peers.OnHub(t);
        uint uid = NotAsked;
        if (FindCached(s, ref uid, exact, out region, out listener))
        {
            reason = PathReason.Local;
            // Nobody at the meeting point knows better, and everybody there would be woken.
            if (!IsLent(s, region, listener))
                return true;
            reason = PathReason.NoProcessSlot;
            return false;
        }
        Endpoint wild = new() { Family = exact.Family, Port = exact.Port };
        Endpoint wild6 = new() { Family = Endpoint.V6, Port = exact.Port };
        reason = PathReason.PeerNotAccelerated;
        return FindAt(s, t, ref uid, exact, exact, out region, out listener, ref reason)
            || FindAt(s, t, ref uid, wild, exact, out region, out listener, ref reason)
            || (exact.Family == Endpoint.V4
                && FindAt(s, t, ref uid, exact.Mapped(), exact, out region, out listener, ref reason))
            || (exact.Family == Endpoint.V4
                && FindAt(s, t, ref uid, wild6, exact, out region, out listener, ref reason));
    }

    private static bool FindAt(PosixStack s, AccelThread* t, ref uint self, in Endpoint name, in Endpoint target,
        out uint region, out int listener, ref PathReason reason)
    {
        region = 0;
        listener = 0;
        int pid = Holder(s, name, out uint uid, out bool foreign);
        if (pid == 0)
        {
            if (foreign)
                reason = PathReason.OtherPidNamespace;
            return false;
        }
        if (!MayJoin(s, uid, ref self))
        {
            reason = PathReason.OtherUser;
            return false;
        }
        if (Regions.Attach(s, t, pid, out _) == 0)
        {
            reason = PathReason.AttachRefused;
            return false;
        }
        if (!FindCached(s, ref self, target, out region, out listener))
            return false;
        if (!IsLent(s, region, listener))
            return true;
        reason = PathReason.NoProcessSlot;
        return false;
    }

    private static bool IsLent(PosixStack s, uint region, int listener) =>
        (Volatile.Read(ref s.Region(region).ListenerAt(listener)->Shared) & Listener.Lent) != 0;

    /// <summary>True if this process may have memory in common with those of a user. Asks once who it is.</summary>
    private static bool MayJoin(PosixStack s, uint owner, ref uint uid)
    {
        if (uid == NotAsked)
            uid = s.Kernel.CurrentUid();
        return uid == owner || uid == 0;
    }

    /// <summary>Looks through the regions that are mapped already.</summary>
    private static bool FindCached(
        PosixStack s, ref uint uid, in Endpoint target, out uint regionNumber, out int listener)
    {
        int best = 0;
        ulong equals = 0;
        regionNumber = 0;
        listener = 0;
        int high = (int)s.S.Tables->RegionsHigh;
        for (int r = 0; r < high; r++)
        {
            LocalRegion region = s.Region((uint)r + 1);
            // What a process shares with its own family is not told by whom it runs as by now.
            if (!Regions.IsCurrent(s, (uint)r + 1) || ((uint)r + 1 != s.S.Tables->OwnRegion
                    && !MayJoin(s, region.Tables->Header.OwnerUid, ref uid)))
                continue;
            int count = (int)Math.Min(region.Tables->Listeners.Bumped, LocalRegion.MaxListeners);
            for (int i = 0; i < count; i++)
            {
                Listener* candidate = region.ListenerAt(i);
                if ((Volatile.Read(ref candidate->Generation) & 1) == 0 || candidate->Name.Port != target.Port)
                    continue;
                int rank = Rank(candidate, target);
                if (rank == 0 || rank < best || Holders.IsEmpty(candidate->Holders)
                    || (Volatile.Read(ref candidate->Shared) & Listener.SharedForGood) != 0)
                    continue;
                // Listeners with SO_REUSEPORT on one address have equal chances, as in the kernel.
                equals = rank == best ? equals + 1 : 1;
                if (equals > 1 && (s.Kernel.Ticks() * 0x9E3779B97F4A7C15 >> 32) % equals != 0)
                    continue;
                best = rank;
                regionNumber = (uint)r + 1;
                listener = i;
            }
        }
        return best > 0;
    }

    /// <summary>How well a listener fits an address, which is not a mapped one: 0 not at all, 3 exactly.</summary>
    private static int Rank(Listener* listener, in Endpoint target)
    {
        Endpoint name = listener->Name.Unmapped();
        if (name.SameAddress(target))
            return 3;
        if (!name.IsAny)
            return 0;
        if (name.Family == target.Family)
            return 2;
        return name.Family == Endpoint.V6 && listener->V6Only == 0 ? 1 : 0;
    }
}
