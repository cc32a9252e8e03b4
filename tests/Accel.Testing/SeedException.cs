namespace Accel.Testing;

/// <summary>A test failed for a seed; the message says for which.</summary>
public sealed class SeedException(string message) : Exception(message);
