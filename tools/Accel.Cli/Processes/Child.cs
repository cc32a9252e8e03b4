using System.Diagnostics;
using System.Globalization;
using System.Text;

namespace Accel.Cli.Processes;

/// <summary>
/// A program that we started on one CPU, on the kernel or accelerated; ended with us, by its process id.
/// </summary>
public sealed class Child : IDisposable
{
    private readonly Process _process;
    private readonly StringBuilder _errors = new();
    private readonly string? _costFile;
    private readonly string _name;

    private Child(Process process, string name, string? costFile)
    {
        _process = process;
        _name = name;
        _costFile = costFile;
        process.ErrorDataReceived += (_, line) =>
        {
            lock (_errors)
                if (_errors.Length < 4000) _errors.AppendLine(line.Data);
        };
        process.BeginErrorReadLine();
    }

    /// <summary>The process id of the program itself (of its launcher, if its cost is taken).</summary>
    public int Id => _process.Id;

    /// <summary>Starts a program that runs until it is stopped.</summary>
    public static Child Start(End end, string program, params string[] args) => Start(end, null, program, args);

    /// <summary>Runs a program to its end and returns what it printed and the CPU time it took.</summary>
    public static (string Output, double CpuMicros) Run(End end, TimeSpan limit, string program, params string[] args)
    {
        string costFile = Path.GetTempFileName();
        try
        {
            using Child child = Start(end, costFile, program, args);
            Task<string> output = child._process.StandardOutput.ReadToEndAsync();
            if (!child._process.WaitForExit(limit) || !output.Wait(TimeSpan.FromSeconds(5)))
                throw new MeasurementException($"{child._name} had not ended after {limit.TotalSeconds:0} s");
            if (child._process.ExitCode != 0)
                throw new MeasurementException($"{child._name} ended with {child._process.ExitCode}: {child.Errors()}");
            return (output.Result, child.CostMicros());
        }
        finally
        {
            File.Delete(costFile);
        }
    }

    /// <summary>The next line of standard output.</summary>
    public string ReadLine(TimeSpan limit)
    {
        Task<string?> line = _process.StandardOutput.ReadLineAsync();
        if (!line.Wait(limit)) throw new MeasurementException($"{_name} said nothing for {limit.TotalSeconds:0} s");
        return line.Result ?? throw new MeasurementException($"{_name} ended: {Errors()}");
    }

    /// <summary>Whatever else it prints is read and forgotten, so that it is never held up by a full pipe.</summary>
    public void Ignore() => _process.StandardOutput.BaseStream.CopyToAsync(Stream.Null);

    /// <summary>CPU time so far of the process and its children, in microseconds.</summary>
    public double CpuMicros() => CpuTime.OfTreeMicros(_process.Id);

    public bool HasEnded => _process.HasExited;

    public string Errors()
    {
        lock (_errors) return _errors.ToString().Trim();
    }

    /// <summary>Asks the program to end, and ends it and its children if it does not.</summary>
    public void Dispose()
    {
        if (!_process.HasExited)
        {
            _ = LibC.Kill(_process.Id, LibC.SigTerm);
            if (!_process.WaitForExit(2000)) _process.Kill(entireProcessTree: true);
            _process.WaitForExit(2000);
        }
        _process.Dispose();
    }

    private static Child Start(End end, string? costFile, string program, string[] args)
    {
        string path = Installation.Find(program)
            ?? throw new MeasurementException($"{program} is not installed: run tools/setup");
        bool accelerated = end.Side == Side.Accel;
        string[] command =
        [
            .. end.Place.Prefix, Installation.LoadProgram("launch"),
            end.Place.Cpu.ToString(CultureInfo.InvariantCulture), costFile ?? "-",
            accelerated ? Installation.Library : "-", path, .. args,
        ];
        var start = new ProcessStartInfo(command[0], command[1..])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
        };
        // What the user has set for Accel or another preload is no part of the measurement.
        foreach (string key in start.Environment.Keys
            .Where(k => k.StartsWith("ACCEL_", StringComparison.Ordinal)).ToArray())
            start.Environment.Remove(key);
        start.Environment.Remove("LD_PRELOAD");
        start.Environment["LOAD_ADDRESS"] = end.Place.Address;
        if (accelerated)
            foreach ((string key, string value) in end.Environment) start.Environment[key] = value;
        Process process = Process.Start(start) ?? throw new MeasurementException($"{program} did not start");
        process.StandardInput.Close();
        string how = accelerated ? "accelerated" : "kernel";
        return new Child(process, $"{Path.GetFileName(program)} ({how})", costFile);
    }

    private double CostMicros()
    {
        double sum = 0;
        foreach (string line in File.ReadAllLines(_costFile!))
            if (line.StartsWith("user_us ", StringComparison.Ordinal)
                || line.StartsWith("system_us ", StringComparison.Ordinal))
                sum += double.Parse(line[(line.IndexOf(' ', StringComparison.Ordinal) + 1)..],
                    CultureInfo.InvariantCulture);
        return sum;
    }
}
