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

/// <summary>One option of one level, with what becomes of it on TCP and on UDP sockets.</summary>
public readonly record struct OptionRow(int Level, int Name, string Text, OptionVerdict Tcp, OptionVerdict Udp);
