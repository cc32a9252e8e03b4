using System.Reflection;
using System.Reflection.Emit;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.RegularExpressions;
using Accel.Core.Memory;

namespace Accel.House.Tests;

/// <summary>The structs in shared memory are a contract between processes, written down in src/LAYOUT.txt.</summary>
public class LayoutTests
{
    const int LineBytes = 64;

    static readonly Assembly[] Rooms =
        [typeof(SharedLayoutAttribute).Assembly, Assembly.Load("Accel.Posix"), Assembly.Load("Accel.Os")];

    /// <summary>The marked structs, and every struct that they are made of.</summary>
    static readonly List<Type> Structs = Closure();

    [Fact]
    public void Layout_is_the_one_written_down() => House.SameAsFile("src/LAYOUT.txt", Text());

    [Fact]
    public void Hash_in_the_code_is_the_hash_of_the_layout()
    {
        const string file = "src/Accel.Core/Memory/LayoutHash.cs";
        var hash = 14695981039346656037UL;
        foreach (var b in Encoding.UTF8.GetBytes(Text()))
            hash = unchecked((hash ^ b) * 1099511628211UL);
        House.SameAsFile(file, Regex.Replace(House.Read(file), "0x[0-9a-fA-F]{16}", $"0x{hash:x16}"));
    }

    [Fact]
    public void Shared_structs_hold_no_references() => House.None(
        Structs.Where(HasReferences).Select(t => $"{t}: holds a managed reference"), "Use a typed index.");

    [Fact]
    public void Shared_structs_hold_no_pointers() => House.None(
        from type in Structs
        from field in Fields(type)
        where field.FieldType.IsPointer || field.FieldType.IsFunctionPointer || field.FieldType == typeof(nint)
            || field.FieldType == typeof(nuint)
        select $"{type}.{field.Name}", "Another process maps the region elsewhere: use a typed index or an offset.");

    [Fact]
    public void Marked_structs_fill_cache_lines() => House.None(
        from type in Structs.Where(Marked)
        let size = Size(type)
        where size % (size < LineBytes ? sizeof(long) : LineBytes) != 0
        select $"{type}: {size} bytes", "Give it a Size that is a multiple of 64 (of 8 for a part of another struct).");

    /// <summary>A field may be a view of the bytes of an array, nothing else.</summary>
    [Fact]
    public void Fields_do_not_overlap() => House.None(
        from type in Structs.Where(t => !IsInlineArray(t))
        let fields = Fields(type).OrderBy(f => Offset(type, f)).ToList()
        from pair in fields.Zip(fields.Skip(1))
        where !IsArray(pair.First) && !IsArray(pair.Second)
        where Offset(type, pair.First) + Size(pair.First.FieldType) > Offset(type, pair.Second)
        select $"{type}: {pair.First.Name} reaches into {pair.Second.Name}", "Move it.");

    [Fact]
    public void Fields_that_are_updated_as_one_are_aligned() => House.None(
        from type in Structs.Where(t => !IsInlineArray(t))
        from field in Fields(type)
        where field.FieldType.IsPrimitive && Offset(type, field) % Size(field.FieldType) != 0
        select $"{type}.{field.Name} at {Offset(type, field)}", "Move it: an unaligned field tears.");

    static string Text()
    {
        var text = new StringBuilder("# Shared memory, as the code lays it out. Written by tests/Accel.House.Tests.\n");
        foreach (var type in Structs)
        {
            text.Append('\n').Append(Name(type)).Append(' ').Append(Size(type));
            if (type.GetCustomAttribute<InlineArrayAttribute>() is { } array)
                text.Append(" = ").Append(array.Length).Append(" x ").Append(Name(Fields(type).Single().FieldType));
            text.Append('\n');
            if (IsInlineArray(type))
                continue;
            foreach (var field in Fields(type).OrderBy(f => (Offset(type, f), f.Name)))
                text.Append($"  {Offset(type, field),6} {Size(field.FieldType),6}  ")
                    .Append($"{field.Name} {FieldTypeName(field)}\n");
        }
        return text.ToString();
    }

    static List<Type> Closure()
    {
        var found = new SortedDictionary<string, Type>(StringComparer.Ordinal);
        var todo = new Stack<Type>(Rooms.SelectMany(a => a.GetTypes()).Where(Marked));
        while (todo.TryPop(out var type))
        {
            if (!found.TryAdd(Name(type), type))
                continue;
            foreach (var field in Fields(type))
                if (!IsFixed(field)
                    && field.FieldType is { IsValueType: true, IsPrimitive: false, IsEnum: false } inner)
                    todo.Push(inner);
        }
        return [.. found.Values];
    }

    static bool Marked(Type type) => type.IsDefined(typeof(SharedLayoutAttribute), false);

    static bool IsInlineArray(Type type) => type.IsDefined(typeof(InlineArrayAttribute), false);

    static bool IsArray(FieldInfo field) => IsFixed(field) || IsInlineArray(field.FieldType);

    static bool IsFixed(FieldInfo field) => field.IsDefined(typeof(FixedBufferAttribute), false);

    static string FieldTypeName(FieldInfo field) => field.GetCustomAttribute<FixedBufferAttribute>() is { } buffer
        ? $"{Name(buffer.ElementType)}[{buffer.Length}]" : Name(field.FieldType);

    static FieldInfo[] Fields(Type type) =>
        type.GetFields(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic);

    static string Name(Type type) => type.IsGenericType
        ? $"{type.Name.Split('`')[0]}<{string.Join(", ", type.GetGenericArguments().Select(Name))}>"
        : type.IsNested ? $"{Name(type.DeclaringType!)}.{type.Name}"
        : type.IsEnum ? $"{type.Name}:{type.GetEnumUnderlyingType().Name}" : type.Name;

    internal static int Size(Type type) => type.IsPointer ? 8 : (int)Generic(nameof(SizeOf), type);

    static bool HasReferences(Type type) => (bool)Generic(nameof(IsOrHasReferences), type);

    static object Generic(string method, Type type) => typeof(LayoutTests)
        .GetMethod(method, BindingFlags.Static | BindingFlags.NonPublic)!.MakeGenericMethod(type).Invoke(null, null)!;

    static int SizeOf<T>() => Unsafe.SizeOf<T>();

    static bool IsOrHasReferences<T>() => RuntimeHelpers.IsReferenceOrContainsReferences<T>();

    /// <summary>Asks the runtime itself, whatever the layout was declared as.</summary>
    internal static unsafe int Offset(Type type, FieldInfo field)
    {
        var method = new DynamicMethod("offset", typeof(long), [typeof(long)], typeof(LayoutTests).Module, true);
        var il = method.GetILGenerator();
        il.Emit(OpCodes.Ldarg_0);
        il.Emit(OpCodes.Conv_U);
        il.Emit(OpCodes.Ldflda, field);
        il.Emit(OpCodes.Conv_U8);
        il.Emit(OpCodes.Ret);
        // The address is only calculated with, but it is looked at on the way.
        var memory = (long)NativeMemory.AllocZeroed((nuint)Size(type));
        var offset = method.CreateDelegate<Func<long, long>>()(memory) - memory;
        NativeMemory.Free((void*)memory);
        return (int)offset;
    }
}
