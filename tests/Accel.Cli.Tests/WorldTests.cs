using System.Diagnostics;
using System.Globalization;
using System.Reflection;
using Accel.Cli.Bench;
using Accel.Cli.Nic;
using Accel.Cli.Processes;

namespace Accel.Cli.Tests;

/// <summary>Two hosts made of namespaces: they reach each other, and nothing is left of them, however they end.
/// </summary>
public sealed class WorldTests
{
    private static readonly string Program = typeof(WorldTests).Assembly
        .GetCustomAttributes<AssemblyMetadataAttribute>().Single(a => a.Key == "Cli").Value!;

    public WorldTests()
    {
        if (World.Missing() is { } missing) Assert.Skip(missing);
    }

    /// <summary>Namespaces whose names say that they are of a process.</summary>
    private static string[] NamespacesOf(int pid) => !Directory.Exists("/run/netns") ? []
        : Directory.GetFiles("/run/netns", string.Create(CultureInfo.InvariantCulture, $"accel-cli-{pid}-*"));

    [Fact]
    public void HostsReachEachOtherAndLeaveNothing()
    {
        string name;
        using (var world = new World())
        {
            name = $"/run/netns/{world.A.Namespace}";
            Assert.True(File.Exists(name));
            Assert.Contains(" 0% packet loss", world.B.Run("ping", "-c", "2", "-i", "0.05", world.A.Address));
            Assert.Contains(" 0% packet loss", world.B.Run("ping", "-c", "2", "-i", "0.05", world.A.Address6));
            string control = world.A.Run("sysctl", "-n", "net.ipv4.tcp_congestion_control").Trim();
            Assert.Contains(control, (string[])["cubic", "reno"]);
        }
        Assert.False(File.Exists(name));
    }

    [Fact]
    public void OffloadsAndMtuAreAsAskedFor()
    {
        using var world = new World(offloads: false, mtu: 9000);
        Assert.Contains("mtu 9000", world.A.Run("ip", "link", "show", "dev", world.A.Interface));
        Assert.Contains("tcp-segmentation-offload: off", world.B.Run("ethtool", "-k", world.B.Interface));
    }

    [Fact]
    public void AHalfMadeWorldIsTakenDown()
    {
        string[] before = NamespacesOf(Environment.ProcessId);
        Assert.Throws<MeasurementException>(() => new World(mtu: 10_000_000));
        Assert.Equal(before, NamespacesOf(Environment.ProcessId));
    }

    [Fact]
    public void TheDeadAreCleanedUpAfter()
    {
        using Process dead = Process.Start("/bin/true");
        dead.WaitForExit();
        string theirs = string.Create(CultureInfo.InvariantCulture, $"accel-cli-{dead.Id}-1-a");
        Tool.Run("ip", "netns", "add", theirs);
        using var world = new World();
        World.Reap();
        Assert.False(File.Exists($"/run/netns/{theirs}"));
        Assert.True(File.Exists($"/run/netns/{world.A.Namespace}"));
    }

    [Fact]
    public void WhatTheKernelCarriesIsSeen()
    {
        using var world = new World();
        long before = world.A.KernelPackets();
        var stage = new Stage(new(Side.Kernel, world.A.At(0), []), new(Side.Kernel, world.B.At(0), []));
        Sample sample = OwnLoads.Connect(stage, new Surroundings(0, 0, 0.1));
        Assert.True(sample.Value > 0);
        Assert.True(world.A.KernelPackets() - before > 4);
    }

    [Theory]
    [InlineData(2)] // SIGINT
    [InlineData(15)] // SIGTERM
    public async Task AnInterruptedDemoLeavesNothing(int signal)
    {
        if (Installation.Missing(["redis-server", "redis-benchmark", "nginx", "wrk", "curl", "iperf3"]) is { } missing)
            Assert.Skip(missing);
        var start = new ProcessStartInfo(Program, ["demo", "--nic"])
            { RedirectStandardOutput = true, RedirectStandardError = true };
        using Process demo = Process.Start(start)!;
        CancellationToken end = TestContext.Current.CancellationToken;
        Task<string> output = demo.StandardOutput.ReadToEndAsync(end), errors = demo.StandardError.ReadToEndAsync(end);
        string[] made = [];
        Assert.True(SpinWait.SpinUntil(() => demo.HasExited || (made = NamespacesOf(demo.Id)).Length >= 2,
            TimeSpan.FromSeconds(20)), "it made no namespaces");
        if (demo.HasExited) Assert.Fail(await errors);
        Assert.Equal(0, LibC.Kill(demo.Id, signal));
        Assert.True(demo.WaitForExit(20_000), "it did not end");
        Assert.Equal(130, demo.ExitCode);
        Assert.Empty(NamespacesOf(demo.Id));
        // Ends only when nothing of it lives on and holds its output.
        await output.WaitAsync(TimeSpan.FromSeconds(5), end);
    }
}
