using Accel.Core.Local;
using Accel.Core.Stack;
using Accel.StackDump.Attach;

namespace Accel.StackDump.Verbs;

/// <summary>What one line says of a socket.</summary>
internal sealed record SocketLine(
    string State, long ReceiveQueue, long SendQueue, string Local, string Remote, bool OnKernel, bool Routed,
    string Path)
{
    public static unsafe SocketLine Of(Machine machine, SocketView view)
    {
        Socket* s = view.Stack.Region.SocketAt(view.Index);
        string path = s->Reason < PathReasonText.Rows.Length ? PathReasonText.Rows[s->Reason] : $"reason {s->Reason}";
        string local = EndpointText.Of(s->Local), remote = EndpointText.Of(s->Remote);
        bool onKernel = s->State == (uint)SocketState.Kernel
            || (view.Holders.Count > 0 && view.Holders.All(h => h.OnKernel));
        if (onKernel)
        {
            KernelSocket? k = view.Holders.Count == 0 ? null
                : KernelSockets.Find(view.Holders[0].Process.Pid, view.Holders[0].Descriptor);
            return k is null ? new("KERNEL", 0, 0, local, remote, true, true, path)
                : new(k.State, k.ReceiveQueue, k.SendQueue, k.Local, k.Remote, true, true, path);
        }
        LocalView? region = view.Stack.RegionOf(machine, *s);
        switch ((SocketState)s->State)
        {
            case SocketState.Unconnected:
                return new("UNCONN", 0, 0, local, remote, false, false, path);
            case SocketState.Listening:
                Listener* listener = region is null || s->Index >= LocalRegion.MaxListeners ? null
                    : region.Region.ListenerAt((int)s->Index);
                return listener == null ? new("LISTEN", 0, 0, local, "*:*", false, true, path)
                    : new("LISTEN", listener->Queued, listener->Backlog, local, "*:*", false, true, path);
            case SocketState.Connecting:
                return new("SYN-SENT", 0, 0, local, remote, false, true, path);
            case SocketState.Connected when region is null || s->Index >= LocalRegion.MaxConns:
                return new("ESTAB", 0, 0, local, remote, false, true,
                    $"{path}; its region is gone with the listener's processes");
            case SocketState.Connected:
                Conn* conn = region.Region.ConnAt((int)s->Index);
                Pipe* sending = LocalRegion.PipeOf(conn, (int)s->Side);
                Pipe* receiving = LocalRegion.PipeOf(conn, 1 - (int)s->Side);
                return new(Named(conn, (int)s->Side), InFlight(receiving), InFlight(sending), local, remote, false,
                    true, path);
            default:
                return new($"state {s->State}", 0, 0, local, remote, false, false, path);
        }
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
