using System.Text.Json.Nodes;
using Accel.Cli.Processes;
using Accel.Cli.Why;
using Accel.Core.Stack;
using Accel.Inspect;
using Accel.Testing;

namespace Accel.Cli.Tests;

/// <summary>What `accel why` says, of stacks made by hand and of programs that run.</summary>
public sealed unsafe class WhyTests
{
    public static TheoryData<PathReason> KernelReasons => [.. PathReasonTable.Rows
        .Where(r => r.Verdict is PathVerdict.Fallback or PathVerdict.Kernel).Select(r => r.Reason)];

    [Theory]
    [MemberData(nameof(KernelReasons))]
    public void ASocketOnTheKernelHasItsReasonAndWhatWouldChangeIt(PathReason reason)
    {
        using var stack = new SharedStack(40);
        stack.Add(11, SocketState.Kernel, reason);
        Verdict verdict = Only(stack, 11);
        PathReasonRow row = PathReasonTable.Rows[(int)reason];
        Assert.Equal("kernel", verdict.Path);
        Assert.StartsWith("fd 11, tcp ", verdict.Sentence);
        Assert.Contains($"is on the kernel: {row.Text["kernel: ".Length..]}", verdict.Sentence);
        Assert.EndsWith($". To change that: {row.Remedy}.", verdict.Sentence);
        Assert.Equal(row.Remedy, verdict.Remedy);
    }

    [Theory]
    [InlineData(SocketState.Connected, PathReason.Local, "local",
        "is accelerated: its bytes move through shared memory")]
    [InlineData(SocketState.Connected, PathReason.Nic, "nic", "over an interface of acceld's")]
    [InlineData(SocketState.Listening, PathReason.Local, "local", "takes all others from the kernel")]
    [InlineData(SocketState.Unconnected, PathReason.NotYetRouted, "none", "is on no path yet")]
    public void AnAcceleratedSocketSaysHow(SocketState state, PathReason reason, string path, string said)
    {
        using var stack = new SharedStack(41);
        stack.Add(12, state, reason);
        Verdict verdict = Only(stack, 12);
        Assert.Equal(path, verdict.Path);
        Assert.Contains(said, verdict.Sentence);
    }

    [Fact]
    public void AReasonThatIsNoneIsSaidWithItsNumber()
    {
        using var stack = new SharedStack(42);
        stack.Add(13, SocketState.Kernel, (PathReason)200);
        Assert.Contains("the number 200", Only(stack, 13).Sentence);
    }

    [Fact]
    public void DescriptorsThatAreNotOursAreSaidToBeWhatTheyAre()
    {
        using var file = new FileStream(Path.GetTempFileName(), FileMode.Open, FileAccess.Read, FileShare.Read, 1,
            FileOptions.DeleteOnClose);
        int number = (int)file.SafeFileHandle.DangerousGetHandle();
        Assert.Contains("it is no socket", DescriptorVerdict.Of(Environment.ProcessId, number).Sentence);
        Assert.Contains("has no descriptor 99999", DescriptorVerdict.Of(Environment.ProcessId, 99999).Sentence);
    }

    [Theory]
    [InlineData("12", true, 12, null)]
    [InlineData("12:3", true, 12, 3)]
    [InlineData("12:", false, 0, 0)]
    [InlineData(":3", false, 0, 0)]
    [InlineData("-1", false, 0, 0)]
    [InlineData("1:2:3", false, 0, 0)]
    [InlineData("redis", false, 0, 0)]
    public void TargetsAreAProcessOrOneDescriptorOfIt(string text, bool good, int pid, int? fd)
    {
        Assert.Equal(good, WhyCommand.TryParse(text, out int parsedPid, out int? parsedFd));
        if (good) Assert.Equal((pid, fd), (parsedPid, parsedFd));
    }

    [Fact]
    public void AProcessWithoutTheLibraryIsToldHowToGetIt()
    {
        using var machine = new Machine { Surroundings = new LiveSurroundings() };
        Verdict verdict = ProcessVerdict.Of(Environment.ProcessId, machine);
        Assert.Equal("not_preloaded", verdict.Reason);
        Assert.Contains("accel run", verdict.Sentence);
    }

    [Fact]
    public void AStrictProgramFailsAtTheFirstFallbackAndSaysWhyOnce()
    {
        if (Installation.Missing(["python3"]) is { } missing) Assert.Skip(missing);
        (int status, string output, string errors) = Tool.Try(Path.Combine(Installation.Tools, "accel-run"), "run",
            "--strict", "--", "python3", "-c", """
            import socket, subprocess
            child = subprocess.Popen(["env", "-u", "LD_PRELOAD", "python3", "-c",
                "import socket, time\ns = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()\n"
                "print(s.getsockname()[1], flush=True); time.sleep(20)"],
                stdout=subprocess.PIPE)
            port = int(child.stdout.readline())
            for i in range(3):
                try:
                    socket.create_connection(("127.0.0.1", port)); print("connected")
                except ConnectionRefusedError:
                    print("refused")
            child.kill(); child.wait()
            """);
        Assert.Equal((0, "refused\nrefused\nrefused\n"), (status, output));
        PathReasonRow row = PathReasonTable.Rows[(int)PathReason.PeerNotAccelerated];
        Assert.Equal($"accel: strict: {row.Text}. To change that: {row.Remedy}.\n", errors);
    }

    [Fact]
    public void ARunningProgramsSocketsAreExplainedAsJson()
    {
        if (Installation.Missing(["redis-server"]) is { } missing) Assert.Skip(missing);
        using var scratch = new Scratch();
        var place = new Place(0);
        int port = Scratch.FreePort(place);
        using Child server = Child.Start(new End(Side.Accel, place, []), "redis-server", "--port", $"{port}",
            "--save", "", "--dir", scratch.Folder);
        Scratch.AwaitListener(port, place, server);
        (int status, string output, _) = Tool.Try(
            Path.Combine(Installation.Bin, "Accel.Cli", "release", "accel-cli"), "why", $"{server.Id}", "--json");
        Assert.Equal(0, status);
        JsonArray verdicts = JsonNode.Parse(output)!.AsArray();
        Assert.Contains(verdicts, v => ((string)v!["sentence"]!).Contains(
            $"tcp listener 0.0.0.0:{port} is accelerated"));
    }

    private static Verdict Only(SharedStack stack, int descriptor)
    {
        using Machine machine = Machine.Look();
        StackView view = machine.Stacks.Single(s => s.Id == stack.Id);
        SocketView socket = view.Sockets().Single(s => s.Holders.Any(h => h.Descriptor == descriptor));
        return SocketVerdict.Of(machine, socket, socket.Holders[0]);
    }
}
