using Accel.Core.Memory;
using Accel.Core.Nic;
using Accel.Core.Tcp;

namespace Accel.Core.Tests.Nic;

/// <summary>
/// A process dies with the engine's lock in its hand while records of the pool hold what connections have received
/// ahead of a gap, and what they have in flight.
/// </summary>
public unsafe class NicRecordRecoveryTests
{
    const int Dead = 666;
    const int Pairs = 3, Victim = 1, Mss = 1448, Segments = 10;

    static byte[] Text(int pair) =>
        [.. Enumerable.Range(0, Segments * Mss).Select(i => (byte)(i * 7 + i / 256 + pair))];

    /// <summary>Connections with data under way to the server, of which every second segment is lost.</summary>
    static List<(int Client, int Server)> WithGaps(TestNetwork net, int listener)
    {
        var pairs = Enumerable.Range(0, Pairs).Select(i => net.Connect(listener, from: (ushort)(40000 + i))).ToList();
        var data = 0;
        net.Client.Link.Hook = f => f.Length > Mss && data++ % 2 == 0 ? null : f;
        net.Server.Link.Hook = _ => null;
        for (var i = 0; i < Pairs; i++)
        {
            net.Client.Write(pairs[i].Client, Text(i));
            net.Server.Write(pairs[i].Server, Text(i));
        }
        net.Settle();
        net.Client.Link.Hook = net.Server.Link.Hook = f => f;
        foreach (var (_, s) in pairs)
            Assert.True(Block(net, s)->Tcb.Reassembly.Count >= Segments / 2 - 1);
        return pairs;
    }

    static NicBlock* Block(TestNetwork net, int conn) =>
        net.Server.Region.BlockAt((int)net.Server.Region.ConnBlocks[conn] - 1);

    static SegmentRecord* Record(TestNetwork net, uint link) => &net.Server.Region.Records[link - 1];

    static void Die(TestHost host)
    {
        Assert.True(StackLock.TryEnter(&host.Region.Tables->Lock, Dead));
        host.DeadTid = Dead;
    }

    static void TakeOver(TestNetwork net)
    {
        net.Server.Engine.Enter(100);
        net.Server.Engine.Exit(100, net.Now);
        Assert.Equal(1, net.Server.Count(NicCounter.LocksRecovered));
    }

    /// <summary>Every record that was ever used is either in one chain or in the free list, once.</summary>
    static void AssertBalanced(TestHost host)
    {
        var records = &host.Region.Tables->Records;
        var seen = new HashSet<uint>();
        for (var r = (uint)records->Head; r != 0; r = host.Region.Records[r - 1].Next)
            Assert.True(seen.Add(r), "the free list runs in a circle");
        var used = 0;
        for (var i = 0; i < host.Region.BlocksHigh; i++)
        {
            var block = host.Region.BlockAt(i);
            if (block->Use == NicUse.Free)
                continue;
            foreach (var first in new[] { block->Tcb.Recovery.Sent.Head, block->Tcb.Reassembly.First })
                for (var r = first; r != 0; r = host.Region.Records[r - 1].Next, used++)
                    Assert.True(seen.Add(r), $"record {r} was handed out twice");
        }
        Assert.Equal(records->Bumped, (uint)seen.Count);
        Assert.Equal(used, records->InUse);
    }

    static void AssertArrives(TestNetwork net, List<(int Client, int Server)> pairs, int except)
    {
        var (up, down) = (pairs.ConvertAll(_ => new List<byte>()), pairs.ConvertAll(_ => new List<byte>()));
        for (var seconds = 0; seconds < 10; seconds++)
        {
            net.Pass(TestNetwork.Second);
            for (var i = 0; i < Pairs; i++)
            {
                up[i].AddRange(net.Server.Read(pairs[i].Server));
                down[i].AddRange(net.Client.Read(pairs[i].Client));
            }
        }
        for (var i = 0; i < Pairs; i++)
        {
            Assert.Equal(i == except, net.Server.WasReset(pairs[i].Server));
            Assert.Equal(i == except, net.Client.WasReset(pairs[i].Client));
            if (i == except)
                continue;
            Assert.Equal(Text(i), up[i]);
            Assert.Equal(Text(i), down[i]);
        }
        AssertBalanced(net.Server);
    }

    [Fact]
    public void Gaps_and_flights_are_kept_and_nothing_is_handed_out_twice()
    {
        using var net = new TestNetwork();
        var pairs = WithGaps(net, net.Server.Listen(80));
        var records = net.Server.RecordsInUse;
        AssertBalanced(net.Server);
        Die(net.Server);
        TakeOver(net);
        Assert.Equal(records, net.Server.RecordsInUse);
        AssertBalanced(net.Server);
        AssertArrives(net, pairs, except: -1);
        Assert.Equal(0, net.Server.Count(NicCounter.RecoveryResets));
        foreach (var (c, s) in pairs)
        {
            net.Client.Close(c);
            net.Server.Close(s);
        }
        net.Pass(100 * TestNetwork.Second);
        Assert.Equal(0, net.Server.BlocksInUse + net.Server.RecordsInUse);
        AssertBalanced(net.Server);
    }

    [Fact]
    public void Gaps_of_the_connection_in_hand_are_given_back()
    {
        using var net = new TestNetwork();
        var pairs = WithGaps(net, net.Server.Listen(80));
        var block = Block(net, pairs[Victim].Server);
        var left = net.Server.RecordsInUse - block->Tcb.Reassembly.Count - (int)block->Tcb.Recovery.Sent.Records;
        Die(net.Server);
        net.Server.Region.Tables->InHand = net.Server.Region.ConnBlocks[pairs[Victim].Server];
        // Half changed: one link is new, the other is not.
        Record(net, block->Tcb.Reassembly.First)->Next = block->Tcb.Reassembly.First;
        TakeOver(net);
        Assert.Equal(left, net.Server.RecordsInUse);
        AssertArrives(net, pairs, except: Victim);
    }

    /// <summary>A chain that cannot be true costs its connection, and no other; recovery comes to its end.</summary>
    [Theory]
    [InlineData("circle")]
    [InlineData("beyond")]
    [InlineData("another's gaps")]
    [InlineData("another's flight")]
    [InlineData("own flight")]
    [InlineData("count")]
    [InlineData("short")]
    [InlineData("backwards")]
    [InlineData("last")]
    public void A_torn_chain_costs_its_connection_alone(string fault)
    {
        using var net = new TestNetwork();
        var pairs = WithGaps(net, net.Server.Listen(80));
        var block = Block(net, pairs[Victim].Server);
        var other = Block(net, pairs[Victim + 1].Server);
        var gaps = &block->Tcb.Reassembly;
        var left = net.Server.RecordsInUse - gaps->Count - (int)block->Tcb.Recovery.Sent.Records;
        Die(net.Server);
        switch (fault)
        {
            case "circle": Record(net, gaps->Last)->Next = gaps->First; break;
            case "beyond": Record(net, gaps->Last)->Next = NicRegion.MaxRecords + 5; break;
            case "another's gaps": Record(net, gaps->Last)->Next = other->Tcb.Reassembly.First; break;
            case "another's flight": gaps->First = other->Tcb.Recovery.Sent.Head; break;
            case "own flight": Record(net, gaps->Last)->Next = block->Tcb.Recovery.Sent.Head; break;
            case "count": gaps->Count++; break;
            case "short": Record(net, gaps->First)->Next = 0; break;
            case "backwards": Record(net, gaps->Last)->Previous = 0; break;
            case "last": gaps->Last = gaps->First; break;
        }
        TakeOver(net);
        Assert.Equal(1, net.Server.Count(NicCounter.RecoveryResets));
        Assert.Equal(left, net.Server.RecordsInUse);
        AssertBalanced(net.Server);
        AssertArrives(net, pairs, except: Victim);
    }

    /// <summary>The same of what a connection has in flight.</summary>
    [Fact]
    public void A_torn_flight_gives_the_gaps_of_its_connection_back()
    {
        using var net = new TestNetwork();
        var pairs = WithGaps(net, net.Server.Listen(80));
        var block = Block(net, pairs[Victim].Server);
        var left = net.Server.RecordsInUse - block->Tcb.Reassembly.Count - (int)block->Tcb.Recovery.Sent.Records;
        Die(net.Server);
        block->Tcb.Recovery.Sent.Head = Block(net, pairs[0].Server)->Tcb.Recovery.Sent.Head;
        TakeOver(net);
        Assert.Equal(1, net.Server.Count(NicCounter.RecoveryResets));
        Assert.Equal(left, net.Server.RecordsInUse);
        AssertArrives(net, pairs, except: Victim);
    }
}
