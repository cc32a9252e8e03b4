using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Nic;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// Writes what happens to connections into the stack's log, if ACCEL_DIAGNOSTICS asks for it. No thread and no port of
/// this process has a part in it: acceld and the tools read the log from outside.
/// </summary>
internal static unsafe class Diagnostics
{
    public static void Opened(PosixStack s, Socket* socket, bool accepted)
    {
        if (s.Diagnostics)
            Write(s, StackEventKind.Opened, socket, accepted);
    }

    public static void OnKernel(PosixStack s, Socket* socket)
    {
        if (s.Diagnostics)
            Write(s, StackEventKind.OnKernel, socket, accepted: false);
    }

    [ColdPath]
    public static void HandedOver(PosixStack s, Socket* socket, byte refusal)
    {
        if (!s.Diagnostics)
            return;
        StackEvent what = Event(s, refusal == 0 ? StackEventKind.HandedOver : StackEventKind.HandoverRefused);
        what.Reason = refusal;
        what.Local = socket->Local;
        what.Remote = socket->Remote;
        EventLog.Write(s.S.Events, what);
    }

    public static void Closed(PosixStack s, in Wire wire)
    {
        if (s.Diagnostics)
            WriteClosed(s, wire);
    }

    [ColdPath]
    private static void WriteClosed(PosixStack s, in Wire wire)
    {
        StackEvent what = Event(s, StackEventKind.Closed);
        what.Reason = (byte)(NicConn.EngineSide(wire.Conn) >= 0 ? PathReason.Nic : PathReason.Local);
        what.Local = wire.Me->Name;
        what.Remote = wire.Peer->Name;
        what.Accepted = (uint)wire.SideIndex;
        what.Sent = wire.Out->Tail;
        what.Received = wire.In->Head;
        EventLog.Write(s.S.Events, what);
    }

    [ColdPath]
    private static void Write(PosixStack s, StackEventKind kind, Socket* socket, bool accepted)
    {
        StackEvent what = Event(s, kind);
        what.Reason = socket->Reason;
        what.Accepted = accepted ? 1u : 0u;
        what.Local = socket->Local;
        what.Remote = socket->Remote;
        EventLog.Write(s.S.Events, what);
    }

    private static StackEvent Event(PosixStack s, StackEventKind kind) =>
        new() { AtNs = s.Kernel.NowNs(), Kind = kind, Pid = s.Process->Pid };
}
