using System.Text.Json.Nodes;

namespace Accel.Cli.Why;

/// <summary>What is said of a descriptor, or of a process that has no stack (then there is no descriptor).</summary>
/// <param name="Descriptor">Its number.</param>
/// <param name="Path">local, nic, kernel or none.</param>
/// <param name="Reason">A word for programs.</param>
/// <param name="Sentence">For people.</param>
/// <param name="Remedy">What would change it; null: nothing, or nothing to change.</param>
public sealed record Verdict(int? Descriptor, string Path, string Reason, string Sentence, string? Remedy)
{
    public JsonObject ToJson(int pid) => new()
    {
        ["pid"] = pid,
        ["fd"] = Descriptor,
        ["path"] = Path,
        ["reason"] = Reason,
        ["sentence"] = Sentence,
        ["remedy"] = Remedy,
    };

    /// <summary>The sentence with its remedy.</summary>
    public static string With(string sentence, string? remedy) =>
        string.IsNullOrEmpty(remedy) ? $"{sentence}." : $"{sentence}. To change that: {remedy}.";
}
