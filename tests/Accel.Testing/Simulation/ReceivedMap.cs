using System.Collections;
using Accel.Wire;

namespace Accel.Testing.Simulation;

/// <summary>Which bytes of a stream have arrived: a bit for each. Slow, and obviously right.</summary>
sealed class ReceivedMap(long total)
{
    readonly BitArray _have = new((int)total + 1);
    long _latest;
    long _highest;

    /// <summary>All bytes before this one have arrived.</summary>
    public long InOrder { get; private set; }

    public void Add(long from, long to)
    {
        for (var i = Math.Max(from, InOrder); i < to; i++)
            _have[(int)i] = true;
        if (to > InOrder)
            _latest = from;
        _highest = Math.Max(_highest, to);
        while (InOrder < total && _have[(int)InOrder])
            InOrder++;
    }

    /// <summary>RFC 2018 4: the block of the segment that came last, then others.</summary>
    public void WriteBlocks(ref TcpOptions options, SeqNum first, int most)
    {
        if (_highest <= InOrder)
            return;
        var count = 0;
        if (_latest > InOrder)
            Write(ref options, count++, first, Block(_latest));
        for (var at = InOrder; at < _highest && count < most; at++)
        {
            if (!_have[(int)at])
                continue;
            var block = Block(at);
            if (!(block.From <= _latest && _latest < block.To) || count == 0)
                Write(ref options, count++, first, block);
            at = block.To;
        }
        if (count == 0)
            return;
        options.Present |= TcpOptionKinds.Sack;
        options.SackCount = (byte)count;
    }

    (long From, long To) Block(long at)
    {
        var (from, to) = (at, at);
        while (from > InOrder && _have[(int)from - 1])
            from--;
        while (to < _highest && _have[(int)to])
            to++;
        return (from, to);
    }

    static void Write(ref TcpOptions options, int index, SeqNum first, (long From, long To) block) =>
        options.Sacks[index] = new SackBlock { Left = first + (uint)block.From, Right = first + (uint)block.To };
}
