namespace Accel.Core.Memory;

/// <summary>
/// Marks a struct that lies in shared memory: its offsets are a contract between processes (see LAYOUT.txt).
/// </summary>
[AttributeUsage(AttributeTargets.Struct)]
public sealed class SharedLayoutAttribute : Attribute;

/// <summary>Marks code that runs at start-up or on failure only, where allocation and exceptions are allowed.</summary>
[AttributeUsage(
    AttributeTargets.Method | AttributeTargets.Class | AttributeTargets.Struct | AttributeTargets.Constructor)]
public sealed class ColdPathAttribute : Attribute;

/// <summary>
/// Marks a field of a shared struct that other users are never shown (acceld's looks leave it out): by it a connection
/// could be forged, a sleeper woken, or a program's memory mapped out. Sequence numbers are hidden by their type.
/// </summary>
[AttributeUsage(AttributeTargets.Field)]
public sealed class HiddenAttribute : Attribute;
