namespace Accel.Inspect.Look;

/// <summary>
/// A look as acceld hands it out: marks with what belongs to each, to the end mark. Both ends are of one build, which
/// the layout's hash says; nothing of it is kept.
/// </summary>
internal static class LookFormat
{
    public const int Version = 1;

    public static ReadOnlySpan<byte> Magic => "ACCELOOK"u8;

    /// <summary>pid, name, state, CPU time.</summary>
    public const byte Process = 1;

    /// <summary>pid, descriptor, inode of a socket that the kernel has.</summary>
    public const byte KernelSocket = 2;

    /// <summary>Header, pids of those that hold it, then runs of packed items until an offset of -1.</summary>
    public const byte Region = 3;

    /// <summary>What could not be read, and why.</summary>
    public const byte Note = 4;

    public const byte End = 5;
}
