using Accel.Inspect;
using Accel.Inspect.Look;

namespace Accel.Stat;

/// <summary>Readings as lines, one after the other, like vmstat and nstat.</summary>
public static class Lines
{
    public static int Run(Wishes wishes, TextWriter output, TextWriter errors)
    {
        var index = new RegionIndex();
        using var others = new OtherStacks();
        // Rates need a reading before the first that is shown; JSON has its totals and needs none.
        Sample? before = wishes.IsTotal || wishes.Form == Form.Json ? null
            : Sample.Take(wishes.Pid, null, index, others);
        var told = new HashSet<string>();
        for (int i = 0; wishes.Count is null || i < wishes.Count; i++)
        {
            if (before is not null) Thread.Sleep(wishes.Interval);
            Sample sample = Sample.Take(wishes.Pid, before, index, others);
            foreach (string refusal in sample.Refusals.Where(told.Add)) errors.WriteLine($"accelstat: {refusal}");
            if (sample.Unseen is { } unseen && told.Add(unseen)) errors.WriteLine($"accelstat: {unseen}");
            if (wishes.Pid is { } pid && sample.Stacks.Count == 0)
            {
                errors.WriteLine(before is null || i == 0 && before.Stacks.Count == 0
                    ? $"accelstat: process {pid} has no stack (not accelerated, no socket yet, or not yours)"
                    : $"accelstat: process {pid} has gone");
                return 1;
            }
            Write(wishes, sample, output, isFirst: i == 0);
            output.Flush();
            before = sample;
        }
        return 0;
    }

    private static void Write(Wishes wishes, Sample sample, TextWriter output, bool isFirst)
    {
        switch (wishes.Form)
        {
            case Form.Json:
                output.WriteLine(Reports.Json(sample).ToJsonString());
                break;
            case Form.Csv:
                if (isFirst) output.WriteLine(Reports.CsvHeader());
                foreach (string line in Reports.Csv(sample, wishes.Sort, wishes.Reverse)) output.WriteLine(line);
                break;
            default:
                if (!isFirst) output.WriteLine();
                foreach (string line in Reports.Table(sample, wishes.Sort, wishes.Reverse)) output.WriteLine(line);
                break;
        }
    }
}
