namespace Accel.Core.Ip;

/// <summary>
/// How much the mirror holds, and where. What does not fit is the kernel's: routing is then refused as a whole, since
/// the longest prefix may be one that is missing.
/// </summary>
public static class NetLimits
{
    public const int Links = 1024, Addresses = 4096, Rules = 256, Runs = 1024, Routes = 32768;

    /// <summary>Slots of the neighbours' hash table, which is kept at most half full.</summary>
    public const int NeighbourSlots = 16384;

    public const long HeaderBytes = 4096;
    public const long LinksOffset = HeaderBytes;
    public const long AddressesOffset = LinksOffset + 2 * Links * LinkEntry.Bytes;
    public const long RulesOffset = AddressesOffset + 2 * Addresses * AddressEntry.Bytes;
    public const long RunsOffset = RulesOffset + 2 * Rules * RuleEntry.Bytes;
    public const long RoutesOffset = RunsOffset + 2 * Runs * RouteRun.Bytes;
    public const long NeighboursOffset = RoutesOffset + 2L * Routes * RouteEntry.Bytes;
    public const long SizeBytes = NeighboursOffset + 2L * NeighbourSlots * NeighbourEntry.Bytes;
}
