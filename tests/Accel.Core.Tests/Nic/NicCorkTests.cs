using Accel.Core.Nic;
using Xunit;

namespace Accel.Core.Tests.Nic;

/// <summary>When bytes may wait for more that the program has announced.</summary>
public sealed unsafe class NicCorkTests
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Few_bytes_wait_while_more_is_announced(bool byOption)
    {
        using var net = new TestNetwork();
        var (c, _) = net.Connect(net.Server.Listen(80));
        var client = net.Client;
        Assert.False(client.Engine.AwaitsMore(c));
        client.Write(c, new byte[3000]);
        Assert.False(client.Engine.AwaitsMore(c));
        Announce(net, c, byOption, more: true);
        client.Write(c, new byte[3000]);
        Assert.True(client.Engine.AwaitsMore(c));
        Assert.False(client.Engine.AwaitsMore(c + 1));
        Announce(net, c, byOption, more: false);
        Assert.False(client.Engine.AwaitsMore(c));
    }

    [Fact]
    public void What_would_fill_a_super_frame_does_not_wait()
    {
        using var net = new TestNetwork();
        var (c, _) = net.Connect(net.Server.Listen(80));
        Announce(net, c, byOption: true, more: true);
        Assert.Equal(40_000, net.Client.Write(c, new byte[40_000]));
        Assert.True(net.Client.Engine.AwaitsMore(c));
        Assert.Equal(20_000, net.Client.Write(c, new byte[20_000]));
        Assert.False(net.Client.Engine.AwaitsMore(c));
    }

    [Fact]
    public void An_end_or_an_urgent_byte_does_not_wait()
    {
        using var net = new TestNetwork();
        var listener = net.Server.Listen(80);
        var (ended, _) = net.Connect(listener);
        var (urgent, _) = net.Connect(listener, from: 40001);
        foreach (var conn in (int[])[ended, urgent])
        {
            Announce(net, conn, byOption: true, more: true);
            net.Client.Write(conn, "few"u8);
            Assert.True(net.Client.Engine.AwaitsMore(conn));
        }
        net.Client.ShutdownWrite(ended);
        Assert.False(net.Client.Engine.AwaitsMore(ended));
        net.Client.Write(urgent, "!"u8, urgent: true);
        Assert.False(net.Client.Engine.AwaitsMore(urgent));
    }

    [Fact]
    public void What_waited_leaves_when_the_kicked_are_served()
    {
        using var net = new TestNetwork();
        var (c, s) = net.Connect(net.Server.Listen(80));
        Announce(net, c, byOption: true, more: true);
        net.Client.Write(c, new byte[5000]);
        net.Client.Locked(net.Now, e => e.ServeKicked(net.Now));
        net.Settle();
        // The full segments; the rest stays under the cork.
        Assert.InRange(net.Server.Read(s).Length, 2 * 1460 - 100, 4999);
    }

    private static void Announce(TestNetwork net, int conn, bool byOption, bool more)
    {
        var settings = new NicSettings { Flags = more ? NicSettingFlags.Cork : 0 };
        if (byOption)
            net.Client.Locked(net.Now, e => e.Configure(conn, settings, net.Now));
        else
            net.Client.Program(conn)->More = more ? 1u : 0u;
    }
}
