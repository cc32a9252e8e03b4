using System.CommandLine;

namespace Accel.Cli.Run;

/// <summary>
/// `accel run`, as help and manual show it. The work is tools/accel-run's, a shell script, which tools/accel calls
/// without coming by here.
/// </summary>
internal static class RunCommand
{
    public static Command Create()
    {
        var profile = new Option<string?>("--profile")
        {
            Description = "Settings for a purpose (tools/profiles); variables that are set already win",
        };
        var spin = new Option<int?>("--spin")
        {
            Description = "Microseconds that a blocking call looks at its sockets before it sleeps (0: not at all, -1: "
                + "adaptive)",
        };
        var strict = new Option<bool>("--strict")
        {
            Description = "What would have to use the kernel fails instead, and says why",
        };
        var program = new Argument<string[]>("PROGRAM")
        {
            Description = "The program and its arguments",
            Arity = ArgumentArity.OneOrMore,
        };
        var command = new Command("run", "Runs a program with libaccel.so preloaded")
        {
            profile, spin, strict, program,
        };
        command.SetAction(parsed => Script.Become([
            "run",
            .. Given("--profile", parsed.GetValue(profile)),
            .. Given("--spin", parsed.GetValue(spin)?.ToString(System.Globalization.CultureInfo.InvariantCulture)),
            .. parsed.GetValue(strict) ? new[] { "--strict" } : [],
            "--", .. parsed.GetValue(program) ?? [],
        ]));
        return command;
    }

    private static string[] Given(string option, string? value) => value is null ? [] : [option, value];
}
