namespace Accel.Cli.Processes;

/// <summary>A measurement that could not be taken; the text says what happened.</summary>
public sealed class MeasurementException(string message) : Exception(message);
