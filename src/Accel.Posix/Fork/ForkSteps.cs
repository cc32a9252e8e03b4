using System.Runtime.InteropServices;
using Accel.Core.Memory;

namespace Accel.Posix;

/// <summary>
/// A list of what the C side does in a child that has no part in the stack, with a step of zeros behind the last.
/// </summary>
[ColdPath]
public sealed unsafe class ForkSteps
{
    private const int FirstRoom = 256;

    private AccelStep* _steps;
    private int _count, _room;

    public AccelStep* First => _steps;

    public Span<AccelStep> All => new(_steps, _count);

    /// <summary>False: there was no memory for one of them.</summary>
    public bool IsComplete { get; private set; } = true;

    public void Clear()
    {
        _count = 0;
        IsComplete = true;
        if (_room > 0)
            *_steps = default;
    }

    public void Add(long what, long a, long b = 0, long c = 0, long d = 0)
    {
        if (_count + 1 >= _room && !TryGrow())
        {
            IsComplete = false;
            return;
        }
        _steps[_count++] = new AccelStep { What = what, A = a, B = b, C = c, D = d };
        _steps[_count] = default;
    }

    private bool TryGrow()
    {
        int room = Math.Max(FirstRoom, _room * 2);
        try
        {
            _steps = (AccelStep*)NativeMemory.Realloc(_steps, (nuint)room * (nuint)sizeof(AccelStep));
        }
        catch (OutOfMemoryException)
        {
            return false;
        }
        _room = room;
        return true;
    }
}
