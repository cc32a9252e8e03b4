using Accel.Core.Ip;

namespace Accel.Core.Tests.Ip;

/// <summary>The source address of a socket that was not bound.</summary>
public class SourceChoiceTests
{
    [Fact]
    public void Ipv4_takes_the_address_in_the_gateways_prefix()
    {
        using var table = new NetTable().Link(2, "eth0").Address(2, "10.0.0.1/24").Address(2, "10.5.0.1/16")
            .Route("20.0.0.0/8", 2, via: "10.5.0.9").Route("21.0.0.0/8", 2, via: "10.0.0.9")
            .Route("22.0.0.0/8", 2, via: "99.0.0.9").Route("23.0.0.0/8", 2, via: "10.5.0.9", source: "10.0.0.1")
            .Publish();
        Assert.Equal("2 via 10.5.0.9 src 10.5.0.1", table.Ask("20.1.1.1"));
        Assert.Equal("2 via 10.0.0.9 src 10.0.0.1", table.Ask("21.1.1.1"));
        Assert.Equal("2 via 99.0.0.9 src 10.0.0.1", table.Ask("22.1.1.1"));
        Assert.Equal("2 via 10.5.0.9 src 10.0.0.1", table.Ask("23.1.1.1"));
    }

    [Fact]
    public void Ipv4_leaves_out_secondary_addresses_and_smaller_scopes()
    {
        using var table = new NetTable().Link(2, "eth0")
            .Address(2, "10.0.0.5/24", AddressEntry.Secondary, routes: false)
            .Address(2, "169.254.1.1/16", scope: NetTable.ScopeLink, routes: false).Address(2, "10.0.0.1/24")
            .Route("20.0.0.0/8", 2, via: "10.0.0.9").Route("20.0.0.0/16", 2, scope: NetTable.ScopeLink).Publish();
        Assert.Equal("2 via 10.0.0.9 src 10.0.0.1", table.Ask("20.1.1.1"));
        Assert.Equal("2 via 20.0.1.1 src 169.254.1.1", table.Ask("20.0.1.1"));
    }

    [Fact]
    public void Ipv4_interface_without_addresses_borrows_one_if_it_is_clear_whose()
    {
        using var table = new NetTable().Link(2, "eth0").Link(3, "eth1").Link(4, "eth2").Address(3, "10.0.0.1/24")
            .Route("20.0.0.0/8", 2, scope: NetTable.ScopeLink).Publish();
        Assert.Equal("2 via 20.0.0.1 src 10.0.0.1", table.Ask("20.0.0.1"));
        table.Address(4, "10.1.0.1/24").Publish();
        Assert.Equal("Kernel", table.Ask("20.0.0.1"));
        table.Address(1, "10.9.9.9/32").Publish();
        Assert.Equal("2 via 20.0.0.1 src 10.9.9.9", table.Ask("20.0.0.1"));
    }

    /// <summary>RFC 6724 10.1 and 10.2, where Linux does the same.</summary>
    [Theory]
    [InlineData("2001:db8:1::1", "2001:db8:1::2/64", "fe80::1/64", "2001:db8:1::2")]
    [InlineData("2001:db8:1::1", "fe80::1/64", "2001:db8:3::2/64", "2001:db8:3::2")]
    [InlineData("2001:db8:1::1", "2001:db8:1::2/64", "2001:db8:3::2/64", "2001:db8:1::2")]
    [InlineData("2002:c633:6401::1", "2002:c633:6401::d5e3/64", "2001:db8:1::2/64", "2002:c633:6401::d5e3")]
    [InlineData("2001:db8::1", "2002:c633:6401::d5e3/64", "2001:db8:1::2/64", "2001:db8:1::2")]
    [InlineData("fd00:1::1", "2001:db8:1::2/64", "fd00:2::2/64", "fd00:2::2")]
    [InlineData("2001:db8:1::1", "fd00:2::2/64", "2001:db8:9::2/64", "2001:db8:9::2")]
    [InlineData("2001:db8:1::1", "fe80::1/64", "fd00:2::2/64", "fd00:2::2")]
    public void Ipv6_by_the_examples(string to, string first, string second, string expected)
    {
        using var table = new NetTable().Link(2, "eth0").Address(2, first).Address(2, second)
            .Route("::/0", 2, via: "fe80::99").Publish();
        var answer = table.Ask(to);
        Assert.EndsWith($" src {expected}", answer);
    }

    [Theory]
    [InlineData(AddressEntry.Deprecated, "2001:db8:9::2")]
    [InlineData(AddressEntry.Tentative, "2001:db8:9::2")]
    [InlineData(AddressEntry.Tentative | AddressEntry.Optimistic, "2001:db8:9::2")]
    [InlineData(AddressEntry.Temporary, "2001:db8:9::2")]
    [InlineData(AddressEntry.HomeAddress, "2001:db8:1::2")]
    [InlineData(0u, "2001:db8:1::2")]
    public void Ipv6_states_of_an_address_that_would_win_by_its_prefix(uint flags, string expected)
    {
        using var table = new NetTable().Link(2, "eth0").Address(2, "2001:db8:1::2/64", flags)
            .Address(2, "2001:db8:9::2/64").Route("::/0", 2, via: "fe80::99").Publish();
        Assert.EndsWith($" src {expected}", table.Ask("2001:db8:1:1::1"));
    }

    [Fact]
    public void Ipv6_settings_of_the_interface()
    {
        using var table = new NetTable().Link(2, "eth0", source6: LinkEntry.PrefersTemporary)
            .Address(2, "2001:db8:1::2/64").Address(2, "2001:db8:9::2/64", AddressEntry.Temporary)
            .Route("::/0", 2, via: "fe80::99").Publish();
        Assert.EndsWith(" src 2001:db8:9::2", table.Ask("2001:db8:1:1::1"));

        using var own = new NetTable().Link(2, "eth0", source6: LinkEntry.OwnAddressesOnly).Link(3, "eth1")
            .Address(2, "fe80::2/64").Address(3, "2001:db8:1::3/64").Route("::/0", 2, via: "fe80::99").Publish();
        Assert.EndsWith(" src fe80::2%2", own.Ask("2001:db8:1:1::1"));
        own.Link(2, "eth0").Publish();
        Assert.EndsWith(" src 2001:db8:1::3", own.Ask("2001:db8:1:1::1"));
    }

    [Fact]
    public void Ipv6_prefers_the_outgoing_interface_and_else_asks_when_interfaces_are_equal()
    {
        using var table = new NetTable().Link(2, "eth0").Link(3, "eth1").Link(4, "eth2")
            .Address(3, "2001:db8:1::3/64").Address(4, "2001:db8:1::4/64")
            .Route("2001:db8:7::/48", 2, via: "fe80::99").Route("2001:db8:8::/48", 4, via: "fe80::99").Publish();
        Assert.EndsWith(" src 2001:db8:1::4", table.Ask("2001:db8:8::1"));
        Assert.Equal("Kernel", table.Ask("2001:db8:7::1"));
        // But loopback is always the first.
        table.Address(1, "2001:db8:1::1/128").Publish();
        Assert.EndsWith(" src 2001:db8:1::1", table.Ask("2001:db8:7::1"));
    }

    /// <summary>The newest one of a scope stands first in the kernel's list.</summary>
    [Fact]
    public void Ipv6_equals_keep_the_kernels_order()
    {
        using var table = new NetTable().Link(2, "eth0").Address(2, "2001:db8:1::8/64")
            .Address(2, "2001:db8:1::4/64").Route("::/0", 2, via: "fe80::99").Publish();
        Assert.EndsWith(" src 2001:db8:1::8", table.Ask("2009::1"));
    }
}
