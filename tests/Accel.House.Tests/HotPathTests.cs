using System.Reflection;
using System.Reflection.Emit;
using System.Runtime.CompilerServices;
using Accel.Core.Memory;

namespace Accel.House.Tests;

/// <summary>The hot rooms allocate and throw nothing: read from their IL, not from what a run reaches.</summary>
public class HotPathTests
{
    static readonly Dictionary<short, OpCode> Codes = typeof(OpCodes)
        .GetFields(BindingFlags.Public | BindingFlags.Static).Select(f => (OpCode)f.GetValue(null)!)
        .ToDictionary(c => c.Value);

    [Theory]
    [InlineData("Accel.Wire")]
    [InlineData("Accel.Core")]
    [InlineData("Accel.Posix")]
    public void Hot_room_allocates_and_throws_nothing(string room)
    {
        var assembly = Assembly.Load(room);
#if DEBUG
        Assert.Skip("Debug.Assert brings strings: run on the Release build");
#endif
        House.None(
            from type in assembly.GetTypes()
            where !type.Name.StartsWith("<PrivateImplementationDetails>", StringComparison.Ordinal) && !IsCold(type)
            from method in Methods(type)
            where !IsMarked(method) && method.GetMethodBody() != null
            from violation in Violations(method)
            select $"{type.FullName}.{method.Name}: {violation}",
            "Write it without, or mark what runs at start-up or on failure only [ColdPath].");
    }

    static bool IsCold(Type? type) => type != null
        && (IsMarked(type) || typeof(Attribute).IsAssignableFrom(type) || IsCold(type.DeclaringType));

    // By name: Wire, below Core, has its own.
    static bool IsMarked(MemberInfo member) =>
        member.CustomAttributes.Any(a => a.AttributeType.Name == nameof(ColdPathAttribute));

    /// <summary>All but static constructors, which run once, and what the compiler writes for records.</summary>
    static IEnumerable<MethodBase> Methods(Type type) =>
        type.GetMembers(BindingFlags.Instance | BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic
            | BindingFlags.DeclaredOnly)
        .OfType<MethodBase>().Where(m => m is not ConstructorInfo { IsStatic: true }
            && !(m.IsDefined(typeof(CompilerGeneratedAttribute), false)
                && m.Name is "ToString" or "PrintMembers" or "Equals"));

    static IEnumerable<string> Violations(MethodBase method)
    {
        var il = method.GetMethodBody()!.GetILAsByteArray()!;
        for (var at = 0; at < il.Length;)
        {
            short value = il[at++];
            if (value == 0xFE)
                value = unchecked((short)(0xFE00 | il[at++]));
            var code = Codes[value];
            var hasToken = code.OperandType is OperandType.InlineMethod or OperandType.InlineType
                or OperandType.InlineString;
            var token = hasToken ? BitConverter.ToInt32(il, at) : 0;
            if (code == OpCodes.Switch)
                at += 4 + 4 * BitConverter.ToInt32(il, at);
            else
                at += OperandBytes(code.OperandType);
            if (Violation(method, code, token) is { } found)
                yield return found;
        }
    }

    static string? Violation(MethodBase method, OpCode code, int token)
    {
        if (code == OpCodes.Box || code == OpCodes.Newarr)
            return $"{code.Name} {method.Module.ResolveType(token, TypeArguments(method), MethodArguments(method))}";
        if (code == OpCodes.Throw || code == OpCodes.Rethrow)
            return code.Name;
        if (code == OpCodes.Ldstr)
            return $"ldstr \"{method.Module.ResolveString(token)}\"";
        if (code != OpCodes.Newobj)
            return null;
        var made = method.Module.ResolveMethod(token, TypeArguments(method), MethodArguments(method))!.DeclaringType!;
        return made.IsValueType ? null : $"newobj {made}";
    }

    static Type[]? TypeArguments(MethodBase method) => method.DeclaringType?.GetGenericArguments();

    static Type[]? MethodArguments(MethodBase method) => method.IsGenericMethod ? method.GetGenericArguments() : null;

    static int OperandBytes(OperandType type) => type switch
    {
        OperandType.InlineNone => 0,
        OperandType.ShortInlineBrTarget or OperandType.ShortInlineI or OperandType.ShortInlineVar => 1,
        OperandType.InlineVar => 2,
        OperandType.InlineI8 or OperandType.InlineR => 8,
        _ => 4,
    };
}
