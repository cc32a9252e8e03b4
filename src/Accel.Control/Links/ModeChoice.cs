using Accel.Control.Bpf;

namespace Accel.Control.Links;

/// <summary>What the user wants.</summary>
public enum ModeWish
{
    Auto,
    Native,
    Generic,
}

/// <summary>Which way to attach first, whether the other may be tried, and why.</summary>
public readonly record struct ModeChoice(XdpMode First, bool MayFallBack, string Why)
{
    /// <summary>
    /// On a veth, generic mode is as quick as native, receives super-frames, and leaves the kernel's own bulk traffic
    /// alone: 25 of 33 Gb/s, where a native program leaves 6. Elsewhere the driver's own way is the better one.
    /// </summary>
    public static ModeChoice For(ModeWish wish, NetInterface device) => wish switch
    {
        ModeWish.Native => new(XdpMode.Native, false, "as asked for"),
        ModeWish.Generic => new(XdpMode.Generic, false, "as asked for"),
        _ when device.IsVirtualPair => new(XdpMode.Generic, true, "the better one on veth"),
        _ => new(XdpMode.Native, true, "the driver can"),
    };
}
