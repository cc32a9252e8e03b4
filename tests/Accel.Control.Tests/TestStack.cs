using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Accel.Control.Native;
using Accel.Core.Local;
using Accel.Core.Nic;
using Accel.Os.Control;
using Accel.Os.Links;

namespace Accel.Control.Tests;

/// <summary>What a stack has of the control plane and the link, without a TCP above it.</summary>
sealed unsafe class TestStack : INicHost, IDisposable
{
    const int MostLinks = 4;

    static int _number;

    readonly HashSet<int> _owned = [];
    readonly Queue<(byte[] Bytes, int Parts)> _frames = new();
    readonly LinkInfo* _infos = (LinkInfo*)NativeMemory.AllocZeroed(MostLinks, (nuint)sizeof(LinkInfo));

    /// <param name="socketPath">acceld's.</param>
    /// <param name="mayFail">To be refused is what the test wants.</param>
    /// <param name="id">Of a stack whose regions are there already; 0: a new one.</param>
    public TestStack(string socketPath, bool mayFail = false, ulong id = 0)
    {
        Id = id != 0 ? id : NextId();
        Control = new AcceldClient(DaemonKernel.Shared, (fd, _) => _owned.Add(fd), fd =>
        {
            if (_owned.Remove(fd))
                DaemonKernel.Shared.Close(fd);
        }, socketPath);
        Links = Control.Attach(Id, _infos, MostLinks, out var refusal);
        Refusal = refusal;
        if (!mayFail)
            Assert.True(Links.Length > 0, $"no link: {refusal} {Control.LastError}");
    }

    public static ulong NextId() => (ulong)Environment.ProcessId << 32 | (uint)Interlocked.Increment(ref _number);

    public ulong Id { get; }

    public AcceldClient Control { get; }

    public ILink[] Links { get; }

    public NicRefusal Refusal { get; }

    public XdpLink Link => (XdpLink)Links[0];

    public List<IcmpEvent> Reports { get; } = [];

    public static Endpoint Local(string address, int port)
    {
        var bytes = IPAddress.Parse(address).GetAddressBytes();
        Endpoint endpoint = new() { Family = bytes.Length == 4 ? Endpoint.V4 : Endpoint.V6, Port = (ushort)port };
        bytes.CopyTo(new Span<byte>(endpoint.Address, 16));
        return endpoint;
    }

    /// <summary>Steers the port of a kernel socket.</summary>
    public NicRefusal Steer(Socket socket, string? address = null, bool listener = false)
    {
        var name = (IPEndPoint)socket.LocalEndPoint!;
        var transport = socket.ProtocolType == ProtocolType.Udp ? Transport.Udp : Transport.Tcp;
        return Control.Steer(transport, Local(address ?? name.Address.ToString(), name.Port), (int)socket.Handle,
            listener);
    }

    /// <summary>Waits for one whole frame and copies it; null if none comes in time.</summary>
    public byte[]? Receive(int milliseconds = 2000) => Receive(milliseconds, out _);

    public byte[]? Receive(int milliseconds, out int parts)
    {
        var clock = Stopwatch.StartNew();
        while (_frames.Count == 0 && clock.ElapsedMilliseconds < milliseconds)
            if (!Take())
                Thread.Yield();
        var found = _frames.TryDequeue(out var frame);
        parts = frame.Parts;
        return found ? frame.Bytes : null;
    }

    /// <summary>Copies what has come, frame by frame.</summary>
    bool Take()
    {
        const int most = 64;
        var frames = stackalloc FrameRef[most];
        var count = Link.Receive(frames, most);
        var bytes = new List<byte>();
        for (int i = 0, first = 0; i < count; i++)
        {
            bytes.AddRange(new ReadOnlySpan<byte>(frames[i].Data, frames[i].Length));
            if (frames[i].More)
                continue;
            _frames.Enqueue(([.. bytes], i + 1 - first));
            bytes.Clear();
            first = i + 1;
        }
        Link.Release(frames, count);
        return count > 0;
    }

    public void Send(ReadOnlySpan<byte> frame)
    {
        Assert.True(Link.TryTakeBuffer(out var buffer), "no buffer");
        Assert.True(frame.Length <= buffer.Length, "buffer too small");
        frame.CopyTo(new Span<byte>(buffer.Data, buffer.Length));
        buffer.Length = frame.Length;
        Link.Send(buffer);
        Link.Flush();
    }

    /// <summary>
    /// As a process that was killed: every descriptor closes. What is mapped of a socket keeps it, so that goes too.
    /// </summary>
    public void Die()
    {
        foreach (XdpLink link in Links.Cast<XdpLink>())
            link.Unmap();
        foreach (var fd in _owned)
            DaemonKernel.Shared.Close(fd);
        _owned.Clear();
    }

    public void Dispose() => Die();

    public void Notify(LocalRegion region, int conn, int side)
    {
    }

    public void NotifyListener(LocalRegion region, int listener)
    {
    }

    public void WakeTicker(ulong name)
    {
    }

    public void OnIcmp(in IcmpEvent report) => Reports.Add(report);

    public ulong Random() => DaemonKernel.Shared.Random();

    public ulong Ticks() => (ulong)Stopwatch.GetTimestamp();
}
