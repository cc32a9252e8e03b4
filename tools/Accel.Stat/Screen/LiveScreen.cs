using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using Accel.Inspect;
using Accel.Inspect.Look;
using Spectre.Console;

namespace Accel.Stat.Screen;

/// <summary>The screen: a new look at each interval, a new picture at each key and when the terminal's size changes.
/// </summary>
internal static class LiveScreen
{
    private const string Enter = "\e[?1049h\e[?25l", Leave = "\e[?25h\e[?1049l", Home = "\e[H", EraseRight = "\e[K",
        EraseBelow = "\e[J", NoWrap = "\e[?7l", Wrap = "\e[?7h";

    private static readonly TimeSpan KeyInterval = TimeSpan.FromMilliseconds(40);

    public static int Run(Wishes wishes)
    {
        var state = new ScreenState(wishes.Sort, wishes.Reverse);
        bool isOver = false;
        // Whatever ends it, the terminal is given back as it was.
        PosixSignal[] ends = [PosixSignal.SIGINT, PosixSignal.SIGTERM, PosixSignal.SIGHUP, PosixSignal.SIGQUIT];
        PosixSignalRegistration[] registered = [.. ends.Select(s => PosixSignalRegistration.Create(s, context =>
        {
            context.Cancel = true;
            Volatile.Write(ref isOver, true);
        }))];
        using var output = new StreamWriter(Console.OpenStandardOutput());
        var index = new RegionIndex();
        using var others = new OtherStacks();
        Machine machine = Machine.Look(index, others);
        Sample sample = Sample.Take(machine, wishes.Pid, null);
        long taken = Stopwatch.GetTimestamp();
        try
        {
            Show(output, Enter);
            (int Width, int Height) size = default;
            Picture? picture = null;
            while (!state.IsOver && !Volatile.Read(ref isOver) && !TerminalInput.HasGone)
            {
                if (Stopwatch.GetElapsedTime(taken) >= wishes.Interval)
                {
                    machine.Dispose();
                    machine = Machine.Look(index, others);
                    sample = Sample.Take(machine, wishes.Pid, sample);
                    taken = Stopwatch.GetTimestamp();
                    picture = null;
                }
                while (!state.IsOver && !TerminalInput.HasGone && Console.KeyAvailable)
                {
                    picture ??= new(machine, sample, state, size.Width, size.Height);
                    state = state.After(Console.ReadKey(intercept: true), picture.Rows, picture.ChosenStack);
                    picture = null;
                }
                (int, int) now = (Console.WindowWidth, Console.WindowHeight);
                if (picture is null || now != size)
                {
                    size = now;
                    picture = new(machine, sample, state, size.Width, size.Height);
                    Show(output, Drawn(picture, size.Width));
                }
                Thread.Sleep(KeyInterval);
            }
        }
        catch (IOException)
        {
            // The terminal has gone.
        }
        finally
        {
            Show(output, Leave);
            machine.Dispose();
            foreach (PosixSignalRegistration signal in registered) signal.Dispose();
        }
        return 0;
    }

    /// <summary>Over what was there before, line by line: nothing flickers, and nothing stays.</summary>
    private static string Drawn(Picture picture, int width)
    {
        var text = new StringWriter(CultureInfo.InvariantCulture);
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Ansi = AnsiSupport.Yes,
            Out = new AnsiConsoleOutput(text),
        });
        console.Profile.Width = Math.Max(20, width);
        console.Write(picture.Body);
        string[] lines = text.ToString().TrimEnd('\n').Split('\n');
        return $"{NoWrap}{Home}{string.Join($"{EraseRight}\r\n", lines)}{EraseRight}{EraseBelow}{Wrap}";
    }

    private static void Show(StreamWriter output, string text)
    {
        try
        {
            output.Write(text);
            output.Flush();
        }
        catch (IOException)
        {
            // Nobody is there to see it.
        }
    }
}
