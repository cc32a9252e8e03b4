namespace Accel.Core.Tcp;

/// <summary>RFC 9293 3.8.4: probes for a peer that has been silent, and the other slow timers.</summary>
public static class TcpKeepalive
{
    /// <summary>The program has changed <see cref="Tcb.Options"/>.</summary>
    public static void OnOptions(ref Tcb tcb, in TcpContext ctx)
    {
    }
}
