namespace DNNE;

// The attributes by which DNNE builds a C header from managed exports. A project may define them itself; the header is
// then written by tools/Accel.HeaderGen, and DNNE can take over without a change to the exports.

/// <summary>C code that must stand above this export's declaration.</summary>
[System.AttributeUsage(System.AttributeTargets.Method | System.AttributeTargets.Struct)]
internal sealed class C99DeclCodeAttribute(string code) : System.Attribute
{
    public string Code { get; } = code;
}

/// <summary>The C type of a parameter or of the result, where it is not what the managed type says.</summary>
[System.AttributeUsage(System.AttributeTargets.Parameter | System.AttributeTargets.ReturnValue)]
internal sealed class C99TypeAttribute(string code) : System.Attribute
{
    public string Code { get; } = code;
}
