using System.Numerics;
using Accel.Core.Memory;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// Epoll sets that the program put into other sets before they had an accelerated member. Until then both are the
/// kernel's alone, and so is what one is to the other. But the kernel sees nothing of what happens to accelerated
/// members: so when a set gets its first, its places in other sets become ours too, and those sets with them.
/// </summary>
[ColdPath]
internal static unsafe class EpollNests
{
    /// <summary>A set has become ours: its places in others follow, and whoever waits on it comes to us.</summary>
    public static void Join(PosixStack s, AccelThread* t, int epfd, int setIndex)
    {
        uint words = Volatile.Read(ref s.Process->NestWords);
        for (uint i = 0; i < words; i++)
        {
            for (ulong bits = Volatile.Read(ref s.Process->Nests[i]); bits != 0; bits &= bits - 1)
                TakeOver(s, t, (int)i * 64 + BitOperations.TrailingZeroCount(bits), epfd);
        }
        // A thread that already waits in the kernel must come out and wait here. Not before its set is ours: it would
        // bring the program an event that is none.
        s.Kernel.Wake(s.S.WakerAt((int)s.S.EpollSetAt(setIndex)->Waker)->Name);
    }

    /// <summary>What the kernel has of a set in another becomes an item of the other's.</summary>
    private static void TakeOver(PosixStack s, AccelThread* t, int outer, int epfd)
    {
        uint kind = s.Entry(outer) >> 24;
        if (outer == epfd || (kind != 0 && kind != DescriptorEntry.KindEpoll)
            || !s.Kernel.FindMember(outer, epfd, out uint events, out ulong data)
            // The number may have been another set's when it was put in.
            || s.Kernel.EpollCtl(outer, Ev.CTL_DEL, epfd, 0, 0) < 0)
            return;
        EpollEvent member = new() { Events = events, Data = data };
        if (EpollSets.Control(s, t, outer, Ev.CTL_ADD, epfd, &member, wasThere: true) < 0)
            s.Kernel.EpollCtl(outer, Ev.CTL_ADD, epfd, events, data);
    }
}
