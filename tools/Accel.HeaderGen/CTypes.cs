using System.Collections.Immutable;
using System.Reflection.Metadata;

namespace Accel.HeaderGen;

/// <summary>What a managed type is called in C.</summary>
sealed class CTypes(MetadataReader reader) : ISignatureTypeProvider<string, object?>
{
    /// <summary>A type that C does not know by itself.</summary>
    public const string Unknown = "?";

    public string GetPrimitiveType(PrimitiveTypeCode code) => code switch
    {
        PrimitiveTypeCode.Void => "void",
        PrimitiveTypeCode.SByte => "int8_t",
        PrimitiveTypeCode.Byte => "uint8_t",
        PrimitiveTypeCode.Int16 => "int16_t",
        PrimitiveTypeCode.UInt16 => "uint16_t",
        PrimitiveTypeCode.Int32 => "int",
        PrimitiveTypeCode.UInt32 => "uint32_t",
        PrimitiveTypeCode.Int64 => "int64_t",
        PrimitiveTypeCode.UInt64 => "uint64_t",
        PrimitiveTypeCode.IntPtr => "long",
        PrimitiveTypeCode.UIntPtr => "size_t",
        PrimitiveTypeCode.Single => "float",
        PrimitiveTypeCode.Double => "double",
        _ => Unknown,
    };

    public string GetPointerType(string element) => element.EndsWith('*') ? element + "*" : element + " *";

    public string GetTypeFromReference(MetadataReader r, TypeReferenceHandle handle, byte kind) => Unknown;

    public string GetTypeFromDefinition(MetadataReader r, TypeDefinitionHandle handle, byte kind) => Unknown;

    public string GetFunctionPointerType(MethodSignature<string> signature) => Unknown;

    public string GetModifiedType(string modifier, string unmodified, bool required) => unmodified;

    public string GetArrayType(string element, ArrayShape shape) => throw Unexpected("array");

    public string GetByReferenceType(string element) => throw Unexpected("reference");

    public string GetGenericInstantiation(string type, ImmutableArray<string> arguments) => throw Unexpected("generic");

    public string GetGenericMethodParameter(object? context, int index) => throw Unexpected("generic");

    public string GetGenericTypeParameter(object? context, int index) => throw Unexpected("generic");

    public string GetPinnedType(string element) => throw Unexpected("pinned");

    public string GetSZArrayType(string element) => throw Unexpected("array");

    public string GetTypeFromSpecification(MetadataReader r, object? context, TypeSpecificationHandle handle,
        byte kind) =>
        reader.GetTypeSpecification(handle).DecodeSignature(this, context);

    static InvalidDataException Unexpected(string what) => new($"an export cannot have a {what} in its signature");
}

/// <summary>Decodes the strings in an attribute; the attributes read here hold nothing else.</summary>
sealed class AttributeTypes : ICustomAttributeTypeProvider<string>
{
    public string GetPrimitiveType(PrimitiveTypeCode code) => code.ToString();

    public string GetSystemType() => "System.Type";

    public string GetSZArrayType(string element) => element + "[]";

    public string GetTypeFromDefinition(MetadataReader r, TypeDefinitionHandle handle, byte kind) => "";

    public string GetTypeFromReference(MetadataReader r, TypeReferenceHandle handle, byte kind) => "";

    public string GetTypeFromSerializedName(string name) => name;

    public PrimitiveTypeCode GetUnderlyingEnumType(string type) => PrimitiveTypeCode.Int32;

    public bool IsSystemType(string type) => type == "System.Type";
}
