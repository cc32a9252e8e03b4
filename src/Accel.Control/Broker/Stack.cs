using Accel.Control.Handover;
using Accel.Control.Links;

namespace Accel.Control.Broker;

/// <summary>
/// A stack that has, or had, sockets here: one or more processes, each with a conversation of its own.
/// </summary>
internal sealed class Stack(ulong id, uint slot, Peer peer)
{
    public ulong Id => id;

    public uint Slot => slot;

    /// <summary>The process that came first.</summary>
    public Peer Peer => peer;

    public byte Owner => (byte)(slot + 1);

    public List<Client> Clients { get; } = [];

    /// <summary>
    /// Its AF_XDP sockets by interface and queue. acceld holds them too, so that what lies in their rings when the
    /// stack dies can be taken back.
    /// </summary>
    public Dictionary<(int Interface, uint Queue), StackSocket> Sockets { get; } = [];

    public List<int> PacketSockets { get; } = [];

    /// <summary>Its rings by interface, where frames come that way.</summary>
    public Dictionary<int, FrameRingMap> Rings { get; } = [];

    /// <summary>It comes from an acceld before this one, and has not shown all its queues yet.</summary>
    public bool IsHandingOver { get; set; }

    /// <summary>When its burial is to be tried (milliseconds), now that no process of it is left.</summary>
    public long BurialAt { get; set; }

    /// <summary>Ends when no XDP program that may still deliver to its sockets runs.</summary>
    public Task Grace { get; set; } = Task.CompletedTask;

    public int BurialAttempts { get; set; }

    /// <summary>All processes that it ever had a conversation with.</summary>
    public HashSet<int> Processes { get; } = [];

    /// <summary>Where its connections are, when it dies; null if that is not known.</summary>
    public Estate? Estate { get; set; }

    /// <summary>Who ends its connections, from its death until its ports go back to the kernel.</summary>
    public Executor? Executor { get; set; }
}
