using Accel.Core.Tcp;
using Accel.Testing;
using Accel.Testing.Simulation;

namespace Accel.Packet.Tests;

/// <summary>One run of a cell in virtual time: what arrived, and what did not.</summary>
readonly record struct ThroughputRun(double Mbits, long Lost)
{
    public static ThroughputRun Of(ThroughputCell cell, int seconds, Prng random)
    {
        var clock = new VirtualClock();
        using var memory = new RecordMemory(65_536);
        var plan = new ProgramPlan { Total = long.MaxValue / 4, SendBuffer = 4 << 20, LargestWrite = 262_144 };
        var client = new MachinePeer(Options(cell.Algorithm), plan, random, clock, memory, isClient: true);
        var reader = new ProgramPlan { LargestRead = 1 << 20 };
        var server = new MachinePeer(Options(cell.Algorithm), reader, random, clock, memory, isClient: false);
        var back = new LinkFaults
        {
            DelayNs = cell.RoundTripMillis * VirtualClock.Millisecond / 2,
            Rate = ThroughputTable.Rate,
        };
        var faults = back with { QueueBytes = ThroughputTable.QueueBytes(cell.RoundTripMillis), Loss = cell.Loss };
        var there = new SimulatedLink(faults, random, clock);
        var network = new SimulatedNetwork(clock, client, server, there, new SimulatedLink(back, random, clock));
        server.Host.Listen(false);
        client.Host.Connect();
        network.RunFor(seconds * VirtualClock.Second);
        return new ThroughputRun(server.Host.Receiving.Delivered * 8.0 / seconds / 1e6, there.Lost);
    }

    static HostOptions Options(CongestionAlgorithm algorithm) => new()
    {
        Congestion = algorithm,
        ReceiveBuffer = 65_536,
        ReceiveMax = 4 << 20,
    };
}
