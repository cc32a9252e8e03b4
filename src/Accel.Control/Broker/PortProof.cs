using System.Buffers.Binary;
using Accel.Control.Native;
using Accel.Core.Local;
using Accel.Core.Nic;
using Accel.Os.Control;

namespace Accel.Control.Broker;

/// <summary>
/// The kernel socket that a stack shows when it asks for a port: it has the name, the type and the state that it says.
/// </summary>
/// <remarks>Made on the thread that serves: the namespace of that one is the broker's, whatever else the process is in.
/// </remarks>
internal sealed unsafe class PortProof
{
    private const int V6Only = 26;
    private readonly ulong _ownNamespace = NamespaceOf(-1);

    /// <summary>Null if the socket proves the right to the port, else what is wrong with it.</summary>
    public string? Refusal(in SteerMessage wanted, int descriptor, out bool v6Only)
    {
        v6Only = false;
        if (wanted.Transport is not (Transport.Tcp or Transport.Udp))
            return "no such transport";
        if (wanted.Local.Family is not (Endpoint.V4 or Endpoint.V6) || wanted.Local.Port == 0)
            return "no such address";
        if (descriptor < 0)
            return "no socket shown";
        if (Libc.Option(descriptor, Libc.SolSocket, Libc.SoProtocol) != (int)wanted.Transport)
            return "the socket shown has another protocol";
        if (NamespaceOf(descriptor) != _ownNamespace)
            return "the socket shown is of another network namespace";
        if (wanted.IsListener != 0 && wanted.Transport == Transport.Tcp
            && Libc.Option(descriptor, Libc.SolSocket, Libc.SoAcceptConn) != 1)
            return "the socket shown does not listen";
        if (!TryGetName(descriptor, out Endpoint name) || name.Port != wanted.Local.Port)
            return "the socket shown has another port";
        v6Only = name.Family == Endpoint.V6 && Libc.Option(descriptor, Libc.SolIpv6, V6Only) == 1;
        Endpoint plain = name.Unmapped(), local = wanted.Local.Unmapped();
        bool isCovered = plain.IsAny
            ? plain.Family == local.Family || (plain.Family == Endpoint.V6 && !v6Only)
            : plain.SameAddress(local);
        return isCovered ? null : "the socket shown has another address";
    }

    /// <summary>What getsockname() says. False: no name of IPv4 or IPv6.</summary>
    public static bool TryGetName(int descriptor, out Endpoint name)
    {
        name = default;
        byte* address = stackalloc byte[128];
        uint bytes = 128;
        if (Libc.GetSockName(descriptor, address, &bytes) < 0)
            return false;
        name.Port = BinaryPrimitives.ReadUInt16BigEndian(new Span<byte>(address + 2, 2));
        switch (*(ushort*)address)
        {
            case Libc.AfInet:
                name.Family = Endpoint.V4;
                name.AddressLow = *(uint*)(address + 4);
                return true;
            case Libc.AfInet6:
                name.Family = Endpoint.V6;
                name.AddressLow = *(ulong*)(address + 8);
                name.AddressHigh = *(ulong*)(address + 16);
                return true;
            default:
                return false;
        }
    }

    /// <summary>Of a socket, or with -1 of one made here.</summary>
    private static ulong NamespaceOf(int descriptor)
    {
        int fd = descriptor >= 0 ? descriptor : Libc.Socket(Libc.AfInet, Libc.SockDgram | Libc.SockCloexec, 0);
        ulong cookie = 0;
        uint bytes = sizeof(ulong);
        int result = Libc.GetSockOpt(fd, Libc.SolSocket, Libc.SoNetnsCookie, &cookie, &bytes);
        if (descriptor < 0)
            Libc.Close(fd);
        return result < 0 ? 0 : cookie;
    }
}
