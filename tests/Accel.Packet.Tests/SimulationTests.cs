using Accel.Core.Tcp;
using Accel.Testing;
using Accel.Testing.Simulation;

namespace Accel.Packet.Tests;

/// <summary>
/// Whole connections over bad networks, one for each seed: two machines, or the machine and the model peer. At every
/// step the invariants hold; at the end every byte has arrived, both ends are closed and the pool is as full as before.
/// </summary>
public class SimulationTests
{
    const int Machines = 1200;
    const int Models = 800;
    const long MaxSteps = 400_000;
    const long MaxNs = 24 * 3600 * VirtualClock.Second;

    [Fact]
    public void Two_machines_over_a_bad_network() => Seeds.Run(1, Machines, TwoMachines);

    [Fact]
    public void A_machine_and_the_model_peer() => Seeds.Run(1_000_001, Models, MachineAndModel);

    [Fact]
    public void Two_model_peers() => Seeds.Run(2_000_001, 100, random =>
    {
        var clock = new VirtualClock();
        var (there, back) = (AmountFor(random), AmountFor(random));
        var faults = FaultsFor(random);
        var network = new SimulatedNetwork(clock,
            new ModelPeer(ModelFor(random, isClient: true, there, back), random, clock),
            new ModelPeer(ModelFor(random, isClient: false, back, there), random, clock),
            new SimulatedLink(faults, random, clock), new SimulatedLink(faults, random, clock));
        network.Run(MaxSteps, MaxNs);
    });

    static void TwoMachines(Prng random)
    {
        var clock = new VirtualClock();
        using var memory = new RecordMemory(RecordsFor(random));
        var (toServer, toClient) = (AmountFor(random), AmountFor(random));
        var faults = FaultsFor(random);
        var plan = PlanFor(random, faults, toServer, toClient);
        var other = PlanFor(random, faults, toClient, toServer);
        var client = new MachinePeer(OptionsFor(random), plan, random, clock, memory, isClient: true);
        var server = new MachinePeer(OptionsFor(random), other, random, clock, memory, isClient: false);
        // Of a cookie's connection nothing is kept: if another segment comes first, it is reset, in Linux as well.
        server.Host.Listen(cookies: faults is { Loss: 0, Reorder: 0, Corrupt: 0, Outage: 0, Rate: 0 });
        var network = new SimulatedNetwork(clock, client, server,
            new SimulatedLink(faults, random, clock), new SimulatedLink(faults, random, clock));
        client.Host.Connect();
        network.Run(MaxSteps, MaxNs);
        client.Host.Free();
        server.Host.Free();
        Assert.Equal(0, memory.InUse);
    }

    static void MachineAndModel(Prng random)
    {
        var clock = new VirtualClock();
        using var memory = new RecordMemory(RecordsFor(random));
        var modelIsClient = random.OneIn(2);
        var (toModel, fromModel) = (AmountFor(random), AmountFor(random));
        var faults = FaultsFor(random);
        var plan = PlanFor(random, faults, toModel, fromModel);
        var machine = new MachinePeer(OptionsFor(random), plan, random, clock, memory, !modelIsClient);
        var model = new ModelPeer(ModelFor(random, modelIsClient, fromModel, toModel), random, clock);
        var (there, back) = (new SimulatedLink(faults, random, clock), new SimulatedLink(faults, random, clock));
        var network = new SimulatedNetwork(clock, machine, model, there, back);
        machine.Host.Listen(false);
        if (!modelIsClient)
            machine.Host.Connect();
        network.Run(MaxSteps, MaxNs);
        machine.Host.Free();
        Assert.Equal(0, memory.InUse);
    }

    /// <summary>Some pools are so small that sending must wait for records.</summary>
    static uint RecordsFor(Prng random) => random.OneIn(4) ? (uint)random.Between(12, 40) : 4096;

    static long AmountFor(Prng random) => random.Pick<long>(0, 1, random.Between(1, 3000), random.Between(1, 60_000),
        random.Between(1, 60_000), random.Between(1, 250_000));

    static HostOptions OptionsFor(Prng random)
    {
        var options = new HostOptions
        {
            Mtu = random.Pick<uint>(576, 1500, 1500, 1500, 9000),
            ReceiveBuffer = random.Pick<uint>(2048, 4096, 16_384, 65_536, 262_144),
            Emission = random.Pick<uint>(0, 0, 65_000),
            Sack = !random.OneIn(4),
            Timestamps = !random.OneIn(3),
            WindowScaling = !random.OneIn(4),
            NoDelay = random.OneIn(3),
            Ecn = random.Pick(EcnMode.Off, EcnMode.Passive, EcnMode.Full),
            Congestion = random.Pick(CongestionAlgorithm.Cubic, CongestionAlgorithm.Cubic, CongestionAlgorithm.Reno),
            Iss = random.Pick((uint)random.Next(), uint.MaxValue - (uint)random.Below(100_000),
                int.MaxValue - (uint)random.Below(100_000)),
        };
        options.ReceiveMax = Math.Max(options.ReceiveBuffer, random.Pick<uint>(0, 262_144, 4 << 20));
        return options;
    }

    static ProgramPlan PlanFor(Prng random, LinkFaults faults, long total, long expected) => new()
    {
        Total = total,
        Expected = expected,
        SendBuffer = random.Pick<long>(4_096, 65_536, 262_144),
        LargestWrite = random.Pick(100, 3000, 65_536),
        LargestRead = random.Pick(200, 5000, 65_536, 1_000_000),
        WriterPauseNs = random.Pick<long>(0, 0, VirtualClock.Millisecond, 30 * VirtualClock.Millisecond),
        ReaderPauseNs = random.Pick<long>(0, 0, VirtualClock.Millisecond, 50 * VirtualClock.Millisecond),
        IsFickle = random.OneIn(4),
        IsHasty = faults is { Loss: < 0.05, Outage: 0 },
    };

    static ModelPlan ModelFor(Prng random, bool isClient, long total, long expected)
    {
        var scale = random.Pick<byte?>(null, 0, 2, 7, 14);
        var buffer = random.Pick<uint>(100, 500, 3000, 20_000, 65_535, 300_000);
        return new ModelPlan
        {
            IsClient = isClient,
            Mss = random.Pick<ushort>(88, 536, 1000, 1460, 8960),
            Sack = random.OneIn(2),
            Timestamps = random.OneIn(2),
            Scale = scale,
            // A buffer smaller than the unit of its window could never be offered.
            Buffer = Math.Max(buffer, 2u << (scale ?? 0)),
            Total = total,
            Expected = expected,
            Flight = random.Pick<uint>(1000, 20_000, 100_000),
            AckEvery = random.Pick(1, 1, 2, 5),
            LargestRead = random.Pick(200, 5000, 65_536),
            ReaderPauseNs = random.Pick<long>(0, VirtualClock.Millisecond, 50 * VirtualClock.Millisecond),
            ProbesWithData = random.OneIn(2),
        };
    }

    static LinkFaults FaultsFor(Prng random)
    {
        var delay = random.Pick<long>(0, 100_000, VirtualClock.Millisecond, 20 * VirtualClock.Millisecond,
            100 * VirtualClock.Millisecond);
        return new LinkFaults
        {
            DelayNs = delay,
            JitterNs = random.Pick<long>(0, delay / 10, delay),
            Loss = random.Pick<double>(0, 0, 0.001, 0.01, 0.05, 0.2),
            Reorder = random.Pick<double>(0, 0, 0.01, 0.2),
            ReorderNs = random.Pick<long>(100_000, delay / 4, delay * 2),
            Duplicate = random.Pick<double>(0, 0, 0.02, 0.1),
            Corrupt = random.Pick<double>(0, 0, 0.02),
            Mark = random.Pick<double>(0, 0, 0.02, 0.2),
            Outage = random.Pick<double>(0, 0, 0, 0.002),
            OutageNs = random.Pick(VirtualClock.Second / 5, 3 * VirtualClock.Second),
            Rate = random.Pick<long>(0, 0, 10_000_000, 100_000_000),
            QueueBytes = random.Pick<long>(5_000, 50_000, 1_000_000),
        };
    }
}
