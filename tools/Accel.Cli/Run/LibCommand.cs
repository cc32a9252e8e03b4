using System.CommandLine;

namespace Accel.Cli.Run;

/// <summary>`accel lib`: the path for LD_PRELOAD.</summary>
internal static class LibCommand
{
    public static Command Create()
    {
        var command = new Command("lib", "Prints the path of libaccel.so, for LD_PRELOAD");
        command.SetAction(_ => Script.Become(["lib"]));
        return command;
    }
}
