using Accel.Core.Handover;
using Accel.Core.Tcp;
using Accel.Wire;

namespace Accel.Core.Tests.Tcp;

/// <summary>What another TCP is told of a connection: both streams go on where they are, on both ends.</summary>
public class TcpImageTests
{
    const long Ms = TcpPair.Ms;

    static TcpImage Of(TcpEnd end, long now)
    {
        Assert.True(TcpImage.TryOf(in end.Tcb, end.Streams(), (uint)(now / Ms), out var image));
        return image;
    }

    /// <summary>The peer's next byte is the one behind what is unread here, and the other way round.</summary>
    static void Meet(in TcpImage a, in TcpImage b)
    {
        Assert.Equal(b.SendSeq + b.Sent, a.ReceiveSeq + a.Unread);
        Assert.Equal(a.SendSeq + a.Sent, b.ReceiveSeq + b.Unread);
    }

    [Fact]
    public void An_idle_connection_has_empty_queues_and_what_was_agreed_on()
    {
        using var pair = new TcpPair().Established();
        TcpImage client = Of(pair.Client, pair.Now), server = Of(pair.Server, pair.Now);
        Meet(client, server);
        Assert.Equal(0ul, client.QueueBytes);
        Assert.Equal(ImageFlags.Timestamps | ImageFlags.Sack, client.Flags);
        Assert.Equal(pair.Server.Tcb.RcvWscale, client.SndWscale);
        Assert.Equal(pair.Client.Tcb.RcvWscale, client.RcvWscale);
        Assert.Equal(1460, client.PeerMss);
        Assert.Equal((uint)(pair.Now / Ms) + pair.Client.Tcb.TsOffset, client.TsVal);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(5_000)]
    [InlineData(60_000)]
    public void What_is_unread_is_told_apart_from_what_is_expected(int bytes)
    {
        using var pair = new TcpPair().Established();
        pair.Client.Write(bytes, pair.Now);
        pair.Run(2_000 * Ms);
        TcpImage client = Of(pair.Client, pair.Now), server = Of(pair.Server, pair.Now);
        Meet(client, server);
        Assert.Equal((uint)bytes, server.Unread);
        Assert.Equal(0u, client.Sent + client.Unsent);
        // No less than what was offered, which the peer may use at any time; more by what the field is too coarse for
        // (RFC 7323 2.4), if the edge that was offered before is not a multiple of it.
        uint more = server.RcvWup + server.RcvWnd - (client.SendSeq + client.SndWnd);
        Assert.InRange(more, 0u, (1u << server.RcvWscale) - 1);
    }

    [Fact]
    public void What_is_not_acknowledged_is_sent_or_unsent()
    {
        using var pair = new TcpPair().Established();
        pair.Client.Write(60_000, pair.Now);
        // The initial window has gone, no ACK has come back.
        pair.Run(5 * Ms);
        TcpImage client = Of(pair.Client, pair.Now);
        Assert.Equal(10u * 1448, client.Sent);
        Assert.Equal(60_000u - client.Sent, client.Unsent);
        Assert.Equal(pair.Client.Tcb.SndUna.Value, client.SendSeq);
        Assert.Equal(pair.Client.Tcb.SndNxt.Value, client.SendSeq + client.Sent);
    }

    [Fact]
    public void A_FIN_is_in_the_flags_and_not_in_the_numbers()
    {
        using var pair = new TcpPair().Established();
        pair.Client.Write(3_000, pair.Now);
        pair.Client.Shutdown(pair.Now);
        pair.Run(2_000 * Ms);
        Assert.Equal(TcpState.FinWait2, pair.Client.Tcb.State);
        Assert.Equal(TcpState.CloseWait, pair.Server.Tcb.State);
        TcpImage client = Of(pair.Client, pair.Now), server = Of(pair.Server, pair.Now);
        Meet(client, server);
        Assert.True(client.Has(ImageFlags.FinSent));
        Assert.True(server.Has(ImageFlags.FinReceived));
        Assert.Equal(3_000u, server.Unread);
        Assert.Equal(0u, client.Sent);
        Assert.Equal(pair.Client.Tcb.FinSeq.Value, client.SendSeq);
        Assert.True(new SeqNum(server.RcvWup) <= new SeqNum(server.ReceiveSeq) + server.Unread);
    }

    [Fact]
    public void A_FIN_that_waits_behind_data_is_due()
    {
        using var pair = new TcpPair().Established();
        pair.Client.Write(60_000, pair.Now);
        pair.Client.Shutdown(pair.Now);
        pair.Run(5 * Ms);
        TcpImage client = Of(pair.Client, pair.Now);
        Assert.True(client.Has(ImageFlags.FinDue));
        Assert.False(client.Has(ImageFlags.FinSent));
        Assert.True(client.Unsent > 0);
    }

    [Fact]
    public void There_is_no_image_before_and_after()
    {
        using var pair = new TcpPair();
        pair.Client.Connect(pair.Now);
        pair.Run(1 * Ms);
        Assert.False(TcpImage.TryOf(in pair.Client.Tcb, pair.Client.Streams(), 1, out _));
        Assert.False(TcpImage.TryOf(default, default, 1, out _));
    }
}
