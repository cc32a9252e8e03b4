using System.Runtime.CompilerServices;
using Accel.Core.Capture;
using Accel.Core.Local;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// What happens on local connections, told to who captures. Asked for only after <see cref="PosixStack.IsCaptured"/>.
/// Both ends tell, since they may be of different stacks; places in the stream let the reader see what it has already.
/// Never inlined: who sends and receives pays for the question whether somebody listens, not for room on its stack.
/// </summary>
public static unsafe class Taps
{
    /// <summary>Bytes that are about to be published.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static void Sent(
        PosixStack s, Socket* socket, in Wire wire, IoVec* vectors, ulong skip, ulong length, ulong offset)
    {
        if (!TryDescribe(s, socket, wire, wire.SideIndex, out CaptureRecord record))
            return;
        record.Outgoing = 1;
        record.Offset = offset;
        s.Tap.Moved(ref record, (CaptureSpan*)vectors, skip, length);
    }

    /// <summary>The same of bytes that lie in the ring already, at its end.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static void Sent(PosixStack s, Socket* socket, in Wire wire, byte* bytes, ulong length)
    {
        IoVec vector = new() { Base = bytes, Length = length };
        Sent(s, socket, wire, &vector, 0, length, wire.Out->Tail);
    }

    /// <summary>Bytes that are about to be forgotten.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static void Received(PosixStack s, Socket* socket, in Wire wire, byte* bytes, ulong length)
    {
        IoVec vector = new() { Base = bytes, Length = length };
        Received(s, socket, wire, &vector, 0, length, wire.In->Head);
    }

    /// <summary>Bytes that were read; null vectors: and thrown away.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static void Received(
        PosixStack s, Socket* socket, in Wire wire, IoVec* vectors, ulong skip, ulong length, ulong offset)
    {
        if (!TryDescribe(s, socket, wire, 1 - wire.SideIndex, out CaptureRecord record))
            return;
        record.Offset = offset;
        // An urgent byte was passed on the way: what was read does not lie in one piece.
        ulong passed = wire.In->Head - offset;
        if (passed != length && wire.In->Head > offset)
            s.Tap.Moved(ref record, null, 0, passed);
        else
            s.Tap.Moved(ref record, (CaptureSpan*)vectors, skip, length);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    public static void Opened(PosixStack s, Socket* socket, in Wire wire)
    {
        if (TryDescribe(s, socket, wire, wire.SideIndex, out CaptureRecord record))
            s.Tap.Event(ref record, CaptureKind.Open);
    }

    /// <summary>This end sends no more, or resets the connection. Who closes it need not be who had it.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static void Closed(PosixStack s, in Wire wire, bool reset)
    {
        if (!TryDescribe(s, null, wire, wire.SideIndex, out CaptureRecord record))
            return;
        record.Outgoing = 1;
        record.Offset = wire.Out->Tail;
        s.Tap.Event(ref record, reset ? CaptureKind.Reset : CaptureKind.Fin);
    }

    /// <summary>The other end has done so, and the program was told.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static void EndReceived(PosixStack s, Socket* socket, in Wire wire, bool reset)
    {
        if (!TryDescribe(s, socket, wire, 1 - wire.SideIndex, out CaptureRecord record))
            return;
        record.Offset = wire.In->Tail;
        s.Tap.Event(ref record, reset ? CaptureKind.Reset : CaptureKind.Fin);
    }

    /// <summary>False if the other end is the engine of the network path, which captures frames.</summary>
    private static bool TryDescribe(PosixStack s, Socket* socket, in Wire wire, int sender, out CaptureRecord record)
    {
        record = default;
        if (((wire.Me->Watch | wire.Peer->Watch) & Side.EngineWatch) != 0)
            return false;
        record.Side = (byte)sender;
        record.Region = wire.Region.Tables->Header.Id;
        record.Conn = (uint)wire.Index;
        record.Generation = wire.Conn->Generation;
        record.Client = wire.Conn->Side0.Name;
        record.Server = wire.Conn->Side1.Name;
        if (socket == null)
            return true;
        record.Pid = s.Process->Pid;
        record.Descriptor = socket->FirstDescriptor;
        record.Socket = (uint)(socket - s.S.SocketAt(0)) + 1;
        return true;
    }
}
