using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text;
using Accel.Control.Mirror;

namespace Accel.Control.Tests.Mirror;

/// <summary>A network namespace of its own, with a neighbour in a second one, and a mirror of it.</summary>
sealed unsafe partial class TestNamespace : IDisposable
{
    static int s_made;

    /// <summary>A change must show within this time; it mostly takes a millisecond.</summary>
    static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    TestNamespace(string name)
    {
        Name = name;
        Peer = name + "p";
    }

    public string Name { get; }

    /// <summary>The namespace at the other end of the links.</summary>
    public string Peer { get; }

    public NetMirror Mirror { get; private set; } = null!;

    /// <summary>Why there can be no namespaces here; null if there can.</summary>
    public static string? Missing() =>
        Environment.UserName != "root" ? "network namespaces need root"
        : !File.Exists("/usr/sbin/ip") && !File.Exists("/sbin/ip") && !File.Exists("/usr/bin/ip") ? "there is no ip"
        : Run("ip", ["netns", "list"], out _, out var errors) != 0 ? $"ip netns does not work: {errors}"
        : null;

    /// <summary>Skips the test where there can be no namespaces.</summary>
    public static TestNamespace Make()
    {
        if (Missing() is { } reason)
            Assert.Skip(reason);
        var made = new TestNamespace($"accelm{Environment.ProcessId}x{Interlocked.Increment(ref s_made)}");
        try
        {
            Must("ip", "netns", "add", made.Name);
            Must("ip", "netns", "add", made.Peer);
            made.Ip("link set lo up");
            made.PeerIp("link set lo up");
            return made;
        }
        catch
        {
            made.Dispose();
            throw;
        }
    }

    /// <summary>veth pairs: eth1 here and eth1 at the peer, and so on. No duplicate address detection: no waiting.
    /// </summary>
    public TestNamespace Links(params string[] names)
    {
        foreach (var name in names)
        {
            Ip($"link add {name} type veth peer name {name} netns {Peer}");
            Shell($"echo 0 > /proc/sys/net/ipv6/conf/{name}/accept_dad; "
                + $"echo 0 > /proc/sys/net/ipv6/conf/{name}/dad_transmits");
            Ip($"link set {name} up");
            PeerIp($"link set {name} up");
        }
        return this;
    }

    public TestNamespace StartMirror(int eventBufferBytes = 4 << 20)
    {
        Inside(() =>
        {
            Mirror = new NetMirror(eventBufferBytes);
            Mirror.Failed += complaint => Console.Error.WriteLine($"mirror: {complaint}");
            Mirror.Start();
        });
        return this;
    }

    public void Ip(string command) => Must("ip", ["-n", Name, .. command.Split(' ')]);

    public void PeerIp(string command) => Must("ip", ["-n", Peer, .. command.Split(' ')]);

    public string Shell(string command) => Must("ip", "netns", "exec", Name, "sh", "-c", command);

    /// <summary>Waits until the kernel has finished with new addresses.</summary>
    public void Settle() => Until(() => Must("ip", "-n", Name, "addr", "show", "tentative").Length == 0,
        () => "addresses stay tentative");

    public int Index(string link) => int.Parse(Shell($"cat /sys/class/net/{link}/ifindex").Trim());

    /// <summary>Runs what makes sockets in the namespace.</summary>
    public void Inside(Action action) => In(Name, action);

    public void InPeer(Action action) => In(Peer, action);

    static void In(string name, Action action)
    {
        Exception? thrown = null;
        var thread = new Thread(() =>
        {
            try
            {
                using var file = File.OpenHandle($"/run/netns/{name}");
                if (SetNamespace((int)file.DangerousGetHandle(), 0x40000000) != 0)
                    throw new InvalidOperationException($"setns: {Marshal.GetLastSystemError()}");
                action();
            }
            catch (Exception e)
            {
                thrown = e;
            }
        });
        thread.Start();
        thread.Join();
        if (thrown != null)
            throw new InvalidOperationException(thrown.Message, thrown);
    }

    /// <summary>Waits until the mirror shows it. The clock only bounds the waiting.</summary>
    public static void Until(Func<bool> condition, Func<string> state)
    {
        var started = Stopwatch.GetTimestamp();
        while (!condition())
        {
            if (Stopwatch.GetElapsedTime(started) > Patience)
                Assert.Fail($"did not happen: {state()}");
            Thread.Yield();
        }
    }

    public static string Must(string program, params string[] arguments)
    {
        if (Run(program, arguments, out var output, out var errors) != 0)
            throw new InvalidOperationException($"{program} {string.Join(' ', arguments)}: {errors}");
        return output;
    }

    public static int Run(string program, string[] arguments, out string output, out string errors)
    {
        var start = new ProcessStartInfo(program) { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var argument in arguments)
            start.ArgumentList.Add(argument);
        using var process = Process.Start(start)!;
        var reading = new StringBuilder();
        process.ErrorDataReceived += (_, line) => reading.AppendLine(line.Data);
        process.BeginErrorReadLine();
        output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        errors = reading.ToString();
        return process.ExitCode;
    }

    public void Dispose()
    {
        Mirror?.Dispose();
        Run("ip", ["netns", "del", Name], out _, out _);
        Run("ip", ["netns", "del", Peer], out _, out _);
    }

    [LibraryImport("libc", EntryPoint = "setns")]
    private static partial int SetNamespace(int fd, int kind);
}
