using Accel.Core.Local;
using Accel.Core.Nic;
using Accel.Core.Stack;

namespace Accel.Inspect;

/// <summary>What one line says of a socket.</summary>
public sealed record SocketLine(
    string State, long ReceiveQueue, long SendQueue, string Local, string Remote, string Route, string Path)
{
    public const string Kernel = "kernel", Shared = "local", Nic = "nic", None = "none";

    /// <summary>Index of the connection's block in the region of the network path; -1: none.</summary>
    public int Block { get; init; } = -1;

    /// <summary>The sentence of a <see cref="PathReason"/> as a region has it.</summary>
    public static string Why(byte reason) =>
        reason < PathReasonText.Rows.Length ? PathReasonText.Rows[reason] : $"reason {reason}";

    public static unsafe SocketLine Of(Machine machine, SocketView view)
    {
        Socket* s = view.Stack.Region.SocketAt(view.Index);
        string path = Why(s->Reason);
        string local = EndpointText.Of(s->Local), remote = EndpointText.Of(s->Remote);
        bool onKernel = s->State == (uint)SocketState.Kernel
            || (view.Holders.Count > 0 && view.Holders.All(h => h.OnKernel));
        if (onKernel)
        {
            KernelSocket? k = view.Holders.Count == 0 ? null
                : view.Stack.Surroundings.Kernel(view.Holders[0].Process.Pid, view.Holders[0].Descriptor);
            return k is null ? new("KERNEL", 0, 0, local, remote, Kernel, path)
                : new(k.State, k.ReceiveQueue, k.SendQueue, k.Local, k.Remote, Kernel, path);
        }
        LocalView? region = view.Stack.RegionOf(machine, *s);
        string route = s->Reason == (byte)PathReason.Nic ? Nic : Shared;
        return (SocketState)s->State switch
        {
            SocketState.Unconnected => new("UNCONN", 0, 0, local, remote, None, path),
            SocketState.Listening => Listening(machine, view.Stack, region, *s, local, path),
            SocketState.Connecting or SocketState.Connected when region is not null
                && s->Index < LocalRegion.MaxConns => Connected(machine, view.Stack, region, *s, local, remote, path),
            SocketState.Connecting => new("SYN-SENT", 0, 0, local, remote, route, path),
            SocketState.Connected => new("ESTAB", 0, 0, local, remote, route,
                $"{path}; its region is gone with the listener's processes"),
            _ => new($"state {s->State}", 0, 0, local, remote, None, path),
        };
    }

    private static unsafe SocketLine Listening(
        Machine machine, StackView stack, LocalView? region, in Socket socket, string local, string path)
    {
        if (region is null || socket.Index >= LocalRegion.MaxListeners)
            return new("LISTEN", 0, 0, local, "*:*", Shared, path);
        Listener* listener = region.Region.ListenerAt((int)socket.Index);
        bool links = machine.Nic(stack)?.Listens((int)socket.Index) == true;
        return new("LISTEN", listener->Queued, listener->Backlog, local, "*:*", links ? Nic : Shared,
            links ? $"{PathReasonText.Rows[(int)PathReason.Nic]}; {path}" : path);
    }

    private static unsafe SocketLine Connected(Machine machine, StackView stack, LocalView region, in Socket socket,
        string local, string remote, string path)
    {
        Conn* conn = region.Region.ConnAt((int)socket.Index);
        int side = (int)socket.Side & 1;
        long sending = InFlight(LocalRegion.PipeOf(conn, side));
        long receiving = InFlight(LocalRegion.PipeOf(conn, 1 - side));
        NicView? nic = region.Header.StackId == stack.Id ? machine.Nic(stack) : null;
        int block = nic?.BlockOf(region.Region, (int)socket.Index) ?? -1;
        if (block >= 0)
        {
            NicBlock* b = nic!.Region.BlockAt(block);
            return new(TcpText.State(b->Tcb.State), receiving, sending, local, remote, Nic,
                $"nic: over {nic.LinkName(b->Route.Link)}") { Block = block };
        }
        string route = socket.Reason == (byte)PathReason.Nic ? Nic : Shared;
        return socket.State == (uint)SocketState.Connecting ? new("SYN-SENT", 0, 0, local, remote, route, path)
            : new(Named(conn, side), receiving, sending, local, remote, route, path);
    }

    /// <summary>A connection that no socket has any more, or none yet.</summary>
    public static unsafe SocketLine OfBlock(NicView nic, int block)
    {
        NicBlock* b = nic.Region.BlockAt(block);
        string why = b->Use switch
        {
            NicUse.HalfOpen => "handshake under way",
            NicUse.TimeWait => "waiting for stray segments",
            _ => "not accepted yet, or closed by its program",
        };
        return new(TcpText.State(b->Tcb.State), 0, 0, EndpointText.Of(b->Route.Local),
            EndpointText.Of(b->Route.Remote), Nic, $"nic: over {nic.LinkName(b->Route.Link)}, {why}") { Block = block };
    }

    /// <summary>The name that TCP would have for what the two ends have done.</summary>
    private static unsafe string Named(Conn* conn, int side)
    {
        SideFlags mine = (SideFlags)LocalRegion.SideOf(conn, side)->Flags;
        SideFlags other = (SideFlags)LocalRegion.SideOf(conn, 1 - side)->Flags;
        if (mine.HasFlag(SideFlags.Reset)) return "RESET";
        bool sent = (mine & (SideFlags.FinSent | SideFlags.Closed)) != 0;
        bool got = (other & (SideFlags.FinSent | SideFlags.Closed)) != 0;
        return (sent, got) switch
        {
            (false, false) => "ESTAB",
            (true, false) => "FIN-WAIT-2",
            (false, true) => "CLOSE-WAIT",
            (true, true) => "CLOSING",
        };
    }

    // The reader's Head may have moved on between the two reads of the copy.
    private static unsafe long InFlight(Pipe* pipe) => Math.Max(0, (long)(pipe->Tail - pipe->Head));
}
