using System.Globalization;
using Accel.Cli.Processes;

namespace Accel.Cli.Bench;

/// <summary>Where and how long a run takes place: the CPUs of the two ends, and the seconds of load.</summary>
public record Surroundings(int ServerCpu, int ClientCpu, double Seconds)
{
    private readonly Dictionary<string, int> _requests = [];

    public TimeSpan Limit => TimeSpan.FromSeconds(20 + Seconds * 10);

    /// <summary>How to read the report.</summary>
    public virtual string Reading => "ratio above 1: accelerated is better. CPU/op: user and system time of both ends "
        + $"together for one operation, in us. {RingReading}";

    protected const string RingReading =
        "ring: a round trip of bare shared memory between the two CPUs just before the case, in us (0.1: near, 0.5: "
        + "far).";

    /// <summary>What runs need and this machine has not, or null.</summary>
    public virtual string? Missing() => null;

    /// <summary>One run of a case on one side.</summary>
    public virtual Sample Run(Side side, BenchCase c)
        => c.Measure(new Stage(new(side, new(ServerCpu), c.Environment), new(side, new(ClientCpu), c.Environment)), c,
            this);

    /// <summary>How many requests fill the time, by case and side, as the first run found it.</summary>
    public int Requests(string key, Func<int, double> rate)
    {
        if (_requests.TryGetValue(key, out int known)) return known;
        // A rate taken from a few milliseconds is not one: try until a trial has lasted long enough to be believed.
        int trial = 4000;
        double perSecond = rate(trial);
        while (trial / perSecond < 0.1)
        {
            trial = (int)(perSecond * 0.15);
            perSecond = rate(trial);
        }
        return _requests[key] = (int)Math.Max(1000, perSecond * Seconds);
    }

    /// <summary>
    /// A round trip between the two CPUs over bare shared memory: 0.1 us near, 0.5 us far; null: the machine is too
    /// busy to tell.
    /// </summary>
    public double? RingRoundTripMicros()
    {
        try
        {
            (string output, _) = Child.Run(new End(Side.Kernel, new Place(ClientCpu), []), Limit,
                Installation.LoadProgram("ring"), ClientCpu.ToString(CultureInfo.InvariantCulture),
                ServerCpu.ToString(CultureInfo.InvariantCulture));
            return Printed.Number(output, "ring_rtt_us");
        }
        catch (MeasurementException)
        {
            return null;
        }
    }
}
