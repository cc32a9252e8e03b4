using Accel.Core.Tcp;
using Accel.Testing;
using Accel.Testing.Simulation;
using Accel.Wire;

namespace Accel.Packet.Tests;

/// <summary>
/// Segments that no honest peer sends, into a live connection: any flags, numbers near every edge, options that lie,
/// ICMP that lies. The invariants hold, nothing throws, the pool is as full as before.
/// </summary>
public class HostileSegmentTests
{
    const int Count = 1000;
    const int Steps = 400;

    [Fact]
    public void Nothing_breaks_the_machine() => Seeds.Run(3_000_001, Count, random =>
    {
        var clock = new VirtualClock();
        using var memory = new RecordMemory(random.OneIn(3) ? 16u : 512);
        var options = new HostOptions
        {
            ReceiveBuffer = random.Pick<uint>(2048, 65_536),
            Emission = random.Pick<uint>(0, 65_000),
            Ecn = random.Pick(EcnMode.Passive, EcnMode.Full),
            Iss = random.Pick((uint)random.Next(), uint.MaxValue - 1000, int.MaxValue - 1000u),
        };
        var host = new TcpHost(options, clock, memory, Pattern.Local, Pattern.Blank, 4000);
        var invariants = new TcpInvariants(host, "victim");
        host.AfterStep = invariants.Check;
        if (random.OneIn(2))
            host.Connect();
        else
            host.Listen(random.OneIn(4));
        var wasOpen = false;
        for (var step = 0; step < Steps && !(wasOpen && host.Tcb.State == TcpState.None); step++)
        {
            Act(random, clock, host);
            wasOpen |= host.Tcb.State != TcpState.None;
        }
        host.Free();
        Assert.Equal(0, memory.InUse);
    });

    static void Act(Prng random, VirtualClock clock, TcpHost host)
    {
        switch (random.Below(12))
        {
            case 0 when !host.Finished:
                host.Write(1 + random.Below(20_000));
                break;
            case 1:
                host.Read((uint)random.Below(70_000));
                break;
            case 2 when random.OneIn(20) && host.Tcb.State != TcpState.None:
                host.Close(abort: random.OneIn(4));
                break;
            case 3 when random.OneIn(10):
                host.Shutdown();
                break;
            case 4 when host.Tcb.State != TcpState.None:
                host.OnIcmp((byte)random.Pick(3, 3, 3, 11, 4), (byte)random.Below(16), Near(random, host.Tcb.SndUna),
                    random.Pick<uint>(0, 68, 552, 1000, 1400, 9000));
                break;
            case 5:
                var most = random.Pick<long>(1_000_000, 300_000_000, 2_000_000_000);
                clock.AdvanceTo(clock.NowNs + random.Between(0, most));
                break;
            default:
                host.Deliver(Segment(random, host));
                break;
        }
        for (var i = 0; host.Deadline <= clock.NowNs; i++)
        {
            Assert.True(i < 1000, "a timer that is due stays due");
            host.RunTimers();
        }
    }

    static Testing.Packet Segment(Prng random, TcpHost host)
    {
        ref readonly var tcb = ref host.Tcb;
        var packet = new Testing.Packet { Ecn = (byte)random.Below(4) };
        ref var header = ref packet.Header;
        // Mostly what could be, now and then anything.
        header.Flags = random.OneIn(3) ? (TcpFlags)random.Below(256) : random.OneIn(6)
            ? TcpFlags.Ack | TcpFlags.Fin : TcpFlags.Ack;
        header.Seq = random.OneIn(2) ? tcb.RcvNxt : Near(random, tcb.RcvNxt);
        var ack = Between(random, tcb.SndUna, tcb.SndNxt);
        header.Ack = random.Pick(tcb.SndNxt, tcb.SndUna, ack, Near(random, tcb.SndUna));
        header.Window = (ushort)random.Pick<uint>(0, 1, 100, 5000, 65_535);
        header.Urgent = (ushort)random.Next();
        header.Length = random.OneIn(2) ? 0 : (uint)random.Below(random.Pick(2, 1461, 9000));
        header.Merged = 1 + header.Length / 1460;
        header.CongestionExperienced = packet.Ecn == 3;
        packet.Payload = new byte[header.Length];
        Lie(random, ref header.Options, in tcb);
        return packet;
    }

    static void Lie(Prng random, ref TcpOptions options, in Tcb tcb)
    {
        options.Present = random.OneIn(4) ? (TcpOptionKinds)random.Below(32)
            : tcb.Flags.HasFlag(TcbFlags.Timestamps) ? TcpOptionKinds.Timestamps : TcpOptionKinds.None;
        if (random.OneIn(3))
            options.Present |= TcpOptionKinds.Sack;
        options.Mss = (ushort)random.Pick<uint>(0, 1, 48, 536, 1460, 65_535);
        options.WindowScale = (byte)random.Below(256);
        options.TsVal = tcb.TsRecent + (uint)random.Below(100) - (random.OneIn(10) ? 50_000u : 0);
        options.TsEcr = random.OneIn(4) ? (uint)random.Next() : tcb.TsOffset;
        if (!options.Has(TcpOptionKinds.Sack))
            return;
        options.SackCount = (byte)random.Below(SackBlocks.Length + 1);
        for (var i = 0; i < options.SackCount; i++)
        {
            var left = random.OneIn(4) ? Near(random, tcb.SndUna) : Between(random, tcb.SndUna, tcb.SndNxt);
            var right = random.OneIn(4) ? Near(random, left) : Between(random, left, tcb.SndNxt);
            options.Sacks[i] = new SackBlock { Left = left, Right = right };
        }
    }

    static SeqNum Between(Prng random, SeqNum from, SeqNum to) =>
        from + (uint)random.Below(Math.Max(1, to - from + 1));

    static SeqNum Near(Prng random, SeqNum number) =>
        number + (uint)random.Between(-(1L << random.Below(32)), 1L << random.Below(32));
}
