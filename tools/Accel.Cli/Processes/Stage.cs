namespace Accel.Cli.Processes;

/// <summary>The two ends that a measurement takes place between.</summary>
public sealed record Stage(End Server, End Client)
{
    /// <summary>What clients call the server.</summary>
    public string Address => Server.Place.Address;
}
