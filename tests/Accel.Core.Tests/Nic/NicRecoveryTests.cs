using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Nic;

namespace Accel.Core.Tests.Nic;

/// <summary>A process dies with the engine's lock in its hand.</summary>
public unsafe class NicRecoveryTests
{
    const int Dead = 666;

    static void Die(TestHost host)
    {
        Assert.True(StackLock.TryEnter(&host.Region.Tables->Lock, Dead));
        host.DeadTid = Dead;
    }

    [Fact]
    public void Who_kicks_finds_out_and_goes_on()
    {
        using var net = new TestNetwork();
        var listener = net.Server.Listen(80);
        var (c, s) = net.Connect(listener);
        Die(net.Server);
        net.Client.Write(c, "over a dead body"u8);
        net.Pass(TestNetwork.Second);
        Assert.Equal("over a dead body"u8.ToArray(), net.Server.Read(s));
        Assert.Equal(1, net.Server.Count(NicCounter.LocksRecovered));
        Assert.Equal(1, net.Server.Link.Recovered);
        Assert.Equal(0, net.Server.Count(NicCounter.RecoveryResets));
        net.Client.Close(c);
        net.Server.Close(s);
        net.Pass(100 * TestNetwork.Second);
        Assert.Equal(0, net.Server.ConnsInUse + net.Server.BlocksInUse + net.Server.RecordsInUse);
    }

    [Fact]
    public void A_living_holder_is_left_alone()
    {
        using var net = new TestNetwork();
        Assert.True(StackLock.TryEnter(&net.Server.Region.Tables->Lock, Dead));
        for (var i = 0; i < 100; i++)
            Assert.False(net.Server.Engine.TryEnter(100));
        Assert.Equal(0, net.Server.Count(NicCounter.LocksRecovered));
    }

    [Fact]
    public void The_connection_that_was_in_hand_is_reset_and_the_others_live()
    {
        using var net = new TestNetwork();
        var listener = net.Server.Listen(80);
        var pairs = Enumerable.Range(0, 4).Select(i => net.Connect(listener, from: (ushort)(40000 + i))).ToList();
        foreach (var (_, s) in pairs)
            net.Server.Write(s, new byte[3000]);
        net.Server.Turn(net.Now);
        var records = net.Server.RecordsInUse;
        Die(net.Server);
        net.Server.Region.Tables->InHand = net.Server.Region.ConnBlocks[pairs[1].Server];
        net.Server.Engine.Enter(100);
        net.Server.Engine.Exit(100, net.Now);
        Assert.True(net.Server.RecordsInUse < records);
        net.Pass(TestNetwork.Second);
        Assert.Equal(1, net.Server.Count(NicCounter.RecoveryResets));
        for (var i = 0; i < 4; i++)
        {
            Assert.Equal(i == 1, net.Server.WasReset(pairs[i].Server));
            Assert.Equal(i == 1, net.Client.WasReset(pairs[i].Client));
            if (i != 1)
                Assert.Equal(3000, net.Client.Read(pairs[i].Client).Length);
        }
        net.Connect(listener, from: 45000);
    }

    /// <summary>Death at any point: whatever only repeats what the blocks say may be torn in any way.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Tables_torn_in_any_way_are_made_anew(ulong seed)
    {
        var random = new Prng(Prng.Seed(seed));
        using var net = new TestNetwork();
        var listener = net.Server.Listen(80);
        var pairs = Enumerable.Range(0, 20).Select(i => net.Connect(listener, from: (ushort)(40000 + i))).ToList();
        var region = net.Server.Region;
        Die(net.Server);
        for (var i = 0; i < 2000; i++)
        {
            region.BucketHeads[random.Below(NicRegion.Buckets)] = (uint)random.Below(30);
            region.PortHeads[random.Below(NicRegion.PortBuckets)] = (uint)random.Below(30);
            region.ConnBlocks[random.Below(LocalRegion.MaxConns)] = (uint)random.Below(30);
            ((uint*)region.Wheel)[2 + random.Below(sizeof(TimerWheel) / 4 - 2)] = (uint)random.Next();
            region.BlockAt(random.Below(20))->HashNext = (uint)random.Below(30);
            region.BlockAt(random.Below(20))->Timer.Next = (uint)random.Below(30);
        }
        region.Tables->Blocks.Head = random.Next();
        region.Tables->Records.Head = random.Next();
        net.Server.Engine.Enter(100);
        net.Server.Engine.Exit(100, net.Now);
        foreach (var (c, _) in pairs)
            net.Client.Write(c, "alive?"u8);
        net.Pass(TestNetwork.Second);
        foreach (var (_, s) in pairs)
            Assert.Equal("alive?"u8.ToArray(), net.Server.Read(s));
        net.Connect(listener, from: 45000);
        Assert.Equal(21, net.Server.BlocksInUse);
    }

    /// <summary>The thread dies within the engine: thrown out of a call to the link in the middle of it.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Torn_out_of_the_middle_of_its_work(ulong seed)
    {
        var random = new Prng(Prng.Seed(seed));
        using var net = new TestNetwork();
        var listener = net.Server.Listen(80);
        for (var round = 0; round < 60; round++)
        {
            var c = net.Client.Connect(net.Client.Name((ushort)(40000 + round)), net.Server.Name(80), net.Now);
            var left = 1 + random.Below(30);
            net.Server.Link.Bomb = () => --left == 0;
            for (var i = 0; i < 20; i++)
            {
                try
                {
                    net.Client.Turn(net.Now);
                    net.Server.Turn(net.Now, tid: 1000 + round);
                }
                catch (MemoryLink.Explosion)
                {
                    net.Server.DeadTid = 1000 + round;
                    net.Server.Engine = net.Server.NewEngine();
                    net.Server.Engine.Enter(100);
                    net.Server.Engine.Exit(100, net.Now);
                }
                if (net.Server.Accept(listener) is >= 0 and var s)
                    net.Server.Write(s, new byte[2000]);
                net.Now += TestNetwork.Ms;
            }
            net.Server.Link.Bomb = null;
            net.Pass(10 * TestNetwork.Ms);
            net.Client.Close(c, abort: true);
            net.Pass(10 * TestNetwork.Ms);
        }
        Assert.True(net.Server.Count(NicCounter.LocksRecovered) > 10);
        var (last, there) = net.Connect(listener, from: 50000);
        net.Client.Write(last, "end"u8);
        net.Pass(TestNetwork.Second);
        Assert.Equal("end"u8.ToArray(), net.Server.Read(there));
    }
}
