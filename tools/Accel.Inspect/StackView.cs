using System.Text;
using Accel.Core.Memory;
using Accel.Core.Stack;

namespace Accel.Inspect;

/// <summary>A process of a stack, as its slot says and /proc confirms.</summary>
public sealed record ProcessView(int Slot, int Pid, string Name, bool Alive, bool Stopped);

/// <summary>A descriptor that refers to a socket of the stack.</summary>
public readonly record struct Holder(ProcessView Process, int Descriptor, bool OnKernel);

/// <summary>A socket of a stack with all that hold it.</summary>
public sealed record SocketView(StackView Stack, int Index, IReadOnlyList<Holder> Holders);

/// <summary>A copy of one stack's region.</summary>
public sealed unsafe class StackView : IDisposable
{
    private readonly SparseCopy _copy;

    public StackView(RegionFile file)
    {
        Header = file.Header;
        _copy = file.Copy(StackRegion.SizeBytes);
        Region = new StackRegion(_copy.Address);
        Processes = [.. FindProcesses()];
    }

    public ulong Id => Header.Id;

    public RegionHeader Header { get; }

    public StackRegion Region { get; }

    public IReadOnlyList<ProcessView> Processes { get; }

    /// <summary>All sockets in use, with and without a descriptor, in the order of their descriptors.</summary>
    public List<SocketView> Sockets()
    {
        var holders = new Dictionary<int, List<Holder>>();
        foreach (ProcessView process in Processes)
        {
            uint* table = Region.DescriptorsOf(process.Slot);
            int end = Math.Clamp(Region.ProcessAt(process.Slot)->HighestDescriptor, 0, StackRegion.MaxDescriptors);
            for (int fd = 0; fd < end; fd++)
            {
                uint entry = table[fd];
                int index = DescriptorEntry.Index(entry);
                if (DescriptorEntry.Kind(entry) != DescriptorEntry.KindSocket
                    || index >= StackRegion.MaxSockets)
                    continue;
                if (!holders.TryGetValue(index, out List<Holder>? list)) holders[index] = list = [];
                list.Add(new(process, fd, (entry & DescriptorEntry.OnKernel) != 0));
            }
        }
        var sockets = new List<SocketView>();
        uint used = Math.Min(Region.Tables->Sockets.Bumped, StackRegion.MaxSockets);
        for (int i = 0; i < used; i++)
        {
            if (Region.SocketAt(i)->State == (uint)SocketState.Free) continue;
            sockets.Add(new(this, i, holders.GetValueOrDefault(i) ?? []));
        }
        return [.. sockets.OrderBy(s => s.Holders.Count == 0 ? int.MaxValue : s.Holders[0].Process.Pid)
            .ThenBy(s => s.Holders.Count == 0 ? s.Index : s.Holders[0].Descriptor)];
    }

    /// <summary>
    /// The local region that a socket's connection or listener lies in, or null if it can no longer be reached.
    /// </summary>
    public LocalView? RegionOf(Machine machine, in Socket socket)
    {
        if (socket.Region == 0 || socket.Region > StackRegion.MaxRegions) return null;
        return machine.Local(Region.RegionAt((int)socket.Region - 1)->Id);
    }

    public void Dispose() => _copy.Dispose();

    private List<ProcessView> FindProcesses()
    {
        var found = new List<ProcessView>();
        for (int slot = 0; slot < StackRegion.MaxProcesses; slot++)
        {
            ProcessSlot* p = Region.ProcessAt(slot);
            if (p->State != ProcessSlot.Live) continue;
            (string? name, char state) = Status(p->Pid);
            string said = Text(p->Name, 64);
            bool isAlive = name is not null && state != 'Z';
            found.Add(new(slot, p->Pid, name ?? (said.Length == 0 ? "?" : said), isAlive, state is 'T' or 't'));
        }
        return found;
    }

    private static (string? Name, char State) Status(int pid)
    {
        try
        {
            string stat = File.ReadAllText($"/proc/{pid}/stat");
            int open = stat.IndexOf('(', StringComparison.Ordinal), close = stat.LastIndexOf(')');
            return (stat[(open + 1)..close], stat[close + 2]);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return (null, ' ');
        }
    }

    private static string Text(byte* bytes, int max)
    {
        int length = new ReadOnlySpan<byte>(bytes, max).IndexOf((byte)0);
        string text = Encoding.UTF8.GetString(bytes, length < 0 ? max : length);
        // It goes to terminals, and whoever owns the region may have written anything.
        return string.Concat(text.Select(c => char.IsControl(c) ? '?' : c));
    }
}
