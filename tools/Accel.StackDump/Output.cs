using System.Text.Json;
using System.Text.Json.Nodes;

namespace Accel.StackDump;

/// <summary>What a verb found: one JSON document, and the same as lines for people. Only what is wanted is made.
/// </summary>
public sealed class Output(Func<JsonNode> json, Func<IReadOnlyList<string>> lines)
{
    public Output(JsonNode json, IReadOnlyList<string> lines)
        : this(() => json, () => lines)
    {
    }

    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    public JsonNode Json => json();

    public IReadOnlyList<string> Lines => lines();

    public void Write(TextWriter to, bool asJson)
    {
        if (asJson)
            to.WriteLine(Json.ToJsonString(Indented));
        else
            foreach (string line in Lines) to.WriteLine(line);
    }
}
