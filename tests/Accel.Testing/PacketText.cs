using System.Text;
using Accel.Core.Tcp;
using Accel.Wire;

namespace Accel.Testing;

/// <summary>A segment in the words of the packet scripts.</summary>
public static class PacketText
{
    const string Letters = "FSRP.UEW";
    const string Order = "SWEUFRP.";

    public static string Flags(TcpFlags flags)
    {
        var text = string.Concat(Order.Where(l => ((int)flags >> Letters.IndexOf(l) & 1) != 0));
        return text == "" ? "-" : text;
    }

    /// <summary>Numbers from the sender's and the receiver's initial sequence numbers on.</summary>
    public static string Of(in TcpSegment segment, SeqNum ownBase, SeqNum otherBase, byte ecn = 0)
    {
        var text = new StringBuilder(Flags(segment.Flags)).Append(' ');
        text.Append(Relative(segment.Seq, ownBase));
        if (segment.Length > 0)
            text.Append(':').Append(Relative(segment.Seq + segment.Length, ownBase));
        if (segment.Has(TcpFlags.Ack))
            text.Append(" ack ").Append(Relative(segment.Ack, otherBase));
        text.Append(" win ").Append(segment.Window);
        if (segment.Has(TcpFlags.Urg))
            text.Append(" urg ").Append(segment.Urgent);
        text.Append(Options(segment.Options, otherBase));
        if (ecn != 0)
            text.Append(ecn == 2 ? " ect0" : " ce");
        return text.ToString();
    }

    static string Options(in TcpOptions options, SeqNum otherBase)
    {
        var list = new List<string>();
        if (options.Has(TcpOptionKinds.Mss))
            list.Add($"mss {options.Mss}");
        if (options.Has(TcpOptionKinds.SackPermitted))
            list.Add("sackOK");
        if (options.Has(TcpOptionKinds.Timestamps))
            list.Add($"ts val {options.TsVal} ecr {options.TsEcr}");
        if (options.Has(TcpOptionKinds.WindowScale))
            list.Add($"wscale {options.WindowScale}");
        if (options.SackCount > 0)
        {
            var blocks = options.Sacks;
            list.Add("sack " + string.Join(' ', Enumerable.Range(0, options.SackCount).Select(i =>
                $"{Relative(blocks[i].Left, otherBase)}:{Relative(blocks[i].Right, otherBase)}")));
        }
        return list.Count == 0 ? "" : $" <{string.Join(',', list)}>";
    }

    static string Relative(SeqNum seq, SeqNum start) => (seq - start).ToString();
}
