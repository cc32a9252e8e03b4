namespace Accel.Core.Tcp;

/// <summary>
/// The states of a connection (RFC 9293 3.3.2), with the numbers that Linux gives them in tcp_info.
/// </summary>
public enum TcpState : byte
{
    /// <summary>Zeroed memory: no connection.</summary>
    None = 0,
    Established = 1,
    SynSent = 2,
    SynReceived = 3,
    FinWait1 = 4,
    FinWait2 = 5,
    TimeWait = 6,
    Closed = 7,
    CloseWait = 8,
    LastAck = 9,
    Listen = 10,
    Closing = 11,
}

/// <summary>Questions that are asked of several states at once.</summary>
public static class TcpStates
{
    private const uint Receiving = 1u << (int)TcpState.Established | 1u << (int)TcpState.FinWait1
        | 1u << (int)TcpState.FinWait2;

    private const uint Sending = 1u << (int)TcpState.Established | 1u << (int)TcpState.CloseWait;

    private const uint Synchronized = Receiving | Sending | 1u << (int)TcpState.Closing
        | 1u << (int)TcpState.LastAck;

    private const uint Ended = 1u << (int)TcpState.None | 1u << (int)TcpState.Closed | 1u << (int)TcpState.Listen;

    private static bool In(TcpState state, uint set) => (set >> (int)state & 1) != 0;

    /// <summary>The peer may still send data: its FIN has not come.</summary>
    public static bool IsReceiving(this TcpState state) => In(state, Receiving);

    /// <summary>We may still send data: our FIN has not gone.</summary>
    public static bool IsSending(this TcpState state) => In(state, Sending);

    /// <summary>Both ends know both sequence numbers, and the connection is not over: all states from ESTABLISHED to
    /// LAST-ACK, TIME-WAIT excluded.</summary>
    public static bool IsSynchronized(this TcpState state) => In(state, Synchronized);

    /// <summary>There is no connection.</summary>
    public static bool IsOver(this TcpState state) => In(state, Ended);
}
