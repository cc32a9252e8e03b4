using System.Runtime.InteropServices;
using Accel.Control.Native;
using Accel.Core.Local;
using Accel.Core.Nic;
using Accel.Wire;

namespace Accel.Control.Mirror;

/// <summary>
/// Hears the ICMP errors that come to this network namespace, and reads in them which connection or datagram they are
/// about. They may be forged: whoever gets one checks that it can be true (RFC 5927).
/// </summary>
internal sealed unsafe class IcmpListener : IDisposable
{
    private const int IcmpV4 = 1, IcmpV6 = 58, RawLevel = 255, FilterOption = 1, MaxAtOnce = 256;

    private readonly byte[] _buffer = GC.AllocateUninitializedArray<byte>(2048, pinned: true);

    private IcmpListener(int v4, int v6) => (V4, V6) = (v4, v6);

    /// <summary>-1 if there is none: errors of that family are then not heard.</summary>
    public int V4 { get; }

    public int V6 { get; }

    public static IcmpListener Open()
    {
        // Bits of types that are not wanted.
        uint v4 = ~(1u << IcmpView.Unreachable | 1u << IcmpView.TimeExceeded | 1u << IcmpView.ParameterProblem);
        uint* v6 = stackalloc uint[8];
        new Span<uint>(v6, 8).Fill(uint.MaxValue);
        v6[0] = ~(1u << Icmpv6View.Unreachable | 1u << Icmpv6View.PacketTooBig | 1u << Icmpv6View.TimeExceeded
            | 1u << Icmpv6View.ParameterProblem);
        return new IcmpListener(OpenRaw(Libc.AfInet, IcmpV4, RawLevel, &v4, sizeof(uint)),
            OpenRaw(Libc.AfInet6, IcmpV6, IcmpV6, v6, 32));
    }

    private static int OpenRaw(int family, int protocol, int level, void* filter, uint filterBytes)
    {
        int fd = Libc.Socket(
            family, Libc.SockRaw | Libc.SockCloexec | Libc.SockNonBlock, protocol);
        if (fd >= 0)
            Libc.SetSockOpt(fd, level, FilterOption, filter, filterBytes);
        return fd;
    }

    /// <summary>Takes the errors that wait.</summary>
    public void Take(int fd, Action<IcmpEvent> handler)
    {
        byte* from = stackalloc byte[28];
        fixed (byte* buffer = _buffer)
        {
            for (int i = 0; i < MaxAtOnce; i++)
            {
                uint length = 28;
                nint count = Libc.ReceiveFrom(fd, buffer, _buffer.Length, Libc.DontWait, from, &length);
                if (count < 0)
                    return;
                ReadOnlySpan<byte> packet = _buffer.AsSpan(0, (int)count);
                bool found = fd == V4 ? TryReadV4(packet, out IcmpEvent report)
                    : TryReadV6(packet, *(uint*)(from + 24), out report);
                if (found)
                    handler(report);
            }
        }
    }

    /// <summary>A whole IPv4 packet, as raw sockets give it.</summary>
    internal static bool TryReadV4(ReadOnlySpan<byte> packet, out IcmpEvent report)
    {
        report = default;
        if (!Ipv4View.TryParse(packet, out Ipv4View ip) || !IcmpView.TryParse(ip.Payload, out IcmpView icmp)
            || !icmp.HasRightChecksum || !icmp.TryGetQuote(out QuoteView quote))
            return false;
        report = Report(quote, icmp.Type, icmp.Code, 0);
        if (icmp is { Type: IcmpView.Unreachable, Code: IcmpView.FragmentationNeeded })
            report.Mtu = icmp.NextHopMtu;
        return true;
    }

    /// <summary>An ICMPv6 message, whose checksum the kernel has looked at.</summary>
    internal static bool TryReadV6(ReadOnlySpan<byte> message, uint scope, out IcmpEvent report)
    {
        report = default;
        if (!Icmpv6View.TryParse(message, out Icmpv6View icmp) || !icmp.TryGetQuote(out QuoteView quote))
            return false;
        report = Report(quote, icmp.Type, icmp.Code, scope);
        if (icmp.Type == Icmpv6View.PacketTooBig)
            report.Mtu = icmp.Mtu;
        return true;
    }

    private static IcmpEvent Report(in QuoteView quote, byte type, byte code, uint scope) => new()
    {
        Transport = quote.Protocol == IpProtocol.Tcp ? Transport.Tcp : Transport.Udp,
        Type = type,
        Code = code,
        Local = At(quote.Source, quote.SourcePort, scope),
        Remote = At(quote.Destination, quote.DestinationPort, scope),
        Seq = quote.Protocol == IpProtocol.Tcp ? quote.Seq.Value : 0,
    };

    private static Endpoint At(ReadOnlySpan<byte> address, ushort port, uint scope)
    {
        (ulong low, ulong high) = NetlinkAttribute.AddressIn(address);
        Endpoint endpoint = new()
        {
            Family = address.Length == 4 ? Endpoint.V4 : Endpoint.V6, Port = port, AddressLow = low,
            AddressHigh = high,
        };
        if (endpoint.IsLinkLocal)
            endpoint.ScopeId = scope;
        return endpoint;
    }

    public void Dispose()
    {
        if (V4 >= 0)
            Libc.Close(V4);
        if (V6 >= 0)
            Libc.Close(V6);
    }
}
