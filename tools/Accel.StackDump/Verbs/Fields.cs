using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Inspect;
using Accel.Wire;

namespace Accel.StackDump.Verbs;

/// <summary>The fields of a shared struct by their own names: what the struct declares is what is shown.</summary>
internal static class Fields
{
    public static JsonObject Of<T>(T value) where T : struct => Of((object)value);

    /// <summary>
    /// A section for the struct, and one for each shared struct inside, named as the way there: "tcb", "tcb.Recovery".
    /// </summary>
    public static IEnumerable<(string Name, JsonObject Fields)> Sections<T>(string name, T value) where T : struct
        => Sections(name, (object)value);

    private static IEnumerable<(string Name, JsonObject Fields)> Sections(string name, object value)
    {
        JsonObject own = Of(value);
        if (own.Count > 0) yield return (name, own);
        foreach (FieldInfo field in Public(value))
        {
            if (!IsShared(field) || field.GetValue(value) is not { } inner) continue;
            foreach ((string, JsonObject) section in Sections($"{name}.{field.Name}", inner)) yield return section;
        }
    }

    private static JsonObject Of(object value)
    {
        var json = new JsonObject();
        foreach (FieldInfo field in Public(value))
        {
            object content = field.GetValue(value)!;
            JsonNode? shown = field.GetCustomAttribute<FixedBufferAttribute>() is { } buffer
                ? NonZero(content, buffer) : IsShared(field) ? null : Show(content);
            if (shown is not null) json[field.Name] = shown;
        }
        return json;
    }

    private static FieldInfo[] Public(object value)
        => value.GetType().GetFields(BindingFlags.Instance | BindingFlags.Public);

    private static bool IsShared(FieldInfo field) => field.FieldType != typeof(Endpoint)
        && field.FieldType.GetCustomAttribute<SharedLayoutAttribute>() is not null;

    private static JsonNode? Show(object content) => content switch
    {
        Endpoint endpoint => EndpointText.Of(endpoint),
        SeqNum seq => JsonValue.Create(seq.Value),
        MacAddress mac => mac.ToString(),
        SackBlock block => Range(block),
        SackBlocks blocks => Ranges(blocks),
        Core.Tcp.SackCache known => Ranges(known),
        Enum named => named.ToString(),
        double real => double.IsFinite(real) ? JsonValue.Create(real) : null,
        IConvertible number => JsonValue.Create(Convert.ToDecimal(number)),
        _ => null,
    };

    private static string Range(SackBlock block) => $"{block.Left.Value}-{block.Right.Value}";

    private static string Ranges(ReadOnlySpan<SackBlock> blocks)
    {
        var shown = new List<string>();
        foreach (SackBlock block in blocks)
            if (block.Left != block.Right) shown.Add(Range(block));
        return string.Join(' ', shown);
    }

    /// <summary>"index=value" for each element that is not zero.</summary>
    private static string NonZero(object content, FixedBufferAttribute buffer)
    {
        Type element = buffer.ElementType;
        int size = Marshal.SizeOf(element);
        byte[] bytes = new byte[buffer.Length * size];
        var pin = GCHandle.Alloc(content, GCHandleType.Pinned);
        Marshal.Copy(pin.AddrOfPinnedObject(), bytes, 0, bytes.Length);
        pin.Free();
        var shown = new List<string>();
        for (int i = 0; i < buffer.Length; i++)
        {
            ulong number = 0;
            for (int b = size - 1; b >= 0; b--) number = number << 8 | bytes[i * size + b];
            if (number != 0) shown.Add($"{i}={number}");
        }
        return string.Join(' ', shown);
    }
}
