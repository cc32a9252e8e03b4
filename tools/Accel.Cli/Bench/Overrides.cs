using Accel.Cli.Settings;
using Accel.Core.Stack;

namespace Accel.Cli.Bench;

/// <summary>Options that the user wants on the accelerated side, from a profile and one by one; the last word wins.
/// </summary>
internal sealed class Overrides
{
    private readonly Dictionary<string, string> _values = [];

    public static Overrides? Of(string? profile, string[] settings, out string? complaint)
    {
        var overrides = new Overrides();
        complaint = null;
        if (profile is not null)
        {
            if (Profile.Read(profile, out complaint) is not { } read) return null;
            foreach ((string option, string value, _) in read.Settings) overrides._values[option] = value;
        }
        foreach (string setting in settings)
        {
            string[] parts = setting.Split('=', 2);
            OptionRow row = OptionTable.Rows.FirstOrDefault(r => r.Name == parts[0]);
            complaint = parts.Length < 2 ? $"--set wants NAME=VALUE, not {setting}"
                : row.Name is null ? $"no option {parts[0]}" : OptionTable.Parse(row, parts[1], out _);
            if (complaint is not null) return null;
            overrides._values[parts[0]] = parts[1];
        }
        return overrides;
    }

    /// <summary>The case with what the user wants; where he says nothing, with its own settings.</summary>
    public BenchCase On(BenchCase c)
    {
        if (_values.Count == 0) return c;
        var environment = new Dictionary<string, string>(c.Environment);
        foreach ((string name, string value) in _values) environment[name] = value;
        return c with { Environment = environment };
    }
}
