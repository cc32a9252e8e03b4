namespace Accel.Control;

/// <summary>Something that the kernel or the machine refused, in words for whoever runs acceld.</summary>
public sealed class ControlException(string message) : Exception(message);
