using System.Net;
using System.Net.Sockets;
using Accel.Control.Broker;
using Accel.Control.Mirror;
using Accel.Core.Ip;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Nic;
using Accel.Wire;

namespace Accel.Control.Tests.Mirror;

/// <summary>Neighbours, addresses, links and ICMP errors of a namespace, as its mirror shows them.</summary>
public class NetMirrorTests
{
    static TestNamespace Pair()
    {
        var space = TestNamespace.Make().Links("eth1");
        space.Ip("addr add 10.0.0.1/24 dev eth1");
        space.PeerIp("addr add 10.0.0.2/24 dev eth1");
        space.Ip("addr add 2001:db8::1/64 dev eth1 nodad");
        space.PeerIp("addr add 2001:db8::2/64 dev eth1 nodad");
        return space;
    }

    static string PeerMac(TestNamespace space) =>
        TestNamespace.Must("ip", "netns", "exec", space.Peer, "cat", "/sys/class/net/eth1/address").Trim();

    [Theory]
    [InlineData("10.0.0.2", "10.0.0.99")]
    [InlineData("2001:db8::2", "2001:db8::99")]
    public void Neighbours_are_found_on_request_and_go(string living, string absent)
    {
        using var space = Pair().StartMirror();
        var tables = space.Mirror.Tables;
        var eth1 = space.Index("eth1");
        Assert.False(tables.TryNeighbour(eth1, Kernel.At(living), out _));
        space.Mirror.Resolve(eth1, Kernel.At(living));
        MacAddress mac = default;
        TestNamespace.Until(() => tables.TryNeighbour(eth1, Kernel.At(living), out mac), () => "not found");
        Assert.Equal(PeerMac(space), mac.ToString());

        space.Mirror.Resolve(eth1, Kernel.At(absent));
        NeighbourState state = default;
        TestNamespace.Until(() => !tables.TryNeighbour(eth1, Kernel.At(absent), out _, out state)
            && state == NeighbourState.Failed, () => state.ToString());

        space.Ip($"neigh replace {living} lladdr 02:00:00:00:00:07 dev eth1 nud permanent");
        TestNamespace.Until(() => tables.TryNeighbour(eth1, Kernel.At(living), out mac, out state)
            && state == NeighbourState.Permanent, () => state.ToString());
        Assert.Equal("02:00:00:00:00:07", mac.ToString());
        space.Ip($"neigh del {living} dev eth1");
        TestNamespace.Until(() => !tables.TryNeighbour(eth1, Kernel.At(living), out _), () => "still there");
    }

    /// <summary>The kernel does not ask by itself, then: it has no address to ask from.</summary>
    [Fact]
    public void Neighbours_are_found_from_a_link_without_a_link_local_address()
    {
        using var space = Pair();
        space.Ip("-6 addr flush dev eth1 scope link");
        space.StartMirror();
        var eth1 = space.Index("eth1");
        MacAddress mac = default;
        space.Mirror.Resolve(eth1, Kernel.At("2001:db8::2"));
        TestNamespace.Until(
            () => space.Mirror.Tables.TryNeighbour(eth1, Kernel.At("2001:db8::2"), out mac), () => "not found");
        Assert.Equal(PeerMac(space), mac.ToString());
    }

    [Theory]
    [InlineData("2001:db8::1", "ff02::1:ff00:1")]
    [InlineData("fe80::a0b1:c2d3:e4f5:1607", "ff02::1:fff5:1607")]
    public void A_neighbour_is_asked_for_at_its_solicited_node(string neighbour, string group) =>
        Assert.Equal(Kernel.At(group), Solicitor.SolicitedNode(Kernel.At(neighbour)));

    [Fact]
    public void Neighbours_that_were_there_before_and_those_of_a_link_that_goes_down()
    {
        using var space = Pair();
        for (var i = 10; i < 200; i++)
            space.Ip($"neigh add 10.0.0.{i} lladdr 02:00:00:00:00:{i:x2} dev eth1 nud reachable");
        space.StartMirror();
        var tables = space.Mirror.Tables;
        var eth1 = space.Index("eth1");
        for (var i = 10; i < 200; i++)
        {
            Assert.True(tables.TryNeighbour(eth1, Kernel.At($"10.0.0.{i}"), out var mac));
            Assert.Equal($"02:00:00:00:00:{i:x2}", mac.ToString());
        }
        space.Ip("link set eth1 down");
        TestNamespace.Until(() => !Enumerable.Range(10, 190)
            .Any(i => tables.TryNeighbour(eth1, Kernel.At($"10.0.0.{i}"), out _)), () => "still there");
    }

    [Fact]
    public void Requests_that_make_no_sense_do_no_harm()
    {
        using var space = Pair().StartMirror();
        for (var i = 0; i < 100; i++)
        {
            space.Mirror.Resolve(9999, Kernel.At("10.0.0.2"));
            space.Mirror.Resolve(space.Index("eth1"), Kernel.At("224.0.0.1"));
            space.Mirror.Resolve(0, default);
        }
        space.Mirror.Resolve(space.Index("eth1"), Kernel.At("::ffff:10.0.0.2"));
        TestNamespace.Until(() => space.Mirror.Tables.TryNeighbour(space.Index("eth1"), Kernel.At("10.0.0.2"), out _),
            () => "not found");
    }

    [Fact]
    public void Addresses_of_the_namespace()
    {
        using var space = Pair();
        space.Ip("addr add 172.16.0.1/32 dev lo");
        space.StartMirror();
        var eth1 = space.Index("eth1");
        var changes = 0;
        space.Mirror.AddressesChanged += () => Interlocked.Increment(ref changes);
        var now = space.Mirror.Addresses;
        Assert.Contains(new OwnAddress(Kernel.At("10.0.0.1"), eth1, false), now);
        Assert.Contains(new OwnAddress(Kernel.At("2001:db8::1"), eth1, false), now);
        Assert.Contains(new OwnAddress(Kernel.At("172.16.0.1"), 1, true), now);
        Assert.DoesNotContain(now, a => a.Address.IsLoopback);
        Assert.Single(now, a => a.Address.Family == Endpoint.V6 && a.Address.ScopeId == eth1);
        Assert.True(space.Mirror.Tables.IsLocalAddress(Kernel.At("10.0.0.1")));

        space.Ip("addr del 10.0.0.1/24 dev eth1");
        TestNamespace.Until(() => !space.Mirror.Addresses.Any(a => a.Address.SameAddress(Kernel.At("10.0.0.1"))),
            () => "still there");
        Assert.False(space.Mirror.Tables.IsLocalAddress(Kernel.At("10.0.0.1")));
        space.Ip("addr add 10.0.0.5/24 dev eth1");
        TestNamespace.Until(() => space.Mirror.Addresses.Any(a => a.Address.SameAddress(Kernel.At("10.0.0.5")))
            && Volatile.Read(ref changes) >= 2, () => $"{changes} changes");
    }

    [Fact]
    public unsafe void Links_as_they_are()
    {
        using var space = Pair().StartMirror();
        Assert.True(space.Mirror.Tables.TryLink(space.Index("eth1"), out var link));
        Assert.Equal((LinkKind.Veth, 1500u, 1500u, (byte)1, true),
            (link.Kind, link.Mtu, link.Mtu6, link.PeerOnHost, link.IsUp));
        Assert.Equal("eth1", System.Text.Encoding.ASCII.GetString(link.Name, 4));
        Assert.Equal(space.Shell("cat /sys/class/net/eth1/address").Trim(),
            MacAddress.Read(new ReadOnlySpan<byte>(link.Mac, 6)).ToString());
        Assert.True(space.Mirror.Tables.TryLink(1, out link));
        Assert.Equal(LinkKind.Loopback, link.Kind);
        space.Ip("link set eth1 mtu 1280");
        TestNamespace.Until(() => space.Mirror.Tables.TryLink(space.Index("eth1"), out var changed)
            && changed.Mtu == 1280, () => "MTU");
    }

    [Fact]
    public unsafe void Nobody_else_can_write_the_mirror()
    {
        using var space = Pair().StartMirror();
        var fd = space.Mirror.Fd;
        Assert.Equal(-1, Libc.Write(fd, [1, 2, 3], 3));
        // Whoever has the descriptor can open the file again, for writing: it must not help.
        var path = $"/proc/self/fd/{fd}";
        using var again = File.OpenHandle(path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);
        Assert.ThrowsAny<SystemException>(() => RandomAccess.Write(again, new byte[8], 0));
        Assert.Equal(-1, Libc.Map(0, 4096, 3, 1, (int)again.DangerousGetHandle(), 0));
        var mapped = Libc.Map(0, (nint)NetLimits.SizeBytes, 1, 1, fd, 0);
        Assert.NotEqual(-1, mapped);
        var tables = new NetTables((byte*)mapped);
        Assert.Null(RegionHeader.Refusal(*(RegionHeader*)mapped, RegionKind.NetTables, LayoutHash.Value));
        Assert.True(tables.TryRoute(Kernel.At("10.0.0.2"), default, out _));
        Libc.Unmap(mapped, (nint)NetLimits.SizeBytes);
    }

    /// <summary>More changes than the event buffer holds: afterwards all is as it is.</summary>
    [Fact]
    public unsafe void Storms_of_changes_are_survived()
    {
        using var asleep = new ManualResetEventSlim();
        using var gate = new ManualResetEventSlim();
        using var space = Pair().StartMirror(eventBufferBytes: 4096);
        // The mirror's own thread, which so sleeps through the storm.
        space.Mirror.AddressesChanged += () =>
        {
            asleep.Set();
            gate.Wait();
        };
        space.Ip("addr add 10.0.7.1/24 dev eth1");
        asleep.Wait(TestContext.Current.CancellationToken);
        var batch = Path.GetTempFileName();
        try
        {
            List<string> lines = [];
            for (var i = 0; i < 6000; i++)
                lines.Add($"route add 20.{i / 250}.{i % 250}.0/24 via 10.0.0.{2 + i % 250}");
            for (var i = 0; i < 6000; i += 2)
                lines.Add($"route del 20.{i / 250}.{i % 250}.0/24");
            File.WriteAllLines(batch, lines);
            TestNamespace.Must("ip", "-n", space.Name, "-batch", batch);
        }
        finally
        {
            gate.Set();
            File.Delete(batch);
        }
        TestNamespace.Until(
            () => Enumerable.Range(0, 6000).All(i => Kernel.Mirrored(space, $"20.{i / 250}.{i % 250}.7")
                == (i % 2 == 0 ? Kernel.None : $"eth1 via 10.0.0.{2 + i % 250} src 10.0.0.1")),
            () => "routes differ");
        Assert.True(((NetHeader*)space.Mirror.Tables.Address)->Overruns > 0);
    }

    [Theory]
    [InlineData("10.0.0.1", "10.0.0.2")]
    [InlineData("2001:db8::1", "2001:db8::2")]
    public void Errors_for_datagrams_are_heard(string own, string peer)
    {
        using var space = Pair().StartMirror();
        List<IcmpEvent> heard = [];
        space.Mirror.IcmpReceived += report =>
        {
            lock (heard)
                heard.Add(report);
        };
        var port = 0;
        space.Inside(() =>
        {
            var local = IPAddress.Parse(own);
            using var socket = new Socket(local.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
            socket.Bind(new IPEndPoint(local, 0));
            port = ((IPEndPoint)socket.LocalEndPoint!).Port;
            socket.SendTo([1, 2, 3], new IPEndPoint(IPAddress.Parse(peer), 9));
        });
        TestNamespace.Until(() => Count() > 0, () => "nothing heard");
        var report = heard[0];
        Assert.Equal((Transport.Udp, port, 9), (report.Transport, report.Local.Port, report.Remote.Port));
        Assert.True(report.Local.SameAddress(Kernel.At(own)) && report.Remote.SameAddress(Kernel.At(peer)));
        Assert.Equal(own.Contains(':') ? ((byte)1, (byte)4) : ((byte)3, (byte)3), (report.Type, report.Code));

        int Count()
        {
            lock (heard)
                return heard.Count;
        }
    }
}

/// <summary>Calls that the framework does not offer.</summary>
static unsafe partial class Libc
{
    [System.Runtime.InteropServices.LibraryImport("libc", EntryPoint = "write")]
    public static partial nint Write(int fd, byte[] bytes, nint count);

    [System.Runtime.InteropServices.LibraryImport("libc", EntryPoint = "mmap")]
    public static partial nint Map(nint address, nint bytes, int protection, int flags, int fd, long offset);

    [System.Runtime.InteropServices.LibraryImport("libc", EntryPoint = "munmap")]
    public static partial int Unmap(nint address, nint bytes);
}
