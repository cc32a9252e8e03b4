using System.Text;

namespace Accel.Daemon.Telemetry;

/// <summary>METRICS.md: the names that metrics and events have, from the tables that they are made by.</summary>
public static class MetricsDocument
{
    private const string Head = """
        # What acceld publishes

        Generated: `ACCEL_UPDATE=1` with Accel.Daemon.Tests writes it anew.

        - `acceld --metrics 9400` (on 127.0.0.1; or `unix:/run/accel/metrics`, or `ADDRESS:9400`) serves `/metrics`
          by OpenTelemetry's Prometheus exporter: OpenMetrics, or Prometheus' own text to who does not ask for that.
          Nothing listens without it. Prometheus names as below; attributes have `_` for `.`. The series of a stack
          end with it. A dashboard over them is [grafana-dashboard.json](grafana-dashboard.json).
        - The `_created` of a counter, which OpenMetrics has, is when acceld was first asked for the series, not when
          its stack began: its value is from the beginning.
        - The same are instruments of the meter `Accel`: `dotnet-counters monitor -p PID --counters Accel`.
        - Events are those of the event source `Accel`: `dotnet-trace collect -p PID --providers Accel`. Retransmissions
          and drops are told of every stack, ten times a second while somebody listens. ConnectionOpened,
          ConnectionClosed, PathChosen and Handover are told of stacks whose programs run with `ACCEL_DIAGNOSTICS=1`:
          these log them in their shared region, and get no thread and no port for it.
        - A unit file with PrivateTmp hides the diagnostics port: it is in `/proc/PID/root/tmp`.

        Metrics of a stack have the attributes `accel.stack.id`, `process.pid` and `process.executable.name` (of the
        stack's first process). Names and attributes that OpenTelemetry's semantic conventions have are theirs:
        `process.*`, `network.io.direction` (`receive`, `transmit`), `network.interface.name`.

        | Metric | Prometheus | Kind | Unit | Meaning |
        |---|---|---|---|---|

        """;

    public static string Write()
    {
        var text = new StringBuilder(Head);
        foreach (Metric m in Metrics.All)
        {
            bool isCounter = m.Kind == MetricKind.Counter;
            text.Append($"| `{m.Name}` | `{m.TextName}{(isCounter ? "_total" : "")}` | ")
                .Append($"{(isCounter ? "counter" : "gauge")} | {m.Unit} | {m.Meaning} |\n");
        }
        return text.ToString();
    }
}
