using Accel.Core.Nic;

namespace Accel.Core.Tcp;

/// <summary>What ICMP reports about a segment of ours (RFC 1122 4.2.3.9, RFC 5461, RFC 5927).</summary>
public static class TcpIcmp
{
    /// <summary>Takes an error that names this connection.</summary>
    public static void OnError(ref Tcb tcb, in IcmpEvent report, in TcpContext ctx, ref TcpEffects fx)
    {
    }
}
