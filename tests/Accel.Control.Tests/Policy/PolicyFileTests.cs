using Accel.Control.Broker;
using Accel.Control.Policy;
using Accel.Core.Local;
using Accel.Core.Nic;

namespace Accel.Control.Tests.Policy;

/// <summary>Who may have what, by the lines of a policy file.</summary>
public class PolicyFileTests
{
    const uint Daemon = 900;

    sealed class Names : IAccountNames
    {
        public uint? Uid(string name) => name == "www-data" ? 33 : null;

        public uint? Gid(string name) => name == "web" ? 44 : null;
    }

    static PolicyFile Parse(params string[] lines) =>
        PolicyFile.Parse(string.Join('\n', lines), "p", Daemon, new Names());

    static Peer User(uint uid, uint gid = 5, params uint[] groups) => new(1, uid, gid, groups);

    static bool Attaches(PolicyFile policy, Peer peer, string link = "veth0") =>
        policy.RefuseAttach(peer, link) == null;

    static string? Steer(PolicyFile policy, Peer peer, ushort port, Transport transport = Transport.Tcp,
        params string[] links) => policy.RefuseSteer(
            peer, transport, new Endpoint { Family = Endpoint.V4, Port = port }, true, links is [] ? ["veth0"] : links);

    [Fact]
    public void Without_lines_only_root_and_the_daemons_user()
    {
        var policy = Parse("", "  # nothing");
        foreach (var peer in new[] { User(0), User(Daemon) })
        {
            Assert.True(Attaches(policy, peer));
            Assert.Null(Steer(policy, peer, 80));
        }
        Assert.Equal("no line of p allows user 33 on veth0", policy.RefuseAttach(User(33), "veth0"));
        Assert.Equal("no line of p allows user 33 on veth0, tcp port 80", Steer(policy, User(33), 80));
    }

    [Fact]
    public void User_interface_and_ports()
    {
        var policy = Parse("allow uid 33 interface veth* ports 80,8000-8100");
        Assert.True(Attaches(policy, User(33)));
        Assert.False(Attaches(policy, User(33), "eth0"));
        Assert.False(Attaches(policy, User(34)));
        foreach (ushort port in new ushort[] { 80, 8000, 8050, 8100 })
            Assert.Null(Steer(policy, User(33), port));
        foreach (ushort port in new ushort[] { 79, 81, 7999, 8101 })
            Assert.NotNull(Steer(policy, User(33), port));
        Assert.NotNull(Steer(policy, User(34), 80));
    }

    [Fact]
    public void A_port_must_be_allowed_on_every_interface_of_the_stack()
    {
        var policy = Parse("allow uid 33 interface veth0 ports 80", "allow uid 33 interface veth1 ports 80,81");
        Assert.Null(Steer(policy, User(33), 80, Transport.Tcp, "veth0", "veth1"));
        Assert.Equal("no line of p allows user 33 on veth0, tcp port 81",
            Steer(policy, User(33), 81, Transport.Tcp, "veth1", "veth0"));
    }

    [Fact]
    public void The_first_line_decides()
    {
        var policy = Parse("# who", "deny uid 33 ports 22  # not that", "allow uid 30-39,www-data", "deny any");
        Assert.Equal("p:2 denies user 33 on veth0, tcp port 22", Steer(policy, User(33), 22));
        Assert.Null(Steer(policy, User(33), 23));
        Assert.Null(Steer(policy, User(35), 22));
        Assert.True(Attaches(policy, User(33)));
        // Root, too, if a line says so.
        Assert.Equal("p:4 denies user 0 on veth0", policy.RefuseAttach(User(0), "veth0"));
    }

    [Fact]
    public void Groups_names_and_transports()
    {
        var policy = Parse("allow gid web transport udp", "allow uid www-data gid 7-8", "allow any ports 53");
        Assert.Null(Steer(policy, User(50, 44), 1, Transport.Udp));
        Assert.Null(Steer(policy, User(50, 5, 6, 44), 1, Transport.Udp));
        Assert.NotNull(Steer(policy, User(50, 44), 1));
        Assert.NotNull(Steer(policy, User(50, 5), 1, Transport.Udp));
        Assert.Null(Steer(policy, User(33, 7), 1));
        Assert.NotNull(Steer(policy, User(33, 9), 1));
        Assert.Null(Steer(policy, User(77), 53));
        Assert.True(Attaches(policy, User(77), "anything"));
    }

    [Theory]
    [InlineData("permit uid 3", "\"permit\": a line begins with allow, deny or look")]
    [InlineData("look", "look: at whose stacks? (all, own or none)")]
    [InlineData("look some any", "look: at whose stacks? (all, own or none)")]
    [InlineData("look own", "whom? (\"look own any\" is everybody)")]
    [InlineData("look own any ports 80", "\"ports\": expected uid or gid")]
    [InlineData("look none uid", "uid: what? (uid 33, uid www-data, uid 1000-1999)")]
    [InlineData("allow", "whom? (\"allow any\" is everybody)")]
    [InlineData("allow interface eth0", "whom? (uid, gid, or \"any\" after the first word)")]
    [InlineData("allow any uid 3", "\"any\" and a uid or gid contradict each other")]
    [InlineData("allow uid", "uid: what? (uid 33, uid www-data, uid 1000-1999)")]
    [InlineData("allow uid 3 port 80", "\"port\": expected uid, gid, interface, transport or ports")]
    [InlineData("allow uid 3 uid 4", "uid stands there twice (separate several by commas, without spaces)")]
    [InlineData("allow uid nobody-here", "uid nobody-here: there is no such account")]
    [InlineData("allow uid 3x", "uid 3x: neither a number nor a range (uid 33, uid www-data, uid 1000-1999)")]
    [InlineData("allow uid 9-3", "uid 9-3: the range ends before it begins")]
    [InlineData("allow uid 4294967295", "uid 4294967295: 4294967294 is the largest")]
    [InlineData("allow any ports 80,", "ports 80,: nothing between the commas (ports 80,8000-8100)")]
    [InlineData("allow any ports 65536", "ports 65536: 65535 is the largest")]
    [InlineData("allow any ports -5", "ports -5: neither a number nor a range (ports 80,8000-8100)")]
    [InlineData("allow any ports http", "ports http: neither a number nor a range (ports 80,8000-8100)")]
    [InlineData("allow any transport sctp", "transport sctp: expected tcp or udp")]
    [InlineData("allow any interface a/b", "interface a/b: no interface can have such a name")]
    public void Complaints_say_where_and_what(string line, string complaint)
    {
        var thrown = Assert.Throws<ControlException>(() => Parse("# first", "", line));
        Assert.Equal($"p:3: {complaint}", thrown.Message);
    }

    [Fact]
    public void All_complaints_at_once()
    {
        var thrown = Assert.Throws<ControlException>(() => Parse("allow", "allow any", "x", "deny any ports 0-a"));
        Assert.Equal([1, 3, 4], thrown.Message.Split('\n').Select(l => int.Parse(l.Split(':')[1])));
    }

    [Fact]
    public void A_policy_that_breaks_while_it_is_in_force_changes_nothing()
    {
        var path = Path.GetTempFileName();
        try
        {
            List<string> log = [];
            File.WriteAllText(path, "allow uid 33 ports 80");
            var policy = new ReloadablePolicy(path, log.Add);
            Assert.Null(policy.RefuseAttach(User(33), "eth0"));
            File.WriteAllText(path, "allow uid 34 prots 80");
            policy.Reload();
            Assert.Null(policy.RefuseAttach(User(33), "eth0"));
            Assert.Contains($"{path}:1: \"prots\"", log[0]);
            File.WriteAllText(path, "allow uid 34");
            policy.Reload();
            Assert.NotNull(policy.RefuseAttach(User(33), "eth0"));
            Assert.Null(policy.RefuseAttach(User(34), "eth0"));
        }
        finally
        {
            File.Delete(path);
        }
        var thrown = Assert.Throws<ControlException>(() => PolicyFile.Load(path));
        Assert.Contains(path, thrown.Message);
    }

    [Fact]
    public void Accounts_of_this_machine()
    {
        Assert.Equal(0u, new AccountFiles().Uid("root"));
        Assert.Equal(0u, new AccountFiles().Gid("root"));
        Assert.Null(new AccountFiles().Uid("nobody of this name"));
    }

    [Fact]
    public void Looks_have_lines_of_their_own_and_are_free_without()
    {
        var policy = Parse("deny any", "look own gid web", "look none uid 1000-1999", "look all uid 1000", "allow any");
        Assert.Equal(LookScope.Own, policy.MayLook(User(7, 44)));
        Assert.Equal(LookScope.Own, policy.MayLook(User(1000, 5, 44)));
        Assert.Equal(LookScope.None, policy.MayLook(User(1000)));
        Assert.Equal(LookScope.All, policy.MayLook(User(33)));
        Assert.False(Attaches(policy, User(33)));
        Assert.False(Attaches(policy, User(7, 44)));
        var strict = Parse("look none any");
        Assert.Equal(LookScope.None, strict.MayLook(User(33)));
        Assert.Equal(LookScope.All, strict.MayLook(User(0)));
        Assert.Equal(LookScope.All, strict.MayLook(User(Daemon)));
        Assert.False(Attaches(strict, User(33)));
        Assert.Equal(LookScope.All, Parse("allow uid 33 ports 80").MayLook(User(34)));
        Assert.Equal(LookScope.All, ((IAccessPolicy)new RootOnlyPolicy()).MayLook(User(34)));
    }
}
