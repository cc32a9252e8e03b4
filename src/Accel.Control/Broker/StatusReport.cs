using System.Text;
using System.Text.Json;
using Accel.Control.Bpf;
using Accel.Control.Links;
using Accel.Control.Steering;
using Accel.Core.Nic;
using Accel.Os.Control;
using Accel.Os.Links;

namespace Accel.Control.Broker;

/// <summary>What `acceld status` shows, as JSON.</summary>
public static unsafe class StatusReport
{
    /// <summary>As enum count in Bpf/steering.h.</summary>
    internal static readonly string[] CountNames =
    [
        "steered", "steered_bytes", "not_ip", "other_mac", "not_ours", "fragment", "other_protocol",
        "kernel_port", "kernel_connection", "no_socket", "syn_dropped", "syn_answered", "syn_unfit",
        "ring_full",
    ];

    internal static byte[] Write(BrokerOptions options, InterfaceSet interfaces, StackRegistry stacks, PortTable ports,
        TimeSpan uptime, int clients)
    {
        using var bytes = new MemoryStream();
        using (var json = new Utf8JsonWriter(bytes, new JsonWriterOptions { Indented = true }))
        {
            json.WriteStartObject();
            json.WriteString("socket", options.SocketPath);
            json.WriteNumber("pid", Environment.ProcessId);
            json.WriteNumber("uptime_seconds", (long)uptime.TotalSeconds);
            json.WriteNumber("connections", clients);
            json.WriteNumber("stacks_buried", stacks.Buried);
            json.WriteStartArray("interfaces");
            foreach (ServedInterface served in interfaces.All)
                Write(json, served);
            json.WriteEndArray();
            json.WriteStartArray("refused");
            foreach ((string name, string why) in interfaces.Refusals)
            {
                json.WriteStartObject();
                json.WriteString("name", name);
                json.WriteString("why", why);
                json.WriteEndObject();
            }
            json.WriteEndArray();
            json.WriteStartArray("stacks");
            foreach (Stack stack in stacks.All)
            {
                json.WriteStartObject();
                json.WriteString("id", $"{stack.Id:x16}");
                json.WriteNumber("slot", stack.Slot);
                json.WriteNumber("uid", stack.Peer.Uid);
                json.WriteStartArray("pids");
                foreach (Client client in stack.Clients)
                    json.WriteNumberValue(client.Peer.Pid);
                json.WriteEndArray();
                json.WriteNumber("sockets", stack.Sockets.Count);
                json.WriteEndObject();
            }
            json.WriteEndArray();
            json.WriteNumber("stacks_awaited", stacks.Limbo.Count);
            WritePorts(json, ports);
            json.WriteEndObject();
        }
        return bytes.ToArray();
    }

    private static void Write(Utf8JsonWriter json, ServedInterface served)
    {
        json.WriteStartObject();
        json.WriteString("name", served.Device.Name);
        json.WriteNumber("index", served.Device.Index);
        json.WriteString("mode", Attachment.NameOf(served.Mode));
        json.WriteString("why", served.Why);
        json.WriteString("driver", served.Device.Driver);
        json.WriteNumber("mtu", served.Device.Mtu);
        json.WriteBoolean("up", served.Device.IsUp);
        json.WriteBoolean("zero_copy", (served.Flags & LinkFlags.ZeroCopy) != 0);
        json.WriteBoolean("scatter_gather", (served.Flags & LinkFlags.ScatterGather) != 0);
        json.WriteBoolean("trusts_partial_checksums", (served.Flags & LinkFlags.TrustsPartialChecksums) != 0);
        json.WriteStartArray("queues");
        for (uint queue = 0; queue < served.Queues; queue++)
        {
            json.WriteStartObject();
            json.WriteNumber("queue", queue);
            if (served.Memories.TryGetValue(queue, out QueueMemory? memory))
                Write(json, memory.Umem);
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteStartObject("frames");
        for (uint i = 0; i < CountNames.Length; i++)
            json.WriteNumber(CountNames[i], served.Counts.Sum(i));
        json.WriteEndObject();
        json.WriteEndObject();
    }

    private static void Write(Utf8JsonWriter json, in Umem umem)
    {
        UmemHeader* header = umem.Header;
        json.WriteNumber("frames", umem.FrameCount);
        json.WriteNumber("frame_bytes", umem.FrameBytes);
        json.WriteNumber("free", header->FreeCount);
        json.WriteNumber("lowest_free", header->LowestFree);
        json.WriteNumber("in_fill_ring", umem.Fill.Count);
        json.WriteNumber("reclaimed", header->Reclaimed);
        json.WriteNumber("lock_takeovers", header->Takeovers);
    }

    private static void WritePorts(Utf8JsonWriter json, PortTable ports)
    {
        json.WriteStartArray("ports");
        foreach ((Transport transport, ushort port, PortEntry entry) in ports.Entries())
        {
            json.WriteStartObject();
            json.WriteString("transport", transport == Transport.Udp ? "udp" : "tcp");
            json.WriteNumber("port", port);
            if (entry.HasSlot)
                json.WriteNumber("slot", entry.Slot);
            json.WriteBoolean("listener", entry.Has(PortEntry.Listener));
            json.WriteBoolean("leaving", entry.Has(PortEntry.Leaving));
            json.WriteBoolean("mixed", entry.Has(PortEntry.Mixed));
            json.WriteBoolean("one_address", entry.Has(PortEntry.Tagged));
            json.WriteBoolean("several_addresses", entry.Has(PortEntry.Exact));
            json.WriteEndObject();
        }
        json.WriteEndArray();
    }

    /// <summary>The same for people.</summary>
    public static string Text(JsonElement status)
    {
        var text = new StringBuilder();
        text.Append($"acceld {status.GetProperty("pid")} at {status.GetProperty("socket")}, "
            + $"up {status.GetProperty("uptime_seconds")} s\n");
        foreach (JsonElement one in status.GetProperty("interfaces").EnumerateArray())
        {
            text.Append($"{one.GetProperty("name")}: {one.GetProperty("mode")} mode ({one.GetProperty("why")}), "
                + $"{one.GetProperty("queues").GetArrayLength()} queues, MTU {one.GetProperty("mtu")}, "
                + $"driver {one.GetProperty("driver")}\n ");
            foreach (JsonProperty count in one.GetProperty("frames").EnumerateObject())
                text.Append($" {count.Name} {count.Value}");
            text.Append('\n');
        }
        foreach (JsonElement one in status.GetProperty("refused").EnumerateArray())
            text.Append($"{one.GetProperty("name")}: not served: {one.GetProperty("why")}\n");
        foreach (JsonElement one in status.GetProperty("stacks").EnumerateArray())
            text.Append($"stack {one.GetProperty("id")}: slot {one.GetProperty("slot")}, "
                + $"user {one.GetProperty("uid")}, "
                + $"processes {string.Join(' ', one.GetProperty("pids").EnumerateArray())}\n");
        foreach (JsonElement one in status.GetProperty("ports").EnumerateArray())
            text.Append($"{one.GetProperty("transport")} {one.GetProperty("port")}"
                + (one.TryGetProperty("slot", out JsonElement slot) ? $" -> slot {slot}" : "")
                + (one.GetProperty("listener").GetBoolean() ? " listener" : "")
                + (one.GetProperty("mixed").GetBoolean() ? ", beside connections of the kernel" : "") + "\n");
        return text.ToString();
    }
}
