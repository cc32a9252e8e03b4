using System.Collections.Concurrent;
using Accel.Control.Native;
using Accel.Core.Handover;
using Accel.Core.Local;

namespace Accel.Control.Tests.Death;

/// <summary>Takes connections instead of the kernel, and notes what they were.</summary>
sealed unsafe class FakeKernel
{
    const int PermissionDenied = 13;

    public ConcurrentQueue<(Endpoint Local, Endpoint Remote, TcpImage Image, byte[] Bytes)> Made { get; } = [];

    /// <summary>What is done before each; false: it is refused.</summary>
    public Func<bool> Takes { get; set; } = () => true;

    public int Make(in Endpoint local, in Endpoint remote, in TcpImage image, byte* queues, out string step)
    {
        step = "test";
        if (!Takes())
            return -PermissionDenied;
        Made.Enqueue((local, remote, image, new ReadOnlySpan<byte>(queues, (int)image.QueueBytes).ToArray()));
        return Libc.Socket(Libc.AfUnix, Libc.SockStream | Libc.SockCloexec, 0);
    }
}
