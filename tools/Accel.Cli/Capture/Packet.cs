namespace Accel.Cli.Capture;

/// <summary>Which way a packet went, as seen by the process that it is shown for.</summary>
internal enum Direction
{
    Unknown = 0,
    In = 1,
    Out = 2,
}

/// <summary>
/// An Ethernet frame as it is written: what was captured of it, how long it was, and who is at its ends.
/// </summary>
internal readonly record struct Packet(
    long WallNs, string Interface, Direction Direction, ReadOnlyMemory<byte> Bytes, int Length, string Comment);
