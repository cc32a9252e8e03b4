using System.Runtime.InteropServices;
using Accel.Core.Memory;
using Accel.Core.Stack;
using Microsoft.Win32.SafeHandles;

namespace Accel.Inspect.Look;

/// <summary>Writes what its tables let through of a region, whose file may change or end at any time.</summary>
internal sealed class RegionWriter(BinaryWriter to, LookBudget budget)
{
    private const int ChunkBytes = 1 << 18, MostHolders = StackRegion.MaxProcesses;

    private readonly byte[] _chunk = new byte[ChunkBytes];
    private readonly byte[] _packed = new byte[2 * ChunkBytes];

    private readonly record struct Slot(int Index, int Pid, int Descriptors);

    /// <summary>Whoever holds a stack that was written.</summary>
    public SortedSet<int> Processes { get; } = [];

    public void Write(RegionHeader header, SafeFileHandle file, SortedSet<int> holders)
    {
        to.Write(LookFormat.Region);
        to.Write(Shown(header));
        int[] named = [.. holders.Take(MostHolders)];
        to.Write(named.Length);
        foreach (int pid in named) to.Write(pid);
        byte[] head = new byte[Table.HeadBytes];
        RandomAccess.Read(file, head, 0);
        var slots = new List<Slot>();
        var onKernel = new HashSet<int>();
        foreach (Table table in Tables.Of(header.Kind))
        {
            long used = Math.Clamp(table.Used?.Invoke(head) ?? table.Most, 0, table.Most);
            Write(table, used, file, (index, item) => Note(header.Kind, table, index, item, slots, onKernel));
        }
        // A slot may name any process: only those that hold the region are its own.
        slots.RemoveAll(s => !named.Contains(s.Pid));
        var kernel = new Dictionary<int, (int Pid, int Descriptor)>();
        foreach (Slot slot in slots)
        {
            Write(Tables.Descriptors(slot.Index, slot.Descriptors), long.MaxValue, file,
                (index, item) => NoteDescriptors(slot, index, item, onKernel, kernel));
        }
        to.Write(-1L);
        if (header.Kind == RegionKind.Stack) Processes.UnionWith(named);
        WriteKernelSockets(kernel.Values);
    }

    private static ReadOnlySpan<byte> Shown(RegionHeader header)
    {
        Span<ulong> words = MemoryMarshal.Cast<RegionHeader, ulong>(new Span<RegionHeader>(ref header));
        for (int i = 0; i < words.Length; i++) words[i] &= Tables.Header[i];
        return MemoryMarshal.AsBytes(words).ToArray();
    }

    private void Write(Table table, long used, SafeFileHandle file, Action<long, ReadOnlyMemory<byte>> note)
    {
        long count = Math.Min(used, table.Most);
        int words = table.ItemBytes / Packing.Word, perChunk = ChunkBytes / Packing.Most(words);
        for (long next = 0; next < count && budget.GoesOn();)
        {
            // Nothing is there in most tables from some item on, and the reading of nothing costs too.
            long data = FileData.Next(file, table.Offset + next * table.ItemBytes);
            if (data < 0 || (data - table.Offset) / table.ItemBytes >= count) return;
            next = Math.Max(next, (data - table.Offset) / table.ItemBytes);
            int items = (int)Math.Min(count - next, perChunk), bytes = items * table.ItemBytes;
            Array.Clear(_chunk, 0, bytes);
            RandomAccess.Read(file, _chunk.AsSpan(0, bytes), table.Offset + next * table.ItemBytes);
            int packed = 0;
            for (int i = 0; i < items; i++)
            {
                Memory<byte> item = _chunk.AsMemory(i * table.ItemBytes, table.ItemBytes);
                if (table.Has?.Invoke(item.Span) == false) item.Span.Clear();
                else note(next + i, item);
                Recast(table, item.Span);
                packed += Packing.Pack(MemoryMarshal.Cast<byte, ulong>(item.Span), table.Mask, _packed.AsSpan(packed));
            }
            to.Write(table.Offset + next * table.ItemBytes);
            to.Write(table.ItemBytes);
            to.Write(items);
            to.Write(packed);
            to.Write(_packed.AsSpan(0, packed));
            budget.Take(packed);
            next += items;
        }
    }

    private static unsafe void Recast(Table table, Span<byte> item)
    {
        if (table.Recast is null) return;
        fixed (byte* bytes = item) table.Recast((nint)bytes);
    }

    private static void Note(RegionKind kind, Table table, long index, ReadOnlyMemory<byte> item, List<Slot> slots,
        HashSet<int> onKernel)
    {
        if (kind != RegionKind.Stack) return;
        if (Tables.IsOf<ProcessSlot>(table))
        {
            ProcessSlot slot = Tables.As<ProcessSlot>(item.Span);
            slots.Add(new((int)index, slot.Pid, slot.HighestDescriptor));
        }
        else if (Tables.IsOf<Socket>(table) && Tables.As<Socket>(item.Span).State == (uint)SocketState.Kernel)
            onKernel.Add((int)index);
    }

    /// <summary>Of a socket that the kernel has, the descriptor by which it is found in the kernel's table.</summary>
    private static void NoteDescriptors(Slot slot, long index, ReadOnlyMemory<byte> item, HashSet<int> onKernel,
        Dictionary<int, (int Pid, int Descriptor)> kernel)
    {
        ReadOnlySpan<uint> entries = MemoryMarshal.Cast<byte, uint>(item.Span);
        for (int i = 0; i < entries.Length; i++)
        {
            uint entry = entries[i];
            if (DescriptorEntry.Kind(entry) != DescriptorEntry.KindSocket) continue;
            int socket = DescriptorEntry.Index(entry);
            if ((entry & DescriptorEntry.OnKernel) != 0 || onKernel.Contains(socket))
                kernel.TryAdd(socket, (slot.Pid, (int)index * entries.Length + i));
        }
    }

    private void WriteKernelSockets(IEnumerable<(int Pid, int Descriptor)> sockets)
    {
        foreach ((int pid, int descriptor) in sockets)
        {
            if (!budget.GoesOn()) return;
            if (ProcLink.Socket(pid, descriptor) is not { } inode) continue;
            to.Write(LookFormat.KernelSocket);
            to.Write(pid);
            to.Write(descriptor);
            to.Write(inode);
            budget.Take(32);
        }
    }
}
