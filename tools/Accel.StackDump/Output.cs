using System.Text.Json;
using System.Text.Json.Nodes;

namespace Accel.StackDump;

/// <summary>What a verb found: one JSON document, and the same as lines for people. Only what is wanted is made.
/// </summary>
public sealed class Output(Func<JsonNode> makeJson, Func<IReadOnlyList<string>> makeLines)
{
    public Output(JsonNode json, IReadOnlyList<string> lines)
        : this(() => json, () => lines)
    {
    }

    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    public JsonNode Json => makeJson();

    public IReadOnlyList<string> Lines => makeLines();

    public void Write(TextWriter to, bool json)
    {
        if (json)
            to.WriteLine(Json.ToJsonString(Indented));
        else
            foreach (string line in Lines) to.WriteLine(line);
    }
}
