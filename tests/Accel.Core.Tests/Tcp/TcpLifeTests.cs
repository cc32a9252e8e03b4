using Accel.Core.Tcp;
using Accel.Wire;

namespace Accel.Core.Tests.Tcp;

/// <summary>A connection from its first segment to its last, between two machines.</summary>
public class TcpLifeTests
{
    const long Ms = TcpPair.Ms;

    [Fact]
    public void Three_segments_open_and_agree_on_the_options()
    {
        using var pair = new TcpPair();
        pair.Client.Connect(pair.Now);
        pair.Run(30 * Ms);
        Assert.Equal(TcpState.Established, pair.Client.Tcb.State);
        Assert.Equal(TcpState.Established, pair.Server.Tcb.State);
        Assert.Equal(3, pair.Log.Count);
        var agreed = TcbFlags.Timestamps | TcbFlags.Sack | TcbFlags.WindowScaling;
        Assert.Equal(agreed, pair.Client.Tcb.Flags & agreed);
        Assert.Equal(agreed, pair.Server.Tcb.Flags & agreed);
        Assert.Equal(1448, pair.Client.Tcb.SndMss);
        Assert.Equal(65535u, pair.Client.Tcb.SndWnd);
        Assert.Equal(20 * Ms, pair.Client.Tcb.Recovery.Rtt.Srtt);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(1448)]
    [InlineData(100_000)]
    [InlineData(1_000_000)]
    public void Bytes_arrive_both_ways(int bytes)
    {
        using var pair = new TcpPair().Established();
        pair.Client.ReadsAtOnce = pair.Server.ReadsAtOnce = true;
        pair.Client.Write(bytes, pair.Now);
        pair.Server.Write(bytes, pair.Now);
        pair.RunUntil(() => pair.Server.Read.Count + pair.Client.Read.Count == 2 * bytes, 60_000 * Ms, "all read");
        Assert.True(pair.Server.Read.Select((b, i) => b == (byte)(i * 7)).All(x => x));
        pair.Run(1_000 * Ms);
        Assert.Empty(pair.Client.Outgoing);
        Assert.Equal(0, pair.Client.RecordsInUse);
    }

    [Fact]
    public void Close_on_one_side_then_the_other()
    {
        using var pair = new TcpPair().Established();
        pair.Client.Write(3_000, pair.Now);
        pair.Client.Close(pair.Now);
        Assert.Equal(TcpState.FinWait1, pair.Client.Tcb.State);
        pair.Run(100 * Ms);
        Assert.True(pair.Server.Events.HasFlag(TcpEvents.EndOfStream));
        Assert.Equal(TcpState.CloseWait, pair.Server.Tcb.State);
        Assert.Equal(TcpState.FinWait2, pair.Client.Tcb.State);
        pair.Server.Take(3_000, pair.Now);
        pair.Server.Write(1_0, pair.Now);
        pair.Run(15 * Ms);
        // Data for a program that is gone.
        Assert.Equal(TcpState.Closed, pair.Client.Tcb.State);
        pair.Run(15 * Ms);
        Assert.Equal(TcpState.Closed, pair.Server.Tcb.State);
        Assert.Equal(TcpError.Broken, pair.Server.Error);
    }

    [Fact]
    public void Half_close_lets_the_other_side_go_on()
    {
        using var pair = new TcpPair().Established();
        pair.Client.Shutdown(pair.Now);
        pair.Run(100 * Ms);
        pair.Client.ReadsAtOnce = true;
        pair.Server.Write(50_000, pair.Now);
        pair.Run(500 * Ms);
        Assert.Equal(50_000, pair.Client.Read.Count);
        pair.Server.Close(pair.Now);
        pair.Run(100 * Ms);
        Assert.Equal(TcpState.Closed, pair.Server.Tcb.State);
        Assert.Equal(TcpState.TimeWait, pair.Client.Tcb.State);
        pair.Run(59_000 * Ms);
        Assert.Equal(TcpState.TimeWait, pair.Client.Tcb.State);
        pair.Run(2_000 * Ms);
        Assert.Equal(TcpState.Closed, pair.Client.Tcb.State);
    }

    [Fact]
    public void Simultaneous_close_ends_in_time_wait_on_both_sides()
    {
        using var pair = new TcpPair().Established();
        pair.Client.Close(pair.Now);
        pair.Server.Close(pair.Now);
        pair.Run(15 * Ms);
        Assert.Equal(TcpState.Closing, pair.Client.Tcb.State);
        Assert.Equal(TcpState.Closing, pair.Server.Tcb.State);
        pair.Run(50 * Ms);
        Assert.Equal(TcpState.TimeWait, pair.Client.Tcb.State);
        Assert.Equal(TcpState.TimeWait, pair.Server.Tcb.State);
    }

    [Fact]
    public void Simultaneous_open_meets_in_established()
    {
        using var pair = new TcpPair();
        pair.Client.Connect(pair.Now);
        pair.Server.Connect(pair.Now);
        pair.Run(15 * Ms);
        Assert.Equal(TcpState.SynReceived, pair.Client.Tcb.State);
        pair.Run(50 * Ms);
        Assert.Equal(TcpState.Established, pair.Client.Tcb.State);
        Assert.Equal(TcpState.Established, pair.Server.Tcb.State);
        pair.Server.ReadsAtOnce = true;
        pair.Client.Write(5_000, pair.Now);
        pair.Run(200 * Ms);
        Assert.Equal(5_000, pair.Server.Read.Count);
    }

    [Fact]
    public void Close_with_unread_data_resets()
    {
        using var pair = new TcpPair().Established();
        pair.Client.Write(10, pair.Now);
        pair.Run(15 * Ms);
        pair.Server.Close(pair.Now);
        Assert.Equal(TcpState.Closed, pair.Server.Tcb.State);
        pair.Run(15 * Ms);
        Assert.Equal(TcpError.Reset, pair.Client.Error);
        Assert.Equal(TcpState.Closed, pair.Client.Tcb.State);
    }

    [Fact]
    public void Abandoned_fin_wait_2_ends_after_a_minute()
    {
        using var pair = new TcpPair().Established();
        pair.Client.Close(pair.Now);
        pair.Run(100 * Ms);
        Assert.Equal(TcpState.FinWait2, pair.Client.Tcb.State);
        pair.Run(59_800 * Ms);
        Assert.Equal(TcpState.FinWait2, pair.Client.Tcb.State);
        pair.Run(200 * Ms);
        Assert.Equal(TcpState.Closed, pair.Client.Tcb.State);
    }

    [Fact]
    public void Closed_window_is_probed_and_opens()
    {
        using var pair = new TcpPair(capacity: 8192).Established();
        pair.Client.Write(20_000, pair.Now);
        pair.Run(3_000 * Ms);
        Assert.True(pair.Server.Unread > 8192 - 1448);
        Assert.Equal(SendTimer.Persist, pair.Client.Tcb.SendTimer);
        Assert.True(pair.Client.Counter(TcpCounter.ProbesSent) >= 3);
        pair.Server.ReadsAtOnce = true;
        pair.Server.Take(int.MaxValue, pair.Now);
        pair.Run(500 * Ms);
        Assert.Equal(20_000, pair.Server.Read.Count);
    }

    [Fact]
    public void The_step_allocates_nothing()
    {
        using var end = new TcpEnd(true);
        Step(end);
        using (new NoAllocation())
            Step(end);
    }

    static void Step(TcpEnd end)
    {
        var ctx = end.Context(5_000 * Ms);
        TcpEffects fx = default;
        TcpOpen.Active(ref end.Tcb, in end.Opening, in ctx);
        TcpStreams streams = new() { ReceiveSpace = 65536, MaxEmission = 1500 };
        TcpOutput.Next(ref end.Tcb, in ctx, in streams, out var syn);
        TcpSegment seg = new()
        {
            Seq = new(9), Ack = syn.Seq + 1, Window = 65535, Flags = TcpFlags.Syn | TcpFlags.Ack,
        };
        TcpInput.OnSegment(ref end.Tcb, in seg, in ctx, in streams, ref fx);
        streams.Queued = 5_000;
        while (TcpOutput.Next(ref end.Tcb, in ctx, in streams, out _))
            continue;
        seg = new() { Seq = new(10), Ack = syn.Seq + 1, Window = 65535, Flags = TcpFlags.Ack, Length = 1000 };
        TcpInput.OnSegment(ref end.Tcb, in seg, in ctx, in streams, ref fx);
        TcpTimers.OnTimer(ref end.Tcb, in ctx, in streams, ref fx);
        TcpClose.Abort(ref end.Tcb, in ctx, ref fx);
    }
}
