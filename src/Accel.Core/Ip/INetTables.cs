using Accel.Core.Local;
using Accel.Wire;

namespace Accel.Core.Ip;

/// <summary>Routes and neighbours as the engine asks for them.</summary>
public interface INetTables
{
    /// <summary>Changes whenever a route or a neighbour does. Cheap.</summary>
    uint Version { get; }

    /// <summary>The route to a destination, from a source address if that is given.</summary>
    bool TryRoute(in Endpoint destination, in Endpoint source, out Route route);

    /// <summary>The hardware address of a neighbour, if it is known and usable, and what the kernel thinks of it.
    /// </summary>
    bool TryNeighbour(
        int interfaceIndex, in Endpoint neighbour, out MacAddress address, out NeighbourState state);
}
