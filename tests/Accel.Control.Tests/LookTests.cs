using System.Collections.Concurrent;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using Accel.Control.Broker;
using Accel.Core.Local;
using Accel.Core.Nic;
using Accel.Os.Control;

namespace Accel.Control.Tests;

/// <summary>What acceld answers to who wants to look at stacks.</summary>
public partial class LookTests
{
    /// <summary>Looks that say which one they are and for whom.</summary>
    sealed class Counted : ILookSource
    {
        public int Taken;

        public ManualResetEventSlim Gate { get; } = new(true);

        public bool Fails { get; set; }

        public void Take(uint? only, Stream to)
        {
            Gate.Wait();
            if (Fails)
                throw new InvalidOperationException("a region made no sense");
            to.Write(Encoding.ASCII.GetBytes($"look {++Taken} of {only?.ToString() ?? "all"}"));
        }
    }

    sealed class Scoped(LookScope scope) : IAccessPolicy
    {
        public string? RefuseAttach(Peer peer, string interfaceName) => null;

        public string? RefuseSteer(Peer peer, Transport transport, in Endpoint local, bool listener,
            IReadOnlyCollection<string> interfaces) => null;

        public LookScope MayLook(Peer peer) => scope;
    }

    static string Text(LookReply reply)
    {
        Assert.Null(reply.Why);
        byte[] bytes = new byte[RandomAccess.GetLength(reply.File!)];
        RandomAccess.Read(reply.File!, bytes, 0);
        return Encoding.ASCII.GetString(bytes);
    }

    [Fact]
    public void One_look_serves_all_who_ask_within_a_moment()
    {
        using var pair = new NetworkPair();
        var looks = new Counted();
        using var broker = new InnerBroker(pair, looks: looks);
        using (LookReply first = LookQuery.Ask(broker.SocketPath))
            Assert.Equal("look 1 of all", Text(first));
        var texts = new ConcurrentBag<string>();
        Parallel.For(0, 20, _ =>
        {
            using LookReply one = LookQuery.Ask(broker.SocketPath);
            texts.Add(Text(one));
        });
        Assert.True(looks.Taken <= 2, $"{looks.Taken} looks for 20 at once");
        Thread.Sleep(700);
        using LookReply later = LookQuery.Ask(broker.SocketPath);
        Assert.Equal($"look {looks.Taken} of all", Text(later));
        Assert.True(looks.Taken is 2 or 3);
    }

    /// <summary>Nobody writes into what another reads, and acceld's memory is not kept by who keeps the file.</summary>
    [Fact]
    public void A_look_is_sealed_and_taken_back()
    {
        using var pair = new NetworkPair();
        using var broker = new InnerBroker(pair, looks: new Counted());
        using LookReply reply = LookQuery.Ask(broker.SocketPath);
        int fd = (int)reply.File!.DangerousGetHandle();
        Assert.True(Write(fd, "x"u8, 1) < 0, "the file can be written");
        int again = Open($"/proc/self/fd/{fd}", 2);
        Assert.True(again < 0 || Write(again, "x"u8, 1) < 0, "the file can be opened again and written");
        Assert.Equal(0x1 | 0x4 | 0x8, Control(fd, 1034, 0) & ~0x10);
        Assert.Equal("look 1 of all", Text(reply));
        // Whoever else has got it has a position of its own.
        using LookReply other = LookQuery.Ask(broker.SocketPath);
        Assert.Equal(4, Seek(fd, 4, 0));
        Assert.Equal(0, Seek((int)other.File!.DangerousGetHandle(), 0, 1));
        for (int i = 0; i < 100 && RandomAccess.GetLength(reply.File!) > 0; i++)
            Thread.Sleep(100);
        Assert.Equal(0, RandomAccess.GetLength(reply.File!));
    }

    [Fact]
    public void The_policy_says_who_may_look_at_whom()
    {
        using var pair = new NetworkPair();
        using (var broker = new InnerBroker(pair, new Scoped(LookScope.Own), looks: new Counted()))
        using (LookReply own = LookQuery.Ask(broker.SocketPath))
            Assert.Equal("look 1 of 0", Text(own));
        using (var broker = new InnerBroker(pair, new Scoped(LookScope.None), looks: new Counted()))
        using (LookReply none = LookQuery.Ask(broker.SocketPath))
            Assert.Equal(NicRefusalText.Rows[(int)NicRefusal.Policy], none.Why);
    }

    /// <summary>While a look takes its time acceld serves everybody else; who waits too many is told.</summary>
    [Fact]
    public async Task A_look_that_takes_long_holds_nothing_up()
    {
        using var pair = new NetworkPair();
        var looks = new Counted();
        looks.Gate.Reset();
        using var broker = new InnerBroker(pair, looks: looks);
        Task<string> waiting = Task.Run(() =>
        {
            using LookReply reply = LookQuery.Ask(broker.SocketPath);
            return Text(reply);
        });
        for (int i = 0; i < 20; i++)
            Assert.Contains("interfaces", StatusQuery.Ask(broker.SocketPath), StringComparison.Ordinal);
        Assert.False(waiting.IsCompleted);
        looks.Gate.Set();
        Assert.Equal("look 1 of all", await waiting);
    }

    [Fact]
    public void A_look_that_fails_is_an_answer()
    {
        using var pair = new NetworkPair();
        using var broker = new InnerBroker(pair, looks: new Counted { Fails = true });
        using (LookReply failed = LookQuery.Ask(broker.SocketPath))
            Assert.Equal(NicRefusalText.Rows[(int)NicRefusal.Failed], failed.Why);
        Assert.Contains("a region made no sense", broker.Log, StringComparison.Ordinal);
        Assert.Contains("interfaces", StatusQuery.Ask(broker.SocketPath), StringComparison.Ordinal);
    }

    [Fact]
    public void Without_acceld_or_with_an_old_one_that_is_said()
    {
        Assert.True(LookQuery.Ask($"/run/accel/nobody-{Environment.ProcessId}.sock").IsAbsent);
        // As an acceld before there were looks: a question that it does not know ends the conversation.
        using var old = new OldDaemon(ends: false);
        Assert.Contains("older build", LookQuery.Ask(old.Path).Why, StringComparison.Ordinal);
        // As one that is killed meanwhile.
        using var killed = new OldDaemon(ends: true);
        Assert.Contains("ended during the look", LookQuery.Ask(killed.Path).Why, StringComparison.Ordinal);
    }

    /// <summary>Takes a question and hangs up.</summary>
    sealed class OldDaemon : IDisposable
    {
        readonly Socket _listener = new(AddressFamily.Unix, SocketType.Seqpacket, ProtocolType.Unspecified);

        public OldDaemon(bool ends)
        {
            Path = $"/tmp/accel-old-{Environment.ProcessId}-{ends}.sock";
            File.Delete(Path);
            _listener.Bind(new UnixDomainSocketEndPoint(Path));
            _listener.Listen();
            new Thread(() =>
            {
                try
                {
                    while (true)
                    {
                        using Socket client = _listener.Accept();
                        byte[] question = new byte[Protocol.MessageBytes];
                        client.Receive(question);
                        if (ends) _listener.Close();
                    }
                }
                catch (Exception e) when (e is SocketException or ObjectDisposedException)
                {
                    // It is over.
                }
            }) { IsBackground = true }.Start();
        }

        public string Path { get; }

        public void Dispose()
        {
            _listener.Dispose();
            File.Delete(Path);
        }
    }

    [LibraryImport("libc", EntryPoint = "write")]
    private static partial nint Write(int fd, ReadOnlySpan<byte> bytes, nuint count);

    [LibraryImport("libc", EntryPoint = "open", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "lseek")]
    private static partial long Seek(int fd, long offset, int whence);

    [LibraryImport("libc", EntryPoint = "fcntl")]
    private static partial int Control(int fd, int command, nint argument);
}
