namespace Accel.Core.Ip;

/// <summary>What the kernel knows of a neighbour: its NUD_ states (linux/neighbour.h).</summary>
[Flags]
public enum NeighbourState : byte
{
    None = 0,

    /// <summary>Being asked for; there is no address yet.</summary>
    Incomplete = 1,
    Reachable = 2,

    /// <summary>Not heard of lately. Usable; asking the kernel to resolve it makes it look.</summary>
    Stale = 4,
    Delay = 8,
    Probe = 16,

    /// <summary>Did not answer.</summary>
    Failed = 32,
    NoArp = 64,
    Permanent = 128,

    /// <summary>There is an address to send to.</summary>
    Usable = Reachable | Stale | Delay | Probe | NoArp | Permanent,
}
