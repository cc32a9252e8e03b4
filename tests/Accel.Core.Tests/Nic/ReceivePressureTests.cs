using Accel.Core.Nic;
using Accel.Wire;

namespace Accel.Core.Tests.Nic;

/// <summary>What is offered, if the ring of a link fills because the stack is late.</summary>
public sealed unsafe class ReceivePressureTests : IDisposable
{
    const uint Ring = 2 << 20;

    readonly TestNetwork _net = new();
    readonly int _client, _server;

    public ReceivePressureTests()
    {
        var listener = _net.Server.Listen(80);
        (_client, _server) = _net.Connect(listener);
        _net.Server.Link.Info->RingBytes = Ring;
    }

    public void Dispose() => _net.Dispose();

    uint Offered => _net.Server.Region.Tables->OfferMost;

    void Batch(uint backlog, int bytes)
    {
        _net.Server.Link.Info->RingBacklog = backlog;
        _net.Client.Write(_client, new byte[bytes]);
        _net.Pass(TestNetwork.Ms);
        _net.Server.Read(_server);
    }

    [Fact]
    public void A_ring_half_full_of_data_makes_windows_smaller_down_to_a_least_one()
    {
        Batch(Ring / 2, 14_000);
        Assert.Equal(0u, Offered);
        Batch(Ring / 2 + 1, 14_000);
        Assert.Equal(ReceivePressure.First, Offered);
        for (var i = 0; i < 20; i++)
            Batch(Ring, 14_000);
        Assert.Equal(ReceivePressure.Least, Offered);
        Assert.True(_net.Server.Count(NicCounter.ReceivePressure) > 4);
    }

    [Fact]
    public void They_grow_again_when_it_is_over()
    {
        for (var i = 0; i < 10; i++)
            Batch(Ring, 14_000);
        var steps = 0;
        for (var last = Offered; Offered != 0; last = Offered, steps++)
        {
            Assert.True(Offered >= last && Offered <= last + last / 8, $"from {last} to {Offered}");
            Batch(0, 14_000);
            _net.Pass(ReceivePressure.GrowNs);
        }
        Assert.InRange(steps, 20, 60);
    }

    [Fact]
    public void That_is_what_the_peer_is_told()
    {
        const int Scale = 7;
        for (var i = 0; i < 10; i++)
            Batch(Ring, 14_000);
        _net.Server.Link.KeepSent = true;
        for (var i = 0; i < 20; i++)
            Batch(Ring, 14_000);
        Assert.True(Ipv4View.TryParse(_net.Server.Link.Sent[^1].AsSpan(14), out var ip));
        Assert.True(TcpView.TryParse(ip.Payload, out var tcp));
        Assert.InRange((uint)tcp.Window << Scale, ReceivePressure.Least / 2, ReceivePressure.Least);
    }

    [Fact]
    public void Small_frames_do_not_count()
    {
        for (var i = 0; i < 10; i++)
            Batch(Ring, 100);
        Assert.Equal(0u, Offered);
    }

    [Fact]
    public void Once_in_a_millisecond_is_enough()
    {
        Batch(Ring, 14_000);
        _net.Client.Write(_client, new byte[14_000]);
        _net.Settle();
        var first = Offered;
        _net.Client.Write(_client, new byte[14_000]);
        _net.Settle();
        Assert.Equal(first, Offered);
    }
}
