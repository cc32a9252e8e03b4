namespace Accel.Cli.Processes;

/// <summary>What stackdump says, from outside, of a program that runs.</summary>
internal static class StackDump
{
    public static bool IsThere => File.Exists(Installation.StackDump);

    public static string Text(params string[] verb)
    {
        (int status, string output, string errors) = Tool.Try([Installation.StackDump, .. verb]);
        return status == 0 ? output : errors;
    }
}
