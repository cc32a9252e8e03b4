using System.Runtime.InteropServices;
using Accel.Control.Broker;
using Accel.Control.Native;
using Accel.Control.Steering;
using Accel.Core.Handover;
using Accel.Core.Local;
using Accel.Core.Nic;
using Accel.Os.Handover;

namespace Accel.Control.Handover;

/// <summary>Makes a connection of the kernel's, as <see cref="TcpRestore.Make"/> does.</summary>
internal unsafe delegate int ConnectionMaker(
    in Endpoint local, in Endpoint remote, in TcpImage image, byte* queues, out string step);

/// <summary>
/// Ends the connections of a stack whose last process was killed as the kernel ends those of its own sockets: what was
/// written is still sent, and a FIN after it. Each becomes a socket of the kernel's (TCP_REPAIR), which is closed at
/// once and does the rest. What can only be reset is. The stack may have been hostile: what is not on a name of its own
/// is left alone, and neither its connections nor its bytes are more than it can really have had.
/// </summary>
internal sealed unsafe class Executor(Estate estate, Action<string> log, ConnectionMaker? make = null)
{
    /// <summary>Bytes of one connection's queue; a stack's rings hold less.</summary>
    private const ulong MostBytes = 128ul << 20;

    private const int MostWaitMilliseconds = 1000;

    private readonly ConnectionMaker _make = make ?? MakeOfKernel;
    private readonly List<NicRemains> _close = [], _reset = [];
    private Task _work = Task.CompletedTask;

    /// <summary>When there were more connections than the kernel takes in this time, the rest is reset.</summary>
    public int MostMilliseconds { get; init; } = 10_000;

    public int Closed { get; private set; }

    public int Reset { get; private set; }

    public bool IsDone => _work.IsCompleted;

    /// <summary>Those that are to be reset; to be looked at when all is done.</summary>
    public IReadOnlyList<NicRemains> Resets => _reset;

    /// <summary>Looks what there is to do, and begins with it, aside: a thousand connections take a while. Their frames
    /// are steered to the stack until it is done, and so are lost: the kernel would answer them with a RST.</summary>
    /// <param name="isOwn">Is the name the stack's? Then the kernel gets the frames of the connections that it knows.
    /// Asked once for each name.</param>
    /// <param name="mayClose">False: all of them are reset.</param>
    public void Begin(Func<Endpoint, bool> isOwn, bool mayClose)
    {
        estate.Fence();
        ulong bytes = estate.LocalBytesInUse;
        Sort(isOwn, mayClose);
        if (_close.Count > 0)
            _work = Task.Run(() => Work(bytes));
    }

    private void Sort(Func<Endpoint, bool> isOwn, bool mayClose)
    {
        NicRegion region = estate.Nic;
        // Endpoints have no hash of their own: all of a family would be in one bucket.
        Dictionary<(AddressKey, ushort), bool> own = [];
        Dictionary<((AddressKey, ushort), (AddressKey, ushort)), int> names = [];
        List<(NicRemains Remains, bool Close)> found = [];
        int others = 0, high = region.BlocksHigh;
        for (int i = 0; i < high; i++)
        {
            NicDuty duty = NicRemainder.DutyOf(region, estate.Local, i, NowMs, out NicRemains remains);
            if (duty == NicDuty.None)
                continue;
            Endpoint local = remains.Route.Local, remote = remains.Route.Remote;
            var name = (AddressKey.Of(local), local.Port);
            if (!own.TryGetValue(name, out bool isIts))
                own[name] = isIts = isOwn(local);
            if (!isIts)
                others++;
            else if (names.TryAdd((name, (AddressKey.Of(remote), remote.Port)), found.Count))
                found.Add((remains, duty == NicDuty.Close && mayClose));
            else
            {
                // Two cannot have one name, and nobody can say which of them is the one.
                int first = names[(name, (AddressKey.Of(remote), remote.Port))];
                found[first] = (found[first].Remains, false);
            }
        }
        foreach ((NicRemains remains, bool close) in found)
            (close ? _close : _reset).Add(remains);
        if (others > 0)
            log($"{others} connections of a process that was killed are on no port of its own: nobody is told of them");
    }

    /// <summary>Waits for it, not for long: somebody wants a port of the stack's. True if it is done.</summary>
    public bool TryFinish() => Task.WaitAny([_work], MostWaitMilliseconds) == 0;

    /// <summary>After the steering has ended: what the peers answer is the kernel's already.</summary>
    /// <param name="interfaces">Those that the stack had sockets on, with their hardware addresses.</param>
    public void SayLastWords(IReadOnlyDictionary<int, byte[]> interfaces)
    {
        Reset = LastWords.Send(estate.Nic, _reset, interfaces);
    }

    private static uint NowMs => (uint)((ulong)DaemonKernel.Shared.NowNs() / 1_000_000);

    private static int MakeOfKernel(
        in Endpoint local, in Endpoint remote, in TcpImage image, byte* queues, out string step) =>
        TcpRestore.Make(DaemonKernel.Shared, in local, in remote, in image, queues, out step);

    /// <param name="bytesLeft">All queues together are no more than the memory that was taken for rings: connections
    /// that share theirs, or have them where nothing was ever written, would cost what their owner never had.</param>
    private void Work(ulong bytesLeft)
    {
        string? first = null;
        long until = Environment.TickCount64 + MostMilliseconds;
        foreach (NicRemains remains in _close)
        {
            string? why = "it took too long";
            if (Environment.TickCount64 < until && TryClose(in remains, ref bytesLeft, out why))
                Closed++;
            else
            {
                first ??= why;
                _reset.Add(remains);
            }
        }
        if (first != null)
            log($"a connection of a process that was killed is reset: {first}");
    }

    private bool TryClose(in NicRemains remains, ref ulong bytesLeft, out string? why)
    {
        TcpImage image = remains.Image;
        ulong bytes = image.QueueBytes;
        why = "it has more bytes than there were";
        if (bytes > MostBytes || bytes > bytesLeft)
            return false;
        bytesLeft -= bytes;
        if (remains.Route.Local.Family == Endpoint.V6)
            image.Flags |= ImageFlags.V6Socket;
        byte* queues = null;
        try
        {
            queues = (byte*)NativeMemory.Alloc((nuint)bytes + 1);
            why = "its bytes make no sense";
            if (!NicRemainder.TryCopy(estate.Local, in remains, queues))
                return false;
            int made = _make(in remains.Route.Local, in remains.Route.Remote, in image, queues, out string step);
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
