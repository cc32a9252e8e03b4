using System.Runtime.InteropServices;
using Accel.Core.Local;
using Accel.Core.Memory;

namespace Accel.Core.Udp;

/// <summary>
/// The name, and perhaps the peer, of a UDP socket, by which datagrams find it. The ring of what it has received is
/// that of the connection slot with the same index.
/// </summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 192)]
public struct UdpBinding
{
    /// <summary>Index plus one of the next of the same port.</summary>
    [FieldOffset(0)] public uint Next;

    /// <summary>1: datagrams are taken.</summary>
    [FieldOffset(4)] public uint Open;

    /// <summary>Generation of the connection slot.</summary>
    [FieldOffset(8)] public uint Generation;

    /// <summary>IPV6_V6ONLY.</summary>
    [FieldOffset(12)] public uint V6Only;

    /// <summary>Plain: never v4-mapped.</summary>
    [FieldOffset(16)] public Endpoint Local;

    /// <summary>Family none: not connected.</summary>
    [FieldOffset(40)] public Endpoint Remote;
    [FieldOffset(64)] public UdpSettings Settings;

    /// <summary>Datagrams that found the ring full.</summary>
    [FieldOffset(80)] public uint Drops;

    /// <summary>ICMP errors heard of, and those after which the kernel's socket was asked for its error.</summary>
    [FieldOffset(84)] public uint Errors;
    [FieldOffset(88)] public uint ErrorsSeen;
    [FieldOffset(92), Hidden] public ushort Identification;

    [FieldOffset(96)] public ulong Received;
    [FieldOffset(104)] public ulong ReceivedBytes;
    [FieldOffset(128)] public ulong Sent;
    [FieldOffset(136)] public ulong SentBytes;

    /// <summary>The name that frames are steered here by: the first that the socket had.</summary>
    [FieldOffset(144)] public Endpoint Steered;
}
