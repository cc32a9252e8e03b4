using Accel.Control.Broker;
using Accel.Core.Local;
using Accel.Core.Nic;

namespace Accel.Control.Policy;

/// <summary>
/// Who may have what, by the lines of a file. The first line that is about the user, the interface and the port
/// decides; after the last line root and the daemon's own user may have everything, and nobody else anything. Lines
/// about looks are a list of their own, after which everybody may look at everything. See the README for the format.
/// </summary>
public sealed class PolicyFile : IAccessPolicy
{
    private readonly string _name;
    private readonly uint _ownUid;
    private readonly IReadOnlyList<PolicyLine> _lines;

    private PolicyFile(string name, uint ownUid, IReadOnlyList<PolicyLine> lines) =>
        (_name, _ownUid, _lines) = (name, ownUid, lines);

    /// <summary>Reads a policy. Throws with every line that makes no sense.</summary>
    /// <param name="text">The file's content.</param>
    /// <param name="name">The file's name, for complaints.</param>
    /// <param name="ownUid">The daemon's user.</param>
    /// <param name="names">Finds users and groups by name.</param>
    public static PolicyFile Parse(string text, string name, uint ownUid, IAccountNames names)
    {
        List<PolicyLine> lines = [];
        List<string> complaints = [];
        string[] all = text.Split('\n');
        for (int i = 0; i < all.Length; i++)
        {
            string line = all[i].Split('#')[0];
            if (string.IsNullOrWhiteSpace(line))
                continue;
            try
            {
                lines.Add(new PolicyParser(names).Parse(line, i + 1));
            }
            catch (FormatException e)
            {
                complaints.Add($"{name}:{i + 1}: {e.Message}");
            }
        }
        return complaints.Count == 0 ? new PolicyFile(name, ownUid, lines)
            : throw new ControlException(string.Join('\n', complaints));
    }

    /// <summary>Reads a policy from a file. Throws with what is wrong with it.</summary>
    public static PolicyFile Load(string path)
    {
        try
        {
            return Parse(File.ReadAllText(path), path, Native.Libc.UserId(), new AccountFiles());
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ControlException($"policy {path}: {e.Message}");
        }
    }

    /// <summary>
    /// A user may attach to an interface if some port on it could be allowed. Lines about single ports that deny do not
    /// keep anybody out.
    /// </summary>
    public string? RefuseAttach(Peer peer, string interfaceName)
    {
        foreach (PolicyLine line in _lines)
        {
            if (line.Look is null && line.IsAbout(peer) && line.IsAboutInterface(interfaceName)
                && (line.Allows || !line.IsAboutSomePorts))
                return Answer(line, $"user {peer.Uid} on {interfaceName}");
        }
        return ByDefault(peer, $"user {peer.Uid} on {interfaceName}");
    }

    public string? RefuseSteer(
        Peer peer, Transport transport, in Endpoint local, bool listener, IReadOnlyCollection<string> interfaces)
    {
        foreach (string name in interfaces)
        {
            if (RefusePort(peer, name, transport, local.Port) is { } refusal)
                return refusal;
        }
        return null;
    }

    /// <summary>Root and the daemon's own user could look without asking.</summary>
    public LookScope MayLook(Peer peer) => peer.IsRoot || peer.Uid == _ownUid ? LookScope.All
        : _lines.FirstOrDefault(l => l.Look is not null && l.IsAbout(peer))?.Look ?? LookScope.All;

    private string? RefusePort(Peer peer, string interfaceName, Transport transport, ushort port)
    {
        string what = $"user {peer.Uid} on {interfaceName}, {transport} port {port}".ToLowerInvariant();
        foreach (PolicyLine line in _lines)
        {
            if (line.Look is null && line.IsAbout(peer) && line.IsAboutInterface(interfaceName)
                && line.IsAboutPort(transport, port))
                return Answer(line, what);
        }
        return ByDefault(peer, what);
    }

    private string? Answer(PolicyLine line, string what) =>
        line.Allows ? null : $"{_name}:{line.Number} denies {what}";

    private string? ByDefault(Peer peer, string what) =>
        peer.IsRoot || peer.Uid == _ownUid ? null : $"no line of {_name} allows {what}";
}
