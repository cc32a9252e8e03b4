using Accel.Core.Local;
using Accel.Core.Nic;

namespace Accel.Control.Broker;

/// <summary>Who is at the other end of a connection, from SO_PEERCRED and SO_PEERGROUPS.</summary>
public sealed record Peer(int Pid, uint Uid, uint Gid, IReadOnlyList<uint> Groups)
{
    public bool IsRoot => Uid == 0;
}

/// <summary>Whose stacks a user may look at: their sockets and counters, never what they send.</summary>
public enum LookScope
{
    None,
    Own,
    All,
}

/// <summary>
/// Decides who may have what. Asked on the broker's thread, so it must answer at once. A refusal is a sentence for the
/// log; null: allowed.
/// </summary>
public interface IAccessPolicy
{
    /// <summary>May the peer have sockets on this interface?</summary>
    string? RefuseAttach(Peer peer, string interfaceName);

    /// <summary>
    /// May the peer take a port from the kernel's path on these interfaces, which are those that it has sockets on?
    /// That the kernel gave it the port is proved already.
    /// </summary>
    string? RefuseSteer(
        Peer peer, Transport transport, in Endpoint local, bool listener, IReadOnlyCollection<string> interfaces);

    /// <summary>Without a word on it all may be looked at by all, as sockets by `ss`.</summary>
    LookScope MayLook(Peer peer) => LookScope.All;
}

/// <summary>Without a policy file: root only.</summary>
public sealed class RootOnlyPolicy : IAccessPolicy
{
    public string? RefuseAttach(Peer peer, string interfaceName) =>
        peer.IsRoot ? null : $"user {peer.Uid} is not root and there is no policy that lets it";

    public string? RefuseSteer(
        Peer peer, Transport transport, in Endpoint local, bool listener, IReadOnlyCollection<string> interfaces) =>
        null;
}
