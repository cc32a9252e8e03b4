using Accel.Core.Nic;
using Accel.Core.Tcp;

namespace Accel.Inspect;

/// <summary>Which counters are of packets that nobody got: what "drops" means in figures, events and metrics.</summary>
public static class Drops
{
    public static readonly NicCounter[] Network =
    [
        NicCounter.RxMalformed, NicCounter.RxMartian, NicCounter.RxBadChecksum, NicCounter.RxNoListener,
        NicCounter.RxStray, NicCounter.RxTooManyParts, NicCounter.ListenSynDropped, NicCounter.TxNoBuffer,
        NicCounter.TxNoNeighbour, NicCounter.TxNoLink, NicCounter.UdpNoSocket, NicCounter.UdpFull,
        NicCounter.RxHandedOver,
    ];

    public static readonly TcpCounter[] Tcp =
    [
        TcpCounter.OutOfWindow, TcpCounter.ZeroWindowDrops, TcpCounter.NoReassembly, TcpCounter.PawsRejected,
        TcpCounter.OldAcks, TcpCounter.UnsentAcked, TcpCounter.DuplicateData,
    ];

    /// <summary>Those of the links: what the kernel or the device dropped before or behind the engine.</summary>
    public static readonly (string Name, string Meaning)[] Links =
    [
        ("link_rx_no_buffer", "Frames that found no buffer in the fill ring."),
        ("link_rx_ring_full", "Frames that found the receiving ring full."),
        ("link_rx_invalid", "Frames that the kernel would not put into a ring."),
        ("link_tx_no_buffer", "Frames that found no buffer to be sent from."),
        ("link_tx_errors", "Frames that could not be sent."),
    ];
}
