using Accel.Control.Bpf;
using Accel.Control.Native;

namespace Accel.Control.Links;

/// <summary>A ring that frames of one stack are copied into (BPF_MAP_TYPE_RINGBUF). The stack maps it.</summary>
public sealed unsafe class FrameRingMap : IDisposable
{
    /// <summary>
    /// 32 of the largest super-frames, or 16,384 of the smallest frames. Not more: it is used round and round, so all
    /// of it goes through its reader's caches, and is mapped there page by page. Windows keep within it
    /// (ReceivePressure).
    /// </summary>
    public const uint Bytes = 2 << 20;

    private const int RingBuffer = 27;

    private FrameRingMap(int fd) => Fd = fd;

    public int Fd { get; private set; }

    /// <summary>Null, and why.</summary>
    public static FrameRingMap? Create(out string refusal)
    {
        fixed (byte* name = "accel_ring\0"u8)
        {
            int fd = LibBpf.CreateMap(RingBuffer, name, 0, 0, Bytes, null);
            refusal = fd < 0 ? $"ring: {Libc.Text(-fd)}" : "";
            return fd < 0 ? null : new FrameRingMap(fd);
        }
    }

    public void Dispose()
    {
        if (Fd >= 0)
            Libc.Close(Fd);
        Fd = -1;
    }
}
