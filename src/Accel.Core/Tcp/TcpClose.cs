using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>The ends of a connection: close(), abort, reset (RFC 9293 3.10.4, 3.10.5).</summary>
public static class TcpClose
{
    /// <summary>
    /// The program has closed its last descriptor. With data unread, or to come, the connection is reset as Linux does
    /// it; else our FIN follows what is queued (the caller sets <see cref="TcpStreams.Finished"/>).
    /// </summary>
    /// <param name="abort">SO_LINGER with a time of 0.</param>
    public static void OnDetached(
        ref Tcb tcb, in TcpContext ctx, in TcpStreams streams, bool abort, ref TcpEffects fx)
    {
    }

    /// <summary>RFC 9293 3.10.5: ends the connection with a RST if the peer knows of it.</summary>
    public static void Abort(ref Tcb tcb, in TcpContext ctx, ref TcpEffects fx)
    {
    }

    /// <summary>RFC 9293 3.10.7.1: the RST that answers a segment for which there is no connection. Sets
    /// <see cref="TcpEvents.SendReset"/> unless the segment is a RST itself.</summary>
    public static void ResetFor(in TcpSegment seg, ref TcpEffects fx)
    {
    }

    /// <summary>Gives the block's records back. To be called before the block is used again.</summary>
    public static void Free(ref Tcb tcb, in TcpContext ctx)
    {
    }

    /// <summary>
    /// True if a connection in TIME-WAIT may give way to a new one of ours to the same peer (RFC 6191 as tcp_tw_reuse):
    /// its timestamps tell old segments apart. The new one starts with <paramref name="iss"/>.
    /// </summary>
    public static bool CanReuse(in Tcb tcb, in TcpContext ctx, out SeqNum iss)
    {
        iss = default;
        return false;
    }
}
