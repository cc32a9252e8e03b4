using Accel.Core.Capture;
using Accel.Inspect;
using Accel.Wire;

namespace Accel.Cli.Capture;

/// <summary>
/// Finds the stacks that are to be captured, also those that come later, and makes packets of what they tell.
/// </summary>
internal sealed class Pump(int? pid, string? link, CapturePaths paths, int snapLength) : IDisposable
{
    /// <summary>An ended connection is remembered so long, for what the other end's ring still tells of it.</summary>
    private const long RememberNs = 10_000_000_000;

    private readonly List<CaptureSource> _sources = [];
    private readonly Dictionary<(ulong, uint, uint), LocalFlow> _flows = [];
    private readonly List<(CaptureSource Source, CaptureRecord Record, byte[] Bytes)> _batch = [];
    private readonly byte[] _buffer = new byte[CaptureRing.MaxCaptured];
    private readonly SortedSet<string> _refusals = [];
    private readonly Lock _lock = new();
    private readonly RegionIndex _index = new();
    private ulong _lostOfOld;
    private ulong _damagedOfOld;

    public bool HasSource => _sources.Count > 0;

    public ulong Lost => _lostOfOld + _sources.Aggregate(0ul, (sum, s) => sum + s.Lost);

    public ulong Damaged => _damagedOfOld + _sources.Aggregate(0ul, (sum, s) => sum + s.Damaged);

    public IEnumerable<string> Refusals => _refusals;

    /// <summary>Takes the rings of stacks that are new, and leaves those that are over.</summary>
    public void FindStacks()
    {
        foreach (string folder in Directory.EnumerateDirectories("/proc"))
        {
            if (!int.TryParse(Path.GetFileName(folder), out int process) || (pid is { } wanted && process != wanted))
                continue;
            foreach (RegionFile file in _index.Of(process, _refusals, Environment.TickCount64))
            {
                if (file.Header.Kind != Core.Memory.RegionKind.Stack || _sources.Any(s => s.Id == file.Header.Id))
                    continue;
                if (CaptureSource.TryTake(file, paths, snapLength, out string? refusal) is { } source)
                    lock (_lock) _sources.Add(source);
                else
                    _refusals.Add($"the stack of process {process}: {refusal}");
            }
        }
        foreach (CaptureSource source in _sources) source.LookForLife();
    }

    /// <summary>Called from a thread of its own.</summary>
    public void KeepAlive()
    {
        lock (_lock)
            foreach (CaptureSource source in _sources) source.KeepAlive();
    }

    /// <summary>What the stacks have told since, in the order of time. True if there was anything.</summary>
    public bool Read(List<Packet> packets)
    {
        foreach (CaptureSource source in _sources)
            source.Read(_buffer, (from, in record, bytes) => _batch.Add((from, record, bytes.ToArray())));
        bool found = _batch.Count > 0;
        Leave();
        _batch.Sort((a, b) => a.Record.WallNs != b.Record.WallNs ? a.Record.WallNs.CompareTo(b.Record.WallNs)
            : a.Record.Position.CompareTo(b.Record.Position));
        // Who sends on a flow is known before the frame is written that it answers.
        foreach ((CaptureSource source, CaptureRecord record, byte[] bytes) in _batch)
        {
            if (record.Kind == CaptureKind.Frame)
                source.Nic.Learn(in record, bytes);
            else if (record.Socket != 0 && !FlowOf(in record).IsNamed(OwnSide(in record)))
                Name(source, in record);
        }
        foreach ((CaptureSource source, CaptureRecord record, byte[] bytes) in _batch)
        {
            if (record.Kind == CaptureKind.Frame)
                AddFrame(source, in record, bytes, packets);
            else if (pid is null || record.Pid == pid)
            {
                // Of processes that share a socket, each is named with what it moved.
                if (record.Socket != 0) Name(source, in record);
                FlowOf(in record).Add(in record, bytes, packets);
            }
        }
        _batch.Clear();
        return found;
    }

    private void Name(CaptureSource source, in CaptureRecord record) =>
        FlowOf(in record).Name(OwnSide(in record), source.Owner(record.Pid, record.Descriptor));

    /// <summary>Forgets connections that have ended.</summary>
    public void Forget(long wallNs)
    {
        foreach (var key in _flows.Where(f => f.Value.HasEnded && wallNs - f.Value.LastNs > RememberNs)
            .Select(f => f.Key).ToArray())
            _flows.Remove(key);
    }

    public void Dispose()
    {
        lock (_lock)
        {
            foreach (CaptureSource source in _sources)
            {
                _lostOfOld += source.Lost;
                _damagedOfOld += source.Damaged;
                source.Dispose();
            }
            _sources.Clear();
        }
    }

    private void Leave()
    {
        foreach (CaptureSource source in _sources.Where(s => s.IsOver || s.IsTaken).ToArray())
        {
            if (source.IsTaken) _refusals.Add("another capture has taken over a stack while this one was stopped");
            _lostOfOld += source.Lost;
            _damagedOfOld += source.Damaged;
            lock (_lock) _sources.Remove(source);
            source.Dispose();
        }
    }

    private LocalFlow FlowOf(in CaptureRecord record)
    {
        var key = (record.Region, record.Conn, record.Generation);
        if (!_flows.TryGetValue(key, out LocalFlow? flow)) _flows[key] = flow = new LocalFlow(in record);
        return flow;
    }

    /// <summary>The end that the process has which wrote the record.</summary>
    private static int OwnSide(in CaptureRecord record)
    {
        bool own = record.Outgoing != 0 || record.Kind == CaptureKind.Open;
        return own ? record.Side & 1 : 1 - (record.Side & 1);
    }

    private void AddFrame(CaptureSource source, in CaptureRecord record, byte[] bytes, List<Packet> packets)
    {
        (int owner, int descriptor) = source.Nic.OwnerOf(in record, bytes);
        if (pid is { } wanted && owner != 0 && owner != wanted) return;
        string name = source.NameOfLink(record.Link) ?? $"link{record.Link}";
        if (link != null && link != name) return;
        bool sent = record.Outgoing != 0;
        if (record.SegmentSize != 0 && record.Captured == record.Bytes) FillChecksum(bytes);
        string who = owner == 0 ? "?" : source.Owner(owner, descriptor);
        string super = record.SegmentSize == 0 ? "" : $" super-frame of {record.SegmentSize} byte segments";
        packets.Add(new(record.WallNs, name, sent ? Direction.Out : Direction.In, bytes, (int)record.Bytes,
            $"nic {(sent ? "out" : "in")} {who}{super}"));
    }

    /// <summary>A super-frame leaves with the pseudo header's sum, which whoever cuts it up completes.</summary>
    private static void FillChecksum(Span<byte> frame)
    {
        if (!EthernetView.TryParse(frame, out EthernetView ethernet)) return;
        int at = frame.Length - ethernet.Payload.Length;
        uint sum;
        if (ethernet.EtherType == EtherType.Ipv4 && Ipv4View.TryParse(ethernet.Payload, out Ipv4View v4))
        {
            at += ethernet.Payload.Length - v4.Payload.Length;
            sum = v4.PseudoSum;
        }
        else if (ethernet.EtherType == EtherType.Ipv6 && Ipv6View.TryParse(ethernet.Payload, out Ipv6View v6))
        {
            at += ethernet.Payload.Length - v6.Payload.Length;
            sum = v6.PseudoSum(IpProtocol.Tcp, v6.Payload.Length);
        }
        else
            return;
        Span<byte> tcp = frame[at..];
        if (tcp.Length < TcpHeader.MinLength) return;
        TcpHeader.SetChecksum(tcp, 0);
        TcpHeader.SetChecksum(tcp, Checksum.Fold(Checksum.Add(tcp, sum)));
    }
}
