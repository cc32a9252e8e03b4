using System.Runtime.InteropServices;
using Accel.Core.Local;

namespace Accel.Core.Tests;

/// <summary>A local region in private memory, with room for the given bytes of rings.</summary>
sealed unsafe class TestRegion : IDisposable
{
    readonly byte* _memory;

    public TestRegion(long bufferBytes = 16 << 20)
    {
        var size = LocalRegion.FixedBytes + bufferBytes;
        // Zeroed by the system page by page: what is not touched costs nothing.
        _memory = (byte*)NativeMemory.AllocZeroed((nuint)size);
        Region = new LocalRegion(_memory);
        Region.Format(1, 2, size, 3, 4, 5);
    }

    public LocalRegion Region { get; }

    public int BuffersInUse(int size) => Region.Tables->Buffers.InUse[size];

    public void Dispose() => NativeMemory.Free(_memory);
}

/// <summary>Fails when the code between its making and its end allocates on this thread.</summary>
readonly struct NoAllocation() : IDisposable
{
    readonly long _before = GC.GetAllocatedBytesForCurrentThread();

    public void Dispose() => Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - _before);
}
