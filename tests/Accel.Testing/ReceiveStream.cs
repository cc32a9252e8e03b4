namespace Accel.Testing;

/// <summary>
/// The receiving stream of a host: a ring as the engine has, where segments out of order are stored ahead of what the
/// reader may have. Every byte is compared with the <see cref="Pattern"/> when it becomes readable.
/// </summary>
public sealed class ReceiveStream(Pattern pattern, uint capacity)
{
    byte[] _ring = new byte[System.Numerics.BitOperations.RoundUpToPowerOf2(capacity)];

    /// <summary>What the program may have kept here, in bytes.</summary>
    public uint Capacity { get; private set; } = capacity;

    /// <summary>Bytes that became readable, and that were read, since the connection began.</summary>
    public long Delivered { get; private set; }

    public long Taken { get; private set; }

    public uint Readable => (uint)(Delivered - Taken);

    /// <summary>What the ring can take from the next byte in order on.</summary>
    public uint Space => Capacity - Math.Min(Capacity, Readable);

    /// <summary>The furthest that was stored, to know whether the ring may grow.</summary>
    public long StoredTo { get; private set; }

    public void Store(ReadOnlySpan<byte> bytes, uint at)
    {
        if (at + (long)bytes.Length > Space)
            throw new InvariantException($"stored {at}+{bytes.Length} in a ring with room for {Space}");
        for (var i = 0; i < bytes.Length; i++)
            _ring[(Delivered + at + i) & (_ring.Length - 1)] = bytes[i];
        StoredTo = Math.Max(StoredTo, Delivered + at + bytes.Length);
    }

    public void Advance(uint count)
    {
        if (count > Space)
            throw new InvariantException($"advanced by {count} with room for {Space}");
        for (uint done = 0; done < count;)
        {
            var at = (int)((Delivered + done) & (_ring.Length - 1));
            var run = (int)Math.Min(count - done, _ring.Length - at);
            var wrong = pattern.FirstDifference(_ring.AsSpan(at, run), Delivered + done);
            if (wrong >= 0)
                throw new InvariantException($"byte {Delivered + done + wrong} of the stream is not what was sent");
            done += (uint)run;
        }
        Delivered += count;
        StoredTo = Math.Max(StoredTo, Delivered);
    }

    /// <summary>The program reads; what it has read is wiped.</summary>
    public uint Take(uint most)
    {
        var count = Math.Min(most, Readable);
        for (uint i = 0; i < count; i++)
        {
            ref var slot = ref _ring[(Taken + i) & (_ring.Length - 1)];
            slot ^= 0xFF;
        }
        Taken += count;
        return count;
    }

    /// <summary>More room, as receive tuning gives; only while nothing is stored out of order.</summary>
    public bool TryGrow(uint capacity)
    {
        if (capacity <= Capacity || StoredTo != Delivered)
            return false;
        var ring = new byte[System.Numerics.BitOperations.RoundUpToPowerOf2(capacity)];
        for (var position = Taken; position < Delivered; position++)
            ring[position & (ring.Length - 1)] = _ring[position & (_ring.Length - 1)];
        (_ring, Capacity) = (ring, capacity);
        return true;
    }
}
