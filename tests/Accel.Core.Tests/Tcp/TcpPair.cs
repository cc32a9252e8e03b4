using Accel.Core.Tcp;
using Accel.Wire;

namespace Accel.Core.Tests.Tcp;

/// <summary>Two machines and a path with a delay, in virtual time.</summary>
sealed class TcpPair : IDisposable
{
    public const long Ms = 1_000_000;

    readonly PriorityQueue<(TcpEnd To, Sent Sent), (long At, long Order)> _flying = new();
    long _order;

    public TcpPair(int capacity = 65536, uint mtu = 1500, long delay = 10 * Ms)
    {
        Client = new TcpEnd(true, capacity, mtu);
        Server = new TcpEnd(false, capacity, mtu);
        Delay = delay;
    }

    public TcpEnd Client { get; }
    public TcpEnd Server { get; }
    public long Now { get; private set; } = 1_000 * Ms;
    public long Delay { get; set; }

    /// <summary>Says which segments get lost on their way to an end.</summary>
    public Func<TcpEnd, Sent, bool> Loses { get; set; } = (_, _) => false;
    public List<(TcpEnd To, Sent Sent)> Log { get; } = [];

    public TcpPair Established()
    {
        Client.Connect(Now);
        Run(5 * Delay);
        Assert.Equal(TcpState.Established, Client.Tcb.State);
        Assert.Equal(TcpState.Established, Server.Tcb.State);
        Log.Clear();
        return this;
    }

    /// <summary>Lets time pass until the given span is over.</summary>
    public void Run(long span)
    {
        var end = Now + span;
        for (var steps = 0; ; steps++)
        {
            Assert.True(steps < 2_000_000, "no end");
            Launch(Client, Server);
            Launch(Server, Client);
            var next = Math.Min(TcpTimers.Deadline(in Client.Tcb), TcpTimers.Deadline(in Server.Tcb));
            if (_flying.TryPeek(out _, out var first))
                next = Math.Min(next, first.At);
            if (next > end)
                break;
            Now = Math.Max(Now, next);
            if (_flying.Count > 0 && first.At <= Now)
                Deliver(_flying.Dequeue());
            else
            {
                Client.Tick(Now);
                Server.Tick(Now);
            }
        }
        Now = end;
    }

    /// <summary>Runs until it is so; fails after the given span.</summary>
    public void RunUntil(Func<bool> so, long span, string what)
    {
        var end = Now + span;
        while (!so())
        {
            Assert.True(Now < end, $"not within {span / Ms} ms: {what}");
            Run(1 * Ms);
        }
    }

    void Launch(TcpEnd from, TcpEnd to)
    {
        while (from.Wire.TryDequeue(out var sent))
        {
            Log.Add((to, sent));
            if (Trace)
                TestContext.Current.SendDiagnosticMessage(Text(to, sent));
            if (!Loses(to, sent))
                _flying.Enqueue((to, sent), (Now + Delay, _order++));
        }
    }

    void Deliver((TcpEnd To, Sent Sent) item)
    {
        var (to, sent) = item;
        if (to == Server && to.Tcb.State == TcpState.None)
        {
            if (sent.Segment.Has(TcpFlags.Syn))
                to.Accept(in sent.Segment, Now);
            return;
        }
        to.Receive(sent, Now);
    }

    public static bool Trace { get; } = Environment.GetEnvironmentVariable("ACCEL_TRACE") == "1";

    string Text(TcpEnd to, Sent sent)
    {
        var seg = sent.Segment;
        var seq = to == Server ? Client.Tcb.Iss : Server.Tcb.Iss;
        var ack = to == Server ? Server.Tcb.Iss : Client.Tcb.Iss;
        return $"{Now / 1000 % 1_000_000_000,9} {(to == Server ? ">" : "<")} {seg.Flags} {seg.Seq - seq}+{seg.Length} "
            + $"ack {seg.Ack - ack} win {seg.Window}{(Loses(to, sent) ? " LOST" : "")}";
    }

    public void Dispose()
    {
        Client.Dispose();
        Server.Dispose();
    }
}
