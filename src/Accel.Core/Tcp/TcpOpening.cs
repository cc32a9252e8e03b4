using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>What a connection is opened with.</summary>
public struct TcpOpening
{
    public TcpFlow Flow;

    /// <summary>MTU of the path, as far as is known: the link's, or less.</summary>
    public uint Mtu;

    /// <summary>What the receiving buffer can take at first.</summary>
    public uint ReceiveSpace;

    /// <summary>The connection takes the place of one in TIME-WAIT: start with this number.</summary>
    public bool HasIss;
    public SeqNum Iss;

    /// <summary>IP's ECN field of the SYN was not 0: some router misuses it, so ECN is not agreed on.</summary>
    public bool SynWasMarked;

    /// <summary>Options of the socket, of the listener's for a passive open.</summary>
    public TcpTuning Options;
    public CongestionAlgorithm Congestion;
}
