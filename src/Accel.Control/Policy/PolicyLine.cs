using System.IO.Enumeration;
using Accel.Control.Broker;
using Accel.Core.Nic;

namespace Accel.Control.Policy;

/// <summary>A range of numbers, both ends included.</summary>
internal readonly record struct NumberRange(uint First, uint Last)
{
    public bool Has(uint number) => First <= number && number <= Last;
}

/// <summary>One line of a policy: whom and what it is about, and whether it allows that.</summary>
/// <param name="Number">Where it stands in the file.</param>
/// <param name="Users">Null: of any user. Likewise the others.</param>
internal sealed record PolicyLine(
    int Number, bool Allows, IReadOnlyList<NumberRange>? Users, IReadOnlyList<NumberRange>? Groups,
    IReadOnlyList<string>? Interfaces, Transport? Transport, IReadOnlyList<NumberRange>? Ports)
{
    /// <summary>Of a line about looks, which is about nothing else: whose stacks. Null: a line about sockets.</summary>
    public LookScope? Look { get; init; }

    public bool IsAbout(Peer peer) =>
        (Users is null || Users.Any(r => r.Has(peer.Uid)))
        && (Groups is null || Groups.Any(r => r.Has(peer.Gid) || peer.Groups.Any(r.Has)));

    public bool IsAboutInterface(string name) =>
        Interfaces is null || Interfaces.Any(p => FileSystemName.MatchesSimpleExpression(p, name, ignoreCase: false));

    public bool IsAboutPort(Transport transport, uint port) =>
        (Transport is null || Transport == transport) && (Ports is null || Ports.Any(r => r.Has(port)));

    /// <summary>It says something of single ports only.</summary>
    public bool IsAboutSomePorts => Ports != null || Transport != null;
}
