using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>What ICMP reports about a segment of ours (RFC 1122 4.2.3.9, RFC 5461, RFC 5927).</summary>
public static class TcpIcmp
{
    /// <summary>
    /// Takes an error that names this connection: ICMP's or ICMPv6's type and code, the sequence number that it quotes,
    /// and the MTU if it brings one.
    /// </summary>
    public static void OnError(
        ref Tcb tcb, byte type, byte code, SeqNum quoted, uint mtu, in TcpContext ctx, ref TcpEffects fx)
    {
    }
}
