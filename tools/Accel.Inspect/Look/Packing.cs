using System.Buffers.Binary;

namespace Accel.Inspect.Look;

/// <summary>
/// Structs as they travel: a bit for each of its words that is not zero, then these words. Most words of most structs
/// are zero, those that are hidden among them.
/// </summary>
public static class Packing
{
    public const int Word = sizeof(ulong);

    /// <summary>The most bytes that an item of so many words can take.</summary>
    public static int Most(int words) => BitBytes(words) + words * Word;

    /// <summary>Packs what the mask lets through. Returns the bytes that it took.</summary>
    public static int Pack(ReadOnlySpan<ulong> item, ReadOnlySpan<ulong> mask, Span<byte> to)
    {
        int at = BitBytes(item.Length);
        to[..at].Clear();
        for (int i = 0; i < item.Length; i++)
        {
            ulong word = item[i] & mask[i];
            if (word == 0) continue;
            to[i >> 3] |= (byte)(1 << (i & 7));
            BinaryPrimitives.WriteUInt64LittleEndian(to[at..], word);
            at += Word;
        }
        return at;
    }

    /// <summary>Unpacks an item into zeroed memory. Returns the bytes that were used of it.</summary>
    /// <exception cref="InvalidDataException">There are too few.</exception>
    public static int Unpack(ReadOnlySpan<byte> from, Span<byte> item)
    {
        int words = item.Length / Word, at = BitBytes(words);
        if (from.Length < at) throw new InvalidDataException("an item is cut short");
        for (int i = 0; i < words; i++)
        {
            if ((from[i >> 3] & (1 << (i & 7))) == 0) continue;
            if (from.Length - at < Word) throw new InvalidDataException("an item is cut short");
            from.Slice(at, Word).CopyTo(item[(i * Word)..]);
            at += Word;
        }
        return at;
    }

    private static int BitBytes(int words) => (words + 7) / 8;
}
