using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Nic;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>A listening socket takes connections from network interfaces too, if its address has any.</summary>
public static unsafe class NicListener
{
    /// <summary>
    /// Before the kernel listens: acceld takes its time to give a program its first interfaces, and whoever comes
    /// meanwhile to a socket that listens already is the kernel's for the whole connection. Steering has to wait until
    /// the kernel has agreed: that it listens is what proves to acceld that the port is ours, and no other's.
    /// </summary>
    public static void Prepare(PosixStack s, AccelThread* t, Socket* socket)
    {
        if (!socket->Local.Unmapped().IsLoopback && socket->State != (uint)SocketState.Listening
            && socket->Reason != (byte)PathReason.OptionNeedsKernel)
            NicAttach.Of(s, t);
    }

    /// <summary>
    /// The listener is open on the local path and in the kernel: now on the interfaces, if <see cref="Prepare"/> has
    /// joined any.
    /// </summary>
    public static void Open(PosixStack s, AccelThread* t, Socket* socket, int fd, int listenerIndex)
    {
        Endpoint name = socket->Local.Unmapped();
        if (name.IsLoopback || socket->Local.Port == 0)
            return;
        // Not asked for again: an acceld that does not answer has had its time.
        NicPath? nic = s.Nic;
        if (nic == null || nic.RegionNumber != socket->Region
            || (!name.IsAny && !nic.Control.Tables.IsLocalAddress(name)))
            return;
        // Before the first segment can come.
        if (!nic.Listen(t, listenerIndex, socket->Local, NicOptions.Read(s, socket, fd), out SynAnswer answer))
            return;
        NicRefusal refusal = nic.Steering.Steer(t, Transport.Tcp, socket->Local, fd, listener: true, answer);
        if (refusal == NicRefusal.None)
        {
            s.Count(t, Counter.NicListens);
            nic.StartProgress();
            return;
        }
        nic.Unlisten(t, listenerIndex);
        // acceld was asked and said nothing: if it did it, the port is given back when no connection uses it.
        if (refusal == NicRefusal.Failed)
            nic.Ports.Keep(t, name, -1);
        s.S.Tables->NicRefusal = (byte)refusal;
        s.Count(t, Counter.NicRefused);
    }

    /// <summary>An option of a listening socket has changed.</summary>
    public static void Tune(PosixStack s, AccelThread* t, NicPath nic, Socket* socket, int fd)
    {
        if (nic.Listen(t, (int)socket->Index, socket->Local, NicOptions.Read(s, socket, fd), out SynAnswer answer))
            nic.Steering.Steer(t, Transport.Tcp, socket->Local, fd, listener: true, answer);
    }

    /// <summary>
    /// New clients are the kernel's until <see cref="Open"/>. Handshakes that have begun end here.
    /// </summary>
    [ColdPath]
    public static void Pause(PosixStack s, AccelThread* t, LocalRegion region, int listenerIndex)
    {
        if (s.Nic is { } nic && s.Region(nic.RegionNumber).Address == region.Address
            && nic.Engine.Region.ListenerAt(listenerIndex)->Open != 0)
            nic.Steering.Leave(t, region.ListenerAt(listenerIndex)->Name);
    }

    /// <summary>
    /// The listener ends. Frames for its port go on coming here while connections are left that it took.
    /// </summary>
    public static void Close(PosixStack s, AccelThread* t, LocalRegion region, int listenerIndex)
    {
        if (s.Nic is not { } nic || s.Region(nic.RegionNumber).Address != region.Address)
            return;
        Endpoint name = region.ListenerAt(listenerIndex)->Name;
        if (!nic.Unlisten(t, listenerIndex))
            return;
        nic.Steering.Leave(t, name);
        nic.Ports.Keep(t, name, -1);
    }
}
