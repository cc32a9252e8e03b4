using System.Net;
using System.Net.Sockets;
using Accel.Core.Local;
using Accel.Core.Nic;
using Accel.Testing.Death;
using Accel.Wire;

namespace Accel.Control.Tests.Death;

/// <summary>
/// A stack died, and acceld tells its peers: nobody can have it tell the peers of others, or speak on an interface that
/// the stack had nothing on.
/// </summary>
public sealed unsafe class LastWordsTests
{
    const string OtherNear = "vn1", OtherFar = "vf1";

    static int IndexOf(string space, string device) =>
        int.Parse(NetworkPair.IpText("-n", space, "-o", "link", "show", device).Split(':')[0]);

    static MacAddress MacOf(string space, string device)
    {
        var text = NetworkPair.IpText("-n", space, "-o", "link", "show", device);
        var at = text.IndexOf("link/ether ", StringComparison.Ordinal) + "link/ether ".Length;
        return MacAddress.Read([.. text.Substring(at, 17).Split(':').Select(part => Convert.ToByte(part, 16))]);
    }

    [Fact]
    public void Only_the_peers_of_its_own_ports_hear_of_it_and_on_its_own_interfaces()
    {
        using var pair = new NetworkPair();
        NetworkPair.Ip("link", "add", OtherNear, "netns", pair.Near, "type", "veth", "peer", "name", OtherFar, "netns",
            pair.Far);
        NetworkPair.Ip("-n", pair.Near, "link", "set", OtherNear, "up");
        NetworkPair.Ip("-n", pair.Far, "link", "set", OtherFar, "up");
        using var broker = new InnerBroker(pair);
        using var dead = new DeadStack();
        using var stack = new TestStack(broker.SocketPath, id: dead.Id);
        using var holder = NetworkPair.In(pair.Near, () =>
        {
            var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            socket.Bind(new IPEndPoint(IPAddress.Any, 0));
            return socket;
        });
        int port = ((IPEndPoint)holder.LocalEndPoint!).Port;
        Assert.Equal(NicRefusal.None, stack.Steer(holder));
        dead.Nic.LinkAt(0)->InterfaceIndex = IndexOf(pair.Near, NetworkPair.NearDevice);
        dead.Nic.LinkAt(1)->InterfaceIndex = IndexOf(pair.Near, OtherNear);
        dead.Nic.LinkAt(2)->InterfaceIndex = 1;
        Endpoint there = DeadRegions.V4(10, 77, 0, 2, 7777);
        (Endpoint Local, int Link)[] blocks =
        [
            // Another's port, its own port at an address of nobody here, on interfaces that it has nothing on; its own.
            (DeadRegions.V4(10, 77, 0, 1, 22), 0), (DeadRegions.V4(10, 99, 0, 1, port), 0),
            (DeadRegions.V4(10, 77, 0, 1, port), 1), (DeadRegions.V4(10, 77, 0, 1, port), 2),
            (DeadRegions.V4(10, 77, 0, 1, port), 200), (DeadRegions.V4(10, 77, 0, 1, port), 0),
        ];
        foreach ((Endpoint local, int link) in blocks)
        {
            there.Port++;
            NicBlock* block = dead.Dead.BlockAt(dead.Dead.Add(local, there, [1, 2, 3]));
            block->Route.Link = (byte)link;
            block->Route.Mac = MacOf(pair.Far, NetworkPair.FarDevice);
        }
        using var near = new Sniffer(pair.Far, NetworkPair.FarDevice);
        using var other = new Sniffer(pair.Far, OtherFar);
        stack.Die();
        List<string> heard = [];
        while (near.NextReset(heard.Count == 0 ? 5000 : 300) is { } reset)
            heard.Add($"{reset.From} {reset.To}");
        Assert.Equal([$"10.77.0.1:{port} 10.77.0.2:{there.Port}"], heard);
        Assert.Null(other.NextReset(1));
    }
}
