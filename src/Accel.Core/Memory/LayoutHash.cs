namespace Accel.Core.Memory;

/// <summary>
/// The hash of src/LAYOUT.txt (FNV-1a, 64 bit). A house test recomputes it and fails when it is stale.
/// </summary>
public static class LayoutHash
{
    public const ulong Value = 0xbb5e1afeca5aa89b;
}
