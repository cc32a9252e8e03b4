namespace Accel.Wire;

/// <summary>Marks code of this room that runs for people only (text), where allocation is allowed.</summary>
[AttributeUsage(AttributeTargets.Method | AttributeTargets.Class | AttributeTargets.Struct)]
internal sealed class ColdPathAttribute : Attribute;
