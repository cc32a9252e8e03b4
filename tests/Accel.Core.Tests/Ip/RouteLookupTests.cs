using Accel.Core.Ip;
using Accel.Core.Local;

namespace Accel.Core.Tests.Ip;

/// <summary>Which way a packet goes, by tables made by hand. The kernel's own opinion: tests of the mirror.</summary>
public class RouteLookupTests
{
    static NetTable Simple() => new NetTable()
        .Address(1, "127.0.0.1/8", scope: NetTable.ScopeHost)
        .Route("127.0.0.0/8", 1, table: RouteTable.Local, type: RouteEntry.Local, scope: NetTable.ScopeHost,
            source: "127.0.0.1")
        .Address(1, "::1/128", scope: NetTable.ScopeHost)
        .Link(2, "eth0").Address(2, "10.0.0.1/24").Address(2, "2001:db8::1/64").Address(2, "fe80::1/64")
        .Route("10.0.0.255/32", 2, table: RouteTable.Local, type: RouteEntry.Broadcast, scope: NetTable.ScopeLink)
        .Link(3, "eth1", mtu: 9000).Address(3, "10.1.0.1/16").Address(3, "2001:db8:1::1/64").Address(3, "fe80::2/64")
        .Route("0.0.0.0/0", 2, via: "10.0.0.254").Route("::/0", 2, via: "fe80::ff", metric: 1024);

    [Theory]
    [InlineData("10.0.0.7", "2 via 10.0.0.7 src 10.0.0.1")]
    [InlineData("10.1.2.3", "3 via 10.1.2.3 src 10.1.0.1")]
    [InlineData("8.8.8.8", "2 via 10.0.0.254 src 10.0.0.1")]
    [InlineData("10.0.0.1", "local src 10.0.0.1")]
    [InlineData("127.9.9.9", "local src 127.0.0.1")]
    [InlineData("::ffff:8.8.8.8", "2 via 10.0.0.254 src 10.0.0.1")]
    [InlineData("10.0.0.255", "Kernel")]
    [InlineData("224.0.0.1", "Kernel")]
    [InlineData("255.255.255.255", "Kernel")]
    [InlineData("0.0.0.0", "Kernel")]
    [InlineData("2001:db8::9", "2 via 2001:db8::9 src 2001:db8::1")]
    [InlineData("2001:db8:1::9", "3 via 2001:db8:1::9 src 2001:db8:1::1")]
    [InlineData("2001:db8:2::9", "2 via fe80::ff%2 src 2001:db8::1")]
    [InlineData("2001:db8:1::1", "local src 2001:db8:1::1")]
    [InlineData("::1", "local src ::1")]
    [InlineData("::", "Kernel")]
    [InlineData("ff02::1", "Kernel")]
    [InlineData("fe80::5", "Kernel")]
    public void Simple_host(string destination, string expected)
    {
        using var table = Simple().Publish();
        Assert.Equal(expected, table.Ask(destination));
    }

    [Fact]
    public void Link_local_goes_over_its_scope()
    {
        using var table = Simple().Publish();
        Assert.Equal("3 via fe80::5%3 src fe80::2%3", table.Ask("fe80::5", scope: 3));
        Assert.Equal("2 via fe80::5%2 src fe80::1%2", table.Ask("fe80::5", scope: 2));
        Assert.Equal("local src fe80::1%2", table.Ask("fe80::1", scope: 2));
        // The address of the other link is a neighbour's here.
        Assert.Equal("3 via fe80::1%3 src fe80::2%3", table.Ask("fe80::1", scope: 3));
    }

    [Fact]
    public void Given_source_stays()
    {
        using var table = Simple().Publish();
        Assert.Equal("2 via 10.0.0.254 src 10.1.0.1", table.Ask("8.8.8.8", "10.1.0.1"));
        Assert.Equal("2 via 10.0.0.254 src 10.0.0.1", table.Ask("8.8.8.8", "0.0.0.0"));
        Assert.Equal("Kernel", table.Ask("8.8.8.8", "2001:db8::1"));
    }

    [Fact]
    public void Nothing_is_known_before_the_tables_are_complete()
    {
        Assert.False(default(NetTables).TryRoute(NetTable.At("10.0.0.7"), default, out var route));
        Assert.Equal(RouteKind.Kernel, route.Kind);
        using var table = new NetTable();
        Assert.Equal("Kernel", table.Ask("10.0.0.7"));
        Assert.Equal("Kernel", Simple().Publish(complete: false).Ask("10.0.0.7"));
        Assert.Equal("None", new NetTable().Publish().Ask("10.0.0.7"));
        Assert.Equal("None", new NetTable().Publish().Ask("2001:db8::7"));
    }

    [Fact]
    public void Longest_prefix_then_lowest_metric()
    {
        using var table = Simple()
            .Route("20.0.0.0/8", 2, via: "10.0.0.2").Route("20.1.0.0/16", 3, via: "10.1.0.2", metric: 20)
            .Route("20.1.0.0/16", 2, via: "10.0.0.3", metric: 10).Route("20.1.2.3/32", 3, via: "10.1.0.4", metric: 99)
            .Publish();
        Assert.Equal("2 via 10.0.0.2 src 10.0.0.1", table.Ask("20.2.0.1"));
        Assert.Equal("2 via 10.0.0.3 src 10.0.0.1", table.Ask("20.1.0.1"));
        Assert.Equal("3 via 10.1.0.4 src 10.1.0.1", table.Ask("20.1.2.3"));
    }

    [Theory]
    [InlineData(RouteEntry.Blackhole, "Kernel")]
    [InlineData(RouteEntry.Unreachable, "Kernel")]
    [InlineData(RouteEntry.Prohibit, "Kernel")]
    [InlineData(RouteEntry.Multicast, "Kernel")]
    [InlineData(RouteEntry.Throw, "None")]
    public void Special_types(byte type, string expected)
    {
        using var table = Simple().Route("20.0.0.0/8", 0, type: type).Route("2002::/16", 0, type: type, metric: 1)
            .Publish();
        Assert.Equal(expected, table.Ask("20.1.1.1"));
        Assert.Equal(expected, table.Ask("2002::1"));
    }

    [Fact]
    public void Throw_goes_on_with_the_next_rule()
    {
        using var table = Simple().Rule(Endpoint.V4, 100, 7).Route("20.0.0.0/8", 0, table: 7, type: RouteEntry.Throw)
            .Route("0.0.0.0/0", 3, via: "10.1.0.9", table: 7).Publish();
        Assert.Equal("2 via 10.0.0.254 src 10.0.0.1", table.Ask("20.1.1.1"));
        Assert.Equal("3 via 10.1.0.9 src 10.1.0.1", table.Ask("21.1.1.1"));
    }

    [Fact]
    public void Unusual_routes_are_the_kernels()
    {
        using var table = Simple().Route("20.0.0.0/8", 2, via: "10.0.0.2", flags: RouteEntry.Unusual)
            .Route("21.0.0.0/8", 2, via: "10.0.0.2", metric: 5)
            .Route("21.0.0.0/8", 3, via: "10.1.0.2", metric: 9, flags: RouteEntry.Unusual | RouteEntry.HasService)
            .Route("22.0.0.0/8", 2, via: "10.0.0.2", metric: 5)
            .Route("22.0.0.0/8", 3, via: "10.1.0.2", metric: 9, flags: RouteEntry.Unusual).Publish();
        Assert.Equal("Kernel", table.Ask("20.1.1.1"));
        Assert.Equal("Kernel", table.Ask("21.1.1.1"));
        Assert.Equal("2 via 10.0.0.2 src 10.0.0.1", table.Ask("22.1.1.1"));
    }

    [Fact]
    public void Equal_default_routes_are_the_kernels()
    {
        using var table = Simple().Route("0.0.0.0/0", 3, via: "10.1.0.254").Route("::/0", 3, via: "fe80::fe",
            metric: 1024).Publish();
        Assert.Equal("Kernel", table.Ask("8.8.8.8"));
        Assert.Equal("Kernel", table.Ask("2001:db8:2::9"));
        Assert.Equal("2 via 10.0.0.7 src 10.0.0.1", table.Ask("10.0.0.7"));
    }

    [Fact]
    public void Router_that_does_not_answer_leaves_the_choice_to_the_kernel()
    {
        using var table = Simple().Route("::/0", 3, via: "fe80::fe", metric: 2048);
        table.Neighbour(2, "fe80::ff", NeighbourState.Stale, 1).Publish();
        Assert.Equal("2 via fe80::ff%2 src 2001:db8::1", table.Ask("2001:db8:2::9"));
        table.Neighbour(2, "fe80::ff", NeighbourState.Failed, 1).Publish();
        Assert.Equal("Kernel", table.Ask("2001:db8:2::9"));
        // Without another way there is nothing to choose.
        table.Forget(r => r.Metric == 2048).Publish();
        Assert.Equal("2 via fe80::ff%2 src 2001:db8::1", table.Ask("2001:db8:2::9"));
    }

    [Fact]
    public void Rules_by_source_and_destination()
    {
        using var table = Simple().Rule(Endpoint.V4, 100, 7, from: "10.1.0.0/16")
            .Rule(Endpoint.V4, 101, 8, to: "30.0.0.0/8")
            .Route("0.0.0.0/0", 3, via: "10.1.0.9", table: 7).Route("30.0.0.0/8", 3, via: "10.1.0.8", table: 8)
            .Publish();
        Assert.Equal("2 via 10.0.0.254 src 10.0.0.1", table.Ask("8.8.8.8"));
        Assert.Equal("3 via 10.1.0.9 src 10.1.0.1", table.Ask("8.8.8.8", "10.1.0.1"));
        Assert.Equal("3 via 10.1.0.9 src 10.1.0.1", table.Ask("30.1.1.1", "10.1.0.1"));
        Assert.Equal("3 via 10.1.0.8 src 10.0.0.1", table.Ask("30.1.1.1", "10.0.0.1"));
        // First 10.1.0.8, but its source leads to 10.1.0.9: connect() and sendto() differ.
        Assert.Equal("Kernel", table.Ask("30.1.1.1"));
    }

    [Fact]
    public void Unusual_rules_are_the_kernels_where_they_apply()
    {
        using var table = Simple().Rule(Endpoint.V4, 100, 7, to: "30.0.0.0/8", flags: RuleEntry.Unusual).Publish();
        Assert.Equal("Kernel", table.Ask("30.1.1.1"));
        Assert.Equal("2 via 10.0.0.254 src 10.0.0.1", table.Ask("31.1.1.1"));
        Assert.Equal("local src 10.0.0.1", table.Ask("10.0.0.1"));
        Assert.Equal("2 via fe80::ff%2 src 2001:db8::1", table.Ask("2001:db8:2::9"));
    }

    [Fact]
    public void Rules_turned_round_and_rules_that_pass_over_short_prefixes()
    {
        using var table = Simple().Rule(Endpoint.V4, 100, 7, from: "10.1.0.0/16", to: "30.0.0.0/8",
            flags: RuleEntry.Inverted).Rule(Endpoint.V4, 101, RouteTable.Main, shortest: 1)
            .Rule(Endpoint.V4, 102, 8).Route("30.0.0.0/8", 3, via: "10.1.0.9", table: 7)
            .Route("31.0.0.0/8", 3, via: "10.1.0.8", table: 7).Route("0.0.0.0/0", 3, via: "10.1.0.7", table: 8)
            .Publish();
        Assert.Equal("3 via 10.1.0.9 src 10.0.0.1", table.Ask("30.1.1.1", "10.0.0.1"));
        Assert.Equal("3 via 10.1.0.7 src 10.1.0.1", table.Ask("30.1.1.1", "10.1.0.1"));
        Assert.Equal("3 via 10.1.0.8 src 10.1.0.1", table.Ask("31.1.1.1", "10.1.0.1"));
        Assert.Equal("2 via 10.0.0.7 src 10.0.0.1", table.Ask("10.0.0.7", "10.0.0.1"));
        Assert.Equal("3 via 10.1.0.7 src 10.0.0.1", table.Ask("99.0.0.7", "10.0.0.1"));
    }

    [Fact]
    public void Local_and_main_may_be_one_table()
    {
        using var table = Simple()
            .Route("50.0.0.0/8", 1, table: RouteTable.Local, type: RouteEntry.Local, scope: NetTable.ScopeHost)
            .Route("50.1.0.0/16", 2, via: "10.0.0.3").Publish();
        Assert.Equal("local src 50.2.0.1", table.Ask("50.2.0.1"));
        Assert.Equal("Kernel", table.Ask("50.1.0.1"));
    }

    [Fact]
    public void Link_that_is_down_or_has_no_ipv6_is_the_kernels()
    {
        using var table = Simple().Link(2, "eth0", flags: 0).Publish();
        Assert.Equal("Kernel", table.Ask("10.0.0.7"));
        Assert.Equal("3 via 10.1.0.7 src 10.1.0.1", table.Ask("10.1.0.7"));
    }

    [Fact]
    public void Mtu_of_the_route_only_lowers_that_of_the_link()
    {
        using var table = Simple().Route("20.0.0.0/8", 3, via: "10.1.0.2", mtu: 1400)
            .Route("21.0.0.0/8", 3, via: "10.1.0.2", mtu: 10000).Link(3, "eth1", mtu: 9000, mtu6: 1280).Publish();
        Assert.Equal(1400u, Mtu("20.1.1.1"));
        Assert.Equal(9000u, Mtu("21.1.1.1"));
        Assert.Equal(1280u, Mtu("2001:db8:1::9"));

        uint Mtu(string to)
        {
            Assert.True(table.Tables.TryRoute(NetTable.At(to), default, out var route));
            return route.Mtu;
        }
    }

    [Fact]
    public void Ipv4_over_an_ipv6_gateway()
    {
        using var table = Simple().Route("20.0.0.0/8", 3, via: "fe80::77").Publish();
        Assert.Equal("3 via fe80::77%3 src 10.1.0.1", table.Ask("20.1.1.1"));
    }

    [Fact]
    public void Lookups_allocate_nothing()
    {
        using var table = Simple().Neighbour(2, "10.0.0.7", NeighbourState.Reachable, 1).Publish();
        var v4 = NetTable.At("8.8.8.8");
        var v6 = NetTable.At("2001:db8:2::9");
        var near = NetTable.At("10.0.0.7");
        table.Tables.TryRoute(v4, default, out _);
        using (new NoAllocation())
        {
            table.Tables.TryRoute(v4, default, out _);
            table.Tables.TryRoute(v6, default, out _);
            table.Tables.IsLocalAddress(v6);
            table.Tables.TryNeighbour(2, near, out _);
        }
    }

    /// <summary>Against the plain definition: the longest of all prefixes that fit, the lowest metric among them.
    /// </summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Any_table_against_a_walk_over_all_routes(bool v6)
    {
        var prng = new Prng(Prng.Seed(v6 ? 42UL : 41));
        for (var round = 0; round < 30; round++)
        {
            using var table = new NetTable().Link(2, "eth0").Address(2, v6 ? "fd00::1/128" : "192.168.0.1/32");
            List<(Prefix Prefix, int Bits, uint Metric, string Via)> routes = [];
            for (var i = 0; i < 200; i++)
            {
                // Few bits, so that prefixes nest and meet.
                var bits = prng.Below(v6 ? 129 : 33);
                var address = Any();
                var metric = (uint)i;
                var via = v6 ? $"fd00::{i + 16:x}" : $"192.168.{i / 200 + 1}.{i % 200 + 1}";
                routes.Add((Prefix.Of(NetTable.At(address)).First(bits), bits, metric, via));
                table.Route($"{address}/{bits}", 2, via: via, metric: metric);
            }
            table.Publish();
            for (var i = 0; i < 300; i++)
            {
                var text = Any();
                var key = Prefix.Of(NetTable.At(text));
                var best = routes.Where(r => key.First(r.Bits).Order(r.Prefix) == 0)
                    .OrderByDescending(r => r.Bits).ThenBy(r => r.Metric).Select(r => r.Via).FirstOrDefault();
                Assert.Equal(best == null ? "None" : $"2 via {best} src {(v6 ? "fd00::1" : "192.168.0.1")}",
                    table.Ask(text));
            }
        }

        string Any() => v6
            ? $"{(prng.OneIn(2) ? "2001" : "2009")}:{prng.Below(2):x}:0:{prng.Below(4):x}::{prng.Below(3):x}"
            : $"{(prng.OneIn(2) ? 20 : 60)}.{prng.Below(2)}.{prng.Below(4) * 60}.{prng.Below(3)}";
    }
}
