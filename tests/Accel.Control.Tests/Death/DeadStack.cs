using System.Text;
using Accel.Control.Handover;
using Accel.Control.Native;
using Accel.Core.Local;
using Accel.Core.Nic;
using Accel.Testing.Death;

namespace Accel.Control.Tests.Death;

/// <summary>The regions of a stack as memory files of this process, where acceld finds them; it may still write there.
/// </summary>
sealed unsafe class DeadStack : IDisposable
{
    public const uint MayBeSealed = 2, Huge = 4;
    const int AddSeals = 1033, SealShrink = 2, ReadWrite = 3, Shared = 1, NoReserve = 0x4000;

    readonly List<int> _files = [];
    readonly List<(nint At, nint Bytes)> _mapped = [];

    public DeadStack(bool hasLocal = true, bool isSealed = true, long localBytes = 0)
    {
        Id = TestStack.NextId();
        LocalBytes = localBytes != 0 ? localBytes : LocalRegion.FixedBytes + (64 << 20);
        int seals = isSealed ? SealShrink : 0;
        NicFile = Create("accel-nic", NicRegion.SizeBytes, seals);
        Nic = new NicRegion(Map(NicFile, NicRegion.SizeBytes));
        Nic.Format(Id + 1, Id, Environment.ProcessId, 0, 1);
        if (!hasLocal)
            return;
        LocalFile = Create("accel-local", LocalBytes, seals);
        Local = new LocalRegion(Map(LocalFile, LocalBytes));
        Local.Format(Id + 2, Id, LocalBytes, Environment.ProcessId, 0, 1);
        Dead = new DeadRegions(Nic, Local);
    }

    public ulong Id { get; }

    public long LocalBytes { get; }

    public int NicFile { get; }

    public int LocalFile { get; } = -1;

    public NicRegion Nic { get; }

    public LocalRegion Local { get; }

    public DeadRegions Dead { get; } = null!;

    public Estate? Find() => Estate.Of(Environment.ProcessId, Id);

    /// <summary>A memory file of that name in this process.</summary>
    public int Create(string name, long bytes, int seals = SealShrink, uint flags = MayBeSealed)
    {
        int file;
        fixed (byte* text = Encoding.ASCII.GetBytes(name + "\0"))
            file = Libc.MemfdCreate(text, 1 | flags);
        Assert.True(file >= 0, Libc.Error);
        _files.Add(file);
        Assert.Equal(0, Libc.Truncate(file, bytes));
        if (seals != 0)
            Assert.Equal(0, Libc.Fcntl(file, AddSeals, seals));
        return file;
    }

    public byte* Map(int file, long bytes)
    {
        nint at = Libc.Map(0, (nint)bytes, ReadWrite, Shared | NoReserve, file, 0);
        Assert.NotEqual(-1, at);
        _mapped.Add((at, (nint)bytes));
        return (byte*)at;
    }

    /// <summary>How much memory the local region's file takes.</summary>
    public ulong LocalMemory => MemoryFile.BytesInUse(LocalFile);

    public void Dispose()
    {
        foreach ((nint at, nint bytes) in _mapped)
            Libc.Unmap(at, bytes);
        foreach (int file in _files)
            Libc.Close(file);
    }
}
