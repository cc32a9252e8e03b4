using System.Collections.Immutable;
using System.Reflection.Metadata;
using System.Reflection.PortableExecutable;
using System.Text;
using System.Text.RegularExpressions;

namespace Accel.HeaderGen;

/// <summary>The C header of an assembly's UnmanagedCallersOnly exports, by DNNE's convention.</summary>
public static partial class ExportHeader
{
    const int MaxColumns = 120;

    public static string Write(string assembly)
    {
        using var file = new PEReader(File.OpenRead(assembly));
        var reader = file.GetMetadataReader();
        var exports = new SortedDictionary<string, (string Code, string Declaration)>(StringComparer.Ordinal);
        foreach (var handle in reader.MethodDefinitions)
        {
            var method = reader.GetMethodDefinition(handle);
            if (EntryPoint(reader, method) is { } name)
                exports.Add(name, (DeclCode(reader, method), Declaration(reader, method, name)));
        }

        var structs = exports.Values.SelectMany(e => StructName().Matches(e.Declaration)).Select(m => m.Value)
            .Distinct().Order(StringComparer.Ordinal);
        var text = new StringBuilder();
        text.Append("/* The managed exports as the C side calls them. Made by tools/Accel.HeaderGen: do not edit.\n");
        text.Append(" * All return a result >= 0, -errno, ACCEL_WAIT or ACCEL_PASS. */\n");
        text.Append("#ifndef ACCEL_MANAGED_H\n#define ACCEL_MANAGED_H\n\n");
        text.Append("#include <stddef.h>\n#include <stdint.h>\n#include <sys/types.h>\n\n");
        foreach (var name in structs)
            text.Append(name).Append(";\n");
        text.Append('\n');
        foreach (var (code, declaration) in exports.Values)
        {
            if (code.Length > 0)
                text.Append(code).Append('\n');
            text.Append(declaration).Append('\n');
        }
        return text.Append("\n#endif\n").ToString();
    }

    static string Declaration(MetadataReader reader, MethodDefinition method, string name)
    {
        var signature = method.DecodeSignature(new CTypes(reader), null);
        var types = signature.ParameterTypes.ToArray();
        var names = Enumerable.Range(0, types.Length).Select(i => "arg" + i).ToArray();
        var result = signature.ReturnType;
        foreach (var handle in method.GetParameters())
        {
            var parameter = reader.GetParameter(handle);
            var given = Attribute(reader, parameter.GetCustomAttributes(), "DNNE", "C99TypeAttribute");
            if (parameter.SequenceNumber == 0)
            {
                result = given ?? result;
                continue;
            }
            names[parameter.SequenceNumber - 1] = Word().Replace(reader.GetString(parameter.Name), "_$0")
                .ToLowerInvariant();
            types[parameter.SequenceNumber - 1] = given ?? types[parameter.SequenceNumber - 1];
        }
        if (types.Append(result).Any(t => t.Contains(CTypes.Unknown)))
            throw new InvalidDataException($"{name}: a parameter or the result needs a DNNE.C99Type");

        var text = new StringBuilder(Join(result, name)).Append('(');
        var column = text.Length;
        var parameters = types.Length == 0 ? ["void"] : types.Zip(names, Join).ToArray();
        for (var i = 0; i < parameters.Length; i++)
        {
            var part = parameters[i] + (i < parameters.Length - 1 ? "," : ");");
            var fits = column + 1 + part.Length <= MaxColumns;
            text.Append(i == 0 ? "" : fits ? " " : "\n    ").Append(part);
            column = (fits ? column + 1 : 4) + part.Length;
        }
        return text.ToString();
    }

    static string Join(string type, string name) => type.EndsWith('*') ? type + name : type + " " + name;

    static string? EntryPoint(MetadataReader reader, MethodDefinition method)
    {
        foreach (var handle in method.GetCustomAttributes())
        {
            var attribute = reader.GetCustomAttribute(handle);
            if (!Is(reader, attribute, "System.Runtime.InteropServices", "UnmanagedCallersOnlyAttribute"))
                continue;
            var value = attribute.DecodeValue(new AttributeTypes());
            foreach (var argument in value.NamedArguments)
                if (argument.Name == "EntryPoint")
                    return (string?)argument.Value;
        }
        return null;
    }

    static string DeclCode(MetadataReader reader, MethodDefinition method) =>
        Attribute(reader, method.GetCustomAttributes(), "DNNE", "C99DeclCodeAttribute") ?? "";

    static string? Attribute(MetadataReader reader, CustomAttributeHandleCollection all, string space, string name)
    {
        foreach (var handle in all)
        {
            var attribute = reader.GetCustomAttribute(handle);
            if (Is(reader, attribute, space, name))
                return (string?)attribute.DecodeValue(new AttributeTypes()).FixedArguments[0].Value;
        }
        return null;
    }

    static bool Is(MetadataReader reader, CustomAttribute attribute, string space, string name)
    {
        var (s, n) = attribute.Constructor.Kind switch
        {
            HandleKind.MemberReference => Name(reader,
                reader.GetMemberReference((MemberReferenceHandle)attribute.Constructor).Parent),
            _ => Name(reader,
                reader.GetMethodDefinition((MethodDefinitionHandle)attribute.Constructor).GetDeclaringType()),
        };
        return s == space && n == name;
    }

    static (string Space, string Name) Name(MetadataReader reader, EntityHandle type)
    {
        if (type.Kind == HandleKind.TypeReference)
        {
            var reference = reader.GetTypeReference((TypeReferenceHandle)type);
            return (reader.GetString(reference.Namespace), reader.GetString(reference.Name));
        }
        var definition = reader.GetTypeDefinition((TypeDefinitionHandle)type);
        return (reader.GetString(definition.Namespace), reader.GetString(definition.Name));
    }

    [GeneratedRegex("(?<=[a-z])[A-Z]")]
    private static partial Regex Word();

    [GeneratedRegex(@"\bstruct \w+")]
    private static partial Regex StructName();
}
