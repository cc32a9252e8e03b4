using System.Runtime.InteropServices;
using Accel.Core.Memory;

namespace Accel.Core.Local;

/// <summary>Where a local connection stands between its two owners.</summary>
public enum ConnState : uint
{
    Free = 0,

    /// <summary>Taken by a client, not yet counted against the listener's backlog.</summary>
    Fresh = 1,

    /// <summary>In the listener's accept queue: established for the client, not yet accepted.</summary>
    Queued = 2,

    /// <summary>Both ends have an owner.</summary>
    Accepted = 3,

    /// <summary>The accept queue was full: waits in the listener's list until accept() makes room.</summary>
    Waiting = 4,

    /// <summary>In the accept queue as before, but its client has gone to the kernel with it: accept() gives it back.
    /// </summary>
    Withdrawn = 5,
}

/// <summary>
/// What one end has done or suffered, readable by the other. Bits are only ever set while the connection lives.
/// </summary>
[Flags]
public enum SideFlags : uint
{
    None = 0,

    /// <summary>
    /// This end sends no more (shutdown(SHUT_WR) or close): the other end reads end-of-file after the last byte.
    /// </summary>
    FinSent = 1,

    /// <summary>This end reads no more (shutdown(SHUT_RD)).</summary>
    ReadShut = 2,

    /// <summary>This end has no descriptor left, in any process.</summary>
    Closed = 4,

    /// <summary>This end was reset by the other: its next call fails once with ECONNRESET (or EPIPE).</summary>
    Reset = 8,

    /// <summary>The reset arrived after the other end's FIN had been seen, which makes it EPIPE on Linux.</summary>
    ResetAfterFin = 16,

    /// <summary>
    /// This end is a kernel socket now. The other end takes its own from where <see cref="Side.HandoverPid"/> says, and
    /// sets this too.
    /// </summary>
    HandedOver = 32,

    /// <summary>
    /// Of the end that nobody has accepted yet: the client takes the connection to the kernel, if it still is in the
    /// queue. Until it has answered, <see cref="Conn.Leaving"/> keeps both from the rings.
    /// </summary>
    Beckoned = 64,

    /// <summary>The other end has to look: it goes to the kernel, or may be about to.</summary>
    Departs = HandedOver | Beckoned,
}

/// <summary>
/// One end of a local connection, as its owner describes it to the other end. The first line is written rarely and read
/// by the other end on every call, so that it stays shared in both caches.
/// </summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 192)]
public unsafe struct Side
{
    public const int BellSlots = 8;

    // Line 0: read by the other end on every call.
    [FieldOffset(0)] public uint Flags;

    /// <summary>Bits 0-7: which Bells slots are in use; bits 8-15: which of them want every event posted (armed);
    /// bit 16: more watchers than slots, ring everything of this stack.</summary>
    [FieldOffset(4)] public uint Watch;

    /// <summary>Doorbell index plus one per slot; 0 = free.</summary>
    [FieldOffset(8)] public fixed ushort Bells[BellSlots];

    /// <summary>This end found its sending ring full and wants to know when there is room again.</summary>
    [FieldOffset(24)] public uint WantSpace;

    /// <summary>Index plus one of the owner's stack in the region's attachment table.</summary>
    [FieldOffset(28)] public uint Stack;

    /// <summary>Index plus one of the owner's socket, in the owner's own stack region.</summary>
    [FieldOffset(32)] public uint Socket;

    /// <summary>CPU plus one on which this end last waited: the other end does not spin if it is its own.</summary>
    [FieldOffset(36)] public uint Cpu;

    /// <summary>Of the engine's side of a connection over a network interface: see <see cref="Nic.NicConn"/>.</summary>
    [FieldOffset(40)] public uint Phase;

    /// <summary>The last send said that more follows at once (MSG_MORE). Only looked at by an engine.</summary>
    [FieldOffset(44)] public uint More;

    /// <summary>Process and descriptor where the other end finds its kernel socket.</summary>
    [FieldOffset(48)] public int HandoverPid;
    [FieldOffset(52)] public int HandoverDescriptor;

    // Line 1: names.
    [FieldOffset(64)] public Endpoint Name;

    // Line 2: which process slots of the owner's stack hold a descriptor (256 bits).
    [FieldOffset(128)] public fixed ulong Holders[4];

    public const uint OverflowWatch = 1u << 16;

    /// <summary>
    /// Bit of <see cref="Watch"/>: this end is the TCP engine of the region's owner, which is called instead of woken.
    /// Stays as long as the connection.
    /// </summary>
    public const uint EngineWatch = 1u << 17;
}

/// <summary>
/// One direction of a connection: a single-producer single-consumer byte stream. Tail and Head count bytes since the
/// beginning and never wrap. The bytes lie in a ring buffer of 2^BufferLog2 bytes in which byte number n is at
/// (n - BufferStart) mod size; when a ring proves too small the producer publishes the next one and where it starts.
/// </summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 192)]
public struct Pipe
{
    // Line 0: written by the producer.
    [FieldOffset(0)] public ulong Tail;
    [FieldOffset(8)] public ulong CachedHead;

    /// <summary>
    /// Time stamp counter when Tail last moved; only kept while the reader watches, to order its events.
    /// </summary>
    [FieldOffset(16)] public ulong Stamp;
    [FieldOffset(24)] public uint WriteBuffer;
    [FieldOffset(28)] public uint WriteLog2;
    [FieldOffset(32)] public ulong WriteStart;

    /// <summary>Calls that moved bytes, for the tools.</summary>
    [FieldOffset(40)] public ulong Sends;

    /// <summary>Thread that is writing now: whoever hands the connection over waits for it. See Conn.Leaving.</summary>
    [FieldOffset(48)] public int WriteBusy;

    // Line 1: written by the consumer.
    [FieldOffset(64)] public ulong Head;
    [FieldOffset(72)] public ulong CachedTail;
    [FieldOffset(80)] public uint ReadBuffer;
    [FieldOffset(84)] public uint ReadLog2;
    [FieldOffset(88)] public ulong ReadStart;
    [FieldOffset(96)] public ulong Receives;

    /// <summary>
    /// Position after the last urgent byte that the reader takes as data: the mark there stops it no more.
    /// </summary>
    [FieldOffset(104)] public ulong UrgentPassed;

    /// <summary>Thread that is reading now.</summary>
    [FieldOffset(112)] public int ReadBusy;

    // Line 2: written on a change of ring, and at set-up.
    [FieldOffset(128)] public uint NextReady;
    [FieldOffset(132)] public uint NextBuffer;
    [FieldOffset(136)] public uint NextLog2;
    [FieldOffset(144)] public ulong NextStart;

    /// <summary>Bytes that may be in flight: the sender's SO_SNDBUF plus the receiver's SO_RCVBUF.</summary>
    [FieldOffset(152)] public uint SendLimit;
    [FieldOffset(156)] public uint ReceiveLimit;

    /// <summary>Stream position of the urgent byte plus one, 0 = none (RFC 9293 3.8.5 as Linux treats it).</summary>
    [FieldOffset(160)] public ulong Urgent;

    /// <summary>
    /// Position after the last urgent byte that a later one replaced while the reader stood right before it: what lies
    /// between Head and this is not data.
    /// </summary>
    [FieldOffset(168)] public ulong UrgentSkip;
}

/// <summary>
/// A local connection: two sides, two pipes. Side 0 connected, side 1 was accepted; pipe n carries what side n sends.
/// </summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 896)]
public struct Conn
{
    /// <summary>Link in the free list or in the listener's queue.</summary>
    [FieldOffset(0)] public uint Next;
    [FieldOffset(4)] public uint State;

    /// <summary>Which sides are closed for good (bits 0 and 1): who sets the second frees the connection.</summary>
    [FieldOffset(8)] public uint ClosedMask;

    /// <summary>Index of the listener.</summary>
    [FieldOffset(12)] public uint Listener;

    /// <summary>Raised at each use of the slot.</summary>
    [FieldOffset(16)] public uint Generation;

    /// <summary>The listener's generation when the client found it: another one is another listener.</summary>
    [FieldOffset(20)] public uint ListenerGeneration;

    /// <summary>
    /// Side plus one that gives the connection to the kernel: from then on nobody else touches the rings. 0: nobody.
    /// </summary>
    [FieldOffset(28)] public int Leaving;

    /// <summary>
    /// Who closes each side for good, and who gives the slot back (see <see cref="ConnClaim"/>): one process alone,
    /// since the slot is another connection's as soon as both are done. If it dies over it, others finish.
    /// </summary>
    [FieldOffset(32)] public ulong Closer0;
    [FieldOffset(40)] public ulong Closer1;
    [FieldOffset(48)] public ulong Freeing;

    /// <summary>Link in the listener's list of those in order.</summary>
    [FieldOffset(56)] public uint Later;

    [FieldOffset(64)] public Side Side0;
    [FieldOffset(256)] public Side Side1;
    [FieldOffset(448)] public Pipe Pipe0;
    [FieldOffset(640)] public Pipe Pipe1;
}

/// <summary>
/// A word of a connection by which one process says that a step of its end is its own: the connection's generation
/// above, attachment plus one and process slot below, 0 = nobody. The generation is in it because whoever comes late
/// may find the slot in its next life.
/// </summary>
public static unsafe class ConnClaim
{
    /// <summary>The TCP engine of the region's owner, which is no process: who recovers it finishes.</summary>
    public const uint Engine = uint.MaxValue;

    public static uint Of(uint attachmentPlusOne, int slot) => attachmentPlusOne << 8 | (uint)slot;

    /// <summary>The word of a connection's side.</summary>
    public static ulong* CloserOf(Conn* conn, int side) => side == 0 ? &conn->Closer0 : &conn->Closer1;

    public static ulong Nobody(uint generation) => (ulong)generation << 32;

    /// <summary>False if somebody has it, or the slot is another connection's by now.</summary>
    public static bool TryTake(ulong* word, uint generation, uint who) =>
        Interlocked.CompareExchange(ref *word, Nobody(generation) | who, Nobody(generation)) == Nobody(generation);

    /// <summary>Of one who has died, for <paramref name="who"/>. Returns the generation that it was for, 0: none.
    /// </summary>
    public static uint TakeOver(ulong* word, uint dead, uint who)
    {
        ulong before = Volatile.Read(ref *word);
        uint generation = (uint)(before >> 32);
        return (uint)before == dead && dead != 0
            && Interlocked.CompareExchange(ref *word, Nobody(generation) | who, before) == before ? generation : 0;
    }
}

/// <summary>A listening socket as its neighbours see it.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 256)]
public unsafe struct Listener
{
    [FieldOffset(0)] public uint Next;

    /// <summary>Raised when the socket starts and when it stops listening: odd = open for connections.</summary>
    [FieldOffset(4)] public uint Generation;
    [FieldOffset(8)] public uint Backlog;

    /// <summary>IPV6_V6ONLY: takes no IPv4 connections.</summary>
    [FieldOffset(12)] public uint V6Only;
    [FieldOffset(16)] public Endpoint Name;

    /// <summary>Index plus one of the owner's socket.</summary>
    [FieldOffset(40)] public uint Socket;

    /// <summary>Buffer sizes that accepted connections begin with.</summary>
    [FieldOffset(44)] public uint ReceiveLimit;
    [FieldOffset(48)] public uint SendLimit;

    /// <summary>
    /// The meeting point's descriptor (the same number in every process that inherited it), -1 if there is none.
    /// </summary>
    [FieldOffset(52)] public int Meeting;

    /// <summary>Watchers, as in <see cref="Side"/>.</summary>
    [FieldOffset(64)] public uint Watch;
    [FieldOffset(68)] public fixed ushort Bells[Side.BellSlots];

    /// <summary>CPU plus one on which a thread last waited in accept().</summary>
    [FieldOffset(88)] public uint Cpu;

    /// <summary>
    /// Not 0: others listen on the same address too, and clients go through the kernel, which shares them out. Another
    /// stack (SO_REUSEPORT), for good; or children that have no place in the stack, as long as they live.
    /// </summary>
    [FieldOffset(92)] public uint Shared;

    public const uint SharedForGood = 1, Lent = 2;

    // Written by connecting clients.
    /// <summary>Connections counted against the backlog.</summary>
    [FieldOffset(128)] public int Queued;

    /// <summary>Index plus one of the connection that was pushed last (newest first).</summary>
    [FieldOffset(132)] public uint Arrived;

    /// <summary>Time stamp counter of the last arrival.</summary>
    [FieldOffset(136)] public ulong Stamp;
    [FieldOffset(144)] public ulong Overflows;

    /// <summary>Index plus one of the newest connection that found the queue full.</summary>
    [FieldOffset(152)] public uint Waiting;

    /// <summary>CPU plus one of the last client.</summary>
    [FieldOffset(156)] public uint ClientCpu;

    // Written by accepting threads, under Lock.
    [FieldOffset(192)] public int Lock;

    /// <summary>Index plus one of the oldest connection already put in order, linked by Conn.Later.</summary>
    [FieldOffset(196)] public uint Ordered;
    [FieldOffset(200)] public ulong Accepted;
    [FieldOffset(208)] public fixed ulong Holders[4];

    /// <summary>
    /// Index plus one of the newest connection of those that are being put in order, and of the one that is being taken
    /// out: should the thread die over it, whoever has the lock next goes on.
    /// </summary>
    [FieldOffset(240)] public uint Batch;
    [FieldOffset(244)] public uint Taking;

    /// <summary>Its generation: should somebody else have finished, the slot may be another connection's.</summary>
    [FieldOffset(248)] public uint TakingGeneration;
}
