using Accel.Wire;

namespace Accel.Testing.Script;

/// <summary>What can be learned from the segments that the stack sent, counted from the initial numbers.</summary>
sealed class WireWatch
{
    readonly List<(uint From, uint To)> _data = [];
    int _windowScale;

    public long Acknowledged { get; private set; }

    /// <summary>The furthest byte that was offered to the peer.</summary>
    public long RightEdge { get; private set; }

    public int Retransmits { get; private set; }

    public int CwrSent { get; private set; }

    public int UrgSent { get; private set; }

    public int RstSent { get; private set; }

    public int TimesSent(uint at) => _data.Count(d => d.From <= at && at < d.To);

    public void OnSent(Packet packet, bool isRetransmission, int scale, SegmentMatch.Bases bases)
    {
        ref readonly var header = ref packet.Header;
        var from = (uint)(header.Seq - bases.Stack);
        _windowScale = header.Has(TcpFlags.Syn) ? 0 : scale;
        if (header.Length > 0)
            _data.Add((from, from + header.Length));
        if (isRetransmission)
            Retransmits++;
        if (header.Has(TcpFlags.Cwr) && !header.Has(TcpFlags.Syn))
            CwrSent++;
        if (header.Has(TcpFlags.Rst))
            RstSent++;
        if (header.Has(TcpFlags.Urg))
            UrgSent++;
        if (!header.Has(TcpFlags.Ack) || header.Has(TcpFlags.Rst))
            return;
        Acknowledged = Math.Max(Acknowledged, header.Ack - bases.Peer);
        RightEdge = Math.Max(RightEdge, header.Ack - bases.Peer + ((long)header.Window << _windowScale));
    }
}
