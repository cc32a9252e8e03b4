using Accel.Core.Local;
using Accel.Core.Memory;

namespace Accel.Inspect;

/// <summary>A copy of a local region's tables, without the bytes in flight.</summary>
public sealed unsafe class LocalView(RegionFile file) : IDisposable
{
    private readonly SparseCopy _copy = file.Copy(LocalRegion.FixedBytes);

    public RegionHeader Header => file.Header;

    public LocalRegion Region => new(_copy.Address);

    public void Dispose() => _copy.Dispose();
}
