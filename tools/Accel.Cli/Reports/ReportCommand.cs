using System.CommandLine;
using Accel.Cli.Bench;
using Accel.Cli.Nic;
using Accel.Cli.Processes;

namespace Accel.Cli.Reports;

/// <summary>`accel bench report DIR`: everything measured into report.json and report.html.</summary>
internal static class ReportCommand
{
    public static Command Create()
    {
        var folder = new Argument<string>("DIR") { Description = "Where report.json and report.html are written" };
        var quick = new Option<bool>("--quick")
        {
            Description = "3 short runs of each case: minutes instead of most of an hour",
        };
        var runs = new Option<int?>("--runs") { Description = "Runs of each case and side (10; quick: 3)" };
        var nic = new Option<bool>("--no-nic") { Description = "Without the network path, which needs root" };
        var command = new Command("report", "Local path, network path and programs in one page: latency at fixed "
            + "rates, throughput, CPU for a request, the kernel beside every figure") { folder, quick, runs, nic };
        command.SetAction(parsed => Run(parsed.GetValue(folder)!, parsed.GetValue(quick), parsed.GetValue(runs),
            parsed.GetValue(nic)));
        return command;
    }

    private static int Run(string folder, bool quick, int? wanted, bool withoutNic)
    {
        int runs = wanted ?? (quick ? 3 : 10);
        if (runs < 1) return Refuse("--runs: at least 1");
        string[] programs = [.. Cases.Local.SelectMany(c => c.Programs).Distinct()];
        if (Installation.Missing(programs) is { } missing) return Refuse(missing);
        if (!withoutNic && World.Missing() is { } lack) return Refuse($"{lack} (or leave it out with --no-nic)");
        try
        {
            Directory.CreateDirectory(folder);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return Refuse(e.Message);
        }
        bool shows = !Console.IsErrorRedirected;
        var measuring = new Measuring(runs, quick ? 0.5 : 1.0, quick, 0, Environment.ProcessorCount > 1 ? 1 : 0, text =>
        {
            if (shows) Console.Error.Write($"\r{text,-76}");
        });
        Findings findings = measuring.Run(!withoutNic);
        if (shows) Console.Error.Write($"\r{"",-76}\r");
        File.WriteAllText(Path.Combine(folder, "report.json"), findings.ToJson().ToJsonString());
        File.WriteAllText(Path.Combine(folder, "report.html"), ReportPage.Of(findings));
        Console.WriteLine($"{Path.Combine(folder, "report.html")}  {Path.Combine(folder, "report.json")}");
        IEnumerable<CaseFinding> cases = findings.Cases.Concat(findings.Sizes.Select(s => s.Finding));
        string[] errors = [.. cases.Where(c => c.Error is not null).Select(c => $"{c.Path} {c.Case.Name}: {c.Error}"),
            .. findings.Latencies.Where(l => l.Error is not null).Select(l => $"{l.Name}: {l.Error}")];
        foreach (string error in errors) Console.Error.WriteLine(error);
        return errors.Length == 0 ? 0 : 1;
    }

    private static int Refuse(string why)
    {
        Console.Error.WriteLine($"accel bench report: {why}");
        return 2;
    }
}
