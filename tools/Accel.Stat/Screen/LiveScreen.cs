using System.Diagnostics;
using Accel.Inspect;
using Spectre.Console;

namespace Accel.Stat.Screen;

/// <summary>The screen: a new look at each interval, a new picture at each key.</summary>
internal static class LiveScreen
{
    private static readonly TimeSpan KeyInterval = TimeSpan.FromMilliseconds(40);

    public static int Run(Wishes wishes)
    {
        var state = new ScreenState(wishes.Sort, wishes.Reverse);
        Machine machine = Machine.Look();
        Sample sample = Sample.Take(machine, wishes.Pid, null);
        long taken = Stopwatch.GetTimestamp();
        try
        {
            AnsiConsole.Console.AlternateScreen(() => AnsiConsole.Live(new Text("")).AutoClear(true)
                .Overflow(VerticalOverflow.Crop).Start(context =>
                {
                    bool isStale = true;
                    Picture picture = new(machine, sample, state, Console.WindowHeight);
                    while (!state.IsOver)
                    {
                        if (Stopwatch.GetElapsedTime(taken) >= wishes.Interval)
                        {
                            machine.Dispose();
                            machine = Machine.Look();
                            sample = Sample.Take(machine, wishes.Pid, sample);
                            taken = Stopwatch.GetTimestamp();
                            isStale = true;
                        }
                        while (Console.KeyAvailable)
                        {
                            state = state.After(Console.ReadKey(intercept: true), picture.Rows, picture.ChosenStack);
                            isStale = true;
                        }
                        if (isStale)
                        {
                            picture = new(machine, sample, state, Console.WindowHeight);
                            context.UpdateTarget(picture.Body);
                            isStale = false;
                        }
                        Thread.Sleep(KeyInterval);
                    }
                }));
        }
        finally
        {
            machine.Dispose();
        }
        return 0;
    }
}
