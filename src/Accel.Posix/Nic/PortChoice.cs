using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Nic;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// Helps the kernel to find a port for a connection. bind() without one tries port after port and compares with what is
/// bound to each, and closed connections of ours keep theirs for their TIME-WAIT: with 14,000 of them a bind() takes a
/// good part of a millisecond (and so does the kernel's own connect(), if all went to one server). So a port that no
/// stack has is picked here at random (RFC 6056 3.3.1), and the range of the socket (IP_LOCAL_PORT_RANGE, Linux 6.3)
/// narrowed to it while it is bound. The choice is the kernel's all the same, by its rules of what is taken, reserved
/// or out of range.
/// </summary>
public sealed unsafe class PortChoice(PosixStack s, PortKeeper keeper, INicControl control)
{
    private const int LocalPortRange = 51, Tries = 16;

    /// <summary>Fewer ports that are kept cost the kernel less than this would: it finds another at once.</summary>
    private const int WorthIt = 4096;
    private const long RangeNs = 1_000_000_000;

    private ushort _low = 32768, _high = 60999;
    private long _rangeReadNs;

    /// <summary>As <see cref="Connector.ReservePort"/>.</summary>
    public bool Reserve(Socket* socket, int fd, in Endpoint target, in Endpoint preferred, out Endpoint local)
    {
        uint range = 0, length = sizeof(uint);
        // What the program has asked for itself it gets from the kernel alone.
        if (keeper.Count >= WorthIt && socket->Local.Family == Endpoint.None
            && s.Kernel.GetSockOpt(fd, So.IPPROTO_IP, LocalPortRange, &range, &length) >= 0 && range == 0
            && TryNarrow(socket, fd, target, preferred, out local))
            return true;
        return Connector.ReservePort(s, socket, fd, target, preferred, out local);
    }

    private bool TryNarrow(Socket* socket, int fd, in Endpoint target, in Endpoint preferred, out Endpoint local)
    {
        local = default;
        long now = s.Kernel.NowNs();
        if (now - _rangeReadNs > RangeNs)
            ReadRange(now);
        bool done = false;
        for (int i = 0; i < Tries && !done; i++)
        {
            uint port = Pick();
            if (port == 0)
                break;
            uint narrow = port << 16 | port;
            if (s.Kernel.SetSockOpt(fd, So.IPPROTO_IP, LocalPortRange, &narrow, sizeof(uint)) < 0)
                break;
            done = Connector.ReservePort(s, socket, fd, target, preferred, out local);
        }
        uint all = 0;
        s.Kernel.SetSockOpt(fd, So.IPPROTO_IP, LocalPortRange, &all, sizeof(uint));
        return done;
    }

    /// <summary>A port of the range that no stack has; 0: there is none. Every second one first, as connect() does: the
    /// others are for who binds.</summary>
    private ushort Pick()
    {
        uint count = (uint)(_high - _low + 1);
        uint offset = (uint)(s.Kernel.Random() % count) & ~1u;
        for (uint i = 0; i < count; i++, offset += 2)
        {
            if (i == count / 2)
                offset |= 1;
            ushort port = (ushort)(_low + offset % count);
            if (control.IsPortFree(Transport.Tcp, port))
                return port;
        }
        return 0;
    }

    [ColdPath]
    private void ReadRange(long now)
    {
        _rangeReadNs = now;
        if (s.Kernel.TryReadPortRange(out ushort low, out ushort high))
            (_low, _high) = (low, high);
    }
}
