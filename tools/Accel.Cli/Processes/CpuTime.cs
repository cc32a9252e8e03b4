using System.Globalization;

namespace Accel.Cli.Processes;

/// <summary>
/// CPU time of running processes as the scheduler counts it, in nanoseconds: /proc/PID/stat has 10 ms steps.
/// </summary>
internal static class CpuTime
{
    public static double OfTreeMicros(int pid)
    {
        double sum = 0;
        foreach (int member in Tree(pid))
        {
            foreach (string task in Tasks(member))
                if (Read(Path.Combine(task, "schedstat")) is { Length: > 0 } text)
                    sum += double.Parse(text.Split(' ')[0], CultureInfo.InvariantCulture) / 1000;
        }
        return sum;
    }

    /// <summary>The process and all that descend from it.</summary>
    private static List<int> Tree(int root)
    {
        var parents = new List<(int Pid, int Parent)>();
        foreach (string folder in Directory.EnumerateDirectories("/proc"))
        {
            if (!int.TryParse(Path.GetFileName(folder), out int pid)) continue;
            // The name in parentheses may hold anything; the parent is the second field after it.
            string stat = Read(Path.Combine(folder, "stat"));
            string[] fields = stat[(stat.LastIndexOf(')') + 1)..].Split(' ', StringSplitOptions.RemoveEmptyEntries);
            if (fields.Length > 1) parents.Add((pid, int.Parse(fields[1], CultureInfo.InvariantCulture)));
        }
        List<int> tree = [root];
        for (int i = 0; i < tree.Count; i++)
            tree.AddRange(parents.Where(p => p.Parent == tree[i]).Select(p => p.Pid));
        return tree;
    }

    private static string[] Tasks(int pid)
    {
        try
        {
            return Directory.GetDirectories($"/proc/{pid}/task");
        }
        catch (IOException)
        {
            return []; // it has ended meanwhile
        }
    }

    private static string Read(string file)
    {
        try
        {
            return File.ReadAllText(file);
        }
        catch (IOException)
        {
            return "";
        }
    }
}
