using Accel.Control.Broker;
using Accel.Core.Local;
using Accel.Core.Nic;

namespace Accel.Control.Policy;

/// <summary>
/// A policy that is read again on demand. What was given under the old one stays with who has it; a file that makes no
/// sense changes nothing.
/// </summary>
public sealed class ReloadablePolicy(string path, Action<string> log) : IAccessPolicy
{
    private volatile PolicyFile _now = PolicyFile.Load(path);

    public void Reload()
    {
        try
        {
            _now = PolicyFile.Load(path);
            log($"policy {path} read again");
        }
        catch (ControlException e)
        {
            log($"the policy stays as it was: {e.Message}");
        }
    }

    public string? RefuseAttach(Peer peer, string interfaceName) => _now.RefuseAttach(peer, interfaceName);

    public string? RefuseSteer(
        Peer peer, Transport transport, in Endpoint local, bool listener, IReadOnlyCollection<string> interfaces) =>
        _now.RefuseSteer(peer, transport, local, listener, interfaces);

    public LookScope MayLook(Peer peer) => _now.MayLook(peer);
}
