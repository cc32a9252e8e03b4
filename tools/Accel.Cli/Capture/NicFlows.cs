using Accel.Core.Capture;
using Accel.Inspect;
using Accel.Wire;

namespace Accel.Cli.Capture;

/// <summary>
/// Whose the connections of a stack's network path are. A frame that leaves says it; one that comes belongs to whoever
/// sends in the other direction.
/// </summary>
internal sealed class NicFlows(CaptureSource source)
{
    private const int FlowsMax = 100_000;

    private readonly Dictionary<UInt128, (int Pid, int Descriptor)> _owners = [];
    private readonly Dictionary<int, string> _links = [];

    /// <summary>Remembers who sends on a flow.</summary>
    public void Learn(in CaptureRecord record, ReadOnlySpan<byte> frame)
    {
        if (record.Outgoing == 0 || record.Socket == 0 || !TryFlow(frame, reversed: false, out UInt128 flow)) return;
        if (_owners.Count >= FlowsMax) _owners.Clear();
        _owners[flow] = (record.Pid, record.Descriptor);
    }

    /// <summary>The frame's owner: process 0 if nothing of the flow was sent yet.</summary>
    public (int Pid, int Descriptor) OwnerOf(in CaptureRecord record, ReadOnlySpan<byte> frame)
    {
        if (record.Outgoing != 0 && record.Socket != 0) return (record.Pid, record.Descriptor);
        return TryFlow(frame, record.Outgoing == 0, out UInt128 flow) ? _owners.GetValueOrDefault(flow) : default;
    }

    public string? LinkName(int link)
    {
        if (_links.TryGetValue(link, out string? known)) return known;
        using Machine machine = Machine.Look();
        foreach (StackView stack in machine.Stacks)
        {
            if (stack.Id != source.Id || machine.Nic(stack) is not { } nic) continue;
            foreach (int index in nic.Links()) _links[index] = nic.LinkName(index);
        }
        return _links.GetValueOrDefault(link);
    }

    /// <summary>Source and destination of a TCP or UDP packet, hashed; reversed: of the answer to it.</summary>
    private static bool TryFlow(ReadOnlySpan<byte> frame, bool reversed, out UInt128 flow)
    {
        flow = default;
        if (!EthernetView.TryParse(frame, out EthernetView ethernet)) return false;
        EtherType type = ethernet.EtherType;
        ReadOnlySpan<byte> rest = ethernet.Payload;
        if (type == EtherType.Vlan && VlanView.TryParse(rest, out VlanView vlan))
        {
            type = vlan.EtherType;
            rest = vlan.Payload;
        }
        ulong from, to;
        if (type == EtherType.Ipv4 && Ipv4View.TryParseHead(rest, out Ipv4View v4) && v4.Payload.Length >= 4)
        {
            from = v4.Source;
            to = v4.Destination;
            rest = v4.Payload;
        }
        else if (type == EtherType.Ipv6 && Ipv6View.TryParseHead(rest, out Ipv6View v6)
            && v6.TryFindUpper(out _, out int offset, out _) && v6.Payload.Length >= offset + 4)
        {
            Ipv6Address source = Ipv6Address.Read(v6.Source), target = Ipv6Address.Read(v6.Destination);
            from = (ulong)HashCode.Combine(source.Low, source.High);
            to = (ulong)HashCode.Combine(target.Low, target.High);
            rest = v6.Payload[offset..];
        }
        else
            return false;
        ulong a = (from << 16) | (uint)(rest[0] << 8 | rest[1]), b = (to << 16) | (uint)(rest[2] << 8 | rest[3]);
        flow = reversed ? new UInt128(b, a) : new UInt128(a, b);
        return true;
    }
}
