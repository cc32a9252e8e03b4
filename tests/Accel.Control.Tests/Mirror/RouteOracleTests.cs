using Accel.Core.Ip;
using static System.StringComparison;

namespace Accel.Control.Tests.Mirror;

/// <summary>
/// The mirror says where a packet goes as the kernel does. The kernel is asked with `ip route get`; the mirror may
/// leave the answer to it ("kernel") only where the kernel's is no plain route, or where the test says so.
/// </summary>
public class RouteOracleTests
{
    static TestNamespace Host()
    {
        var space = TestNamespace.Make().Links("eth1", "eth2", "eth3");
        foreach (var command in new[]
        {
            "addr add 10.0.0.1/24 dev eth1", "addr add 10.0.0.77/24 dev eth1", "addr add 10.0.9.1/24 dev eth1",
            "addr add 10.2.0.1/16 dev eth2", "addr add 192.0.2.1 peer 192.0.2.2/32 dev eth2",
            "addr add 10.3.0.1/20 dev eth3", "addr add 172.16.0.1/32 dev lo",
            "addr add 169.254.7.1/16 dev eth3 scope link",
            "addr add 2001:db8:1::1/64 dev eth1", "addr add 2001:db8:1::99/64 dev eth1",
            "addr add fd00:1::1/64 dev eth1",
            "addr add 2001:db8:2::1/64 dev eth2", "addr add 2001:db8:2:8000::1/65 dev eth2",
            "addr add 2001:db8:3::1/48 dev eth3", "addr add 2001:db8:ffff::1/128 dev lo",
            "addr add fe80::e1/64 dev eth1", "addr add fe80::e2/64 dev eth2",
            "addr add 2001:db8:2::dead/64 dev eth2 preferred_lft 0",
        })
            space.Ip(command);
        return space;
    }

    static void Compare(TestNamespace space, List<string> questions, params string[] kernels)
    {
        space.StartMirror();
        CompareNow(space, questions, kernels);
    }

    /// <summary>All questions; those with a prefix of <paramref name="kernels"/> may be left to the kernel.</summary>
    static void CompareNow(TestNamespace space, List<string> questions, params string[] kernels)
    {
        // The kernel may still be busy with the last change (addresses, carriers), which it tells of afterwards.
        List<string> wrong = [];
        for (var i = 0; i < 5; i++)
        {
            space.Settle();
            wrong = Differences(space, questions, kernels);
            if (wrong.Count == 0)
                return;
        }
        Assert.Fail($"{wrong.Count} of {questions.Count}:\n{string.Join('\n', wrong.Take(40))}");
    }

    static List<string> Differences(TestNamespace space, List<string> questions, string[] kernels)
    {
        var truth = Kernel.Routes(space, questions);
        List<string> wrong = [];
        var plain = 0;
        for (var i = 0; i < questions.Count; i++)
        {
            var said = Kernel.Mirrored(space, questions[i]);
            var isPlain = truth[i].StartsWith("local ", Ordinal) || truth[i].Contains(" via ");
            plain += said == truth[i] && isPlain ? 1 : 0;
            var mayAsk = !isPlain || kernels.Any(k => questions[i].StartsWith(k, Ordinal));
            if (said != truth[i] && !(said == "kernel" && mayAsk))
                wrong.Add($"{questions[i]}: kernel {truth[i]}, mirror {said}");
        }
        if (wrong.Count == 0 && plain <= questions.Count / 4)
            wrong.Add($"only {plain} tell anything");
        return wrong;
    }

    /// <summary>Addresses near each prefix, and some anywhere.</summary>
    static List<string> Around(int seed, int count, params string[] prefixes)
    {
        var random = new Random(seed);
        List<string> all = [];
        for (var i = 0; i < count; i++)
        {
            var parts = prefixes[i % prefixes.Length].Split('/');
            var bytes = System.Net.IPAddress.Parse(parts[0]).GetAddressBytes();
            var bits = int.Parse(parts[1]);
            // Mostly inside, now and then just outside.
            for (var bit = Math.Max(0, random.Next(8) == 0 ? bits - 1 : bits); bit < bytes.Length * 8; bit++)
                if (random.Next(2) == 0)
                    bytes[bit / 8] ^= (byte)(128 >> bit % 8);
            all.Add(new System.Net.IPAddress(bytes).ToString());
        }
        return all;
    }

    [Fact]
    public void Own_networks_and_default_routes()
    {
        using var space = Host();
        space.Ip("route add default via 10.0.0.254");
        space.Ip("-6 route add default via fe80::ff dev eth1");
        List<string> questions =
        [
            "10.0.0.1", "10.0.0.77", "10.0.0.255", "10.0.0.0", "10.0.0.254", "10.2.255.255", "192.0.2.1", "192.0.2.2",
            "172.16.0.1", "127.0.0.1", "127.1.2.3", "127.255.255.255", "169.254.3.4", "224.0.0.1", "239.1.2.3",
            "255.255.255.255", "8.8.8.8", "240.0.0.1",
            "::1", "2001:db8:1::1", "2001:db8:1::99", "2001:db8:1::", "2001:db8:ffff::1", "ff02::1", "ff0e::7",
            "fe80::1 oif eth1", "fe80::e1 oif eth1", "fe80::e1 oif eth2", "fe80::77 oif eth3", "2009::1", "fd00:1::5",
            "fd77::1", "2002:a00::1", "64:ff9b::1", "2001::1", "2001:10::1", "2001:db8:2::dead", "2001:db8:2::7",
        ];
        questions.AddRange(Around(1, 220, "10.0.0.0/24", "10.0.9.0/24", "10.2.0.0/16", "10.3.0.0/20", "192.0.2.0/30",
            "127.0.0.0/8", "169.254.0.0/16", "0.0.0.0/1"));
        questions.AddRange(Around(2, 220, "2001:db8:1::/64", "2001:db8:2::/64", "2001:db8:2:8000::/65",
            "2001:db8:3::/48", "fd00:1::/64", "2000::/3", "fc00::/7"));
        Compare(space, questions, "240.0.0.1");
    }

    [Fact]
    public void No_default_route()
    {
        using var space = Host();
        Compare(space, [.. Around(3, 100, "10.0.0.0/24", "10.2.0.0/15", "30.0.0.0/8"),
            .. Around(4, 100, "2001:db8:1::/62", "2001:db8:3::/46", "2009::/16")]);
    }

    [Fact]
    public void Gateways_metrics_and_sources()
    {
        using var space = Host();
        foreach (var command in new[]
        {
            "route add default via 10.0.0.254 metric 100", "route add default via 10.2.0.254 metric 50",
            "route add 20.0.0.0/8 via 10.0.9.9", "route add 20.1.0.0/16 via 10.2.0.9 src 10.0.0.77",
            "route add 20.1.2.0/24 dev eth3 scope link", "route add 20.1.2.3/32 via 10.0.0.3",
            "route add 20.1.2.128/25 via 10.3.0.3 metric 7", "route append 20.1.2.128/25 via 10.2.0.3 metric 7",
            "route add 20.2.0.0/16 via 10.3.0.3 mtu 1400 advmss 1200 initcwnd 20",
            "route add 20.3.0.0/16 via 10.9.9.9 dev eth1 onlink", "route add 20.4.0.0/16 via inet6 fe80::4 dev eth2",
            "-6 route add default via fe80::ff dev eth1 metric 2000",
            "-6 route add default via 2001:db8:2::fe metric 1000",
            "-6 route add 2009::/16 via fe80::9 dev eth3",
            "-6 route add 2009:1::/32 via 2001:db8:1::9 src 2001:db8:1::99",
            "-6 route add 2009:1:2::/48 dev eth2", "-6 route add 2009:1:2::3/128 via 2001:db8:3::9 metric 5",
            "-6 route add 2009:4::/33 via fe80::44 dev eth2",
        })
            space.Ip(command);
        List<string> questions = ["20.1.2.3", "20.1.2.4", "2009:1:2::3", "2009:1:2::4"];
        questions.AddRange(Around(5, 260, "20.0.0.0/8", "20.1.0.0/16", "20.1.2.0/24", "20.1.2.128/25", "20.2.0.0/16",
            "20.3.0.0/16", "20.4.0.0/16", "20.1.2.3/32", "64.0.0.0/2"));
        questions.AddRange(Around(6, 200, "2009::/16", "2009:1::/32", "2009:1:2::/48", "2009:1:2::3/128",
            "2009:4::/33", "2000::/4"));
        Compare(space, questions);
        var tables = space.Mirror.Tables;
        Assert.True(tables.TryRoute(Kernel.At("20.2.1.1"), default, out var route));
        Assert.Equal((1400u, 1200u, 20u), (route.Mtu, route.AdvertisedMss, route.InitialWindow));
    }

    [Fact]
    public void Types_that_are_not_routes()
    {
        using var space = Host();
        foreach (var command in new[]
        {
            "route add default via 10.0.0.254", "-6 route add default via fe80::ff dev eth1",
            "route add blackhole 20.0.0.0/16", "route add unreachable 20.1.0.0/16", "route add prohibit 20.2.0.0/16",
            "route add throw 20.3.0.0/16", "route add local 20.4.0.0/16 dev lo",
            "route add 20.4.4.0/24 via 10.0.0.9", "route add broadcast 20.5.0.0/16 dev eth1",
            "route add 20.6.0.0/16 nexthop via 10.0.0.2 weight 1 nexthop via 10.2.0.2 weight 2",
            "route add 20.7.0.0/16 tos 0x10 via 10.0.0.5", "route add 20.7.0.0/16 via 10.0.0.6",
            "-6 route add blackhole 2009::/32", "-6 route add unreachable 2009:1::/32",
            "-6 route add prohibit 2009:2::/32", "-6 route add throw 2009:3::/32",
            "-6 route add local 2009:4::/32 dev lo",
            "-6 route add 2009:6::/32 nexthop via fe80::2 dev eth1 nexthop via fe80::3 dev eth2",
            "-6 route add anycast 2009:7::7/128 dev eth1",
        })
            space.Ip(command);
        // Several next hops, a type of service, and a local network with a longer prefix of main inside.
        Compare(space, [.. Around(7, 200, "20.0.0.0/16", "20.1.0.0/16", "20.2.0.0/16", "20.3.0.0/16", "20.4.0.0/16",
            "20.4.4.0/24", "20.5.0.0/16", "20.6.0.0/16", "20.7.0.0/16", "99.0.0.0/8", "10.0.0.0/24"),
            .. Around(8, 140, "2009::/32", "2009:1::/32", "2009:2::/32", "2009:3::/32", "2009:4::/32", "2009:6::/32",
            "2009:7::7/128", "2010::/16", "2001:db8:1::/64")], "20.6.", "20.7.", "2009:6:", "20.4.4.");
    }

    [Fact]
    public void Rules_by_source_and_destination_and_those_that_are_turned_round()
    {
        using var space = Host();
        foreach (var command in new[]
        {
            "route add default via 10.0.0.254", "-6 route add default via 2001:db8:1::ff",
            "route add default via 10.2.0.254 table 100", "route add 20.0.0.0/8 via 10.3.0.9 table 200",
            "route add 20.9.0.0/16 via 10.3.0.8 table 70000", "route add throw 20.1.0.0/16 table 200",
            "rule add from 10.2.0.1 lookup 100 pref 100", "rule add to 20.0.0.0/8 lookup 200 pref 200",
            "rule add to 20.9.0.0/16 lookup 70000 pref 150", "rule add fwmark 7 lookup 100 pref 5",
            "rule add fwmark 0/7 to 41.0.0.0/8 lookup 100 pref 212", "rule add oif eth3 lookup 100 pref 6",
            "rule add iif eth1 lookup 100 pref 7", "rule add not to 0.0.0.0/1 lookup 100 pref 300",
            "rule add not fwmark 9 to 10.2.0.0/16 lookup 200 pref 310", "rule add not iif eth2 lookup 200 pref 320",
            "rule add not from 10.2.0.1 to 30.0.0.0/8 lookup 100 pref 330",
            "-6 route add default via 2001:db8:2::ff table 100",
            "-6 route add 2009::/16 via fe80::9 dev eth3 table 200",
            "-6 rule add from 2001:db8:2::1 lookup 100 pref 100", "-6 rule add to 2009::/16 lookup 200 pref 200",
            "-6 rule add to 2010::/16 fwmark 9 lookup 100 pref 210", "-6 rule add not to 2000::/3 lookup 100 pref 300",
        })
            space.Ip(command);
        List<string> questions = [.. Around(9, 150, "20.0.0.0/8", "20.1.0.0/16", "20.9.0.0/16", "50.0.0.0/8",
            "10.2.0.0/16", "40.0.0.0/8", "41.0.0.0/8", "30.0.0.0/8", "200.0.0.0/6")];
        List<string> v6 = [.. Around(10, 100, "2009::/16", "2001:db8:2::/64", "2011::/16", "2010::/16", "fd00::/8")];
        questions.AddRange(v6);
        questions.AddRange(v6.Select(q => $"{q} from 2001:db8:2::1"));
        questions.AddRange(questions.Where(q => !q.Contains(':')).ToArray().Select(q => $"{q} from 10.2.0.1"));
        questions.AddRange(questions.Where(q => q.EndsWith(" from 10.2.0.1", Ordinal)).ToArray()
            .Select(q => q.Replace(" from 10.2.0.1", " from 10.0.0.77")));
        // Without a source, connect() asks twice, and may get another answer than the first one, which is ip's.
        space.StartMirror();
        CompareNow(space, questions.Where(q => q.Contains("from")).ToList());
        CompareNow(space, questions.Where(q => !q.Contains("from")).ToList(), "200.", "201.", "202.", "203.", "204.",
            "30.", "31.", "2001:db8:2:");
        var before = space.Mirror.Tables.RouteSequence;
        space.Ip("rule del pref 300");
        TestNamespace.Until(() => space.Mirror.Tables.RouteSequence != before, () => "rule is still there");
        CompareNow(space, questions.Where(q => q.Contains("from")).ToList());
    }

    [Fact]
    public void Rules_that_pass_over_default_routes()
    {
        using var space = Host();
        foreach (var command in new[]
        {
            "route add default via 10.0.0.254", "route add 20.0.0.0/8 via 10.0.0.9",
            "route add default via 10.2.0.9 table 51820", "rule add not fwmark 51820 lookup 51820 pref 32765",
            "rule add lookup main suppress_prefixlength 0 pref 32764",
            "-6 route add default via fe80::1 dev eth1", "-6 route add 2009::/16 via fe80::2 dev eth1",
            "-6 route add default via fe80::3 dev eth2 table 51820", "-6 rule add not fwmark 51820 lookup 51820 pref 9",
            "-6 rule add lookup main suppress_prefixlength 0 pref 8",
        })
            space.Ip(command);
        Compare(space, [.. Around(15, 80, "20.0.0.0/8", "0.0.0.0/1", "10.0.0.0/24", "10.2.0.0/16"),
            .. Around(16, 80, "2009::/16", "2000::/3", "2001:db8:1::/64", "2001:db8:2::/64")]);
    }

    [Fact]
    public void Rules_by_what_is_not_known_here()
    {
        using var space = Host();
        foreach (var command in new[]
        {
            "route add default via 10.0.0.254", "-6 route add default via 2001:db8:1::ff",
            "route add default via 10.2.0.254 table 100", "rule add to 20.0.0.0/8 uidrange 5-9 lookup 100 pref 10",
            "rule add to 21.0.0.0/8 ipproto tcp dport 80 lookup 100 pref 11",
            "rule add to 22.0.0.0/8 tos 0x10 lookup 100",
            "rule add to 23.0.0.0/8 blackhole pref 12", "rule add to 24.0.0.0/8 unreachable pref 13",
            "rule add to 25.0.0.0/8 goto 32766 pref 14", "-6 rule add to 2010::/16 sport 99 lookup 100 pref 10",
        })
            space.Ip(command);
        Compare(space, [.. Around(17, 160, "20.0.0.0/8", "21.0.0.0/8", "22.0.0.0/8", "23.0.0.0/8", "24.0.0.0/8",
            "25.0.0.0/8", "60.0.0.0/8", "70.0.0.0/8"), .. Around(18, 60, "2010::/16", "2020::/16")],
            "20.", "21.", "22.", "23.", "24.", "25.", "2010:");
    }

    [Fact]
    public void Interfaces_without_addresses_of_their_own()
    {
        using var space = TestNamespace.Make().Links("eth1", "eth2");
        space.Ip("addr add 10.7.7.7/32 dev lo");
        space.Ip("addr add 2001:db8:7::7/128 dev lo");
        space.Ip("route add 20.0.0.0/8 dev eth1");
        space.Ip("route add 21.0.0.0/8 via 20.0.0.9 dev eth1 onlink");
        space.Ip("-6 route add 2009::/16 dev eth1");
        Compare(space, [.. Around(11, 60, "20.0.0.0/8", "21.0.0.0/8", "10.7.7.0/24"),
            .. Around(12, 60, "2009::/16", "2001:db8:7::7/128")]);
    }

    [Fact]
    public void Routers_that_do_not_answer()
    {
        using var space = TestNamespace.Make().Links("eth1", "eth2");
        space.Ip("addr add 2001:db8:1::1/64 dev eth1");
        space.Ip("addr add 2001:db8:2::1/64 dev eth2");
        space.Ip("-6 route add default via 2001:db8:1::dead metric 100");
        space.Ip("-6 route add default via 2001:db8:2::beef metric 200");
        space.StartMirror();
        List<string> far = [.. Around(13, 20, "2009::/16")];
        CompareNow(space, [.. far, "2001:db8:1::5", "2001:db8:2::6"]);
        // The kernel asks for the first router, and while nobody answers it takes the second one.
        space.Mirror.Resolve(space.Index("eth1"), Kernel.At("2001:db8:1::dead"));
        TestNamespace.Until(() =>
        {
            space.Mirror.Tables.TryNeighbour(
                space.Index("eth1"), Kernel.At("2001:db8:1::dead"), out _, out var state);
            return state == NeighbourState.Failed;
        }, () => "not failed");
        CompareNow(space, [.. far, "2001:db8:1::5", "2001:db8:2::6", .. Around(14, 60, "2001:db8:2::/64")],
            [.. far, "2001:db8:2:1:"]);
        Assert.All(far, f => Assert.NotEqual("eth1 via 2001:db8:1::dead src 2001:db8:1::1", Kernel.Mirrored(space, f)));
    }

    /// <summary>One change after the other, and after each one all answers again.</summary>
    [Fact]
    public void Every_change_is_followed()
    {
        using var space = Host();
        space.StartMirror();
        List<string> questions = ["10.0.0.9", "10.2.3.4", "20.1.1.1", "20.2.2.2", "30.0.0.1", "10.0.0.1", "10.2.0.1",
            "2001:db8:1::7", "2001:db8:2::7", "2009::1", "2001:db8:1::1", "fe80::7 oif eth1", "fe80::7 oif eth2"];
        foreach (var command in new[]
        {
            "route add default via 10.0.0.254", "route add 20.0.0.0/8 via 10.2.0.9",
            "route replace 20.0.0.0/8 via 10.2.0.10", "route add 20.2.0.0/16 via 10.3.0.4", "link set eth2 down",
            "link set eth2 up", "route add 20.0.0.0/8 via 10.2.0.11", "addr del 10.2.0.1/16 dev eth2",
            "addr add 10.2.0.2/16 dev eth2", "-6 route add default via fe80::1 dev eth1",
            "-6 route add default via fe80::2 dev eth2 metric 1",
            "-6 route replace default via fe80::3 dev eth2 metric 1",
            "-6 route del default via fe80::3 dev eth2 metric 1", "addr del 2001:db8:1::1/64 dev eth1",
            "addr flush dev eth1", "rule add to 30.0.0.0/8 lookup 77 pref 10",
            "route add 30.0.0.0/8 via 10.3.0.5 table 77",
            "rule del pref 10", "link set eth1 mtu 1300", "link del eth2", "link add eth2 type veth peer name other",
            "link set eth2 up", "link set lo down", "link set lo up",
        })
        {
            space.Ip(command);
            var truth = Kernel.Routes(space, questions);
            string? Different() => questions.Zip(truth, (question, kernel) => (question, kernel))
                .Select(q => (q.question, q.kernel, mirror: Kernel.Mirrored(space, q.question)))
                .Where(q => q.kernel != q.mirror && !(q.mirror == "kernel"
                    && (q.kernel == Kernel.None || q.kernel.EndsWith(" src -", Ordinal))))
                .Select(q => $"{q.question}: kernel {q.kernel}, mirror {q.mirror}").FirstOrDefault();
            TestNamespace.Until(() =>
            {
                if (Different() == null)
                    return true;
                // The kernel may take a moment as well (link-local addresses, carriers).
                truth = Kernel.Routes(space, questions);
                return Different() == null;
            }, () => $"after {command}: {Different()}");
        }
    }
}
