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
    private List<SocketView>? _sockets;

    public StackView(
        RegionHeader header, SparseCopy copy, Surroundings surroundings, long nowNs, bool isForeign = false)
    {
        Header = header;
        Copy = copy;
        Surroundings = surroundings;
        NowNs = nowNs;
        IsForeign = isForeign;
        Region = new StackRegion(copy.Address);
        Processes = [.. FindProcesses(surroundings)];
    }

    public SparseCopy Copy { get; }

    /// <summary>What is known of its processes and of the kernel's sockets.</summary>
    public Surroundings Surroundings { get; }

    /// <summary>CLOCK_MONOTONIC of the look at it, which deadlines in its regions are told by.</summary>
    public long NowNs { get; }

    /// <summary>Another user's, as acceld shows it: some fields are not there.</summary>
    public bool IsForeign { get; }

    /// <summary>How it was seen, in one word.</summary>
    public string Seen => IsForeign ? "acceld" : "own";

    public ulong Id => Header.Id;

    public RegionHeader Header { get; }

    public StackRegion Region { get; }

    public IReadOnlyList<ProcessView> Processes { get; }

    /// <summary>All sockets in use, with and without a descriptor, in the order of their descriptors.</summary>
    public IReadOnlyList<SocketView> Sockets() => _sockets ??= FindSockets();

    private List<SocketView> FindSockets()
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
        return machine.Local(Region.RegionAt((int)socket.Region - 1)->Id, Header.OwnerUid);
    }

    public void Dispose() => Copy.Dispose();

    private List<ProcessView> FindProcesses(Surroundings surroundings)
    {
        var found = new List<ProcessView>();
        for (int slot = 0; slot < StackRegion.MaxProcesses; slot++)
        {
            ProcessSlot* p = Region.ProcessAt(slot);
            if (p->State != ProcessSlot.Live) continue;
            (string? name, char state) = surroundings.Status(p->Pid);
            string said = RegionText.Of(p->Name, 64);
            found.Add(new(slot, p->Pid, name ?? (said.Length == 0 ? "?" : said),
                name is not null && state != 'Z', state is 'T' or 't'));
        }
        return found;
    }
}
