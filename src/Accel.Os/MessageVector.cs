namespace Accel.Os;

/// <summary>struct iovec</summary>
internal struct IoVector
{
    public ulong Base;
    public ulong Length;
}

/// <summary>struct msghdr</summary>
internal struct MessageVector
{
    public ulong Name;
    public uint NameLength;
    public ulong Runs;
    public ulong RunCount;
    public ulong Control;
    public ulong ControlLength;
    public int Flags;
}
