using System.Buffers;
using System.Runtime.InteropServices;
using Accel.Core.Memory;

namespace Accel.Inspect.Look;

/// <summary>Reads what a <see cref="LookTaker"/> wrote.</summary>
public static class LookReader
{
    private const int TextMax = 1 << 12, PackedMax = 1 << 24, HoldersMax = 1 << 12;

    private sealed record Region(RegionHeader Header, int[] Holders, SparseCopy Copy);

    /// <summary>Adds the stacks of a look to those that a machine has: one that it has stays as it is.</summary>
    /// <exception cref="InvalidDataException">It is no look, one of another build, or cut short.</exception>
    public static void AddTo(Machine machine, Stream from)
    {
        var regions = new List<Region>();
        try
        {
            using var reader = new BinaryReader(from, System.Text.Encoding.UTF8, leaveOpen: true);
            Span<byte> magic = stackalloc byte[8];
            reader.BaseStream.ReadExactly(magic);
            if (!magic.SequenceEqual(LookFormat.Magic)) throw new InvalidDataException("not a look");
            if (reader.ReadInt32() != LookFormat.Version || reader.ReadUInt64() != LayoutHash.Value)
                throw new InvalidDataException("it is of another build than this tool");
            long nowNs = reader.ReadInt64();
            var surroundings = new LookSurroundings();
            for (byte mark; (mark = reader.ReadByte()) != LookFormat.End;)
                Read(mark, reader, machine, surroundings, regions);
            foreach (Region region in regions)
                machine.AddForeign(region.Header, region.Copy, surroundings.Of(region.Holders), nowNs);
            regions.Clear();
        }
        catch (EndOfStreamException e)
        {
            throw new InvalidDataException("it is cut short", e);
        }
        finally
        {
            foreach (Region region in regions) region.Copy.Dispose();
        }
    }

    private static void Read(byte mark, BinaryReader reader, Machine machine, LookSurroundings surroundings,
        List<Region> regions)
    {
        switch (mark)
        {
            case LookFormat.Process:
                surroundings.Processes[reader.ReadInt32()] =
                    new(Text(reader), (char)reader.ReadUInt16(), reader.ReadInt64());
                break;
            case LookFormat.KernelSocket:
                surroundings.Inodes[(reader.ReadInt32(), reader.ReadInt32())] = Text(reader);
                break;
            case LookFormat.Note:
                machine.Refusals.Add(Text(reader));
                break;
            case LookFormat.Region:
                RegionHeader header = default;
                reader.BaseStream.ReadExactly(MemoryMarshal.AsBytes(new Span<RegionHeader>(ref header)));
                int[] holders = new int[Between(reader.ReadInt32(), HoldersMax)];
                for (int i = 0; i < holders.Length; i++) holders[i] = reader.ReadInt32();
                long bytes = Machine.TableBytes(header.Kind);
                if (bytes == 0) throw new InvalidDataException($"a region of kind {header.Kind}");
                Region region = new(header, holders, new SparseCopy(bytes));
                regions.Add(region);
                Fill(reader, region.Copy);
                break;
            default:
                throw new InvalidDataException($"mark {mark}");
        }
    }

    private static void Fill(BinaryReader reader, SparseCopy copy)
    {
        for (long offset; (offset = reader.ReadInt64()) != -1;)
        {
            int itemBytes = reader.ReadInt32(), count = reader.ReadInt32();
            int packed = Between(reader.ReadInt32(), PackedMax);
            if (itemBytes is <= 0 or > 1 << 16 || count < 0 || (long)itemBytes * count > int.MaxValue)
                throw new InvalidDataException("a run that cannot be");
            byte[] buffer = ArrayPool<byte>.Shared.Rent(packed);
            reader.BaseStream.ReadExactly(buffer, 0, packed);
            Span<byte> items = copy.Fill(offset, itemBytes * count);
            ReadOnlySpan<byte> rest = buffer.AsSpan(0, packed);
            for (int i = 0; i < count; i++)
                rest = rest[Packing.Unpack(rest, items.Slice(i * itemBytes, itemBytes))..];
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private static string Text(BinaryReader reader) => reader.ReadString() is { Length: <= TextMax } text
        ? RegionText.Clean(text) : throw new InvalidDataException("a text that cannot be");

    private static int Between(int value, int most) => value >= 0 && value <= most ? value
        : throw new InvalidDataException("it holds a number that cannot be");
}
