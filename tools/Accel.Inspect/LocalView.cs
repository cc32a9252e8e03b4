using Accel.Core.Local;
using Accel.Core.Memory;

namespace Accel.Inspect;

/// <summary>A copy of a local region's tables, without the bytes in flight.</summary>
public sealed unsafe class LocalView(RegionHeader header, SparseCopy copy) : IDisposable
{
    public RegionHeader Header => header;

    public SparseCopy Copy => copy;

    public LocalRegion Region => new(copy.Address);

    public void Dispose() => copy.Dispose();
}
