namespace Accel.Cli.Processes;

/// <summary>Which path a program's sockets take.</summary>
public enum Side
{
    Kernel,
    Accel,
}
