namespace Accel.Testing;

/// <summary>Something that must hold at every step does not.</summary>
public sealed class InvariantException(string message) : Exception(message);
