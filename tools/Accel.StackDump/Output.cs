using System.Text.Json;
using System.Text.Json.Nodes;

namespace Accel.StackDump;

/// <summary>What a verb found: one JSON document, and the same as lines for people.</summary>
public sealed record Output(JsonNode Json, IReadOnlyList<string> Lines)
{
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    public void Write(TextWriter to, bool json)
    {
        if (json)
            to.WriteLine(Json.ToJsonString(Indented));
        else
            foreach (string line in Lines) to.WriteLine(line);
    }
}
