namespace Accel.Posix;

/// <summary>What becomes of an option of an accelerated socket.</summary>
public enum OptionVerdict
{
    /// <summary>The kernel socket behind the descriptor checks it, keeps it and answers it; nothing else comes of it.
    /// </summary>
    Mirrored,

    /// <summary>
    /// A flag that is kept here, for accepted sockets have no kernel socket; those that do have one mirror it there.
    /// </summary>
    Kept,

    /// <summary>Mirrored, and heeded by the local path or the engine.</summary>
    Own,

    /// <summary>Answered by us alone: what the kernel's socket says is not true of the connection.</summary>
    Answered,

    /// <summary>
    /// Only the kernel can do it. A socket that it is switched on for goes there: before it connects or listens, or
    /// alive.
    /// </summary>
    NeedsKernel,

    /// <summary>The kernel sends the socket's datagrams from then on.</summary>
    KernelSends,

    /// <summary>Refused on a connection, as by a kernel without the feature, so that the program falls back.</summary>
    Refused,
}

/// <summary>
/// When setsockopt() takes an option of a TCP socket, where the kernel socket behind the descriptor, which is not
/// connected, would say something else.
/// </summary>
public enum SettingRule
{
    /// <summary>The kernel's socket says what is true.</summary>
    AskKernel,

    /// <summary>
    /// In any state, but nothing other than 0 and 1: a connection that was accepted has no kernel socket that would say
    /// so (sk_setsockopt() of Linux).
    /// </summary>
    ZeroOrOne,

    /// <summary>Only before it connects, or on a listener.</summary>
    BeforeConnecting,

    /// <summary>On a connection anything but zero.</summary>
    NotZero,

    /// <summary>On a connection only while it is under repair, which none of ours is.</summary>
    UnderRepair,

    /// <summary>On a connection as by a kernel without the module: OpenSSL goes on without it.</summary>
    WithoutModule,
}

/// <summary>One option of one level, with what becomes of it on TCP and on UDP sockets.</summary>
public readonly record struct OptionRow(int Level, int Name, string Text, OptionVerdict Tcp, OptionVerdict Udp,
    SettingRule Rule = SettingRule.AskKernel);
