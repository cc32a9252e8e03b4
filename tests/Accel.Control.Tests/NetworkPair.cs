using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Accel.Control.Tests;

/// <summary>
/// Two network namespaces with a veth pair between them: "near", which is served by acceld, and "far", the kernel's.
/// Gone when disposed, with everything that the test left in them. Skips the test where that cannot be had.
/// </summary>
sealed class NetworkPair : IDisposable
{
    public const string NearAddress = "10.77.0.1", FarAddress = "10.77.0.2";
    public const string NearAddress6 = "fd77::1", FarAddress6 = "fd77::2";
    public const string NearDevice = "vn0", FarDevice = "vf0";

    static int _number;

    public NetworkPair(int mtu = 1500, int queues = 1)
    {
        if (Environment.UserName != "root")
            Assert.Skip("needs root: makes network namespaces");
        if (!File.Exists("/usr/sbin/ip") && !File.Exists("/sbin/ip") && !File.Exists("/usr/bin/ip"))
            Assert.Skip("needs ip (iproute2)");
        var id = $"{Environment.ProcessId}-{Interlocked.Increment(ref _number)}";
        Near = $"accel-near-{id}";
        Far = $"accel-far-{id}";
        if (Run("ip", out var error, "netns", "add", Near) != 0)
            Assert.Skip($"no network namespaces here: {error}");
        try
        {
            Ip("netns", "add", Far);
            Connect(mtu, queues);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Makes the pair of devices, with their addresses.</summary>
    public void Connect(int mtu, int queues)
    {
        // With the same index at both ends Linux may wait for a second until it lets frames out.
        Ip("link", "add", NearDevice, "netns", Near, "numrxqueues", $"{queues}", "numtxqueues", $"{queues}",
            "mtu", $"{mtu}", "type", "veth", "peer", "name", FarDevice, "index", "20", "netns", Far, "mtu", $"{mtu}",
            "numrxqueues", $"{queues}", "numtxqueues", $"{queues}");
        Ip("-n", Near, "addr", "add", $"{NearAddress}/24", "dev", NearDevice);
        Ip("-n", Far, "addr", "add", $"{FarAddress}/24", "dev", FarDevice);
        Ip("-n", Near, "addr", "add", $"{NearAddress6}/64", "dev", NearDevice, "nodad");
        Ip("-n", Far, "addr", "add", $"{FarAddress6}/64", "dev", FarDevice, "nodad");
        foreach (var (name, device) in new[] { (Near, NearDevice), (Far, FarDevice) })
        {
            Ip("-n", name, "link", "set", "lo", "up");
            Ip("-n", name, "link", "set", device, "up");
        }
    }

    public string Near { get; }

    public string Far { get; }

    public static void Ip(params string[] arguments)
    {
        if (Run("ip", out var error, arguments) != 0)
            Assert.Fail($"ip {string.Join(' ', arguments)}: {error}");
    }

    public static string IpText(params string[] arguments)
    {
        Run("ip", out var text, arguments);
        return text;
    }

    /// <summary>Runs something in a namespace, on a thread of its own. Sockets that it makes stay there.</summary>
    public static T In<T>(string name, Func<T> action)
    {
        T result = default!;
        Exception? error = null;
        var thread = new Thread(() =>
        {
            try
            {
                using var file = File.OpenHandle($"/run/netns/{name}");
                if (SetNamespace((int)file.DangerousGetHandle(), 0x40000000) < 0)
                    throw new InvalidOperationException($"setns: {Marshal.GetLastSystemError()}");
                result = action();
            }
            catch (Exception e)
            {
                error = e;
            }
        });
        thread.Start();
        thread.Join();
        return error == null ? result : throw new InvalidOperationException(error.Message, error);
    }

    public static int Run(string program, out string output, params string[] arguments)
    {
        var start = new ProcessStartInfo(program) { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var argument in arguments)
            start.ArgumentList.Add(argument);
        using var process = Process.Start(start)!;
        var errors = process.StandardError.ReadToEndAsync();
        output = process.StandardOutput.ReadToEnd() + errors.Result;
        process.WaitForExit();
        return process.ExitCode;
    }

    public void Dispose()
    {
        Run("ip", out _, "netns", "del", Near);
        Run("ip", out _, "netns", "del", Far);
    }

    [DllImport("libc", EntryPoint = "setns")]
    static extern int SetNamespace(int fd, int kind);
}
