namespace Accel.Cli.Processes;

/// <summary>One end of a connection: where its program runs, on which path, and with which settings if accelerated.
/// </summary>
public sealed record End(Side Side, Place Place, Dictionary<string, string> Environment);
