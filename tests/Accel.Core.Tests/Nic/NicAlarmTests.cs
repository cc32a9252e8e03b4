using Accel.Core.Nic;

namespace Accel.Core.Tests.Nic;

/// <summary>Who keeps the timers sleeps until one is due, and is woken if one becomes due earlier.</summary>
public class NicAlarmTests
{
    const ulong Name = 77;

    [Fact]
    public void Who_sleeps_for_longer_than_a_new_timer_runs_is_woken_once()
    {
        using var net = new TestNetwork();
        var (c, _) = net.Connect(net.Server.Listen(80));
        net.Pass(5 * TestNetwork.Second);
        var latest = net.Now + TestNetwork.Second;
        Assert.Equal(latest, net.Client.Engine.SetAlarm(latest, Name));
        net.Client.Write(c, "lost"u8);
        net.Client.Turn(net.Now);
        Assert.True(net.Client.Engine.NextDeadline < latest);
        Assert.Equal([Name], net.Client.TickersWoken);
        net.Client.Write(c, "more"u8);
        net.Client.Turn(net.Now);
        Assert.Equal([Name], net.Client.TickersWoken);
    }

    [Fact]
    public void Who_is_awake_or_wakes_in_time_is_not_woken()
    {
        using var net = new TestNetwork();
        var (c, _) = net.Connect(net.Server.Listen(80));
        net.Pass(5 * TestNetwork.Second);
        net.Client.Engine.SetAlarm(net.Now + TestNetwork.Second, Name);
        net.Client.Engine.ClearAlarm();
        net.Client.Write(c, "lost"u8);
        net.Client.Turn(net.Now);
        var due = net.Client.Engine.NextDeadline;
        Assert.Equal(due, net.Client.Engine.SetAlarm(net.Now + TestNetwork.Second, Name));
        net.Client.Turn(net.Now);
        Assert.Equal(due, net.Client.Engine.NextDeadline);
        Assert.Empty(net.Client.TickersWoken);
    }

    /// <summary>Of the program's threads, for what the library's would be late for.</summary>
    [Fact]
    public void One_of_those_who_sleep_wakes_for_a_timer()
    {
        using var net = new TestNetwork();
        var engine = net.Client.Engine;
        var next = net.Now + 1000;
        Assert.True(engine.Keeps(tid: 1, net.Now, next));
        Assert.False(engine.Keeps(tid: 2, net.Now, next));
        Assert.False(engine.Keeps(tid: 2, net.Now, next + 100));
        // Who was woken for another reason sleeps again.
        Assert.True(engine.Keeps(tid: 1, net.Now, next));
        Assert.True(engine.Keeps(tid: 2, net.Now, next - 100));
        Assert.False(engine.Keeps(tid: 1, net.Now, next));
        // That time has passed, whether anybody woke up or not.
        Assert.True(engine.Keeps(tid: 3, next, next + 100));
    }
}
