using Accel.Core.Tcp;

namespace Accel.Core.Tests.Tcp;

/// <summary>RFC 4821, RFC 8899: a path that drops large segments without a word.</summary>
public class PmtuTests
{
    const long Ms = TcpPair.Ms;
    const uint Headers = 52;

    [Theory]
    [InlineData(1400u)]
    [InlineData(1100u)]
    [InlineData(576u)]
    public void Black_hole_is_found_and_its_size_as_well(uint mtu)
    {
        using var pair = new TcpPair().Established();
        pair.Client.ReadsAtOnce = pair.Server.ReadsAtOnce = true;
        pair.Loses = (_, sent) => sent.Segment.Length + Headers > mtu;
        pair.Client.Write(400_000, pair.Now);
        pair.RunUntil(() => pair.Server.Read.Count == 400_000, 120_000 * Ms, "all has come");
        Assert.InRange(pair.Client.Tcb.SndMss + Headers, Math.Min(mtu - 100, 1024u), mtu);
        Assert.True(pair.Client.Counter(TcpCounter.MtuProbeFails) > 0);
        Assert.True(pair.Client.Counter(TcpCounter.MtuRaised) > 0);
    }

    [Fact]
    public void Path_that_was_only_down_is_used_in_full_again()
    {
        using var pair = new TcpPair().Established();
        pair.Client.ReadsAtOnce = pair.Server.ReadsAtOnce = true;
        pair.Loses = (_, _) => true;
        pair.Client.Write(20_000, pair.Now);
        pair.Run(30_000 * Ms);
        Assert.InRange(pair.Client.Tcb.SndMss, 512 - 12, 1024);
        pair.Loses = (_, _) => false;
        pair.Run(60_000 * Ms);
        Assert.Equal(20_000, pair.Server.Read.Count);
        for (var i = 0; i < 20; i++)
        {
            pair.Client.Write(50_000, pair.Now);
            pair.Run(1_000 * Ms);
        }
        Assert.InRange(pair.Client.Tcb.SndMss + Headers, 1490u, 1500u);
        Assert.Equal(1_020_000, pair.Server.Read.Count);
    }

    [Fact]
    public void Segments_never_become_smaller_than_any_path_needs()
    {
        using var pair = new TcpPair().Established();
        pair.Loses = (_, _) => true;
        pair.Client.Write(20_000, pair.Now);
        pair.Run(500_000 * Ms);
        Assert.Equal(512 - 12, pair.Client.Tcb.SndMss);
    }
}
