using Accel.Control.Bpf;

namespace Accel.Control.Links;

/// <summary>What the user wants.</summary>
public enum ModeWish
{
    Auto,
    Native,
    Generic,
    Ring,
}

/// <summary>The ways to attach, in the order in which they are tried, and why the first is the first.</summary>
public readonly record struct ModeChoice(IReadOnlyList<AttachMode> Modes, string Why)
{
    /// <summary>
    /// On a veth, generic mode is as quick as native, receives super-frames, and leaves the kernel's own bulk traffic
    /// alone: 25 of 33 Gb/s, where a native program leaves 6. Ring mode leaves all of it, and is quicker still: a frame
    /// comes and is answered in 3.7 us, where generic mode takes 5.6. Elsewhere the driver's own way is the better one.
    /// </summary>
    public static ModeChoice For(ModeWish wish, NetInterface device) => wish switch
    {
        ModeWish.Native => new([AttachMode.Native], "as asked for"),
        ModeWish.Generic => new([AttachMode.Generic], "as asked for"),
        ModeWish.Ring => new([AttachMode.Ring], "as asked for"),
        _ when device.IsVirtualPair =>
            new([AttachMode.Ring, AttachMode.Generic, AttachMode.Native], "the best one on veth"),
        _ => new([AttachMode.Native, AttachMode.Generic], "the driver can"),
    };
}
