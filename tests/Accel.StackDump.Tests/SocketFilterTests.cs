using Accel.Inspect;

namespace Accel.StackDump.Tests;

/// <summary>The filter language is ss's, and says what is wrong with what is none of it.</summary>
public sealed class SocketFilterTests
{
    private static readonly SocketFacts[] All =
    [
        new("ESTAB", "127.0.0.1:6379", "127.0.0.1:40000", "local", [10]),
        new("ESTAB", "10.0.0.1:80", "10.0.0.2:40001", "nic", [11, 12]),
        new("LISTEN", "*:80", "*:*", "nic", [11]),
        new("TIME-WAIT", "[fd77::1]:443", "[fd77::2]:40002", "nic", []),
        new("UNCONN", "*:*", "*:*", "none", [13]),
        new("CLOSE-WAIT", "192.168.1.5:22", "8.8.8.8:1024", "kernel", [14]),
    ];

    [Theory]
    [InlineData("", "012345")]
    [InlineData("state established", "01")]
    [InlineData("state listening", "2")]
    [InlineData("state connected", "0135")]
    [InlineData("state all", "012345")]
    [InlineData("sport 80", "12")]
    [InlineData("sport = :80", "12")]
    [InlineData("dport >= 40001", "13")]
    [InlineData("dport lt 2000 and dport gt 0", "5")]
    [InlineData("dport != 40000 state established", "1")]
    [InlineData("src 127.0.0.1", "0")]
    [InlineData("src 10.0.0.0/8 or src 192.168.0.0/16", "15")]
    [InlineData("dst 10.0.0.2:40001", "1")]
    [InlineData("dst [fd77::2]:40002", "3")]
    [InlineData("dst fd77::/64", "3")]
    [InlineData("dst != 8.8.8.8 path kernel", "")]
    [InlineData("path nic", "123")]
    [InlineData("pid 11", "12")]
    [InlineData("not path nic", "045")]
    [InlineData("state established and ( path nic or pid 10 )", "01")]
    [InlineData("!(path nic or path local)", "45")]
    [InlineData("path nic and not state listening or pid 13", "134")]
    public void AFilterLetsThroughWhatItSays(string text, string indices)
    {
        SocketFilter filter = SocketFilter.Parse([text]);
        Assert.Equal(indices, string.Concat(Enumerable.Range(0, All.Length).Where(i => filter.Matches(All[i]))));
    }

    [Theory]
    [InlineData("state", "where a state is expected")]
    [InlineData("state nix", "no state 'nix'")]
    [InlineData("port 80", "'port' is no test")]
    [InlineData("dport http", "'http' is no port")]
    [InlineData("dport 70000", "'70000' is no port")]
    [InlineData("src here", "'here' is no address")]
    [InlineData("src 10.0.0.0/99", "no more than 32 bits")]
    [InlineData("path wire", "no path 'wire'")]
    [InlineData("pid me", "no process's number")]
    [InlineData("( state established", "a ')' is missing")]
    [InlineData("state established )", "')' is not expected")]
    [InlineData("not", "is expected")]
    [InlineData("pid 1 or", "is expected")]
    public void AWrongFilterSaysWhereItIsWrong(string text, string why)
    {
        FormatException error = Assert.Throws<FormatException>(() => SocketFilter.Parse(text.Split(' ')));
        Assert.Contains(why, error.Message, StringComparison.Ordinal);
    }
}
