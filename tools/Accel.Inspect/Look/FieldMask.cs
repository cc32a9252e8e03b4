using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Accel.Core.Memory;
using Accel.Core.Tcp;
using Accel.Wire;

namespace Accel.Inspect.Look;

/// <summary>
/// Which bits of a shared struct other users may see: those of its public fields, but none that is hidden. What lies
/// between the fields is nothing to see either: a program that was overwritten may have left anything there.
/// </summary>
public static class FieldMask
{
    /// <summary>Who knows the sequence numbers of a connection can end it, or speak in it (RFC 5961 1).</summary>
    private static readonly HashSet<Type> HiddenTypes =
        [typeof(SeqNum), typeof(SackBlock), typeof(SackBlocks), typeof(SackCache)];

    /// <summary>Structs that are no more than a value: all of it.</summary>
    private static readonly HashSet<Type> Values = [typeof(MacAddress)];

    /// <summary>A bit for each bit of the struct, in words; what does not fill the last word is not shown.</summary>
    public static ulong[] Of<T>() where T : unmanaged
    {
        byte[] shown = new byte[(Unsafe.SizeOf<T>() + 7) & ~7];
        var hidden = new List<Range>();
        Mark(typeof(T), 0, shown, hidden);
        // Where a hidden field shares its place with another one, it is hidden.
        foreach (Range range in hidden) shown.AsSpan(range).Clear();
        return MemoryMarshal.Cast<byte, ulong>(shown).ToArray();
    }

    private static void Mark(Type type, int at, byte[] shown, List<Range> hidden)
    {
        FieldInfo[] fields = type.GetFields(BindingFlags.Instance | BindingFlags.Public);
        if (fields.Length == 0) throw new InvalidOperationException($"{type.Name} does not say what is in it");
        foreach (FieldInfo field in fields)
        {
            int start = at + (field.GetCustomAttribute<FieldOffsetAttribute>()?.Value
                ?? throw new InvalidOperationException($"{type.Name}.{field.Name} has no offset of its own"));
            FixedBufferAttribute? array = field.GetCustomAttribute<FixedBufferAttribute>();
            int bytes = array is null ? SizeOf(field.FieldType) : array.Length * SizeOf(array.ElementType);
            if (field.IsDefined(typeof(HiddenAttribute)) || HiddenTypes.Contains(field.FieldType))
                hidden.Add(start..(start + bytes));
            else if (array is not null || IsValue(field.FieldType))
                shown.AsSpan(start, bytes).Fill(0xFF);
            else
                Mark(field.FieldType, start, shown, hidden);
        }
    }

    private static bool IsValue(Type type) => type.IsPrimitive || type.IsEnum || Values.Contains(type)
        || type.IsDefined(typeof(InlineArrayAttribute))
            && type.GetFields(BindingFlags.Instance | BindingFlags.NonPublic).All(f => f.FieldType.IsPrimitive);

    private static int SizeOf(Type type) =>
        (int)typeof(Unsafe).GetMethod(nameof(Unsafe.SizeOf))!.MakeGenericMethod(type).Invoke(null, null)!;
}
