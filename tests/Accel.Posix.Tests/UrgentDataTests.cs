using System.Runtime.InteropServices;
using System.Text;
using Accel.Core.Local;
using Accel.Core.Stack;
using Accel.Core.Tests;

namespace Accel.Posix.Tests;

/// <summary>The mark in the stream, without a kernel to compare with: what a reader gets and where it stops.</summary>
public sealed unsafe class UrgentDataTests : IDisposable
{
    private readonly TestRegion _memory = new(64 << 20);
    private readonly Socket* _socket = (Socket*)NativeMemory.AllocZeroed((nuint)sizeof(Socket));
    private readonly Pipe* _pipe = (Pipe*)NativeMemory.AllocZeroed((nuint)sizeof(Pipe));

    public UrgentDataTests()
    {
        PipeOps.Open(_memory.Region, _pipe);
        _pipe->SendLimit = _pipe->ReceiveLimit = 1 << 20;
    }

    public void Dispose()
    {
        NativeMemory.Free(_socket);
        NativeMemory.Free(_pipe);
        _memory.Dispose();
    }

    private bool Inline { set => _socket->Options[SocketOptionTable.Inline] = value ? 1 : 0; }

    private void Send(string text, bool urgent = false)
    {
        ulong pending = 0;
        foreach (var b in Encoding.ASCII.GetBytes(text))
        {
            var at = PipeOps.WriteRun(_memory.Region, _pipe, pending, 1, out var run);
            Assert.Equal(1ul, run);
            *at = b;
            pending++;
        }
        if (urgent)
            UrgentData.Mark(_pipe, pending);
        PipeOps.Publish(_pipe, pending);
    }

    /// <summary>As recv() of so many bytes reads.</summary>
    private string Read(int most, bool peek = false)
    {
        var got = new StringBuilder();
        ulong peeked = 0;
        do
        {
            while (got.Length < most)
            {
                var from = PipeOps.ReadRun(_memory.Region, _pipe, peeked, (ulong)(most - got.Length), out var run);
                if (run == 0)
                    break;
                got.Append(Encoding.ASCII.GetString(from, (int)run));
                if (peek)
                    peeked += run;
                else
                    PipeOps.Consume(_pipe, run);
            }
        }
        while (got.Length < most && UrgentData.Pass(_socket, _pipe, (ulong)got.Length, peek, ref peeked));
        return got.ToString();
    }

    private uint Events(out ulong wanted)
    {
        wanted = 1;
        return UrgentData.Mask(_socket, _pipe, ref wanted);
    }

    [Fact]
    public void A_read_stops_before_the_mark_and_then_skips_the_byte()
    {
        Send("ab!", urgent: true);
        Send("cd");
        Assert.Equal(Ev.PRI, Events(out _));
        Assert.Equal(2ul, UrgentData.Readable(_socket, _pipe));
        Assert.Equal("ab", Read(100));
        Assert.True(UrgentData.AtMark(_socket, _pipe));
        Assert.Equal("cd", Read(100, peek: true));
        Assert.True(UrgentData.AtMark(_socket, _pipe));
        Assert.Equal("cd", Read(100));
        Assert.False(UrgentData.AtMark(_socket, _pipe));
        Assert.Equal("", Read(100));
    }

    [Fact]
    public void In_line_the_byte_comes_after_one_stop()
    {
        Inline = true;
        Send("ab!", urgent: true);
        Send("cd");
        Assert.Equal(5ul, UrgentData.Readable(_socket, _pipe));
        Assert.Equal("ab", Read(100));
        Assert.Equal("!cd", Read(100, peek: true));
        Assert.Equal("!", Read(1));
        Assert.Equal("cd", Read(100));
    }

    [Fact]
    public void An_urgent_byte_alone_is_not_readable()
    {
        Send("!", urgent: true);
        Assert.Equal(Ev.PRI, Events(out var wanted));
        Assert.Equal(2ul, wanted);
        Assert.Equal(0ul, UrgentData.Readable(_socket, _pipe));
        Assert.Equal("", Read(100));
        Assert.Equal(0ul, PipeOps.Readable(_pipe));
    }

    [Fact]
    public void A_replaced_byte_is_lost_only_to_a_reader_right_before_it()
    {
        Send("A", urgent: true);
        Send("B", urgent: true);
        Assert.Equal("", Read(100));
        Send("xC", urgent: true);
        Send("D", urgent: true);
        Assert.Equal("xC", Read(100));
        Assert.Equal("", Read(100));
    }

    [Fact]
    public void A_mark_is_announced_before_its_byte_is_there()
    {
        Send("ab");
        UrgentData.Mark(_pipe, 1);
        Assert.Equal(0u, Events(out _));
        Assert.Equal(2ul, UrgentData.Readable(_socket, _pipe));
        Assert.Equal("ab", Read(100));
        Assert.True(UrgentData.AtMark(_socket, _pipe));
        Assert.Equal("", Read(100));
        Assert.True(UrgentData.AtMark(_socket, _pipe));
    }

    [Fact]
    public void A_neighbour_that_writes_nonsense_stops_nobody_for_ever()
    {
        Send("abc");
        _pipe->Urgent = ulong.MaxValue;
        _pipe->UrgentSkip = 2;
        Assert.Equal("c", Read(100));
        _pipe->UrgentSkip = 4;
        Assert.Equal("", Read(100));
    }

    /// <summary>
    /// Sends with and without marks, reads of all sizes: the same as a list of bytes that knows its mark.
    /// </summary>
    [Theory]
    [InlineData(1, false)]
    [InlineData(2, false)]
    [InlineData(3, true)]
    [InlineData(4, true)]
    public void Agrees_with_a_list(ulong seed, bool inline)
    {
        Inline = inline;
        var random = new Prng(Prng.Seed(seed));
        var model = new List<(char Byte, bool Marked)>();
        for (var step = 0; step < 5000; step++)
        {
            if (model.Count < 200 && random.OneIn(2))
            {
                var text = new string((char)('a' + random.Below(26)), 1 + (int)random.Below(5));
                var urgent = random.OneIn(3);
                Send(text, urgent);
                if (urgent)
                {
                    var old = model.FindIndex(b => b.Marked);
                    if (old == 0 && !inline)
                        model.RemoveAt(0);
                    else if (old >= 0)
                        model[old] = (model[old].Byte, false);
                }
                model.AddRange(text.Select((b, i) => (b, urgent && i == text.Length - 1)));
            }
            else
            {
                var most = 1 + (int)random.Below(12);
                Assert.Equal(FromModel(model, most, inline), Read(most));
            }
        }
    }

    private static string FromModel(List<(char Byte, bool Marked)> model, int most, bool inline)
    {
        var got = "";
        while (model.Count > 0 && got.Length < most)
        {
            var (next, marked) = model[0];
            if (marked && got.Length > 0)
                break;
            model.RemoveAt(0);
            if (!marked || inline)
                got += next;
        }
        return got;
    }
}
