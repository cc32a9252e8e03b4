using System.Text.Json;
using Accel.Core.Nic;
using Accel.Core.Stack;
using Accel.Inspect;

namespace Accel.Cli.Why;

/// <summary>The sentence of a socket that the stack knows.</summary>
internal static class SocketVerdict
{
    public static unsafe Verdict Of(Machine machine, SocketView view, Holder holder)
    {
        Socket socket = *view.Stack.Region.SocketAt(view.Index);
        SocketLine line = SocketLine.Of(machine, view);
        string name = $"fd {holder.Descriptor}, {Named(socket, line)}";
        if (socket.Reason >= PathReasonTable.Rows.Length)
            return new(holder.Descriptor, line.Route, $"reason_{socket.Reason}",
                $"{name}: the reason has the number {socket.Reason}, which this tool does not know.", null);
        PathReasonRow row = PathReasonTable.Rows[socket.Reason];
        bool onKernel = socket.State == (uint)SocketState.Kernel || holder.OnKernel;
        string path = onKernel ? SocketLine.Kernel : Path(socket, line, row);
        NicRefusal refusal = (NicRefusal)view.Stack.Region.Tables->NicRefusal;
        string why = path switch
        {
            SocketLine.Kernel => $"is on the kernel: {WithoutPath(row.Text)}{Refused(row.Reason, refusal)}",
            SocketLine.None => "is on no path yet: it is not connected or listening",
            _ when socket.State == (uint)SocketState.Listening => Listening(path, refusal),
            SocketLine.Nic => "is accelerated: its TCP or UDP runs in the process, over an interface of acceld's",
            _ => "is accelerated: its bytes move through shared memory, since both ends are accelerated on this host",
        };
        string? remedy = path is SocketLine.Kernel or SocketLine.None ? row.Remedy : null;
        string reason = path == SocketLine.Nic ? nameof(PathReason.Nic) : row.Reason.ToString();
        return new(holder.Descriptor, path, JsonNamingPolicy.SnakeCaseLower.ConvertName(reason),
            Verdict.With($"{name} {why}", remedy), remedy);
    }

    private static string Path(in Socket socket, SocketLine line, PathReasonRow row) =>
        row.Reason == PathReason.Nic || line.Route == SocketLine.Nic ? SocketLine.Nic
            : socket.State is (uint)SocketState.Unconnected or (uint)SocketState.Datagram ? SocketLine.None
            : SocketLine.Shared;

    private static string Named(in Socket socket, SocketLine line)
    {
        string kind = socket.Is(SocketFlags.Datagram) ? "udp" : "tcp";
        return line.State == "LISTEN" || socket.State == (uint)SocketState.Listening ? $"{kind} listener {line.Local}"
            : socket.State == (uint)SocketState.Unconnected ? $"{kind} socket {line.Local}"
            : $"{kind} {line.Local} -> {line.Remote}";
    }

    private static string Listening(string path, NicRefusal refusal) => path == SocketLine.Nic
        ? "is accelerated: it takes connections from acceld's interfaces, from accelerated programs of this host, "
            + "and all others from the kernel"
        : "is accelerated for programs of this host that run under accel too, and takes all others from the kernel"
            + (refusal == NicRefusal.None ? "" : $" (for other hosts: {NicRefusalText.Rows[(int)refusal]})");

    private static string Refused(PathReason reason, NicRefusal refusal) =>
        reason != PathReason.SteeringRefused || (int)refusal >= NicRefusalText.Rows.Length ? ""
            : $": {NicRefusalText.Rows[(int)refusal]}";

    private static string WithoutPath(string text)
    {
        const string Prefix = "kernel: ";
        return text.StartsWith(Prefix, StringComparison.Ordinal) ? text[Prefix.Length..] : text;
    }
}
