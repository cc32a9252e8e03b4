using System.Numerics;
using System.Runtime.CompilerServices;
using Accel.Core.Local;
using Accel.Core.Nic;
using Accel.Core.Stack;

namespace Accel.Core.Capture;

/// <summary>
/// Where a process's packets pass on their way into the capture ring of its stack. Whoever moves a packet asks
/// <see cref="IsOn"/> first, which is all that a capture costs while there is none.
/// </summary>
public sealed unsafe class CaptureTap
{
    /// <summary>More parts than any link makes of a frame.</summary>
    private const int MaxParts = 64;

    private readonly StackRegion _stack;
    private readonly IKernel _kernel;
    private readonly int _pid;

    [Memory.ColdPath]
    public CaptureTap(StackRegion stack, IKernel kernel, int pid)
    {
        _stack = stack;
        _kernel = kernel;
        _pid = pid;
    }

    public bool IsOn(CapturePaths path) => (_stack.Tables->Capturing & (uint)path) != 0;

    /// <summary>A frame came from a link, in one buffer or several.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public void Received(FrameRef* parts, int count, int link)
    {
        CaptureSpan* spans = stackalloc CaptureSpan[MaxParts];
        count = Math.Min(count, MaxParts);
        ulong bytes = 0;
        for (int i = 0; i < count; i++)
        {
            spans[i] = new CaptureSpan { Data = parts[i].Data, Length = (ulong)parts[i].Length };
            bytes += spans[i].Length;
        }
        CaptureRecord record = new() { Kind = CaptureKind.Frame, Link = (byte)link, Bytes = (uint)bytes };
        Write(ref record, spans, 0);
    }

    /// <summary>A frame goes to a link, in one run or several, for a socket of this stack (its side of a connection
    /// with the engine) or for none (null).</summary>
    private void Sent(CaptureSpan* runs, int count, int link, Side* program, int segmentSize)
    {
        ulong bytes = 0;
        for (int i = 0; i < count; i++)
            bytes += runs[i].Length;
        CaptureRecord record = new()
        {
            Kind = CaptureKind.Frame, Outgoing = 1, Link = (byte)link, Bytes = (uint)bytes,
            SegmentSize = (uint)segmentSize,
        };
        if (program != null)
            NameOwner(ref record, program);
        Write(ref record, runs, 0);
    }

    /// <summary>The same for a super-frame: headers and two runs of payload.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public void Sent(CaptureSpan header, CaptureSpan run1, CaptureSpan run2, int link, Side* program, int segmentSize)
    {
        CaptureSpan* runs = stackalloc CaptureSpan[3] { header, run1, run2 };
        Sent(runs, 3, link, program, segmentSize);
    }

    /// <summary>The same for a frame in a link's own buffer.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public void Sent(in FrameRef frame, int link, Side* program)
    {
        CaptureSpan run = new() { Data = frame.Data, Length = (ulong)frame.Length };
        Sent(&run, 1, link, program, 0);
    }

    /// <summary>Bytes of a local connection: <paramref name="length"/> of them, from <paramref name="skip"/> bytes in.
    /// Null spans: they are not at hand.</summary>
    public void Moved(ref CaptureRecord record, CaptureSpan* spans, ulong skip, ulong length)
    {
        record.Kind = CaptureKind.Data;
        while (length > 0)
        {
            record.Bytes = (uint)Math.Min(length, CaptureRing.MaxCaptured);
            Write(ref record, spans, skip);
            record.Offset += record.Bytes;
            skip += record.Bytes;
            length -= record.Bytes;
        }
    }

    /// <summary>A beginning or an end of a local connection.</summary>
    public void Event(ref CaptureRecord record, CaptureKind kind)
    {
        record.Kind = kind;
        Write(ref record, null, 0);
    }

    private void Write(ref CaptureRecord record, CaptureSpan* spans, ulong skip)
    {
        record.WallNs = _kernel.WallNs();
        if (record.Pid == 0)
        {
            record.Pid = _pid;
            record.Descriptor = -1;
        }
        CaptureRing ring = _stack.Capture;
        if (!ring.Write(ref record, spans, skip, _pid, _kernel) && ring.IsAbandoned(_kernel.NowNs()))
            Volatile.Write(ref _stack.Tables->Capturing, 0);
    }

    /// <summary>The engine runs in whatever process of the family; the connection is its holder's.</summary>
    private void NameOwner(ref CaptureRecord record, Side* program)
    {
        uint socket = program->Socket;
        if (socket - 1 >= StackRegion.MaxSockets)
            return;
        record.Socket = socket;
        record.Descriptor = _stack.SocketAt((int)socket - 1)->FirstDescriptor;
        record.Pid = _pid;
        for (int word = 0; word < StackRegion.MaxProcesses / 64; word++)
        {
            ulong holders = program->Holders[word];
            if (holders == 0)
                continue;
            int pid = _stack.ProcessAt(word * 64 + BitOperations.TrailingZeroCount(holders))->Pid;
            record.Pid = pid != 0 ? pid : _pid;
            return;
        }
    }
}
