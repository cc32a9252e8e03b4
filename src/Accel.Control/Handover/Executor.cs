using System.Runtime.InteropServices;
using Accel.Control.Broker;
using Accel.Control.Native;
using Accel.Control.Steering;
using Accel.Core.Handover;
using Accel.Core.Local;
using Accel.Core.Nic;
using Accel.Os.Handover;

namespace Accel.Control.Handover;

/// <summary>
/// Ends the connections of a stack whose last process was killed as the kernel ends those of its own sockets: what was
/// written is still sent, and a FIN after it. Each becomes a socket of the kernel's (TCP_REPAIR), which is closed at
/// once and does the rest. What can only be reset is.
/// </summary>
internal sealed unsafe class Executor(Estate estate, Action<string> log)
{
    /// <summary>Bytes of one connection's queue; a stack's rings hold less.</summary>
    private const ulong MostBytes = 128ul << 20;

    private const int MostWaitMilliseconds = 1000;

    private readonly List<int> _close = [], _reset = [];
    private Task _work = Task.CompletedTask;

    public int Closed { get; private set; }

    public int Reset { get; private set; }

    public bool IsDone => _work.IsCompleted;

    /// <summary>Looks what there is to do, and begins with it, aside: a thousand connections take a while. Their frames
    /// are steered to the stack until it is done, and so are lost: the kernel would answer them with a RST.</summary>
    /// <param name="slot">The stack's: only what is on its ports is its own.</param>
    /// <param name="ports">The kernel gets the frames of the connections that it knows.</param>
    /// <param name="mayClose">False: all of them are reset.</param>
    public void Begin(uint slot, PortTable ports, bool mayClose)
    {
        estate.Fence();
        NicRegion region = estate.Nic;
        Dictionary<Endpoint, bool> own = [];
        for (int i = 0; i < region.BlocksHigh; i++)
        {
            NicDuty duty = estate.Local.IsMapped
                ? NicRemainder.DutyOf(region, estate.Local, i, NowMs, out _)
                : region.BlockAt(i)->Use == NicUse.Live ? NicDuty.Reset : NicDuty.None;
            if (duty == NicDuty.None)
                continue;
            Endpoint local = region.BlockAt(i)->Route.Local;
            if (!own.TryGetValue(local, out bool isOwn))
                own[local] = isOwn = ports.Mix(Transport.Tcp, local, slot);
            (duty == NicDuty.Close && mayClose && isOwn ? _close : _reset).Add(i);
        }
        if (_close.Count > 0)
            _work = Task.Run(Work);
    }

    /// <summary>Waits for it, not for long: somebody wants a port of the stack's. True if it is done.</summary>
    public bool TryFinish() => Task.WaitAny([_work], MostWaitMilliseconds) == 0;

    /// <summary>After the steering has ended: what the peers answer is the kernel's already.</summary>
    public void SayLastWords()
    {
        Reset = LastWords.Send(estate.Nic, _reset);
    }

    private static uint NowMs => (uint)((ulong)DaemonKernel.Shared.NowNs() / 1_000_000);

    private void Work()
    {
        string? first = null;
        foreach (int index in _close)
        {
            if (TryClose(index, out string? why))
                Closed++;
            else
            {
                first ??= why;
                _reset.Add(index);
            }
        }
        if (first != null)
            log($"a connection of a process that was killed is reset: {first}");
    }

    private bool TryClose(int index, out string? why)
    {
        why = "it has changed";
        NicRegion region = estate.Nic;
        Endpoint local = region.BlockAt(index)->Route.Local, remote = region.BlockAt(index)->Route.Remote;
        if (NicRemainder.DutyOf(region, estate.Local, index, NowMs, out TcpImage image) != NicDuty.Close
            || image.QueueBytes > MostBytes || local.Family != remote.Family)
            return false;
        if (local.Family == Endpoint.V6)
            image.Flags |= ImageFlags.V6Socket;
        byte* queues = null;
        try
        {
            queues = (byte*)NativeMemory.Alloc((nuint)image.QueueBytes + 1);
            why = "its bytes make no sense";
            if (!NicRemainder.TryCopy(region, estate.Local, index, in image, queues))
                return false;
            int made = TcpRestore.Make(DaemonKernel.Shared, in local, in remote, in image, queues, out string step);
            why = made < 0 ? $"{step}: {Libc.Text(-made)}" : null;
            if (made < 0)
                return false;
            // As what a server accepted has it: the next server can have the port while this one still sends.
            Libc.SetOption(made, Libc.SolSocket, Libc.SoReuseAddr, 1);
            Libc.Close(made);
            return true;
        }
        catch (OutOfMemoryException)
        {
            why = "no memory";
            return false;
        }
        finally
        {
            NativeMemory.Free(queues);
        }
    }
}
