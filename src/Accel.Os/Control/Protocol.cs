using System.Globalization;
using System.Runtime.InteropServices;
using Accel.Core.Handover;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Nic;

namespace Accel.Os.Control;

/// <summary>
/// What a stack and acceld say to each other: packets of one size over a SOCK_SEQPACKET socket, with descriptors beside
/// them. Each kind of packet is a struct of that size that begins with a <see cref="MessageHeader"/>. A stack begins
/// with Hello; acceld answers with Welcome, then Link and Queue for each link and queue of it, then Ready. Steer,
/// Unsteer and Restore are answered, Resolve is not.
/// </summary>
public static class Protocol
{
    /// <summary>"ACDP" read as a little-endian integer.</summary>
    public const uint Magic = 0x50444341;

    /// <summary>Raised with every change of what packets mean. The layout's hash is told apart from it.</summary>
    public const ushort Version = 2;

    public const int MessageBytes = 128;
    public const int MaxDescriptors = 4;

    /// <summary>Ends within a second in any case: the daemon is there or it is not.</summary>
    public const int AnswerMilliseconds = 1000;

    /// <summary>The first time, there may be some 100 MB of frames to make.</summary>
    public const int AttachMilliseconds = 5000;

    /// <summary>Where acceld listens: this and the number of its network namespace and ".sock".</summary>
    public const string Folder = "/run/accel";

    // By concatenation: an interpolated string has the runtime keep /dev/urandom open, at a low number.
    public static string SocketPath(ulong networkNamespace) =>
        string.Concat(Folder, "/", networkNamespace.ToString(CultureInfo.InvariantCulture), ".sock");
}

/// <summary>The kinds of packets. Numbers are never used again for something else.</summary>
public enum MessageKind : ushort
{
    None = 0,

    /// <summary>Stack to acceld.</summary>
    Hello = 1,
    Steer = 2,
    Unsteer = 3,
    Resolve = 4,

    /// <summary>Stack to acceld after <see cref="WelcomeFlags.HandOver"/>: descriptors of a queue: socket, memory.
    /// </summary>
    OwnQueue = 5,
    OwnReady = 6,

    /// <summary>Anybody to acceld, without Hello; the answer brings a file of JSON.</summary>
    Status = 7,

    /// <summary>Stack to acceld; the answer brings a socket.</summary>
    Restore = 8,

    /// <summary>
    /// Anybody to acceld, without Hello: at the stacks of others. The answer may take a moment; it brings a file.
    /// </summary>
    Look = 9,

    /// <summary>acceld to stack.</summary>
    Welcome = 16,
    Link = 17,
    Queue = 18,
    Ready = 19,
    Answer = 20,
    Icmp = 21,
    LinkState = 22,

    /// <summary>The neighbours of the mirror have changed: to who asked for one lately.</summary>
    Neighbours = 23,
}

/// <summary>What every packet begins with.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 16)]
public struct MessageHeader
{
    [FieldOffset(0)] public uint Magic;
    [FieldOffset(4)] public ushort Version;
    [FieldOffset(6)] public MessageKind Kind;

    /// <summary>Of a question; its answer has the same.</summary>
    [FieldOffset(8)] public uint Serial;
    [FieldOffset(12)] public NicRefusal Refusal;

    public static MessageHeader Of(MessageKind kind, uint serial = 0, NicRefusal refusal = NicRefusal.None) => new()
    {
        Magic = Protocol.Magic,
        Version = Protocol.Version,
        Kind = kind,
        Serial = serial,
        Refusal = refusal,
    };
}

/// <summary>Any packet, before its kind is known.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = Protocol.MessageBytes)]
public struct Message
{
    [FieldOffset(0)] public MessageHeader Header;
}

/// <summary>Who is there. The layout's hash stays where it is in all versions.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = Protocol.MessageBytes)]
public struct HelloMessage
{
    [FieldOffset(0)] public MessageHeader Header;
    [FieldOffset(16)] public ulong LayoutHash;
    [FieldOffset(24)] public ulong StackId;

    /// <summary>Slot plus one if this stack has links already: a process of it was forked, or acceld started anew.
    /// </summary>
    [FieldOffset(32)] public uint HeldSlot;
}

/// <summary>What acceld did with a Hello.</summary>
[Flags]
public enum WelcomeFlags : uint
{
    None = 0,

    /// <summary>The table of ports comes along: steer by writing into it.</summary>
    DirectSteering = 1,

    /// <summary>acceld started anew and knows nothing of the stack's links: OwnQueue for each, then OwnReady.</summary>
    HandOver = 2,
}

/// <summary>The stack is known. Descriptors: mirror of routes and neighbours; then, if so marked, table of ports.
/// </summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = Protocol.MessageBytes)]
public struct WelcomeMessage
{
    [FieldOffset(0)] public MessageHeader Header;
    [FieldOffset(16)] public WelcomeFlags Flags;
    [FieldOffset(20)] public uint Slot;
    [FieldOffset(24)] public uint Links;
    [FieldOffset(32)] public ulong PortTableBytes;

    /// <summary>The host's secret for sequence numbers and timestamps.</summary>
    [FieldOffset(40)] public ulong SequenceKey0;
    [FieldOffset(48)] public ulong SequenceKey1;
}

/// <summary>A link. Descriptors: a packet socket on it, if <see cref="HasPacketSocket"/>; the ring that its frames come
/// through, if <see cref="RingBytes"/>.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = Protocol.MessageBytes)]
public unsafe struct LinkMessage
{
    [FieldOffset(0)] public MessageHeader Header;
    [FieldOffset(16)] public int InterfaceIndex;
    [FieldOffset(20)] public LinkFlags Flags;
    [FieldOffset(24)] public uint Mtu;
    [FieldOffset(28)] public uint Queues;
    [FieldOffset(32)] public uint Slot;
    [FieldOffset(36)] public uint MaxSuperFrame;
    [FieldOffset(40)] public fixed byte Mac[8];
    [FieldOffset(48)] public fixed byte Name[LinkInfo.NameBytes];
    [FieldOffset(64)] public uint RxRingSize;
    [FieldOffset(68)] public uint TxRingSize;
    [FieldOffset(72)] public uint FillRingSize;
    [FieldOffset(76)] public uint CompletionRingSize;
    [FieldOffset(80)] public uint Frames;
    [FieldOffset(84)] public uint FrameBytes;
    [FieldOffset(88)] public uint HasPacketSocket;
    [FieldOffset(92)] public uint RingBytes;
}

/// <summary>A queue of a link. Descriptors: the stack's AF_XDP socket, and the memory of the queue.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = Protocol.MessageBytes)]
public struct QueueMessage
{
    [FieldOffset(0)] public MessageHeader Header;
    [FieldOffset(16)] public int InterfaceIndex;
    [FieldOffset(20)] public uint Queue;
    [FieldOffset(24)] public uint RxRingSize;
    [FieldOffset(28)] public uint TxRingSize;
}

/// <summary>
/// Steer and Unsteer. Descriptor of Steer: the kernel socket that holds the port. Unsteer of a listener leaves the
/// port to the stack for the connections that it has.
/// </summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = Protocol.MessageBytes)]
public struct SteerMessage
{
    [FieldOffset(0)] public MessageHeader Header;
    [FieldOffset(16)] public Transport Transport;
    [FieldOffset(17)] public byte IsListener;
    [FieldOffset(24)] public Endpoint Local;

    /// <summary>Of a listener that is steered: what SYNs of a flood are answered with.</summary>
    [FieldOffset(48)] public SynAnswer Answer;

    /// <summary>What time it is for the stack, whose cookies have the time in them.</summary>
    [FieldOffset(96)] public long NowNs;
}

/// <summary>A connection that the kernel is to have. Descriptor: a file with the bytes of its queues.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = Protocol.MessageBytes)]
public struct RestoreMessage
{
    [FieldOffset(0)] public MessageHeader Header;
    [FieldOffset(16)] public Endpoint Local;
    [FieldOffset(40)] public Endpoint Remote;
    [FieldOffset(64)] public TcpImage Image;
}

/// <summary>Asks for a neighbour.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = Protocol.MessageBytes)]
public struct ResolveMessage
{
    [FieldOffset(0)] public MessageHeader Header;
    [FieldOffset(16)] public int InterfaceIndex;
    [FieldOffset(24)] public Endpoint Neighbour;
}

/// <summary>An ICMP error: <see cref="IcmpEvent"/>.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = Protocol.MessageBytes)]
public struct IcmpMessage
{
    [FieldOffset(0)] public MessageHeader Header;
    [FieldOffset(16)] public Transport Transport;
    [FieldOffset(17)] public byte Type;
    [FieldOffset(18)] public byte Code;
    [FieldOffset(20)] public uint Mtu;
    [FieldOffset(24)] public uint Seq;
    [FieldOffset(32)] public Endpoint Local;
    [FieldOffset(56)] public Endpoint Remote;
}

/// <summary>A link changed: up or down, its address or its MTU.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = Protocol.MessageBytes)]
public unsafe struct LinkStateMessage
{
    [FieldOffset(0)] public MessageHeader Header;
    [FieldOffset(16)] public int InterfaceIndex;
    [FieldOffset(20)] public LinkFlags Flags;
    [FieldOffset(24)] public uint Mtu;
    [FieldOffset(32)] public fixed byte Mac[8];
}
