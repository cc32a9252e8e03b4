using Accel.Control.Broker;
using Accel.Control.Native;
using Accel.Core.Ip;
using Accel.Core.Local;
using Accel.Wire;

namespace Accel.Control.Mirror;

/// <summary>
/// Asks for IPv6 neighbours where the kernel, asked for a neighbour only, does not. With a packet to send the kernel
/// solicits by the packet's source address; with none by the interface's link-local address, and not at all while there
/// is none that may be used: for the second or two that its duplicates are looked for when an interface comes up, or
/// for ever where none is made (addrgenmode none). The answer goes to the kernel, whose entry waits for it.
/// </summary>
internal sealed unsafe class Solicitor : IDisposable
{
    private const int IcmpV6 = 58, FilterOption = 1, MulticastInterface = 17, MulticastHops = 18;
    private const int NameBytes = 28, MessageBytes = 32;

    private readonly int _fd;
    private volatile IReadOnlyList<OwnAddress> _sources = [];

    private Solicitor(int fd) => _fd = fd;

    /// <summary>In the network namespace of this thread. Without the right to raw sockets it sends nothing.</summary>
    public static Solicitor Open()
    {
        int fd = Libc.Socket(Libc.AfInet6, Libc.SockRaw | Libc.SockCloexec | Libc.SockNonBlock, IcmpV6);
        // It only sends. RFC 4861 7.1.1: what came through a router is not listened to.
        uint* nothing = stackalloc uint[8];
        new Span<uint>(nothing, 8).Fill(uint.MaxValue);
        Libc.SetSockOpt(fd, IcmpV6, FilterOption, nothing, 32);
        Libc.SetOption(fd, Libc.SolIpv6, MulticastHops, 255);
        return new Solicitor(fd);
    }

    /// <summary>Of the addresses in use, those that solicitations may come from. RFC 4429 3.3: no optimistic ones.
    /// </summary>
    public void Use(IEnumerable<OwnAddress> addresses) =>
        _sources = [.. addresses.Where(a => a.Address.Family == Endpoint.V6 && !a.IsOptimistic)];

    /// <summary>True if a solicitation was sent that the kernel would not send. One thread at a time.</summary>
    public bool Ask(in LinkEntry link, in Endpoint neighbour)
    {
        int index = link.Index;
        List<OwnAddress> sources = [.. _sources.Where(a => a.InterfaceIndex == index)];
        if (_fd < 0 || neighbour.Family != Endpoint.V6 || sources.Count == 0 || sources.Any(a => a.Address.IsLinkLocal))
            return false;
        byte* name = stackalloc byte[NameBytes];
        WriteName(name, sources[0].Address);
        byte* group = stackalloc byte[NameBytes];
        WriteName(group, SolicitedNode(neighbour));
        byte* message = stackalloc byte[MessageBytes];
        WriteSolicitation(new Span<byte>(message, MessageBytes), link, neighbour);
        // What fails here (the address or the interface has just gone) is asked for again by whoever waits.
        return Libc.SetOption(_fd, Libc.SolIpv6, MulticastInterface, index)
            && Libc.Bind(_fd, name, NameBytes) == 0
            && Libc.SendTo(_fd, message, MessageBytes, Libc.DontWait, group, NameBytes) == MessageBytes;
    }

    /// <summary>RFC 4291 2.7.1: ff02::1:ff00:0/104 and the last 24 bits of the address.</summary>
    internal static Endpoint SolicitedNode(in Endpoint neighbour)
    {
        Endpoint group = new() { Family = Endpoint.V6 };
        Span<byte> bytes = new(group.Address, 16);
        bytes[0] = 0xFF;
        bytes[1] = 2;
        bytes[11] = 1;
        bytes[12] = 0xFF;
        fixed (byte* address = neighbour.Address)
            new ReadOnlySpan<byte>(address + 13, 3).CopyTo(bytes[13..]);
        return group;
    }

    /// <summary>RFC 4861 4.3, 4.6.1: target, and our link-layer address. The kernel fills the checksum in.</summary>
    private static void WriteSolicitation(Span<byte> message, in LinkEntry link, in Endpoint neighbour)
    {
        const byte SourceLinkAddress = 1, EightBytes = 1;
        message.Clear();
        message[0] = Icmpv6View.NeighbourSolicitation;
        fixed (byte* address = neighbour.Address)
            new ReadOnlySpan<byte>(address, 16).CopyTo(message[8..]);
        message[24] = SourceLinkAddress;
        message[25] = EightBytes;
        fixed (byte* mac = link.Mac)
            new ReadOnlySpan<byte>(mac, 6).CopyTo(message[26..]);
    }

    /// <summary>struct sockaddr_in6</summary>
    private static void WriteName(byte* name, in Endpoint address)
    {
        new Span<byte>(name, NameBytes).Clear();
        *(ushort*)name = Libc.AfInet6;
        fixed (byte* bytes = address.Address)
            new ReadOnlySpan<byte>(bytes, 16).CopyTo(new Span<byte>(name + 8, 16));
    }

    public void Dispose()
    {
        if (_fd >= 0)
            Libc.Close(_fd);
    }
}
