using Accel.Core.Memory;

namespace Accel.Core.Stack;

/// <summary>Why a socket runs where it runs. The order is that of <see cref="PathReasonTable.Rows"/>.</summary>
public enum PathReason : byte
{
    /// <summary>Over shared memory.</summary>
    Local = 0,
    NotYetRouted,
    PeerNotAccelerated,
    NotLocalAddress,
    OtherUser,
    OtherPidNamespace,
    AttachRefused,
    NoBuffers,
    NoPort,
    MeetingPointTaken,
    AcceptedFromKernel,
    AddressFamily,
    OptionNeedsKernel,
    LimitReached,

    /// <summary>Over a network interface of the stack's own.</summary>
    Nic,
    InterfaceNotServed,
    SteeringRefused,

    /// <summary>Was accelerated, and was given to the kernel alive.</summary>
    HandedOver,

    /// <summary>F_SETOWN, O_ASYNC and the like.</summary>
    Signals,
    IoUring,

    /// <summary>A child was forked that the stack had no place for.</summary>
    NoProcessSlot,
    Count,
}

/// <summary>What a reason means for a socket.</summary>
public enum PathVerdict : byte
{
    Accelerated,
    Undecided,

    /// <summary>On the kernel, where it could have been accelerated: an error under ACCEL_STRICT.</summary>
    Fallback,

    /// <summary>On the kernel, where it belongs: whoever asks for strictness has not asked for this.</summary>
    Kernel,
}

/// <summary>A reason in one sentence, and what would change it; no remedy: there is nothing to change.</summary>
public readonly record struct PathReasonRow(PathReason Reason, PathVerdict Verdict, string Text, string Remedy);

/// <summary>
/// The one declaration of the reasons: `accel why`, the strict mode, stackdump and the manual say what stands here.
/// </summary>
[ColdPath]
public static class PathReasonTable
{
    public static readonly PathReasonRow[] Rows =
    [
        new(PathReason.Local, PathVerdict.Accelerated, "local: both ends are accelerated on this host", ""),
        new(PathReason.NotYetRouted, PathVerdict.Undecided, "not yet connected or listening",
            "have the program listen or connect: the path is chosen then"),
        new(PathReason.PeerNotAccelerated, PathVerdict.Fallback,
            "kernel: the other end is not accelerated (or started before its own acceleration)",
            "start the program at the other end with `accel run` too, before this one connects"),
        new(PathReason.NotLocalAddress, PathVerdict.Fallback, "kernel: the other end is not an address of this host",
            "have acceld serve the interface that leads there (`acceld --interface NAME`), and leave ACCEL_NIC at 1"),
        new(PathReason.OtherUser, PathVerdict.Fallback, "kernel: the listener belongs to another user",
            "run both programs as one user, or connect as root: memory is shared with one's own user only"),
        new(PathReason.OtherPidNamespace, PathVerdict.Fallback, "kernel: the listener lives in another pid namespace",
            "run both programs in one pid namespace: containers can share theirs"),
        new(PathReason.AttachRefused, PathVerdict.Fallback,
            "kernel: the listener's region could not be mapped (see attach_refused)",
            "run both programs with the same libaccel.so, leave room in ulimit -v, and let this one open /proc/PID/fd "
            + "of the listener"),
        new(PathReason.NoBuffers, PathVerdict.Fallback, "kernel: no buffers left in the listener's region",
            "start the listening program with a larger ACCEL_LOCAL_MB, or with smaller ACCEL_SNDBUF and ACCEL_RCVBUF"),
        new(PathReason.NoPort, PathVerdict.Fallback, "kernel: no ephemeral port could be reserved",
            "widen net.ipv4.ip_local_port_range, or have the program bind its own ports"),
        new(PathReason.MeetingPointTaken, PathVerdict.Fallback,
            "kernel: another process holds the meeting point of this address and port",
            "end the other program that listens on this address and port under accel, or has it from a fork"),
        new(PathReason.AcceptedFromKernel, PathVerdict.Fallback, "kernel: accepted from a peer that is not accelerated",
            "start the client with `accel run` too, or have acceld serve the interface that it comes from"),
        new(PathReason.AddressFamily, PathVerdict.Kernel,
            "kernel: address family or address form that has no fast path",
            "use an IPv4 or IPv6 address of the socket's own family, without a scope, and a port that is not 0"),
        new(PathReason.OptionNeedsKernel, PathVerdict.Fallback, "kernel: a socket option needs the kernel",
            "have the program leave out the option (TLS in the kernel, MD5, Fast Open ...: src/DEVIATIONS.md)"),
        new(PathReason.LimitReached, PathVerdict.Fallback, "kernel: a table of the stack is full",
            "spread the load over several processes; `stackdump stats` shows which table it is"),
        new(PathReason.Nic, PathVerdict.Accelerated, "nic: over an accelerated network interface", ""),
        new(PathReason.InterfaceNotServed, PathVerdict.Fallback,
            "kernel: the route leaves by an interface that acceld does not serve",
            "add the interface to acceld's (`acceld --interface NAME`; `acceld status` shows which it serves)"),
        new(PathReason.SteeringRefused, PathVerdict.Fallback,
            "kernel: acceld refused to steer the port to this stack (see nic_refusal)",
            "allow the user, the interface and the port in acceld's policy file; `stackdump nic` says what it refused"),
        new(PathReason.HandedOver, PathVerdict.Kernel, "kernel: given to it alive, after it had been accelerated",
            "close and connect again: a connection that was handed over stays with the kernel"),
        new(PathReason.Signals, PathVerdict.Fallback, "kernel: the program wants signals of it (F_SETOWN, O_ASYNC)",
            "have the program wait by poll or epoll instead of by signals"),
        new(PathReason.IoUring, PathVerdict.Fallback, "kernel: the program uses io_uring",
            "have the program use ordinary calls (many have an option for that)"),
        new(PathReason.NoProcessSlot, PathVerdict.Fallback,
            "kernel: it is shared with a process that was forked when its stack had 256 already",
            "have the program make fewer processes at once; those that come after some have ended have places again"),
    ];
}

/// <summary>The sentences alone, by <see cref="PathReason"/>.</summary>
[ColdPath]
public static class PathReasonText
{
    public static readonly string[] Rows = Texts();

    private static string[] Texts()
    {
        var texts = new string[PathReasonTable.Rows.Length];
        for (int i = 0; i < texts.Length; i++)
            texts[i] = PathReasonTable.Rows[i].Text;
        return texts;
    }
}
