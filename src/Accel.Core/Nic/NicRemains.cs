using Accel.Core.Handover;
using Accel.Core.Local;
using Accel.Wire;

namespace Accel.Core.Nic;

/// <summary>
/// What there is to know of a connection whose program has died, taken out of the regions once: others may write there
/// still, and what was checked here is what is done.
/// </summary>
public struct NicRemains
{
    public NicRoute Route;

    /// <summary>The next hop's hardware address is known.</summary>
    public bool HasMac;

    /// <summary>Where both streams stand, for a reset.</summary>
    public SeqNum SndNxt, RcvNxt;

    /// <summary>With <see cref="NicDuty.Close"/>: how it stands, with nothing to be read.</summary>
    public TcpImage Image;

    /// <summary>With <see cref="NicDuty.Close"/>: where the bytes are that the peer has not acknowledged.</summary>
    public Pipe Out;
}
