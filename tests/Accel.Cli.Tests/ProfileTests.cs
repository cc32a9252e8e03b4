using Accel.Cli.Processes;
using Accel.Cli.Run;
using Accel.Cli.Settings;

namespace Accel.Cli.Tests;

/// <summary>Profiles are small files of options with reasons; what is wrong with a setting is said before the program
/// starts.</summary>
public sealed class ProfileTests
{
    private static readonly string Script = Path.Combine(Installation.Tools, "accel-run");

    public static TheoryData<string> Names => [.. Profile.Names()];

    [Fact]
    public void ThereAreFourPurposesAndFourPrograms() => Assert.Equal(
        ["balanced", "haproxy", "latency", "memcached", "nginx", "redis", "safe", "throughput"], Profile.Names());

    [Theory]
    [MemberData(nameof(Names))]
    public void EachOptionOfAProfileIsOneAndHasAReason(string name)
    {
        Profile? profile = Profile.Read(name, out string? complaint);
        Assert.Null(complaint);
        Assert.NotEmpty(profile!.Purpose);
        Assert.NotEmpty(profile.Settings);
        Assert.All(profile.Settings, s => Assert.True(s.Reason.Length > 20, $"{s.Option} has no reason"));
    }

    [Theory]
    [InlineData("ACCEL_SPIN_US", "not NAME=VALUE")]
    [InlineData("ACCEL_SPIN=3", "no option ACCEL_SPIN")]
    [InlineData("ACCEL_SPIN_US=soon", "expected a number from -1 to 10000000")]
    [InlineData("ACCEL_SPIN_US=10000001", "outside -1 to 10000000")]
    public void WhatIsWrongInAProfileIsSaid(string line, string said)
    {
        _ = Profile.Parse("mine", ["# purpose", "# reason", line], out string? complaint);
        Assert.Contains(said, complaint);
        (int status, string errors) = WithProfile($"# purpose\n# reason\n{line}\n");
        Assert.Equal(2, status);
        Assert.Contains(line.Split('=')[0], errors);
    }

    [Fact]
    public void AProfileThatIsNotThereIsAnsweredWithThoseThatAre()
    {
        (int status, _, string errors) = Tool.Try(Script, "run", "--profile", "fastest", "--", "/bin/true");
        Assert.Equal(2, status);
        Assert.Contains("no profile 'fastest'; there are: balanced haproxy latency", errors);
    }

    [Theory]
    [InlineData("ACCEL_SPIN_US=soon", 2, "ACCEL_SPIN_US=soon: expected a number from -1 to 10000000")]
    [InlineData("ACCEL_SPIN_US=99999999", 2, "expected a number from -1 to 10000000")]
    [InlineData("ACCEL_LOCAL_MB=99999999999999999999", 2, "expected a number from 128 to 16384")]
    [InlineData("ACCEL_NIK=0", 0, "ACCEL_NIK, which is no option and sets nothing")]
    [InlineData("ACCEL_SPIN_US=250", 0, "")]
    [InlineData("ACCEL_DISABLE=", 0, "")]
    public void TheEnvironmentIsLookedThroughBeforeTheProgramStarts(string setting, int status, string said)
    {
        (int ended, _, string errors) = Tool.Try("env", setting, Script, "run", "--", "/bin/true");
        Assert.Equal(status, ended);
        if (said.Length == 0) Assert.Empty(errors);
        else Assert.Contains(said, errors);
    }

    [Fact]
    public void TheEnvironmentWinsOverTheProfileAndTheOriginIsTold()
    {
        (_, string output, _) = Tool.Try("env", "ACCEL_SNDBUF=65536", Script, "run", "--profile", "throughput",
            "--", "env");
        Assert.Contains("ACCEL_SNDBUF=65536\n", output);
        Assert.Contains("ACCEL_RCVBUF=4194304\n", output);
        Assert.Contains("ACCEL_PROFILE_OPTIONS=ACCEL_SPIN_US,ACCEL_RCVBUF\n", output);
        Assert.Contains("ACCEL_PROFILE=throughput\n", output);
    }

    [Fact]
    public void TheScriptTakesTheOptionsThatHelpAndManualShow()
    {
        (_, string help, _) = Tool.Try(Script, "run", "--help");
        Assert.All(RunCommand.Create().Options.Select(o => o.Name), name => Assert.Contains(name, help));
    }

    /// <summary>The script with a tree of its own, which has one profile.</summary>
    private static (int Status, string Errors) WithProfile(string text)
    {
        using var scratch = new Scratch();
        string profiles = Path.Combine(scratch.Folder, "tools", "profiles");
        Directory.CreateDirectory(profiles);
        Directory.CreateDirectory(Path.Combine(scratch.Folder, "artifacts", "lib"));
        File.WriteAllText(Path.Combine(scratch.Folder, "artifacts", "lib", "libaccel.so"), "");
        File.Copy(Script, Path.Combine(scratch.Folder, "tools", "accel-run"));
        File.Copy(Path.Combine(Installation.Profiles, "options"), Path.Combine(profiles, "options"));
        File.WriteAllText(Path.Combine(profiles, "mine.profile"), text);
        (int status, _, string errors) = Tool.Try(Path.Combine(scratch.Folder, "tools", "accel-run"), "run",
            "--profile", "mine", "--", "/bin/true");
        return (status, errors);
    }
}
