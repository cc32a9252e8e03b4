using Accel.Cli.Bench;
using Accel.Cli.Processes;

namespace Accel.Cli.Nic;

/// <summary>
/// Runs between two hosts: a world for each arrangement of who is served by acceld, since a program on an interface
/// slows the kernel's own traffic too.
/// </summary>
public sealed record NicSurroundings(int ServerCpu, int ClientCpu, double Seconds)
    : Surroundings(ServerCpu, ClientCpu, Seconds), IDisposable
{
    /// <summary>More than this through the kernel of an accelerated host: it was not accelerated after all.</summary>
    private const long StrayPackets = 200;

    private readonly Dictionary<(Ends, bool), World> _worlds = [];

    /// <summary>How acceld is to attach; null: as it chooses.</summary>
    public string? Mode { get; init; }

    public override string Reading => "ratio above 1: accelerated is better. CPU/op: user and system time of the "
        + $"accelerated side for one operation, in us. {RingReading} -bare: instead of Accel, a server without any "
        + "protocol: what there is to gain.";

    public override string? Missing() => World.Missing();

    public override Sample Run(Side side, BenchCase c)
    {
        Func<Stage, Surroundings, Sample>? bare = side == Side.Accel ? c.Bare : null;
        Ends served = side == Side.Accel && bare is null ? c.Accelerated : Ends.None;
        World world = WorldOf(served, c.Offloads);
        Host[] accelerated = [.. Hosts(world, served)];
        long before = accelerated.Sum(h => h.KernelPackets());
        Stage stage = StageOf(world, served, c.Environment);
        Sample sample = bare is null ? c.Measure(stage, c, this) : bare(stage, this);
        long strays = accelerated.Sum(h => h.KernelPackets()) - before;
        return strays <= StrayPackets ? sample
            : throw new MeasurementException(
                $"not accelerated: the kernel of the accelerated side took {strays} packets");
    }

    public Stage StageOf(World world, Ends served, Dictionary<string, string> environment)
    {
        End At(Host host, Ends end, int cpu) =>
            new(served.HasFlag(end) ? Side.Accel : Side.Kernel, host.At(cpu), environment);
        return new(At(world.A, Ends.Server, ServerCpu), At(world.B, Ends.Client, ClientCpu));
    }

    public World WorldOf(Ends served, bool offloads = true)
    {
        if (_worlds.TryGetValue((served, offloads), out World? known)) return known;
        var world = new World(offloads);
        try
        {
            if (served.HasFlag(Ends.Server)) world.A.Serve(ServerCpu, Mode);
            if (served.HasFlag(Ends.Client)) world.B.Serve(ClientCpu, Mode);
        }
        catch
        {
            world.Dispose();
            throw;
        }
        return _worlds[(served, offloads)] = world;
    }

    public void Dispose()
    {
        foreach (World world in _worlds.Values) world.Dispose();
        _worlds.Clear();
    }

    private static IEnumerable<Host> Hosts(World world, Ends ends)
    {
        if (ends.HasFlag(Ends.Server)) yield return world.A;
        if (ends.HasFlag(Ends.Client)) yield return world.B;
    }
}
