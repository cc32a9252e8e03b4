namespace Accel.Stat;

/// <summary>What is written.</summary>
public enum Form
{
    Table,
    Json,
    Csv,
}

/// <summary>What the command line asks for.</summary>
public sealed record Wishes(
    int? Pid, TimeSpan Interval, int? Count, Figure Sort, bool Reverse, bool IsTotal, Form Form);
