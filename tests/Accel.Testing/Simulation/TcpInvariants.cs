using Accel.Core.Tcp;
using Accel.Wire;

namespace Accel.Testing.Simulation;

/// <summary>What must be true of the TCP machine after every step, whatever the network does.</summary>
public sealed class TcpInvariants(TcpHost host, string name)
{
    SeqNum _offeredEdge;
    SeqNum _peerEdge;
    SeqNum _peerEnd;
    SeqNum _dataEnd;
    bool _hasOffered;
    bool _hasHeard;
    int _peerScale;

    /// <summary>After each call into the machine.</summary>
    public void Check()
    {
        ref readonly var tcb = ref host.Tcb;
        if (host.IsOver)
            return;
        That(tcb.SndUna <= tcb.SndNxt, "SND.UNA > SND.NXT");
        if (!host.IsEstablished || tcb.State is TcpState.SynSent or TcpState.SynReceived or TcpState.TimeWait)
            return;
        CheckStreams(in tcb);
        CheckRecovery(in tcb);
        CheckTimers(in tcb);
    }

    void CheckStreams(in Tcb tcb)
    {
        var outstanding = (uint)(tcb.SndNxt - tcb.SndUna);
        That(outstanding <= host.Sending.Queued + 1, $"{outstanding} in flight of {host.Sending.Queued} that are kept");
        var acked = (uint)(tcb.SndUna - tcb.Iss) - 1;
        That(acked == (uint)host.Sending.Acked || acked == (uint)host.Sending.Acked + 1,
            $"SND.UNA is {acked} after ISS, but {host.Sending.Acked} bytes are acknowledged");
        var received = (uint)(tcb.RcvNxt - tcb.Irs) - 1;
        var fin = host.IsEndOfStream ? 1u : 0;
        That(received == (uint)host.Receiving.Delivered + fin,
            $"RCV.NXT is {received} after IRS, but {host.Receiving.Delivered} bytes are delivered");
    }

    void CheckRecovery(in Tcb tcb)
    {
        ref readonly var recovery = ref tcb.Recovery;
        That(recovery.Congestion.Cwnd > 0, "the window is 0");
        That(recovery.Sent.Sacked + recovery.Sent.LostUnsent <= recovery.Sent.Outstanding,
            $"sacked {recovery.Sent.Sacked}, lost {recovery.Sent.Lost} of {recovery.Sent.Outstanding}");
        That(recovery.Sent.Una == tcb.SndUna && recovery.Sent.Nxt == tcb.SndNxt,
            "recovery knows of another SND.UNA or SND.NXT than the machine");
        That(recovery.Rtt.Rto is >= RttEstimator.MinRtoNs and <= RttEstimator.MaxRtoNs, $"RTO {recovery.Rtt.Rto}");
    }

    /// <summary>Whatever waits for the peer has a timer that makes it go on.</summary>
    void CheckTimers(in Tcb tcb)
    {
        if (host.Deadline != long.MaxValue)
            return;
        That(tcb.SndNxt == tcb.SndUna, "something is in flight, and no timer runs");
        That(host.Sending.Queued == 0, $"{host.Sending.Queued} bytes wait to be sent, and no timer runs");
        That(!host.Finished || tcb.State is TcpState.FinWait2, "FIN waits to be sent, and no timer runs");
    }

    /// <summary>Each segment of ours.</summary>
    public void OnSent(Packet packet)
    {
        ref readonly var header = ref packet.Header;
        if (header.Has(TcpFlags.Rst) || header.Has(TcpFlags.Syn))
            return;
        if (header.Has(TcpFlags.Ack))
        {
            var edge = header.Ack + ((uint)header.Window << host.Tcb.RcvWscale);
            // RFC 7323 2.4: the field is coarse, so the edge may seem to move back by less than its unit.
            var unit = (1u << host.Tcb.RcvWscale) - 1;
            That(!_hasOffered || edge + unit >= _offeredEdge, $"the window's right edge moved back to {edge.Value}, "
                + $"{_offeredEdge - edge} bytes");
            if (!_hasOffered || edge > _offeredEdge)
                _offeredEdge = edge;
            _hasOffered = true;
            That(!_hasHeard || header.Ack <= _peerEnd, "acknowledges what the peer has not sent");
        }
        if (header.Length == 0)
            return;
        var options = header.Options.Length;
        That(header.Length + options <= host.Tcb.PeerMss || header.Length <= 48,
            $"{header.Length} bytes and {options} of options for a peer who takes {host.Tcb.PeerMss}");
        var end = header.Seq + header.Length;
        That(!_hasHeard || end <= _peerEdge || end <= _dataEnd, $"{end - _peerEdge} bytes beyond the peer's window");
        if (!_hasHeard || end > _dataEnd)
            _dataEnd = end;
    }

    /// <summary>Each segment of the peer, before the machine sees it.</summary>
    public void OnReceived(Packet packet)
    {
        ref readonly var header = ref packet.Header;
        var end = header.Seq + header.SequenceLength;
        if (header.Has(TcpFlags.Syn))
        {
            var scale = Math.Min((byte)14, header.Options.WindowScale);
            _peerScale = header.Options.Has(TcpOptionKinds.WindowScale) ? scale : 0;
            if (!_hasHeard)
                (_peerEnd, _peerEdge, _dataEnd) = (end, header.Ack + header.Window, header.Ack);
            _hasHeard |= header.Has(TcpFlags.Ack);
            return;
        }
        if (!header.Has(TcpFlags.Ack) || header.Has(TcpFlags.Rst))
            return;
        var shift = (host.Tcb.Flags & TcbFlags.WindowScaling) != 0 ? _peerScale : 0;
        var edge = header.Ack + ((uint)header.Window << shift);
        if (!_hasHeard)
            (_hasHeard, _peerEnd, _peerEdge, _dataEnd) = (true, end, edge, header.Ack);
        _peerEnd = SeqNum.Later(_peerEnd, end);
        _peerEdge = SeqNum.Later(_peerEdge, edge);
    }

    void That(bool holds, string otherwise)
    {
        if (!holds)
            throw new InvariantException($"{name} in {host.State}: {otherwise}");
    }
}
