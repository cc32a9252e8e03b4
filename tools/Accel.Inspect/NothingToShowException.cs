namespace Accel.Inspect;

/// <summary>There is no such stack, process or socket; the text says which.</summary>
public sealed class NothingToShowException(string message) : Exception(message);
