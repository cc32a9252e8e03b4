namespace Accel.Testing;

/// <summary>
/// The sending stream of a host: what the program has written and the peer has not acknowledged. Its bytes follow a
/// <see cref="Pattern"/>, so that the receiver can tell what it got.
/// </summary>
public sealed class SendStream(Pattern pattern)
{
    byte[] _ring = new byte[4096];

    /// <summary>Bytes that were acknowledged, and that were written, since the connection began.</summary>
    public long Acked { get; private set; }

    public long Written { get; private set; }

    public uint Queued => (uint)(Written - Acked);

    /// <summary>The position after the urgent byte; 0: none.</summary>
    public long UrgentEnd { get; set; }

    public void Write(int count)
    {
        Grow(Queued + count);
        for (var done = 0; done < count;)
        {
            var at = (int)((Written + done) & (_ring.Length - 1));
            var run = Math.Min(count - done, _ring.Length - at);
            pattern.Fill(_ring.AsSpan(at, run), Written + done);
            done += run;
        }
        Written += count;
    }

    /// <summary>The bytes from <paramref name="offset"/> after the first that is not acknowledged.</summary>
    public byte[] Read(uint offset, uint length)
    {
        if (offset + (long)length > Queued)
            throw new InvariantException($"asked to send {offset}+{length} of {Queued} bytes that there are");
        var bytes = new byte[length];
        for (var done = 0; done < bytes.Length;)
        {
            var at = (int)((Acked + offset + done) & (_ring.Length - 1));
            var run = Math.Min(bytes.Length - done, _ring.Length - at);
            _ring.AsSpan(at, run).CopyTo(bytes.AsSpan(done));
            done += run;
        }
        return bytes;
    }

    /// <summary>The peer has them: forgotten, and overwritten so that no one sends them again unseen.</summary>
    public void Forget(uint count)
    {
        if (count > Queued)
            throw new InvariantException($"{count} bytes acknowledged of {Queued} that there are");
        for (uint i = 0; i < count; i++)
            _ring[(Acked + i) & (_ring.Length - 1)] ^= 0xFF;
        Acked += count;
    }

    void Grow(long need)
    {
        if (need <= _ring.Length)
            return;
        var bytes = Read(0, Queued);
        _ring = new byte[System.Numerics.BitOperations.RoundUpToPowerOf2((uint)need)];
        for (var i = 0; i < bytes.Length; i++)
            _ring[(Acked + i) & (_ring.Length - 1)] = bytes[i];
    }
}
