namespace Accel.Cli.Bench;

/// <summary>Which ends of a case's connections are accelerated in its accelerated column.</summary>
[Flags]
public enum Ends
{
    None = 0,
    Server = 1,
    Client = 2,
    Both = Server | Client,
}
