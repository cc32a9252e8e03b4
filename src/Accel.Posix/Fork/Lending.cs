using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// A listener that children have too that are not of the stack. They accept from the kernel alone, so everybody comes
/// through the kernel as long as one of them lives: a client in our own queue might wait for a busy process while they
/// are idle. That they live is told by a lock on the stack's file, a byte for each listener, which belongs to an open
/// file that they inherit and never touch.
/// </summary>
[ColdPath]
internal static unsafe class Lending
{
    private const byte Perhaps = 1, ForGood = 2;

    /// <summary>The byte that says that any such child lives, whatever it has.</summary>
    private const long Anybody = LocalRegion.MaxListeners;

    /// <summary>
    /// Before the fork. Returns the descriptor for the child. Without one (there is no /proc) nobody can tell how long
    /// it lives, and what is lent stays so.
    /// </summary>
    public static int Lend(PosixStack s, AccelThread* t, ForkSteps steps)
    {
        int loan = Open(s);
        s.LockStack(t);
        if (loan < 0 || s.Kernel.LockByte(loan, Anybody) < 0)
            s.S.Tables->Lent = ForGood;
        else if (s.S.Tables->Lent == 0)
            s.S.Tables->Lent = Perhaps;
        s.UnlockStack(t);
        int high = s.S.ProcessAt(s.Slot)->HighestDescriptor;
        for (int fd = 0; fd < high; fd++)
        {
            if (!IsListener(s, fd, out Socket* socket, out Listener* listener))
                continue;
            steps.Add(AccelStep.Lent, fd, socket->Is(SocketFlags.NonBlocking) ? 0 : 1);
            s.LockStack(t);
            bool isKnown = loan >= 0 && s.Kernel.LockByte(loan, socket->Index) >= 0;
            uint before = Interlocked.Or(ref listener->Shared, isKnown ? Listener.Lent : Listener.SharedForGood);
            s.UnlockStack(t);
            if (before != 0)
                continue;
            socket->Reason = (byte)PathReason.NoProcessSlot;
            NicListener.Pause(s, t, s.Region(socket->Region), (int)socket->Index);
            Beckoning.All(s, t, s.Region(socket->Region), (int)socket->Index);
        }
        return loan;
    }

    /// <summary>Some process may live that was forked from this family and is not of it.</summary>
    public static bool IsAnybodyOutside(PosixStack s) =>
        s.S.Tables->Lent == ForGood || (s.S.Tables->Lent == Perhaps
        && s.Kernel.IsByteLocked(s.FindTagged(DescriptorEntry.StackTag), Anybody));

    private static int Open(PosixStack s)
    {
        int fd = s.Kernel.MoveHigh(s.Kernel.OpenAgain(s.FindTagged(DescriptorEntry.StackTag)));
        return fd < 0 ? fd : s.Own(fd);
    }

    private static bool IsListener(PosixStack s, int fd, out Socket* socket, out Listener* listener)
    {
        socket = s.Find(fd, out _);
        listener = null;
        if (socket == null || socket->State != (uint)SocketState.Listening || socket->Index >= LocalRegion.MaxListeners)
            return false;
        LocalRegion region = s.Region(socket->Region);
        if (region.IsMapped)
            listener = region.ListenerAt((int)socket->Index);
        return listener != null;
    }

    /// <summary>Whether any is lent, of this process or of others.</summary>
    private static void Forget(PosixStack s, AccelThread* t)
    {
        LocalRegion region = s.Region(s.S.Tables->OwnRegion);
        s.LockStack(t);
        int count = !region.IsMapped ? 0
            : (int)Math.Min(region.Tables->Listeners.Bumped, LocalRegion.MaxListeners);
        bool some = IsAnybodyOutside(s);
        for (int i = 0; i < count; i++)
        {
            Listener* listener = region.ListenerAt(i);
            some |= (listener->Generation & 1) != 0 && (Volatile.Read(ref listener->Shared) & Listener.Lent) != 0;
        }
        if (!some)
            s.S.Tables->Lent = 0;
        s.UnlockStack(t);
    }

    /// <summary>Takes back what nobody has any more, of what this process has. Without any lock.</summary>
    public static void Look(PosixStack s, AccelThread* t)
    {
        int stack = s.FindTagged(DescriptorEntry.StackTag);
        int high = stack < 0 ? 0 : s.S.ProcessAt(s.Slot)->HighestDescriptor;
        for (int fd = 0; fd < high; fd++)
        {
            if (!IsListener(s, fd, out Socket* socket, out Listener* listener)
                || (Volatile.Read(ref listener->Shared) & Listener.Lent) == 0)
                continue;
            // Nobody lends it between the question and the answer.
            s.LockStack(t);
            bool free = !s.Kernel.IsByteLocked(stack, socket->Index);
            if (free)
                Interlocked.And(ref listener->Shared, ~Listener.Lent);
            s.UnlockStack(t);
            if (!free || Volatile.Read(ref listener->Shared) != 0)
                continue;
            socket->Reason = (byte)PathReason.Local;
            NicListener.Open(s, t, socket, fd, (int)socket->Index);
            if (Volatile.Read(ref listener->Shared) != 0)
                NicListener.Pause(s, t, s.Region(socket->Region), (int)socket->Index);
        }
        Forget(s, t);
    }
}
