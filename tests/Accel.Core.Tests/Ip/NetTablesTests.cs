using Accel.Core.Ip;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Wire;

namespace Accel.Core.Tests.Ip;

/// <summary>The mirror region: neighbours, own addresses, and readers who meet the writer.</summary>
public class NetTablesTests
{
    [Fact]
    public unsafe void Region_says_what_it_is()
    {
        using var table = new NetTable();
        Assert.Null(RegionHeader.Refusal(table.Writer.Header->Header, RegionKind.NetTables, LayoutHash.Value));
        Assert.Equal((ulong)NetLimits.SizeBytes, table.Writer.Header->Header.SizeBytes);
    }

    [Theory]
    [InlineData(NeighbourState.Reachable, true)]
    [InlineData(NeighbourState.Stale, true)]
    [InlineData(NeighbourState.Probe, true)]
    [InlineData(NeighbourState.Permanent, true)]
    [InlineData(NeighbourState.Incomplete, false)]
    [InlineData(NeighbourState.Failed, false)]
    public void Neighbour_by_state(NeighbourState state, bool usable)
    {
        using var table = new NetTable().Neighbour(2, "10.0.0.7", state, 9).Publish();
        Assert.Equal(usable, table.Tables.TryNeighbour(2, NetTable.At("10.0.0.7"), out var mac, out var found));
        Assert.Equal(state, found);
        Assert.Equal(MacAddress.Read([2, 0, 0, 0, 0, 9]), mac);
        Assert.False(table.Tables.TryNeighbour(3, NetTable.At("10.0.0.7"), out _));
        Assert.False(table.Tables.TryNeighbour(2, NetTable.At("10.0.0.8"), out _));
    }

    [Fact]
    public void Neighbours_against_a_dictionary()
    {
        var prng = new Prng(Prng.Seed(51));
        using var table = new NetTable();
        Dictionary<(int, string), byte> model = [];
        for (var i = 0; i < 700; i++)
        {
            var link = 2 + prng.Below(3);
            var address = prng.OneIn(2) ? $"10.0.0.{prng.Below(200)}" : $"fe80::{prng.Below(200):x}";
            var mac = (byte)prng.Below(256);
            model[(link, address)] = mac;
            table.Neighbour(link, address, NeighbourState.Reachable, mac);
            if (i % 100 != 99)
                continue;
            var before = table.Tables.NeighbourSequence;
            table.Publish();
            Assert.NotEqual(before, table.Tables.NeighbourSequence);
            foreach (var ((l, a), m) in model)
            {
                Assert.True(table.Tables.TryNeighbour(l, NetTable.At(a), out var found));
                Assert.Equal(MacAddress.Read([2, 0, 0, 0, 0, m]), found);
            }
        }
        for (var i = 200; i < 256; i++)
            Assert.False(table.Tables.TryNeighbour(2, NetTable.At($"10.0.0.{i}"), out _));
    }

    [Fact]
    public void More_neighbours_than_fit_are_left_out()
    {
        using var table = new NetTable();
        var many = new NeighbourEntry[NetLimits.NeighbourSlots];
        for (var i = 0; i < many.Length; i++)
            many[i] = new NeighbourEntry { Family = Endpoint.V4, AddressLow = (uint)i + 1, InterfaceIndex = 2,
                State = NeighbourState.Reachable };
        table.Writer.PublishNeighbours(many);
        Assert.True(table.Tables.TryNeighbour(2, new Endpoint { Family = Endpoint.V4, AddressLow = 1 }, out _));
        Assert.False(table.Tables.TryNeighbour(
            2, new Endpoint { Family = Endpoint.V4, AddressLow = NetLimits.NeighbourSlots }, out _));
    }

    [Fact]
    public void More_routes_than_fit_leave_routing_to_the_kernel()
    {
        using var table = new NetTable().Link(2, "eth0").Address(2, "10.0.0.1/24").Publish();
        Assert.Equal("2 via 10.0.0.7 src 10.0.0.1", table.Ask("10.0.0.7"));
        for (var i = 0; i <= NetLimits.Routes; i++)
            table.Route($"20.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}/32", 2);
        table.Publish();
        Assert.Equal("Kernel", table.Ask("10.0.0.7"));
    }

    [Fact]
    public void Own_addresses()
    {
        using var table = new NetTable()
            .Address(1, "127.0.0.1/8", scope: NetTable.ScopeHost).Address(1, "::1/128", scope: NetTable.ScopeHost)
            .Route("127.0.0.0/8", 1, table: RouteTable.Local, type: RouteEntry.Local)
            .Link(2, "eth0").Address(2, "10.0.0.1/24").Address(2, "fe80::1/64")
            .Address(2, "2001:db8::1/64", AddressEntry.Tentative)
            .Route("50.0.0.0/8", 1, table: RouteTable.Local, type: RouteEntry.Local)
            .Route("10.0.0.255/32", 2, table: RouteTable.Local, type: RouteEntry.Broadcast).Publish();
        foreach (var own in new[] { "127.0.0.1", "127.200.0.1", "10.0.0.1", "::ffff:10.0.0.1", "::1", "50.1.2.3" })
            Assert.True(table.Tables.IsLocalAddress(NetTable.At(own)), own);
        foreach (var foreign in new[] { "10.0.0.2", "10.0.0.255", "0.0.0.0", "::", "2001:db8::1", "fe80::2" })
            Assert.False(table.Tables.IsLocalAddress(NetTable.At(foreign)), foreign);
        Assert.True(table.Tables.IsLocalAddress(NetTable.At("fe80::1", 2)));
        Assert.False(table.Tables.IsLocalAddress(NetTable.At("fe80::1", 3)));
        Assert.False(default(NetTables).IsLocalAddress(NetTable.At("127.0.0.1")));
    }

    [Fact]
    public unsafe void Links_are_found_by_index()
    {
        using var table = new NetTable().Link(7, "eth7", LinkKind.Veth).Link(3, "eth3").Publish();
        Assert.True(table.Tables.TryLink(7, out var link));
        Assert.Equal((LinkKind.Veth, (byte)'e', (byte)'7'), (link.Kind, link.Name[0], link.Name[3]));
        Assert.False(table.Tables.TryLink(4, out _));
    }

    [Fact]
    public void What_has_not_changed_is_not_published_again()
    {
        using var table = new NetTable().Link(2, "eth0").Address(2, "10.0.0.1/24").Publish();
        var before = table.Tables.RouteSequence;
        Assert.False(table.Publishes());
        Assert.Equal(before, table.Tables.RouteSequence);
        table.Link(2, "eth0", mtu: 1400);
        Assert.True(table.Publishes());
        Assert.Equal(before + 1, table.Tables.RouteSequence);
    }

    /// <summary>
    /// The writer changes between two networks, in which each answer is a whole one of the first or of the second.
    /// </summary>
    [Fact]
    public async Task Readers_see_one_state_or_the_other()
    {
        using var table = new NetTable().Link(2, "eth0").Link(3, "eth1").Address(2, "10.0.0.1/24")
            .Address(3, "10.0.1.1/24").Neighbour(2, "10.0.0.9", NeighbourState.Reachable, 1)
            .Route("0.0.0.0/0", 2, via: "10.0.0.9").Publish();
        using var end = new CancellationTokenSource();
        var reader = Task.Run(() =>
        {
            var seen = new HashSet<string>();
            while (!end.IsCancellationRequested)
            {
                seen.Add(table.Ask("8.8.8.8"));
                table.Tables.TryNeighbour(2, NetTable.At("10.0.0.9"), out var mac);
                seen.Add(mac.ToString());
            }
            return seen;
        }, TestContext.Current.CancellationToken);
        for (var i = 0; i < 20_000; i++)
        {
            var second = i % 2 == 0;
            table.Forget(r => r.PrefixLength == 0)
                .Route("0.0.0.0/0", second ? 3 : 2, via: second ? "10.0.1.9" : "10.0.0.9")
                .Neighbour(2, "10.0.0.9", NeighbourState.Reachable, (byte)(second ? 2 : 1)).Publish();
        }
        await end.CancelAsync();
        // "Kernel" is allowed: a reader may give up against a writer that never rests.
        Assert.Subset(
            new HashSet<string>
            {
                "2 via 10.0.0.9 src 10.0.0.1", "3 via 10.0.1.9 src 10.0.1.1", "Kernel",
                MacAddress.Read([2, 0, 0, 0, 0, 1]).ToString(), MacAddress.Read([2, 0, 0, 0, 0, 2]).ToString(),
                default(MacAddress).ToString(),
            }, await reader);
    }

    /// <summary>
    /// A reader that the writer overtakes sees bytes that belong to nothing. It must not leave the region, nor stay in
    /// it: the memory behind it is not there, and a walk that does not end hangs this test.
    /// </summary>
    [Fact]
    public unsafe void Nonsense_in_the_region_harms_nobody()
    {
        var prng = new Prng(Prng.Seed(61));
        var page = Environment.SystemPageSize;
        var bytes = (nuint)(NetLimits.SizeBytes + page);
        var memory = Mmap(0, bytes, 3, 0x4022, -1, 0);
        Assert.NotEqual(-1, memory);
        Assert.Equal(0, Mprotect(memory + (nint)NetLimits.SizeBytes, (nuint)page, 0));
        var words = (uint*)memory;
        var tables = new NetTables((byte*)memory);
        for (var round = 0; round < 40; round++)
        {
            for (long i = 32; i < NetLimits.SizeBytes / sizeof(uint); i += round < 4 ? 1 : 1 + prng.Below(40))
                // Small numbers and wild ones: both counts and indices are to be wrong.
                words[i] = prng.OneIn(2) ? (uint)prng.Below(40000) : (uint)prng.Next();
            ((NetHeader*)memory)->Routing[0].Flags |= RoutingHead.Complete;
            ((NetHeader*)memory)->Routing[1].Flags |= RoutingHead.Complete;
            for (var i = 0; i < 50; i++)
            {
                var to = new Endpoint { Family = prng.OneIn(2) ? Endpoint.V4 : Endpoint.V6, AddressLow = prng.Next() };
                tables.TryRoute(to, default, out _);
                tables.IsLocalAddress(to);
                tables.TryNeighbour(prng.Below(9), to, out _);
                tables.TryLink(prng.Below(9), out _);
            }
        }
        Munmap(memory, bytes);
    }

    [System.Runtime.InteropServices.DllImport("libc", EntryPoint = "mmap")]
    static extern nint Mmap(nint address, nuint bytes, int protection, int flags, int fd, long offset);

    [System.Runtime.InteropServices.DllImport("libc", EntryPoint = "mprotect")]
    static extern int Mprotect(nint address, nuint bytes, int protection);

    [System.Runtime.InteropServices.DllImport("libc", EntryPoint = "munmap")]
    static extern int Munmap(nint address, nuint bytes);
}
