using Accel.Core.Memory;

namespace Accel.Core.Handover;

/// <summary>Why a live connection stays where it is. The order is that of <see cref="HandoverRefusalText"/>.</summary>
public enum HandoverRefusal : byte
{
    None = 0,
    NoConnection,
    State,
    UrgentData,
    NoControl,
    NotOurs,
    NoMemory,
    Kernel,
    Descriptor,
    PeerGone,
    Busy,
    Count,
}

/// <summary>One sentence for each <see cref="HandoverRefusal"/>.</summary>
[ColdPath]
public static class HandoverRefusalText
{
    public static readonly string[] Rows =
    [
        "none",
        "the descriptor is no accelerated connection",
        "the connection is not established yet, or over",
        "urgent data is on its way, which cannot be told to another TCP",
        "no acceld answers, and this process may not repair connections itself",
        "acceld knows the port as another stack's",
        "no memory for what the connection has in its queues",
        "the kernel refused to take the connection",
        "no descriptor could be made, or put in the place of the program's",
        "the other end's process could not be reached",
        "the other end is being handed over as well",
    ];
}
