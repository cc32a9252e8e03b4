namespace Accel.Testing.Script;

/// <summary>A script does not hold; the message shows expected and actual.</summary>
public sealed class ScriptException(string message) : Exception(message);
