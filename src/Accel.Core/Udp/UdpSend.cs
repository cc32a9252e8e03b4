using Accel.Core.Local;
using Accel.Core.Nic;

namespace Accel.Core.Udp;

/// <summary>A datagram that a program wants sent, but for its payload.</summary>
public struct UdpSend
{
    /// <summary>Plain, with port.</summary>
    public Endpoint Destination;

    /// <summary>The address to send from (IP_PKTINFO); none: the socket's own, or the route's choice.</summary>
    public Endpoint Source;

    /// <summary>Of the payload.</summary>
    public uint Length;

    /// <summary>The interface that it must leave by; 0: the route's.</summary>
    public int InterfaceIndex;

    /// <summary>By control data; -1: the socket's.</summary>
    public int Ttl;
    public int Tos;
}

/// <summary>A frame whose headers are written and whose payload is awaited.</summary>
public unsafe struct UdpFrame
{
    public FrameRef Buffer;

    /// <summary>Where the payload goes, and the sum of what is before it.</summary>
    public byte* Payload;
    public uint Sum;
    public int Link;
    public uint Length;
}
