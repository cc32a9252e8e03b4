using Accel.Core.Local;
using Accel.Core.Nic;

namespace Accel.Core.Tests.Nic;

/// <summary>Two hosts, a cable, and a clock that goes on when the test says so.</summary>
sealed class TestNetwork : IDisposable
{
    public const long Ms = 1_000_000, Second = 1000 * Ms;

    public TestNetwork(ulong seed = 1, long serverBytes = 64 << 20)
    {
        Client = new TestHost(1, 2, seed);
        Server = new TestHost(2, 1, seed, serverBytes);
        Client.Link.Other = Server.Link;
        Server.Link.Other = Client.Link;
    }

    public TestHost Client { get; }

    public TestHost Server { get; }

    public long Now { get; set; } = 1000 * Second;

    /// <summary>Lets both engines work until nothing moves, without time passing.</summary>
    public void Settle()
    {
        for (var i = 0; i < 10_000; i++)
        {
            Client.Turn(Now);
            Server.Turn(Now);
            if (!Client.Link.IsReadable && !Server.Link.IsReadable && Client.Link.Unflushed + Server.Link.Unflushed == 0
                && !Client.Engine.HasWorkAt(Now) && !Server.Engine.HasWorkAt(Now))
                return;
        }
        Assert.Fail("the two never come to rest");
    }

    /// <summary>Time passes, from one thing to do to the next.</summary>
    public void Pass(long ns)
    {
        var end = Now + ns;
        Settle();
        while (true)
        {
            var next = Math.Min(Client.Engine.NextDeadline, Server.Engine.NextDeadline);
            if (next > end)
                break;
            Now = Math.Max(Now + 1, next);
            Settle();
        }
        Now = end;
        Settle();
    }

    public bool PassUntil(Func<bool> done, long limitNs)
    {
        for (var end = Now + limitNs; Now < end && !done();)
            Pass(Ms);
        return done();
    }

    /// <summary>An established connection: the client's and the server's index.</summary>
    public (int Client, int Server) Connect(int listener, ushort port = 80, ushort from = 40000, bool v6 = false)
    {
        var c = Client.Connect(Client.Name(from, v6), Server.Name(port, v6), Now);
        Settle();
        Assert.Equal(NicPhase.Established, Client.Phase(c));
        var s = Server.Accept(listener);
        Assert.True(s >= 0, "nothing in the accept queue");
        return (c, s);
    }

    public void Dispose()
    {
        Client.Dispose();
        Server.Dispose();
    }
}
