using System.Runtime.InteropServices;
using Accel.Core.Local;
using Accel.Core.Memory;

namespace Accel.Core.Capture;

/// <summary>What a record of a capture tells of.</summary>
public enum CaptureKind : byte
{
    /// <summary>An Ethernet frame, as a link carried it.</summary>
    Frame = 1,

    /// <summary>Bytes of a local connection.</summary>
    Data = 2,

    /// <summary>A local connection that has come about.</summary>
    Open = 3,

    /// <summary>A side of a local connection sends no more.</summary>
    Fin = 4,

    /// <summary>A side of a local connection resets it.</summary>
    Reset = 5,
}

/// <summary>Which paths are captured: the bits of <see cref="Stack.StackTables.Capturing"/>.</summary>
[Flags]
public enum CapturePaths : uint
{
    None = 0,
    Local = 1,
    Nic = 2,
}

/// <summary>The head of a record in a <see cref="CaptureRing"/>; the captured bytes follow it.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 128)]
public struct CaptureRecord
{
    /// <summary>With head and padding, a multiple of <see cref="CaptureRing.Unit"/>.</summary>
    [FieldOffset(0)] public uint Length;
    [FieldOffset(4)] public CaptureKind Kind;

    /// <summary>1: sent by the process that wrote the record, 0: taken by it.</summary>
    [FieldOffset(5)] public byte Outgoing;

    /// <summary>Frame: its link in the region of the network path.</summary>
    [FieldOffset(6)] public byte Link;

    /// <summary>Local: the side that sent it (0: the client's).</summary>
    [FieldOffset(7)] public byte Side;

    /// <summary>CLOCK_REALTIME.</summary>
    [FieldOffset(8)] public long WallNs;

    /// <summary>Bytes there were, and bytes that follow.</summary>
    [FieldOffset(16)] public uint Bytes;
    [FieldOffset(20)] public uint Captured;

    /// <summary>Whose it is, as far as is known: process, descriptor (-1), socket's index plus one (0).</summary>
    [FieldOffset(24)] public int Pid;
    [FieldOffset(28)] public int Descriptor;
    [FieldOffset(32)] public uint Socket;

    /// <summary>Local: the connection, by region, index and generation.</summary>
    [FieldOffset(36)] public uint Conn;
    [FieldOffset(40)] public uint Generation;

    /// <summary>Frame: what the link cuts it into; 0: it leaves as it is.</summary>
    [FieldOffset(44)] public uint SegmentSize;
    [FieldOffset(48)] public ulong Region;

    /// <summary>Local: place of the first byte in its direction's stream.</summary>
    [FieldOffset(56)] public ulong Offset;
    [FieldOffset(64)] public Endpoint Client;
    [FieldOffset(88)] public Endpoint Server;

    /// <summary>Place of the record in the ring's stream: who reads nonsense notices.</summary>
    [FieldOffset(112)] public ulong Position;
}

/// <summary>A run of bytes; as struct iovec lies in memory.</summary>
public unsafe struct CaptureSpan(byte* data, ulong length)
{
    public byte* Data = data;
    public ulong Length = length;
}
