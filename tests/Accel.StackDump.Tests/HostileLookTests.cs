using System.Diagnostics;
using System.Text;
using Accel.Core.Local;
using Accel.Core.Nic;
using Accel.Core.Stack;
using Accel.Core.Tcp;
using Accel.Inspect;
using Accel.Inspect.Look;
using Accel.StackDump.Verbs;
using Accel.Testing;

namespace Accel.StackDump.Tests;

/// <summary>
/// A look is taken by root of what any user may write: nothing that a region or a process does may end it, hold it up,
/// make it large, or show one user what is another's.
/// </summary>
public sealed unsafe class HostileLookTests : IDisposable
{
    private static int _lastId = 950_000;

    private readonly SharedStack _stack = new((ulong)Interlocked.Increment(ref _lastId));

    public void Dispose() => _stack.Dispose();

    private StackView? Mine(Machine machine) => machine.Stacks.SingleOrDefault(s => s.Id == _stack.Id);

    private void Furnish(int sockets)
    {
        for (int i = 0; i < sockets; i++)
        {
            int conn = _stack.Local.TakeConn(1, 3);
            _stack.AddBlock(NicUse.Live, TcpState.Established, conn);
            Socket* socket = _stack.Add(5 + i, SocketState.Connected, PathReason.Nic);
            (socket->Region, socket->Index) = (1, (uint)conn);
        }
    }

    [Fact]
    public void NoSpoiltRegionEndsALook()
    {
        Furnish(20);
        var random = new Random(4711);
        for (int seed = 0; seed < 40; seed++)
        {
            foreach ((nint at, long bytes) in ((nint, long)[])[((nint)_stack.Stack.Address, 1 << 20),
                ((nint)_stack.Local.Address, LocalRegion.FixedBytes), ((nint)_stack.Nic.Address, 1 << 24)])
            {
                byte* region = (byte*)at;
                for (int i = 0; i < 500; i++) region[128 + random.NextInt64(bytes - 128)] = (byte)random.Next(256);
                for (int i = 0; i < 64; i++) region[128 + random.Next(640)] = (byte)random.Next(256);
            }
            using Machine seen = LookTests.Read(LookTests.Take());
            foreach (Verb verb in VerbTable.Rows)
            {
                try
                {
                    verb.Show(seen, Selection.All).Write(TextWriter.Null, json: true);
                }
                catch (NothingToShowException)
                {
                    // It says so.
                }
            }
        }
    }

    /// <summary>Counts beyond all measure, and a page here and there in all of the file.</summary>
    [Fact]
    public void CountsThatCannotBeAndScatteredPagesTakeNoLongTime()
    {
        Furnish(1);
        _stack.Stack.Tables->Sockets.Bumped = _stack.Stack.Tables->EpollItems.Bumped = uint.MaxValue;
        _stack.Stack.Tables->RegionsHigh = uint.MaxValue;
        _stack.Stack.ProcessAt(3)->HighestDescriptor = int.MaxValue;
        _stack.Local.Tables->Conns.Bumped = uint.MaxValue;
        _stack.Nic.Tables->Blocks.Bumped = uint.MaxValue;
        for (long at = 8192; at < StackRegion.TableBytes; at += 65536) _stack.Stack.Address[at] = 1;
        var taker = new LookTaker(new LookLimits());
        using var to = new MemoryStream();
        taker.Take(null, to);
        Assert.True(taker.SpentNs < 1_500_000_000, $"{taker.SpentNs / 1e6} ms");
        using Machine seen = LookTests.Read(to.ToArray());
        Assert.NotNull(Mine(seen));
    }

    [Fact]
    public void AFileThatIsCutOffOrChangesItsSizeIsShownAsItIs()
    {
        Furnish(3);
        _stack.Resize(4096);
        using (Machine seen = LookTests.Read(LookTests.Take())) Assert.Empty(Mine(seen)!.Sockets());
        _stack.Resize(100);
        using (Machine seen = LookTests.Read(LookTests.Take())) Assert.Null(Mine(seen));
        _stack.Resize(0);
        LookTests.Read(LookTests.Take()).Dispose();
        bool isOver = false;
        var resizing = new Thread(() =>
        {
            for (long i = 0; !Volatile.Read(ref isOver); i++) _stack.Resize(i % 3 == 0 ? 0 : i * 977 % (1L << 34));
        });
        resizing.Start();
        for (int i = 0; i < 30; i++) LookTests.Read(LookTests.Take()).Dispose();
        Volatile.Write(ref isOver, true);
        resizing.Join();
    }

    /// <summary>All tables full to the last page: what does not fit is left out, and that is said.</summary>
    [Fact]
    public void AUserGetsNoMoreThanItsShare()
    {
        Furnish(2000);
        var limits = new LookLimits { UserBytes = 100_000, Bytes = 10_000_000 };
        byte[] look = LookTests.Take(limits);
        Assert.InRange(look.Length, 1000, 1_500_000);
        using Machine seen = LookTests.Read(look);
        Assert.Contains(seen.Refusals, r => r.Contains("user 0: too many", StringComparison.Ordinal));
        long started = Stopwatch.GetTimestamp();
        using Machine hurried = LookTests.Read(LookTests.Take(new LookLimits { CpuNs = 1, UserCpuNs = 1 }));
        Assert.True(Stopwatch.GetElapsedTime(started).TotalSeconds < 10, "a look that may not take time takes it");
        Assert.Contains(hurried.Refusals, r => r.Contains("some are left out", StringComparison.Ordinal));
    }

    /// <summary>A region says whose it is; the kernel says whose it really is.</summary>
    [Fact]
    public void ARegionCannotSayWhoseItIs()
    {
        _stack.Stack.Tables->Header.OwnerUid = 12345;
        using Machine seen = LookTests.Read(LookTests.Take());
        Assert.Equal(0u, Mine(seen)!.Header.OwnerUid);
        using Machine others = LookTests.Read(LookTests.Take(only: 12345));
        Assert.Null(Mine(others));
    }

    /// <summary>Names of regions can be seen, and so used again: nobody hides or dresses up another's stack by it.
    /// </summary>
    [Fact]
    public void AStackWithTheNameOfAnotherUsersIsAnotherStack()
    {
        using SharedStack imposter = new(_stack.Id);
        foreach ((SharedStack one, int queued) in ((SharedStack, int)[])[(_stack, 3), (imposter, 99)])
        {
            Listener* listener = one.Local.ListenerAt(one.Local.TakeListener());
            (listener->Backlog, listener->Queued) = (128, queued);
            one.Add(4, SocketState.Listening, PathReason.Local)->Region = 1;
            one.Nic.Tables->Tcp[0] = (ulong)queued;
        }
        imposter.GiveTo(12345);
        using Machine seen = LookTests.Read(LookTests.Take()), live = Machine.Look();
        foreach (Machine machine in (Machine[])[seen, live])
        {
            StackView[] both = [.. machine.Stacks.Where(s => s.Id == _stack.Id)];
            Assert.Equal([0u, 12345u], both.Select(s => s.Header.OwnerUid).Order());
            foreach (StackView stack in both)
            {
                long queued = stack.Header.OwnerUid == 0 ? 3 : 99;
                Assert.Equal(queued, SocketLine.Of(machine, stack.Sockets()[0]).ReceiveQueue);
                Assert.Equal((ulong)queued, machine.Nic(stack)!.Region.Tables->Tcp[0]);
            }
        }
        using Machine own = LookTests.Read(LookTests.Take(only: 12345));
        Assert.Equal(12345u, Assert.Single(own.Stacks).Header.OwnerUid);
    }

    /// <summary>A slot with the pid of a process that does not hold the region tells nothing of that process.</summary>
    [Fact]
    public void AStackCannotNameProcessesThatAreNotIts()
    {
        _stack.Add(2, SocketState.Kernel, PathReason.PeerNotAccelerated);
        using var other = Process.Start(new ProcessStartInfo("sleep", "30"))!;
        try
        {
            _stack.Stack.ProcessAt(3)->Pid = other.Id;
            using Machine seen = LookTests.Read(LookTests.Take());
            ProcessView slot = Assert.Single(Mine(seen)!.Processes);
            Assert.False(slot.Alive);
            Assert.Equal(0, Mine(seen)!.Surroundings.Status(other.Id).Name?.Length ?? 0);
        }
        finally
        {
            other.Kill();
        }
    }

    /// <summary>
    /// A file of a user's own file system may have the name of a region in /proc, and reading it may take for ever.
    /// </summary>
    [Fact]
    public void AFileWithARegionsNameIsNotOpened()
    {
        const string Name = "/memfd:accel-stack";
        using (FileStream pretended = File.Create(Name))
        {
            File.Delete(Name);
            pretended.Write(Encoding.ASCII.GetBytes("nothing"));
            pretended.Flush();
            using Machine seen = LookTests.Read(LookTests.Take());
            Assert.Contains(seen.Refusals, r => r.Contains("not a memory file", StringComparison.Ordinal));
        }
    }

    [Fact]
    public void AnOrdinaryUserIsToldOfWhomItCannotSee()
    {
        Assert.Equal("root", AcceleratedUsers.Name(0));
        Assert.Equal("uid 4000000001", AcceleratedUsers.Name(4_000_000_001));
        using var socket = new System.Net.Sockets.Socket(System.Net.Sockets.AddressFamily.Unix,
            System.Net.Sockets.SocketType.Dgram, System.Net.Sockets.ProtocolType.Unspecified);
        socket.Bind(new System.Net.Sockets.UnixDomainSocketEndPoint("\0accel-wake-00000000deadbeef"));
        Assert.Contains(0u, AcceleratedUsers.Find());
    }
}
