using System.Net;
using System.Text.Json;
using Accel.Core.Ip;
using Accel.Core.Local;

namespace Accel.Control.Tests.Mirror;

/// <summary>What the kernel says of destinations (ip route get), and what the mirror says, in the same words.</summary>
static unsafe class Kernel
{
    public const string None = "none";

    /// <summary>
    /// Asks for many destinations ("20.0.0.1", "fe80::1 oif eth1", "20.0.0.1 from 10.0.0.1") at once.
    /// </summary>
    public static List<string> Routes(TestNamespace space, IReadOnlyList<string> destinations)
    {
        var file = Path.GetTempFileName();
        try
        {
            File.WriteAllLines(file, destinations.Select(d => $"route get {d}"));
            TestNamespace.Run("ip", ["-n", space.Name, "-j", "-force", "-batch", file], out var output, out var errors);
            var refused = errors.Split('\n').Where(l => l.StartsWith("Command failed", StringComparison.Ordinal))
                .Select(l => int.Parse(l[(l.LastIndexOf(':') + 1)..])).ToHashSet();
            var answers = new Queue<string>(output.Split('\n', StringSplitOptions.RemoveEmptyEntries));
            Assert.True(answers.Count + refused.Count == destinations.Count, errors);
            var found = destinations.Select((_, i) => refused.Contains(i + 1) ? None : Words(answers.Dequeue()))
                .ToList();
            return found;
        }
        finally
        {
            File.Delete(file);
        }
    }

    static string Words(string json)
    {
        using var document = JsonDocument.Parse(json);
        var route = document.RootElement[0];
        var type = Field("type") ?? "unicast";
        // IPv6 names what it would have chosen also if a source was given.
        var source = Field("from") is { } given and not "::" ? given : Field("prefsrc") ?? "-";
        if (type == "local")
            return $"local src {source}";
        if (type != "unicast")
            return type;
        var via = route.TryGetProperty("via", out var other) ? other.GetProperty("host").GetString() : Field("gateway");
        return $"{Field("dev")} via {via ?? Field("dst")} src {source}";

        string? Field(string name) => route.TryGetProperty(name, out var value) ? value.GetString() : null;
    }

    /// <summary>The mirror's answer to the same question.</summary>
    public static string Mirrored(TestNamespace space, string question)
    {
        var words = question.Split(' ');
        var to = At(words[0]);
        Endpoint from = default;
        for (var i = 1; i < words.Length; i += 2)
        {
            if (words[i] == "oif")
                to.ScopeId = (uint)Link(space, words[i + 1]);
            else
                from = At(words[i + 1]);
        }
        space.Mirror.Tables.TryRoute(to, from, out var route);
        return route.Kind switch
        {
            RouteKind.Unicast => $"{Name(space, route.InterfaceIndex)} via {Text(route.NextHop)} "
                + $"src {Text(route.Source)}",
            RouteKind.Local => $"local src {Text(route.Source)}",
            RouteKind.None => None,
            _ => "kernel",
        };
    }

    public static Endpoint At(string address)
    {
        var bytes = IPAddress.Parse(address).GetAddressBytes();
        var endpoint = new Endpoint { Family = bytes.Length == 4 ? Endpoint.V4 : Endpoint.V6 };
        bytes.CopyTo(new Span<byte>(endpoint.Address, 16));
        return endpoint;
    }

    public static string Text(in Endpoint endpoint)
    {
        fixed (byte* bytes = endpoint.Address)
            return new IPAddress(new ReadOnlySpan<byte>(bytes, endpoint.Family == Endpoint.V4 ? 4 : 16)).ToString();
    }

    static int Link(TestNamespace space, string name)
    {
        for (var i = 1; i < 1000; i++)
            if (Name(space, i) == name)
                return i;
        return 0;
    }

    static string Name(TestNamespace space, int index) =>
        space.Mirror.Tables.TryLink(index, out var link)
            ? System.Text.Encoding.ASCII.GetString(new ReadOnlySpan<byte>(link.Name, 16)).TrimEnd('\0') : "?";
}
