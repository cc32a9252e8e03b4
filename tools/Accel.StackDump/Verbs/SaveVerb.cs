using System.Text.Json.Nodes;
using Accel.Inspect;

namespace Accel.StackDump.Verbs;

/// <summary>Puts a look into a file.</summary>
internal static class SaveVerb
{
    public static Output Save(Machine machine, string path, int? pid)
    {
        StackView[] stacks = [.. machine.Chosen(pid)];
        // What was there stays until all is written.
        string partial = path + ".partial";
        using (FileStream file = File.Create(partial)) SavedLook.Save(machine, stacks, file);
        File.Move(partial, path, overwrite: true);
        long bytes = new FileInfo(path).Length;
        return new(new JsonObject { ["file"] = path, ["stacks"] = stacks.Length, ["bytes"] = bytes },
            [$"{stacks.Length} stacks saved in {path}, {bytes} bytes"]);
    }
}
