using Accel.Core.Ip;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Nic;
using Accel.Wire;

namespace Accel.Posix;

/// <summary>The control plane's mirror as the engine asks it: always the one of the daemon that is there now.</summary>
[ColdPath]
public sealed class MirrorTables(INicControl control) : INetTables
{
    /// <summary>Two counts in one: either moves it.</summary>
    public uint Version => control.Tables.RouteSequence * 0x10001 + control.Tables.NeighbourSequence;

    public bool TryRoute(in Endpoint destination, in Endpoint source, out Route route) =>
        control.Tables.TryRoute(destination, source, out route);

    public bool TryNeighbour(
        int interfaceIndex, in Endpoint neighbour, out MacAddress address, out NeighbourState state) =>
        control.Tables.TryNeighbour(interfaceIndex, neighbour, out address, out state);
}
