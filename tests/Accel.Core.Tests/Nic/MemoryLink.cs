using System.Runtime.InteropServices;
using Accel.Core.Nic;
using Accel.Wire;

namespace Accel.Core.Tests.Nic;

/// <summary>
/// One end of a cable that lies in memory. What is sent waits until it is flushed and then stands at the other end; a
/// hook may look at each frame, change it or take it away. Buffers can be made scarce, frames can come in pieces.
/// </summary>
sealed unsafe class MemoryLink : ILink, IDisposable
{
    public const int Room = 1518;

    readonly Queue<byte[]> _arrived = new();
    readonly List<byte[]> _queued = [];
    readonly Dictionary<ulong, nint> _held = [];
    ulong _nextHandle = 1;

    public MemoryLink(LinkInfo* info, int index, byte host)
    {
        Info = info;
        info->InterfaceIndex = index;
        info->Mtu = 1500;
        info->Queues = 1;
        info->Flags = (uint)LinkFlags.Up;
        Mac(host).WriteTo(new Span<byte>(info->Mac, 8));
    }

    public static MacAddress Mac(byte host) => MacAddress.Read([2, 0, 0, 0, 0, host]);

    public MemoryLink? Other { get; set; }

    /// <summary>Sees each frame on its way to the other end; null: it is lost.</summary>
    public Func<byte[], byte[]?> Hook { get; set; } = f => f;

    /// <summary>Asked in each call: true ends the caller there and then.</summary>
    public Func<bool>? Bomb { get; set; }

    public sealed class Explosion : Exception;

    void Tick()
    {
        if (Bomb?.Invoke() == true)
            throw new Explosion();
    }

    /// <summary>Buffers that can be had before the next flush.</summary>
    public int Buffers { get; set; } = 100_000;

    /// <summary>Frames longer than this come in pieces of this length.</summary>
    public int PieceBytes { get; set; } = 65536;

    public int Taken { get; private set; }

    public int Recovered { get; private set; }

    public int Tids { get; private set; }

    /// <summary>Buffers that the engine has and did not give back.</summary>
    public int Held => _held.Count;

    public List<byte[]> Sent { get; } = [];

    public bool KeepSent { get; set; }

    public LinkInfo* Info { get; }

    public int Tid
    {
        set => Tids++;
    }

    public void Recover()
    {
        Recovered++;
        foreach (nint buffer in _held.Values)
            NativeMemory.Free((void*)buffer);
        _held.Clear();
        Taken = 0;
    }

    public int Descriptor(int queue) => -1;

    public int MappingsOf(int queue, Span<MappedRange> ranges) => 0;

    public bool IsReadable => _arrived.Count > 0;

    public int Waiting => _arrived.Count;

    public void Inject(byte[] frame) => _arrived.Enqueue(frame);

    public int Receive(FrameRef* frames, int max)
    {
        var count = 0;
        while (_arrived.TryPeek(out var frame))
        {
            var pieces = Math.Max(1, (frame.Length + PieceBytes - 1) / PieceBytes);
            if (count + pieces > max)
                break;
            _arrived.Dequeue();
            for (var i = 0; i < pieces; i++)
            {
                var piece = frame.AsSpan(i * PieceBytes, Math.Min(PieceBytes, frame.Length - i * PieceBytes));
                frames[count++] = Put(piece, i + 1 < pieces);
            }
        }
        return count;
    }

    FrameRef Put(ReadOnlySpan<byte> bytes, bool more)
    {
        // Exactly as long as the frame: a checker of memory would see who reads beyond.
        var data = (byte*)NativeMemory.Alloc((nuint)Math.Max(1, bytes.Length));
        bytes.CopyTo(new Span<byte>(data, bytes.Length));
        var handle = _nextHandle++;
        _held[handle] = (nint)data;
        return new FrameRef { Data = data, Length = bytes.Length, Handle = handle, More = more };
    }

    void Drop(ulong handle)
    {
        Assert.True(_held.Remove(handle, out var data), "a buffer is given back twice");
        NativeMemory.Free((void*)data);
    }

    public void Release(FrameRef* frames, int count)
    {
        Tick();
        for (var i = 0; i < count; i++)
            Drop(frames[i].Handle);
    }

    public bool TryTakeBuffer(out FrameRef frame)
    {
        Tick();
        frame = default;
        if (Taken >= Buffers)
            return false;
        Taken++;
        var data = (byte*)NativeMemory.AllocZeroed(Room);
        var handle = _nextHandle++;
        _held[handle] = (nint)data;
        frame = new FrameRef { Data = data, Length = Room, Handle = handle };
        return true;
    }

    public void Send(in FrameRef frame)
    {
        Tick();
        Assert.InRange(frame.Length, 1, Room);
        _queued.Add(new Span<byte>(frame.Data, frame.Length).ToArray());
        Drop(frame.Handle);
    }

    public void Return(in FrameRef frame)
    {
        Taken--;
        Drop(frame.Handle);
    }

    /// <summary>As a device would do it: not at all, if the other end can take the whole.</summary>
    public bool TrySendSuper(
        byte* header, int headerLength, byte* run1, int length1, byte* run2, int length2, int segmentSize)
    {
        if ((Info->Flags & (uint)LinkFlags.SuperFrames) == 0)
            return false;
        var frame = new byte[headerLength + length1 + length2];
        new Span<byte>(header, headerLength).CopyTo(frame);
        new Span<byte>(run1, length1).CopyTo(frame.AsSpan(headerLength));
        new Span<byte>(run2, length2).CopyTo(frame.AsSpan(headerLength + length1));
        _queued.Add(frame);
        return true;
    }

    public int Unflushed => _queued.Count;

    public void Flush()
    {
        foreach (var frame in _queued)
        {
            if (KeepSent)
                Sent.Add(frame);
            if (Hook(frame) is { } passed)
                Other?.Inject(passed);
        }
        _queued.Clear();
        Taken = 0;
    }

    public void Dispose() => Recover();
}
