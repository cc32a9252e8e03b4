using System.Diagnostics;
using System.Text.Json;
using Accel.Control;
using Accel.Control.Broker;
using Accel.Inspect;

namespace Accel.Daemon.Telemetry;

/// <summary>
/// What acceld and the stacks of its network namespace have counted until now. Made when somebody asks, and kept for a
/// moment: however many ask, and however many instruments they read, there is one look.
/// </summary>
public sealed class Observation
{
    private static readonly TimeSpan Fresh = TimeSpan.FromMilliseconds(200);

    private Observation(IReadOnlyList<StackReading> stacks, IReadOnlyList<string> refusals, JsonElement? daemon)
    {
        Stacks = stacks;
        Refusals = refusals;
        Daemon = daemon;
    }

    public IReadOnlyList<StackReading> Stacks { get; }

    /// <summary>What could not be read, and why.</summary>
    public IReadOnlyList<string> Refusals { get; }

    /// <summary>What `acceld status` says; null while it does not answer.</summary>
    public JsonElement? Daemon { get; }

    public static Observation Take(string? socketPath)
    {
        using Machine machine = Machine.Look();
        return new Observation([.. Here(machine).Select(s => StackReading.Of(machine, s))], [.. machine.Refusals],
            socketPath is null ? null : Ask(socketPath));
    }

    /// <summary>The stacks of this network namespace.</summary>
    public static IEnumerable<StackView> Here(Machine machine)
    {
        string? here = Network("self");
        return machine.Stacks.Where(s => s.Processes.Any(p => p.Alive && Network($"{p.Pid}") == here));
    }

    /// <summary>A source that takes a new one only when the last is old.</summary>
    public static Func<Observation> Source(string? socketPath)
    {
        var gate = new Lock();
        Observation? last = null;
        long at = 0;
        return () =>
        {
            lock (gate)
            {
                if (last is null || Stopwatch.GetElapsedTime(at) > Fresh)
                {
                    last = Take(socketPath);
                    at = Stopwatch.GetTimestamp();
                }
                return last;
            }
        };
    }

    /// <summary>Over its own socket, as anybody would: the thread that serves stacks shares nothing.</summary>
    private static JsonElement? Ask(string socketPath)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(StatusQuery.Ask(socketPath));
            return document.RootElement.Clone();
        }
        catch (Exception e) when (e is ControlException or JsonException)
        {
            return null;
        }
    }

    private static string? Network(string process)
    {
        try
        {
            return new FileInfo($"/proc/{process}/ns/net").LinkTarget;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
