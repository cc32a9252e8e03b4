using Accel.Core.Memory;

namespace Accel.Os.Links;

/// <summary>
/// What wakes a stack that sleeps on a <see cref="FrameRing"/>: a packet socket that gets the frame when it has been
/// copied (src/Accel.Control/Bpf/ring.h). It has a receive ring of one frame, so that to silence it takes no system
/// call, and so that it is rung once however many frames come meanwhile.
/// </summary>
public unsafe struct Bell
{
    /// <summary>What acceld makes it with: one block, one frame.</summary>
    public const int Bytes = 4096;

    /// <summary>Sleeps that found nothing to do, one after the other, until the socket is asked what ails it: that the
    /// interface went down is an error that stays until somebody asks.</summary>
    private const int Patience = 64;

    /// <summary>struct tpacket2_hdr: tp_status. 0: the frame is the kernel's to fill.</summary>
    private uint* _status;
    private int _fd;
    private ulong _read;
    private int _needless;

    public readonly bool IsMapped => _status != null;

    public readonly int Descriptor => _fd;

    /// <summary>Maps the receive ring of a packet socket that has one. False if the kernel refuses.</summary>
    [ColdPath]
    public static bool TryMap(LinuxKernel kernel, int fd, out Bell bell)
    {
        byte* frame = fd < 0 ? null : kernel.MapShare(fd, Bytes);
        bell = new Bell { _fd = fd, _status = (uint*)frame };
        return frame != null;
    }

    [ColdPath]
    public readonly void Unmap(LinuxKernel kernel)
    {
        if (IsMapped)
            kernel.Unmap((byte*)_status, Bytes);
    }

    /// <summary>Whoever comes for the frames silences it first: what comes after the look at them rings it again.
    /// </summary>
    public readonly void Silence()
    {
        if (_status != null && Volatile.Read(ref *_status) != 0)
            Interlocked.Exchange(ref *_status, 0);
    }

    /// <summary>Before a sleep. <paramref name="read"/>: how far the frames were read.</summary>
    public void BeforeSleep(LinuxKernel kernel, ulong read)
    {
        if (read != _read)
        {
            _read = read;
            _needless = 0;
        }
        else if (++_needless >= Patience)
        {
            const int Socket = 1, Error = 4;
            _needless = 0;
            int error = 0;
            uint bytes = sizeof(int);
            kernel.GetSockOpt(_fd, Socket, Error, &error, &bytes);
        }
    }
}
