using System.Globalization;
using System.Text.Json.Nodes;
using Accel.Core.Nic;
using Accel.Inspect;
using Accel.Wire;

namespace Accel.StackDump.Verbs;

/// <summary>The network interfaces of each stack: how they really work, their rings, what they carried and dropped.
/// </summary>
internal static class LinksVerb
{
    private static readonly (LinkFlags Flag, string Name)[] Abilities =
    [
        (LinkFlags.NeedWakeup, "need-wakeup"), (LinkFlags.ScatterGather, "sg"),
        (LinkFlags.SuperFrames, "super-frames"), (LinkFlags.TrustsPartialChecksums, "partial-checksums"),
        (LinkFlags.Bell, "bell"),
    ];

    public static Output Show(Machine machine, Selection selection)
    {
        var json = new JsonArray();
        var lines = new List<string>();
        foreach (StackView stack in machine.Chosen(selection.Pid))
        {
            string id = stack.Id.ToString("x16", CultureInfo.InvariantCulture);
            var links = new JsonArray();
            lines.Add($"stack {id}  {string.Join(' ', stack.Processes.Select(p => $"{p.Name}({p.Pid})"))}");
            if (machine.Nic(stack) is { } nic)
                foreach (int index in nic.Links()) links.Add(Link(nic, index, lines));
            if (links.Count == 0) lines.Add("  no network interface of its own (no acceld here, or none needed yet)");
            json.Add(new JsonObject { ["stack"] = id, ["links"] = links });
        }
        return new(json, lines);
    }

    private static unsafe JsonObject Link(NicView nic, int index, List<string> lines)
    {
        LinkInfo link = *nic.Region.LinkAt(index);
        var flags = (LinkFlags)link.Flags;
        string mode = flags.HasFlag(LinkFlags.Native) ? "native" : flags.HasFlag(LinkFlags.Generic) ? "generic"
            : flags.HasFlag(LinkFlags.Ring) ? "ring" : "?";
        string copy = flags.HasFlag(LinkFlags.ZeroCopy) ? "zero-copy" : "copy";
        JsonObject Section(string title, params (string Name, ulong Value)[] values)
        {
            lines.Add($"    {title,-8} {string.Join("  ", values.Select(v => $"{v.Name} {v.Value}"))}");
            var json = new JsonObject();
            foreach ((string name, ulong value) in values) json[name] = value;
            return json;
        }

        string name = nic.LinkName(index);
        string mac = MacAddress.Read(new ReadOnlySpan<byte>(link.Mac, MacAddress.Bytes)).ToString();
        string[] abilities = [.. Abilities.Where(a => flags.HasFlag(a.Flag)).Select(a => a.Name)];
        bool up = flags.HasFlag(LinkFlags.Up);
        lines.Add($"  {name}  {(up ? "up" : "down")}  {mode} {copy} {string.Join(' ', abilities)}  mtu {link.Mtu}  "
            + $"{mac}  queues {link.Queues}  slot {link.Slot}");
        return new JsonObject
        {
            ["name"] = name,
            ["ifindex"] = link.InterfaceIndex,
            ["up"] = up,
            ["mode"] = mode,
            ["zero_copy"] = flags.HasFlag(LinkFlags.ZeroCopy),
            ["abilities"] = new JsonArray([.. abilities.Select(a => JsonValue.Create(a))]),
            ["mtu"] = link.Mtu,
            ["mac"] = mac,
            ["queues"] = link.Queues,
            ["slot"] = link.Slot,
            ["rings"] = Section("rings", ("rx", link.RxRingSize), ("tx", link.TxRingSize),
                ("fill", link.FillRingSize), ("completion", link.CompletionRingSize), ("frames", link.Frames),
                ("frame_bytes", link.FrameBytes), ("super_frame_max", link.MaxSuperFrame)),
            ["rx"] = Section("rx", ("frames", link.RxFrames), ("bytes", link.RxBytes), ("batches", link.RxBatches),
                ("super_frames", link.RxSuperFrames)),
            ["rx_drops"] = Section("rx drops", ("no_buffer", link.RxNoBuffer), ("ring_full", link.RxRingFull),
                ("invalid", link.RxInvalid)),
            ["tx"] = Section("tx", ("frames", link.TxFrames), ("bytes", link.TxBytes),
                ("super_frames", link.TxSuperFrames), ("super_bytes", link.TxSuperBytes),
                ("doorbells", link.Doorbells)),
            ["tx_drops"] = Section("tx drops", ("no_buffer", link.TxNoBuffer), ("errors", link.TxErrors),
                ("super_refused", link.TxSuperRefused)),
        };
    }
}
