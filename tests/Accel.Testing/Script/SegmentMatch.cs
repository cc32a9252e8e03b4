using Accel.Core.Tcp;
using Accel.Wire;

namespace Accel.Testing.Script;

/// <summary>Compares a segment that the stack sent with what a line expects.</summary>
static class SegmentMatch
{
    /// <summary>The numbers that both ends count from.</summary>
    public readonly record struct Bases(SeqNum Stack, SeqNum Peer);

    /// <summary>What differs, in words; null: nothing.</summary>
    public static string? Difference(SegmentSpec spec, Packet packet, Bases bases)
    {
        ref readonly var actual = ref packet.Header;
        var looked = spec.Flags.HasFlag(TcpFlags.Psh) ? (TcpFlags)0xFF : (TcpFlags)0xFF & ~TcpFlags.Psh;
        if ((actual.Flags & looked) != (spec.Flags & looked))
            return $"flags {PacketText.Flags(actual.Flags)}, not {PacketText.Flags(spec.Flags)}";
        if (actual.Seq != bases.Stack + spec.From)
            return $"begins at {actual.Seq - bases.Stack}, not {(int)spec.From}";
        if (actual.Length != spec.To - spec.From)
            return $"{actual.Length} bytes, not {spec.To - spec.From}";
        if (spec.Ack is { } ack && actual.Has(TcpFlags.Ack) && actual.Ack != bases.Peer + ack)
            return $"ack {actual.Ack - bases.Peer}, not {(int)ack}";
        if (spec.Window is { } window && (spec.WindowIsLeast ? actual.Window < window : actual.Window != window))
            return $"win {actual.Window}, not {(spec.WindowIsLeast ? ">= " : "")}{window}";
        if (spec.Urgent is { } urgent && actual.Urgent != urgent)
            return $"urg {actual.Urgent}, not {urgent}";
        if (spec.Ecn is { } ecn && packet.Ecn != ecn)
            return $"ECN field {packet.Ecn}, not {ecn}";
        return spec.Options == null ? null : Difference(spec.Options, actual.Options, bases.Peer);
    }

    static string? Difference(OptionSpec spec, in TcpOptions actual, SeqNum peer)
    {
        var kinds = spec.Kinds;
        var looked = (TcpOptionKinds)0xFF;
        if (!spec.Timestamps && !spec.NoTimestamps)
            looked &= ~TcpOptionKinds.Timestamps;
        if ((actual.Present & looked) != (kinds & looked))
            return $"options {actual.Present}, not {kinds}";
        if (spec.Mss is { } mss && actual.Mss != mss)
            return $"mss {actual.Mss}, not {mss}";
        if (spec.WindowScale is { } scale && actual.WindowScale != scale)
            return $"wscale {actual.WindowScale}, not {scale}";
        if (spec.TsVal is { } val && actual.TsVal != val)
            return $"TSval {actual.TsVal}, not {val}";
        if (spec.TsEcr is { } ecr && actual.TsEcr != ecr)
            return $"TSecr {actual.TsEcr}, not {ecr}";
        if (spec.Sacks.Count != actual.SackCount)
            return $"{actual.SackCount} SACK blocks, not {spec.Sacks.Count}";
        for (var i = 0; i < spec.Sacks.Count; i++)
        {
            var (left, right) = spec.Sacks[i];
            var block = actual.Sacks[i];
            if (block.Left != peer + left || block.Right != peer + right)
                return $"SACK block {block.Left - peer}:{block.Right - peer}, not {left}:{right}";
        }
        return null;
    }
}
