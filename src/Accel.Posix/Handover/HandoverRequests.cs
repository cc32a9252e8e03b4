using System.Runtime.CompilerServices;
using Accel.Core.Memory;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// What others want of this process: an operator, that it gives its connections to the kernel; a relative that did,
/// that it follows. Looked at by every call that may wait, and by the library's own thread.
/// </summary>
internal static unsafe class HandoverRequests
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Look(PosixStack s, AccelThread* t)
    {
        if (Volatile.Read(ref s.S.Tables->Handovers) != s.HandoversSeen || s.ArrivalsDue)
            Serve(s, t);
    }

    [ColdPath]
    private static void Serve(PosixStack s, AccelThread* t)
    {
        s.HandoversSeen = Volatile.Read(ref s.S.Tables->Handovers);
        if (s.ArrivalsDue)
        {
            s.ArrivalsDue = false;
            LocalArrival.ArriveAll(s, t);
        }
        Followers.FollowAll(s, t);
        s.Parked.Sweep(s);
        ref int word = ref s.S.ProcessAt(s.Slot)->HandoverWanted;
        int wanted = Volatile.Read(ref word);
        if (wanted is 0 or ProcessSlot.HandoverUnderWay
            || Interlocked.CompareExchange(ref word, ProcessSlot.HandoverUnderWay, wanted) != wanted)
            return;
        if (wanted == ProcessSlot.AllDescriptors)
            GiveAll(s, t);
        else
            Handover.ToKernel(s, t, wanted - 1);
        Volatile.Write(ref word, 0);
    }

    private static void GiveAll(PosixStack s, AccelThread* t)
    {
        int high = s.S.ProcessAt(s.Slot)->HighestDescriptor;
        for (int fd = 0; fd < high; fd++)
        {
            if (s.Process->FdMap[fd] >> 24 == DescriptorEntry.KindSocket)
                Handover.Give(s, t, fd);
        }
        Handover.AfterGiving(s, t);
    }
}
