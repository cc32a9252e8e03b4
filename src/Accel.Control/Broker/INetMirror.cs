using Accel.Core.Local;
using Accel.Core.Nic;

namespace Accel.Control.Broker;

/// <summary>An address of this network namespace.</summary>
/// <param name="Address">Without a port.</param>
/// <param name="InterfaceIndex">The interface that has it.</param>
/// <param name="AnyInterface">Frames for it may come in anywhere (an address on the loopback interface).</param>
/// <param name="IsOptimistic">In use, although others are still asked whether they have it (RFC 4429).</param>
public readonly record struct OwnAddress(
    Endpoint Address, int InterfaceIndex, bool AnyInterface, bool IsOptimistic = false);

/// <summary>
/// What the broker asks of the mirror of the kernel's tables. Events come on any thread; calls may be made on any.
/// </summary>
public interface INetMirror : IDisposable
{
    /// <summary>The mirror's memory, for stacks to map read-only.</summary>
    int Fd { get; }

    /// <summary>Fills the mirror, then keeps it up to date. Throws if it cannot.</summary>
    void Start();

    /// <summary>Local unicast addresses of the namespace, as of now.</summary>
    IReadOnlyList<OwnAddress> Addresses { get; }

    event Action? AddressesChanged;

    /// <summary>An ICMP error that quotes a TCP segment or UDP datagram of this host.</summary>
    event Action<IcmpEvent>? IcmpReceived;

    /// <summary>A neighbour was found, lost, or has another address now.</summary>
    event Action? NeighboursChanged;

    /// <summary>Has the kernel find a neighbour. Port 0.</summary>
    void Resolve(int interfaceIndex, in Endpoint neighbour);
}
