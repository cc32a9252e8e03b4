using System.IO.Compression;
using System.Runtime.InteropServices;
using Accel.Core.Memory;
using Accel.Core.Nic;

namespace Accel.Inspect;

/// <summary>
/// A look at stacks in a file: the tables of their regions, what the processes were doing, the kernel's sockets. No
/// payload is in it, and no key by which connections could be forged, so that it can be sent to somebody.
/// </summary>
public static unsafe class SavedLook
{
    private const int Version = 1, PieceMax = 1 << 20, CountMax = 1 << 20;

    private static ReadOnlySpan<byte> Magic => "ACCELDMP"u8;

    /// <summary>Saves the given stacks, and what they share with their neighbours.</summary>
    public static void Save(Machine machine, IReadOnlyCollection<StackView> stacks, Stream to)
    {
        to.Write(Magic);
        using var zip = new GZipStream(to, CompressionLevel.Fastest, leaveOpen: true);
        using var writer = new BinaryWriter(zip);
        writer.Write(Version);
        writer.Write(machine.NowNs);
        NicView[] nics = [.. stacks.Select(machine.Nic).OfType<NicView>()];
        foreach (NicView nic in nics) ForgetKeys(nic.Region.Tables);
        WriteProcesses(stacks, writer);
        WriteKernelSockets(stacks, writer);
        writer.Write(stacks.Count + nics.Length + machine.Locals.Count);
        foreach (StackView stack in stacks) Write(writer, stack.Header, stack.Copy);
        foreach (NicView nic in nics) Write(writer, nic.Header, nic.Copy);
        foreach (LocalView local in machine.Locals) Write(writer, local.Header, local.Copy);
        writer.Write(machine.Refusals.Count);
        foreach (string refusal in machine.Refusals) writer.Write(refusal);
    }

    /// <exception cref="InvalidDataException">The file holds no look, or one of another build.</exception>
    public static Machine Load(Stream from)
    {
        Span<byte> magic = stackalloc byte[8];
        if (from.ReadAtLeast(magic, magic.Length, throwOnEndOfStream: false) != magic.Length
            || !magic.SequenceEqual(Magic))
            throw new InvalidDataException("not a file that `stackdump save` wrote");
        Machine? machine = null;
        try
        {
            using var zip = new GZipStream(from, CompressionMode.Decompress, leaveOpen: true);
            using var reader = new BinaryReader(zip);
            if (reader.ReadInt32() is var version && version != Version)
                throw new InvalidDataException($"version {version} of the format, this build reads {Version}");
            long nowNs = reader.ReadInt64();
            var surroundings = new SavedSurroundings();
            for (int i = Count(reader); i > 0; i--)
                surroundings.Processes[reader.ReadInt32()] = (reader.ReadString(), (char)reader.ReadUInt16());
            for (int i = Count(reader); i > 0; i--)
            {
                (int, int) key = (reader.ReadInt32(), reader.ReadInt32());
                surroundings.Sockets[key] = new(reader.ReadString(), reader.ReadString(), reader.ReadString(),
                    reader.ReadInt64(), reader.ReadInt64());
            }
            machine = new Machine { NowNs = nowNs, Surroundings = surroundings };
            for (int i = Count(reader); i > 0; i--) ReadRegion(reader, machine);
            for (int i = Count(reader); i > 0; i--) machine.Refusals.Add(reader.ReadString());
            machine.Sort();
            return machine;
        }
        catch (Exception e) when (e is EndOfStreamException or InvalidDataException or FormatException)
        {
            machine?.Dispose();
            throw new InvalidDataException(e is EndOfStreamException ? "the file is cut short" : e.Message, e);
        }
    }

    private static void WriteProcesses(IReadOnlyCollection<StackView> stacks, BinaryWriter writer)
    {
        var processes = new List<(int Pid, string Name, char State)>();
        foreach ((int pid, StackView stack) in stacks.SelectMany(s => s.Processes.Select(p => (p.Pid, s)))
            .DistinctBy(p => p.Pid))
            if (stack.Surroundings.Status(pid) is ({ } name, var state)) processes.Add((pid, name, state));
        writer.Write(processes.Count);
        foreach ((int pid, string name, char state) in processes)
        {
            writer.Write(pid);
            writer.Write(name);
            writer.Write((ushort)state);
        }
    }

    private static void WriteKernelSockets(IReadOnlyCollection<StackView> stacks, BinaryWriter writer)
    {
        var sockets = new Dictionary<(int Pid, int Descriptor), KernelSocket>();
        foreach ((Holder holder, StackView stack) in stacks.SelectMany(s => s.Sockets())
            .SelectMany(s => s.Holders.Select(h => (h, s.Stack))))
        {
            if (stack.Surroundings.Kernel(holder.Process.Pid, holder.Descriptor) is { } found)
                sockets[(holder.Process.Pid, holder.Descriptor)] = found;
        }
        writer.Write(sockets.Count);
        foreach (((int pid, int descriptor), KernelSocket socket) in sockets)
        {
            writer.Write(pid);
            writer.Write(descriptor);
            writer.Write(socket.State);
            writer.Write(socket.Local);
            writer.Write(socket.Remote);
            writer.Write(socket.ReceiveQueue);
            writer.Write(socket.SendQueue);
        }
    }

    private static void Write(BinaryWriter writer, RegionHeader header, SparseCopy copy)
    {
        writer.Write(MemoryMarshal.AsBytes(new ReadOnlySpan<RegionHeader>(in header)));
        writer.Write(copy.Runs.Sum(r => (int)((r.Bytes + PieceMax - 1) / PieceMax)));
        foreach ((long start, long bytes) in copy.Runs)
        {
            for (long at = 0; at < bytes; at += PieceMax)
            {
                int piece = (int)Math.Min(PieceMax, bytes - at);
                writer.Write(start + at);
                writer.Write(piece);
                writer.Write(new ReadOnlySpan<byte>(copy.Address + start + at, piece));
            }
        }
    }

    private static void ReadRegion(BinaryReader reader, Machine machine)
    {
        RegionHeader header = default;
        Span<byte> bytes = MemoryMarshal.AsBytes(new Span<RegionHeader>(ref header));
        reader.BaseStream.ReadExactly(bytes);
        if (Machine.TableBytes(header.Kind) == 0)
            throw new InvalidDataException($"a region of kind {header.Kind}");
        if (RegionHeader.Refusal(header, header.Kind, LayoutHash.Value) is { } refusal)
            throw new InvalidDataException($"saved by another build: {refusal}");
        var copy = new SparseCopy(Machine.TableBytes(header.Kind));
        try
        {
            for (int i = Count(reader); i > 0; i--)
            {
                long start = reader.ReadInt64();
                reader.BaseStream.ReadExactly(copy.Fill(start, reader.ReadInt32()));
            }
            machine.Add(header, copy);
        }
        catch
        {
            copy.Dispose();
            throw;
        }
    }

    private static int Count(BinaryReader reader) => reader.ReadInt32() is var count and >= 0 and <= CountMax ? count
        : throw new InvalidDataException("it holds a number that cannot be");

    private static void ForgetKeys(NicTables* tables)
    {
        tables->HashKey = 0;
        tables->Settings.SequenceKey0 = tables->Settings.SequenceKey1 = 0;
        tables->Settings.CookieKey0 = tables->Settings.CookieKey1 = 0;
    }
}
