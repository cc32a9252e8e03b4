using System.Collections.Concurrent;
using System.Diagnostics;
using System.Reflection;
using System.Text.Json;

namespace Accel.Control.Tests;

/// <summary>acceld as a process in the near namespace.</summary>
sealed class TestDaemon : IDisposable
{
    public static readonly string Program = typeof(TestDaemon).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>()
        .First(a => a.Key == "Daemon").Value!;

    readonly Process _process;
    readonly ConcurrentQueue<string> _log = new();

    public TestDaemon(NetworkPair pair, params string[] arguments)
    {
        SocketPath = $"/run/accel/test-{pair.Near}.sock";
        var start = new ProcessStartInfo("ip") { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var argument in (string[])["netns", "exec", pair.Near, Program, "--interface",
            NetworkPair.NearDevice, "--socket", SocketPath, .. arguments])
            start.ArgumentList.Add(argument);
        _process = Process.Start(start)!;
        var ready = new TaskCompletionSource<string?>();
        _process.OutputDataReceived += (_, line) => ready.TrySetResult(line.Data);
        _process.ErrorDataReceived += (_, line) => _log.Enqueue(line.Data ?? "");
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
        Ready = ready.Task.Wait(TimeSpan.FromSeconds(30)) ? ready.Task.Result ?? "" : "";
        if (!Ready.StartsWith("acceld ready", StringComparison.Ordinal))
        {
            Dispose();
            if (Log.Contains("AF_XDP") || Log.Contains("not supported"))
                Assert.Skip($"this kernel cannot: {Log}");
            Assert.Fail($"acceld did not start: {Ready}\n{Log}");
        }
    }

    public int ProcessId => _process.Id;

    public string SocketPath { get; }

    /// <summary>The line that says that it serves.</summary>
    public string Ready { get; }

    public string Log => string.Join('\n', _log);

    public JsonElement Status => JsonDocument.Parse(Broker.StatusQuery.Ask(SocketPath)).RootElement;

    /// <summary>A number of one queue's frames.</summary>
    public long Frames(string name, int queue = 0) => Status.GetProperty("interfaces")[0].GetProperty("queues")[queue]
        .GetProperty(name).GetInt64();

    /// <summary>What the program on the interface counted.</summary>
    public long Count(string name) => Status.GetProperty("interfaces")[0].GetProperty("frames").GetProperty(name)
        .GetInt64();

    /// <summary>As kill -9, and waits until it is gone.</summary>
    public void Kill()
    {
        _process.Kill();
        _process.WaitForExit();
    }

    /// <summary>Does nothing until it is killed.</summary>
    public void Pause() => NetworkPair.Run("kill", out _, "-STOP", $"{_process.Id}");

    /// <summary>As a service manager stops it.</summary>
    public int Stop()
    {
        NetworkPair.Run("kill", out _, "-TERM", $"{_process.Id}");
        Assert.True(_process.WaitForExit(20_000), "acceld does not stop");
        return _process.ExitCode;
    }

    public void Dispose()
    {
        if (!_process.HasExited)
            Kill();
        File.Delete(SocketPath);
        File.Delete(SocketPath + ".lock");
        _process.Dispose();
    }
}
