using Accel.Core.Local;
using Accel.Core.Nic;

namespace Accel.Core.Udp;

/// <summary>An IP packet that holds a datagram, whole, where the link keeps it; its IP header has been checked.
/// </summary>
public unsafe ref struct UdpArrival
{
    /// <summary>Destination and source, without ports.</summary>
    public Endpoint Local;
    public Endpoint Remote;
    public byte Ttl;
    public byte Tos;

    /// <summary>Index of the link.</summary>
    public int Link;

    /// <summary>The transport's bytes in the first buffer, the buffers after it, and how many bytes there are in all.
    /// </summary>
    public ReadOnlySpan<byte> Head;
    public FrameRef* Rest;
    public int RestCount;
    public int Length;
}
