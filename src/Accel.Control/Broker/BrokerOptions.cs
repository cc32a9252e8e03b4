using Accel.Control.Links;

namespace Accel.Control.Broker;

/// <summary>What acceld was told.</summary>
public sealed record BrokerOptions
{
    /// <summary>Names of interfaces; a * stands for any characters.</summary>
    public required IReadOnlyList<string> Patterns { get; init; }

    public required string SocketPath { get; init; }

    public ModeWish Mode { get; init; } = ModeWish.Auto;

    public int MostQueues { get; init; } = int.MaxValue;

    /// <summary>Of each queue; null: by the number of queues.</summary>
    public QueueSizes? Sizes { get; init; }

    public IAccessPolicy Policy { get; init; } = new RootOnlyPolicy();

    public Action<string> Log { get; init; } = static _ => { };

    /// <summary>Takes looks at stacks for other users; null: nobody may look.</summary>
    public ILookSource? Looks { get; init; }

    /// <summary>
    /// How long stacks of an acceld that died may take to come back, before what they had is given to the kernel.
    /// </summary>
    public int GraceMilliseconds { get; init; } = 10_000;

    /// <summary>Leave everything as it is when stopping, for the next acceld.</summary>
    public bool KeepWhenStopping { get; init; }
}
