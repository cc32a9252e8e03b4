using System.Buffers.Binary;
using System.Net;
using System.Runtime.InteropServices;
using Accel.Control.Bpf;
using Accel.Control.Links;
using Accel.Control.Native;
using Accel.Control.Steering;
using Accel.Core.Local;
using Accel.Core.Nic;
using Accel.Core.Tcp;
using Accel.Os.Control;
using Accel.Wire;

namespace Accel.Control.Tests;

public sealed class SynAnswerXdpTests() : SynAnswerTests(AttachMode.Native);

public sealed class SynAnswerTcTests() : SynAnswerTests(AttachMode.Ring);

/// <summary>
/// SYNs of a flood as the program on the interfaces answers them (BPF_PROG_TEST_RUN): as the stack would, to the last
/// bit, and so that the stack takes what comes back.
/// </summary>
public abstract unsafe class SynAnswerTests : IDisposable
{
    /// <summary>XDP_DROP, XDP_PASS, XDP_TX, XDP_REDIRECT; of tc TCX_DROP, TCX_NEXT, TCX_REDIRECT. What tc has copied
    /// into the ring is dropped as well.</summary>
    int Drop => _mode == AttachMode.Ring ? 2 : 1;

    int Pass => _mode == AttachMode.Ring ? -1 : 2;

    int Send => _mode == AttachMode.Ring ? 7 : 3;

    int Redirect => _mode == AttachMode.Ring ? 2 : 4;

    const ushort Port = 80;
    const uint Slot = 3;
    const ulong Steered = PortEntry.Listener | (Slot + 1);

    static readonly byte[] Own = [2, 0, 0, 0, 0, 1], Peer = [2, 0, 0, 0, 0, 2];

    readonly AttachMode _mode;
    readonly SteeringProgram _program;
    readonly SteeringMaps _maps;
    readonly int _socket;
    readonly FrameRingMap? _ring;
    readonly Dictionary<string, BpfMap> _rest;
    TcpSettings _settings = TcpSettings.Linux(
        0x1122334455667788, 0x99AABBCCDDEEFF00, 0x0102030405060708, 0xF1F2F3F4F5F6F7F8);
    NicSettings _listener;

    protected SynAnswerTests(AttachMode mode)
    {
        _mode = mode;
        if (Environment.UserName != "root")
            Assert.Skip("needs root: loads a BPF program");
        _program = SteeringProgram.Load(new Dictionary<string, BpfMap>());
        _rest = _program.Maps;
        _maps = SteeringMaps.From(_rest)!;
        // More than none is a flood.
        Configure(InterfaceConfig.Up | InterfaceConfig.Answers);
        _maps.Ports[Port] = Steered;
        foreach (var address in (string[])["10.0.0.1", "fd00::1", "fd00:1::"])
            _maps.Addresses.Set(AddressKey.Of(TestStack.Local(address, 0)), 0u);
        _socket = Libc.Socket(Libc.AfXdp, Libc.SockRaw | Libc.SockCloexec, 0);
        if (_socket < 0)
            Assert.Skip("this kernel has no AF_XDP");
        _rest["xsks"].Set(Slot * SteeringLimits.MaxQueues, _socket);
        _ring = FrameRingMap.Create(out var refusal);
        Assert.True(_ring != null, refusal);
        _rest["rings"].Set(Slot, _ring.Fd);
        Answer();
    }

    public void Dispose()
    {
        Libc.Close(_socket);
        _ring?.Dispose();
        _maps.Dispose();
        _program.Dispose();
        GC.SuppressFinalize(this);
    }

    public static TheoryData<string, string> Cases()
    {
        TheoryData<string, string> all = [];
        foreach (var options in (string[])["all", "none", "mss", "small", "timestamps", "no timestamps", "scale 15",
            "unknown", "broken", "ecn", "data", "no sack here", "listener"])
        {
            all.Add("10.0.0.1 10.0.0.2", options);
            all.Add("fd00::1 fd00::2", options);
        }
        all.Add("fd00:1:: fd00:2::", "all");
        return all;
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void A_SYN_is_answered_as_the_stack_would_and_the_stack_takes_what_comes_back(string names, string what)
    {
        Packet syn = new(names.Split(' ')) { Options = OptionsOf(what) };
        if (what == "ecn")
            syn.Flags |= TcpFlags.Ece | TcpFlags.Cwr;
        if (what == "data")
            syn.Payload = new byte[301];
        if (what == "no sack here")
            _settings.Sack = false;
        if (what == "listener")
            _listener = new NicSettings { Ttl = 33, Tos = 0x2B, MaxSegment = 1200 };
        Answer();

        var before = DaemonKernel.Shared.NowNs();
        Assert.Equal(Send, Run(syn.Frame(), out var frame));
        var after = DaemonKernel.Shared.NowNs();
        Assert.Equal(1, Count("syn_answered"));

        var answer = Read(frame, syn);
        TcpOptions.TryParse(syn.Options, out var asked);
        TcpSegment segment = new() { Seq = new(syn.Seq), Flags = syn.Flags, Options = asked };
        TcpCounters counters = default;
        var opening = new TcpOpening
        {
            Flow = syn.Flow, Mtu = 1500, ReceiveSpace = 16384,
            Options = new TcpTuning { MaxSegment = _listener.MaxSegment },
        };
        TcpContext then = new(before, default, ref _settings, ref counters);
        TcpContext now = new(after, default, ref _settings, ref counters);
        var early = TcpOpen.CookieAnswer(segment, opening, then);
        var late = TcpOpen.CookieAnswer(segment, opening, now);
        Assert.Contains(answer.Seq, (SeqNum[])[early.Seq, late.Seq]);
        Assert.Equal(early.Ack, answer.Ack);
        Assert.Equal(early.Flags, answer.Flags);
        Assert.Equal(early.Window, answer.Window);
        Assert.Equal(early.Options.Present, answer.Options.Present);
        Assert.Equal(early.Options.Mss, answer.Options.Mss);
        if (early.Options.Has(TcpOptionKinds.WindowScale))
            Assert.Equal(early.Options.WindowScale, answer.Options.WindowScale);
        Assert.Equal(early.Options.TsEcr, answer.Options.TsEcr);
        Assert.InRange(answer.Options.TsVal - early.Options.TsVal, 0u, late.Options.TsVal - early.Options.TsVal);
        // Written as the stack writes it, too.
        var bytes = new byte[60];
        var length = new TcpHeader { Options = answer.Options }.WriteTo(bytes);
        Assert.Equal(bytes[20..length], frame.AsSpan(syn.Tcp + 20).ToArray());

        TcpSegment ack = new() { Seq = new(syn.Seq + 1), Ack = answer.Seq + 1, Flags = TcpFlags.Ack };
        if (answer.Options.Has(TcpOptionKinds.Timestamps))
            ack.Options = new TcpOptions
            {
                Present = TcpOptionKinds.Timestamps, TsVal = asked.TsVal + 1, TsEcr = answer.Options.TsVal,
            };
        var flow = syn.Flow;
        Assert.True(SynCookie.TryRead(flow, ack, now, out var kept));
        Assert.True(kept.Mss <= (asked.Has(TcpOptionKinds.Mss) ? asked.Mss : 536) || kept.Mss is 536 or 1220);
        Assert.Equal(answer.Options.Has(TcpOptionKinds.SackPermitted), kept.Sack);
        Assert.Equal(answer.Options.Has(TcpOptionKinds.WindowScale), kept.WindowScaling);
        Assert.Equal(kept.WindowScaling ? Math.Min(asked.WindowScale, (byte)14) : 0, kept.SndWscale);
        Assert.Equal(what == "ecn", kept.Ecn);
    }

    [Theory]
    [InlineData("10.0.0.1 10.0.0.2")]
    [InlineData("fd00::1 fd00::2")]
    public void A_checksum_that_is_left_to_a_device_is_left_to_it_in_the_answer(string names)
    {
        Packet syn = new(names.Split(' ')) { Options = OptionsOf("all"), IsPartial = true };
        Assert.Equal(Drop, Run(syn.Frame(), out _));
        Configure(InterfaceConfig.Up | InterfaceConfig.Answers | InterfaceConfig.PartialChecksums);
        Assert.Equal(Send, Run(syn.Frame(), out var frame));
        Assert.True(TcpView.TryParse(frame.AsSpan(syn.Tcp), out var tcp));
        Assert.Equal(Checksum.Partial(Pseudo(frame, syn)), tcp.Checksum);
    }

    [Theory]
    [InlineData("224.0.0.1")]
    [InlineData("255.255.255.255")]
    [InlineData("127.0.0.1")]
    [InlineData("0.0.0.0")]
    [InlineData("10.0.0.1")]
    [InlineData("ff02::1")]
    [InlineData("::1")]
    [InlineData("::")]
    [InlineData("::ffff:10.0.0.2")]
    [InlineData("fd00::1")]
    public void Nobody_is_answered_who_cannot_have_asked(string source)
    {
        Packet syn = new([source.Contains(':') ? "fd00::1" : "10.0.0.1", source]) { Options = OptionsOf("all") };
        Assert.Equal(Drop, Run(syn.Frame(), out _));
        Assert.Equal(1, Count("syn_unfit"));
    }

    [Fact]
    public void What_is_broken_or_unusual_is_not_answered()
    {
        Packet syn = new(["10.0.0.1", "10.0.0.2"]) { Options = OptionsOf("all") };
        Unfit(f => f[syn.Tcp + 16] ^= 1);
        Unfit(f => f[24] ^= 1);
        Unfit(f => f[6] |= 1);
        Unfit(f => f[syn.Tcp + 12] = 0x40);
        Unfit(f => f[17] += 40);
        foreach (var flag in (TcpFlags[])[TcpFlags.Fin, TcpFlags.Rst])
        {
            syn.Flags = TcpFlags.Syn | flag;
            Assert.Equal(Drop, Run(syn.Frame(), out _));
        }
        Assert.Equal(7, Count("syn_unfit"));
        Assert.Equal(0, Count("syn_answered"));

        void Unfit(Action<byte[]> spoil)
        {
            var frame = syn.Frame();
            spoil(frame);
            Assert.Equal(Drop, Run(frame, out _));
        }
    }

    [Fact]
    public void Only_SYNs_of_a_flood_at_a_listener_that_said_how_are_answered()
    {
        Packet syn = new(["10.0.0.1", "10.0.0.2"]) { Options = OptionsOf("all") };
        var ack = new Packet(["10.0.0.1", "10.0.0.2"]) { Flags = TcpFlags.Ack };
        Assert.Equal(Send, Run(syn.Frame(), out _));
        // The socket of this test is bound to nothing: what is steered to it is on its way all the same.
        Assert.Equal(Redirect, Run(ack.Frame(), out _));
        _maps.Ports[Port] = Steered | PortEntry.Leaving;
        Assert.Equal(Pass, Run(syn.Frame(), out _));
        // Of another stack that had the port before.
        _maps.Ports[Port] = PortEntry.Listener | (Slot + 2);
        Assert.NotEqual(Send, Run(syn.Frame(), out _));
        _maps.Ports[Port] = Steered;
        Assert.Equal(Send, Run(syn.Frame(), out _));
        Configure(InterfaceConfig.Up);
        Assert.Equal(Redirect, Run(syn.Frame(), out _));
        Configure(InterfaceConfig.Up | InterfaceConfig.Answers);
        new AnswerTable(_maps).RemoveSlot(Slot);
        Assert.Equal(Redirect, Run(syn.Frame(), out _));
    }

    [Fact]
    public void Without_a_flood_all_is_steered_and_with_one_nothing()
    {
        Packet syn = new(["10.0.0.1", "10.0.0.2"]) { Options = OptionsOf("all") };
        Configure(InterfaceConfig.Up | InterfaceConfig.Answers, mostSyns: 1000);
        // A window of 134 ms has room for 134: all of this comes within one or two.
        var found = Enumerable.Range(0, 1000).Select(_ => Run(syn.Frame(), out var _)).ToList();
        Assert.All(found.Take(134), action => Assert.Equal(Redirect, action));
        Assert.Equal(Send, found[^1]);
        Assert.InRange(found.Count(action => action == Redirect), 134, 3 * 134);
    }

    [Fact]
    public void An_answer_is_the_listeners_own_and_goes_with_it()
    {
        AnswerTable table = new(_maps);
        var answer = SynAnswer.Of(_settings, default, 1000);
        var one = TestStack.Local("10.0.0.1", Port);
        table.Set(one, false, Slot, answer);
        Packet syn = new(["10.0.0.1", "10.0.0.2"]);
        Assert.Equal(1000, WindowOf(syn));
        table.Remove(one, Slot + 1);
        Assert.Equal(1000, WindowOf(syn));
        table.Remove(one, Slot);
        Assert.Equal(16384, WindowOf(syn));
        // An IPv4 socket beside one for IPv6 only: neither takes the other's away.
        Endpoint any6 = TestStack.Local("::", Port), any4 = TestStack.Local("0.0.0.0", Port);
        table.Remove(any6, Slot);
        Assert.Equal(Redirect, Run(syn.Frame(), out _));
        table.Set(any4, false, Slot, answer);
        table.Set(any6, true, Slot, answer);
        table.Remove(any6, Slot);
        Assert.Equal(1000, WindowOf(syn));
        Assert.Equal(Redirect, Run(new Packet(["fd00::1", "fd00::2"]).Frame(), out _));
        table.Remove(any4, Slot);
        Assert.Empty(_maps.Answers.Keys<ExactKey>());
    }

    int WindowOf(Packet syn)
    {
        Assert.Equal(Send, Run(syn.Frame(), out var frame));
        return Read(frame, syn).Window;
    }

    void Answer() => new AnswerTable(_maps).Set(TestStack.Local("::", Port), false, Slot,
        SynAnswer.Of(_settings, _listener, 16384));

    void Configure(int flags, uint mostSyns = 0) =>
        _rest["link_config"].Set(0u, InterfaceConfig.Of(Own, flags, 1500, mostSyns));

    long Count(string name) =>
        (long)_rest["counts"].Sum((uint)Array.IndexOf(Broker.StatusReport.CountNames, name));

    /// <summary>Takes a SYN-ACK apart; what is below TCP must be right.</summary>
    TcpHeader Read(byte[] frame, Packet syn)
    {
        Assert.Equal(Peer, frame[..6]);
        Assert.Equal(Own, frame[6..12]);
        var (ttl, tos) = (_listener.Ttl == 0 ? 64 : _listener.Ttl, _listener.Tos & ~3);
        if (syn.IsV6)
        {
            Assert.True(Ipv6View.TryParseHead(frame.AsSpan(14), out var ip));
            Assert.Equal((frame.Length - 54, tos, ttl), (ip.PayloadLength, ip.TrafficClass, ip.HopLimit));
            Assert.Equal(syn.To, ip.Source.ToArray());
            Assert.Equal(syn.From, ip.Destination.ToArray());
        }
        else
        {
            Assert.True(Ipv4View.TryParseHead(frame.AsSpan(14), out var ip));
            Assert.True(ip.HasRightChecksum && ip.DontFragment);
            Assert.Equal((frame.Length - 14, tos, ttl), (ip.TotalLength, ip.Tos, ip.Ttl));
            Assert.Equal(syn.To, ip.SourceBytes.ToArray());
            Assert.Equal(syn.From, ip.DestinationBytes.ToArray());
        }
        Assert.True(Checksum.IsRight(Checksum.Add(frame.AsSpan(syn.Tcp), Pseudo(frame, syn))));
        Assert.True(TcpView.TryParse(frame.AsSpan(syn.Tcp), out var tcp));
        Assert.Equal((Port, Packet.SourcePort), (tcp.SourcePort, tcp.DestinationPort));
        Assert.True(TcpOptions.TryParse(tcp.OptionBytes, out var options));
        return new TcpHeader
        {
            Seq = tcp.Seq, Ack = tcp.Ack, Flags = tcp.Flags, Window = tcp.Window, Options = options,
        };
    }

    static uint Pseudo(byte[] frame, Packet syn) => syn.Pseudo(frame.Length - syn.Tcp);

    int Run(byte[] frame, out byte[] found)
    {
        found = new byte[2048];
        fixed (byte* from = frame, to = found)
        {
            TestRun run = new()
            {
                Size = (nint)sizeof(TestRun), DataIn = from, DataOut = to, BytesIn = (uint)frame.Length,
                BytesOut = (uint)found.Length, Repeat = 1,
            };
            var result = RunProgram(_program.FdOf(_mode), &run);
            Assert.True(result == 0, $"BPF_PROG_TEST_RUN: {Libc.Text(-result)}");
            found = found[..(int)run.BytesOut];
            return (int)run.Returned;
        }
    }

    static byte[] OptionsOf(string what) => what switch
    {
        "none" => [],
        "mss" => [2, 4, 5, 180],
        "small" => [2, 4, 3, 232],
        "timestamps" => [2, 4, 5, 180, 1, 1, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0],
        "no timestamps" => [2, 4, 5, 180, 1, 3, 3, 7, 1, 1, 4, 2],
        "scale 15" => [2, 4, 5, 180, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 15],
        // Unknown ones, one of no size that it can have, an MSS of 0, what comes after the end.
        "unknown" =>
            [34, 6, 1, 2, 3, 4, 3, 4, 9, 9, 2, 4, 5, 180, 2, 4, 0, 0, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 0, 4, 2, 0],
        "broken" => [2, 4, 5, 180, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 4, 200],
        _ => [2, 4, 5, 180, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7],
    };

    /// <summary>A segment from a peer, to the target and from the source.</summary>
    sealed class Packet(string[] names)
    {
        public const ushort SourcePort = 43210;

        public uint Seq = 0xFFFFFFFF;
        public TcpFlags Flags = TcpFlags.Syn;
        public byte[] Options = [];
        public byte[] Payload = [];
        public bool IsPartial;

        public byte[] To { get; } = IPAddress.Parse(names[0]).GetAddressBytes();

        public byte[] From { get; } = IPAddress.Parse(names[1]).GetAddressBytes();

        public bool IsV6 => To.Length == 16;

        public int Tcp => IsV6 ? 54 : 34;

        public TcpFlow Flow
        {
            get
            {
                Endpoint local = TestStack.Local(names[0], Port), remote = TestStack.Local(names[1], SourcePort);
                return new TcpFlow
                {
                    LocalLow = local.AddressLow, LocalHigh = local.AddressHigh, RemoteLow = remote.AddressLow,
                    RemoteHigh = remote.AddressHigh, LocalPort = Port, RemotePort = SourcePort, IsV6 = IsV6,
                };
            }
        }

        public uint Pseudo(int length) => IsV6
            ? Checksum.PseudoV6(Ipv6Address.Read(From), Ipv6Address.Read(To), IpProtocol.Tcp, length)
            : Checksum.PseudoV4(MemoryMarshal.Read<uint>(From), MemoryMarshal.Read<uint>(To), IpProtocol.Tcp, length);

        public byte[] Frame()
        {
            var length = 20 + Options.Length + Payload.Length;
            var frame = new byte[Tcp + length];
            Own.CopyTo(frame, 0);
            Peer.CopyTo(frame, 6);
            BinaryPrimitives.WriteUInt16BigEndian(frame.AsSpan(12), (ushort)(IsV6 ? 0x86DD : 0x0800));
            if (IsV6)
            {
                frame[14] = 0x60;
                BinaryPrimitives.WriteUInt16BigEndian(frame.AsSpan(18), (ushort)length);
                (frame[20], frame[21]) = (6, 64);
                From.CopyTo(frame, 22);
                To.CopyTo(frame, 38);
            }
            else
                new Ipv4Header
                {
                    PayloadLength = length, DontFragment = true, Ttl = 64, Protocol = IpProtocol.Tcp,
                    Source = MemoryMarshal.Read<uint>(From), Destination = MemoryMarshal.Read<uint>(To),
                }.WriteTo(frame.AsSpan(14));
            var tcp = frame.AsSpan(Tcp);
            new TcpHeader
            {
                SourcePort = SourcePort, DestinationPort = Port, Seq = new(Seq), Flags = Flags, Window = 64240,
            }.WriteTo(tcp);
            tcp[12] = (byte)((20 + Options.Length) / 4 << 4);
            Options.CopyTo(tcp[20..]);
            Payload.CopyTo(tcp[(20 + Options.Length)..]);
            TcpHeader.SetChecksum(tcp, IsPartial ? Checksum.Partial(Pseudo(length))
                : Checksum.Fold(Checksum.Add(tcp, Pseudo(length))));
            return frame;
        }
    }

    [DllImport("libbpf.so.1", EntryPoint = "bpf_prog_test_run_opts")]
    static extern int RunProgram(int program, TestRun* options);

    /// <summary>struct bpf_test_run_opts</summary>
    struct TestRun
    {
        public nint Size;
        public void* DataIn;
        public void* DataOut;
        public uint BytesIn;
        public uint BytesOut;
        public void* ContextIn;
        public void* ContextOut;
        public uint ContextBytesIn;
        public uint ContextBytesOut;
        public uint Returned;
        public int Repeat;
        public uint Nanoseconds;
        public uint Flags;
        public uint Cpu;
        public uint Batch;
    }
}
