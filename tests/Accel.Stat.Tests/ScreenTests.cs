using System.Globalization;
using Accel.Core.Local;
using Accel.Core.Stack;
using Accel.Inspect;
using Accel.Stat.Screen;
using Accel.Testing;
using Spectre.Console;

namespace Accel.Stat.Tests;

/// <summary>The screen: what keys do, and what is drawn.</summary>
public sealed unsafe class ScreenTests
{
    private static int _lastId = 900_000;

    private static readonly ScreenState Begin = new(Figures.Find("bytes_in")!, false);

    private static SharedStack NewStack() => new((ulong)Interlocked.Increment(ref _lastId));

    private static ConsoleKeyInfo Key(ConsoleKey key, char letter = '\0') => new(letter, key, false, false, false);

    private static ConsoleKeyInfo Letter(char letter) => Key(ConsoleKey.NoName, letter);

    private static string Drawn(Picture picture)
    {
        var text = new StringWriter(CultureInfo.InvariantCulture);
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Ansi = AnsiSupport.No,
            Out = new AnsiConsoleOutput(text),
        });
        console.Profile.Width = 400;
        console.Write(picture.Body);
        return text.ToString();
    }

    private static Picture Draw(ScreenState state)
    {
        using Machine machine = Machine.Look();
        return new Picture(machine, Sample.Take(machine, null, null), state, 400, 50);
    }

    [Fact]
    public void KeysMoveWithinTheListAndNotBeyond()
    {
        ScreenState state = Begin.After(Letter('j'), 2, "a");
        Assert.Equal(1, state.Row);
        Assert.Equal(1, state.After(Key(ConsoleKey.DownArrow), 2, "a").Row);
        Assert.Equal(0, state.After(Key(ConsoleKey.UpArrow), 2, "a").Row);
        Assert.Equal(0, Begin.After(Key(ConsoleKey.End), 0, null).Row);
    }

    [Fact]
    public void EnterLeadsToAStackAndASocketAndEscapeBack()
    {
        ScreenState stack = Begin.After(Key(ConsoleKey.Enter), 1, "a");
        Assert.Equal((Page.Stack, "a"), (stack.Page, stack.StackId));
        Assert.Equal(Page.Stack, stack.After(Key(ConsoleKey.Enter), 0, null).Page);
        ScreenState socket = stack.After(Key(ConsoleKey.Enter), 3, null);
        Assert.Equal(Page.Socket, socket.Page);
        ScreenState back = socket.After(Key(ConsoleKey.Escape), 3, null).After(Key(ConsoleKey.Escape), 3, null);
        Assert.Equal((Page.Stacks, null), (back.Page, back.StackId));
        Assert.True(back.After(Letter('q'), 1, "a").IsOver);
        Assert.Equal(Page.Stacks, Begin.After(Key(ConsoleKey.Enter), 0, null).Page);
    }

    [Fact]
    public void LettersGoIntoTheFilterWhileItIsTyped()
    {
        ScreenState state = Begin.After(Letter('/'), 1, "a").After(Letter('q'), 1, "a").After(Letter('x'), 1, "a");
        Assert.Equal(("qx", true, false), (state.Filter, state.IsTyping, state.IsOver));
        Assert.Equal("q", state.After(Key(ConsoleKey.Backspace, '\b'), 1, "a").Filter);
        Assert.False(state.After(Key(ConsoleKey.Enter, '\r'), 1, "a").IsTyping);
        Assert.Equal("", state.After(Key(ConsoleKey.Escape), 1, "a").Filter);
    }

    [Fact]
    public void SortGoesThroughAllFiguresAndRound()
    {
        ScreenState state = Begin;
        for (int i = 0; i < Figures.All.Length; i++) state = state.After(Letter('s'), 1, "a");
        Assert.Equal(Begin.Sort, state.Sort);
        Assert.Equal(Begin.Sort, state.After(Letter('s'), 1, "a").After(Letter('S'), 1, "a").Sort);
    }

    [Fact]
    public void AStacksPageShowsWhatItHoldsDownToASocket()
    {
        using SharedStack stack = NewStack();
        int index = stack.Local.TakeConn(1, 0);
        stack.Local.ConnAt(index)->Pipe0.Tail = 321;
        Socket* socket = stack.Add(9, SocketState.Connected, PathReason.Local);
        (socket->Region, socket->Index) = (1, (uint)index);
        socket->Local = Endpoint.Loopback(Endpoint.V4, 40000);
        socket->Remote = Endpoint.Loopback(Endpoint.V4, 6379);
        stack.Add(10, SocketState.Kernel, PathReason.NoPort);
        string id = $"{stack.Id:x16}";
        ScreenState state = Begin with { Page = Page.Stack, StackId = id };
        Picture page = Draw(state);
        string text = Drawn(page);
        Assert.Equal(2, page.Rows);
        Assert.Contains(PathReasonText.Rows[(int)PathReason.NoPort], text, StringComparison.Ordinal);
        Assert.Contains("127.0.0.1:6379", text, StringComparison.Ordinal);
        Assert.Equal(1, Draw(state with { Filter = ":6379" }).Rows);
        string one = Drawn(Draw(state with { Page = Page.Socket }));
        Assert.Contains($"{Environment.ProcessId}:9", one, StringComparison.Ordinal);
        Assert.Contains("321", one, StringComparison.Ordinal);
    }

    [Fact]
    public void WhatIsGoneIsSaid()
    {
        string text = Drawn(Draw(Begin with { Page = Page.Stack, StackId = "0000000000000000" }));
        Assert.Contains("gone", text, StringComparison.Ordinal);
    }
}
