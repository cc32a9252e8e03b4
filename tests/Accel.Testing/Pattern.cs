namespace Accel.Testing;

/// <summary>
/// The bytes that test streams carry: each position of a stream has its own, and the period is a prime, so that a byte
/// which is at the wrong place, or stale in a ring, is seen.
/// </summary>
public sealed class Pattern
{
    const int Period = 65_521;

    readonly byte[] _bytes = new byte[2 * Period];

    public static Pattern Local { get; } = new(1);

    public static Pattern Remote { get; } = new(2);

    /// <summary>Nothing but zeros: the bytes do not matter.</summary>
    public static Pattern Blank { get; } = new(0);

    Pattern(ulong seed)
    {
        if (seed == 0)
            return;
        var random = new Prng(seed);
        for (var i = 0; i < Period; i++)
            _bytes[i] = _bytes[i + Period] = (byte)random.Next();
    }

    public void Fill(Span<byte> bytes, long position)
    {
        while (bytes.Length > 0)
        {
            var run = Run(position, bytes.Length);
            run.CopyTo(bytes);
            bytes = bytes[run.Length..];
            position += run.Length;
        }
    }

    /// <summary>A run of them; before the beginning of the stream they are 0.</summary>
    public byte[] At(long position, uint length)
    {
        var bytes = new byte[length];
        var before = (int)Math.Clamp(-position, 0, length);
        Fill(bytes.AsSpan(before), position + before);
        return bytes;
    }

    /// <summary>The first byte that is not as it should be at <paramref name="position"/> and on; -1 if all are.
    /// </summary>
    public int FirstDifference(ReadOnlySpan<byte> bytes, long position)
    {
        for (var done = 0; done < bytes.Length;)
        {
            var run = Run(position + done, bytes.Length - done);
            var same = run.CommonPrefixLength(bytes[done..]);
            done += same;
            if (same < run.Length)
                return done;
        }
        return -1;
    }

    ReadOnlySpan<byte> Run(long position, int length) =>
        _bytes.AsSpan((int)(position % Period), Math.Min(length, Period));
}
