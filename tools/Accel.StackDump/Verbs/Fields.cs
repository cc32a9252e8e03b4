using System.Reflection;
using System.Runtime.CompilerServices;
using System.Text.Json.Nodes;
using Accel.Core.Local;
using Accel.Core.Memory;

namespace Accel.StackDump.Verbs;

/// <summary>The fields of a shared struct by their own names: what the struct declares is what is shown.</summary>
internal static class Fields
{
    public static JsonObject Of<T>(T value) where T : struct
    {
        var json = new JsonObject();
        foreach (FieldInfo field in typeof(T).GetFields(BindingFlags.Instance | BindingFlags.Public))
        {
            object content = field.GetValue(value)!;
            if (content is Endpoint endpoint)
                json[field.Name] = EndpointText.Of(endpoint);
            else if (field.GetCustomAttribute<FixedBufferAttribute>() is { } buffer)
                json[field.Name] = NonZero(content, buffer);
            else if (field.FieldType.GetCustomAttribute<SharedLayoutAttribute>() is null)
                json[field.Name] = JsonValue.Create(Convert.ToDecimal(content is Enum ? Convert.ToInt64(content)
                    : content));
        }
        return json;
    }

    /// <summary>"index=value" for each element that is not zero.</summary>
    private static string NonZero(object content, FixedBufferAttribute buffer)
    {
        Type element = buffer.ElementType;
        int size = System.Runtime.InteropServices.Marshal.SizeOf(element);
        byte[] bytes = new byte[buffer.Length * size];
        var pin = System.Runtime.InteropServices.GCHandle.Alloc(content,
            System.Runtime.InteropServices.GCHandleType.Pinned);
        System.Runtime.InteropServices.Marshal.Copy(pin.AddrOfPinnedObject(), bytes, 0, bytes.Length);
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
