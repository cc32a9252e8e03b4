using System.Diagnostics;
using System.Globalization;
using System.IO.MemoryMappedFiles;
using System.Runtime.InteropServices;
using System.Text;
using Accel.Core.Capture;
using Accel.Core.Stack;
using Accel.Inspect;

namespace Accel.Cli.Capture;

/// <summary>
/// The capture ring of one stack, taken by this process: from <see cref="TryTake"/> to <see cref="Dispose"/> the
/// stack's processes copy their packets into it.
/// </summary>
internal sealed unsafe partial class CaptureSource : IDisposable
{
    private const long StuckNs = 1_000_000_000;
    private const int AdviceRemove = 9;

    private readonly MemoryMappedFile _file;
    private readonly MemoryMappedViewAccessor _view;
    private readonly StackRegion _region;
    private readonly CaptureControl* _control;
    private readonly Dictionary<int, string> _names = [];
    private uint _paths;
    private ulong _session;
    private ulong _lostBefore;
    private ulong _stuckTail;
    private long _stuckSinceNs;

    private CaptureSource(RegionFile file, MemoryMappedFile mapped, MemoryMappedViewAccessor view)
    {
        _file = mapped;
        _view = view;
        byte* address = null;
        view.SafeMemoryMappedViewHandle.AcquirePointer(ref address);
        _region = new StackRegion(address);
        _control = _region.Capture.Control;
        Id = file.Header.Id;
        Nic = new NicFlows(this);
    }

    public ulong Id { get; }

    /// <summary>Whose the connections of the stack's network path are.</summary>
    public NicFlows Nic { get; }

    /// <summary>Records that the stack could not write, or that were not understood.</summary>
    public ulong Lost => _control->LostFull + _control->LostBusy - _lostBefore + Damaged;

    /// <summary>Times that what lay in the ring made no sense.</summary>
    public ulong Damaged { get; private set; }

    /// <summary>Every process of it has gone: nothing more will come.</summary>
    public bool IsOver { get; private set; }

    /// <summary>Another reader has taken the ring, which it may if this one was stopped for long.</summary>
    public bool IsTaken => Volatile.Read(ref _control->Session) != _session;

    public static CaptureSource? TryTake(RegionFile file, CapturePaths paths, int snapLength, out string? refusal)
    {
        try
        {
            using FileStream stream = new(string.Create(CultureInfo.InvariantCulture,
                $"/proc/{file.Pid}/fd/{file.Descriptor}"), FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);
            if (stream.Length < StackRegion.SizeBytes)
            {
                refusal = "its region is too short";
                return null;
            }
            var mapped = MemoryMappedFile.CreateFromFile(stream, null, 0, MemoryMappedFileAccess.ReadWrite,
                HandleInheritability.None, leaveOpen: true);
            CaptureSource source = new(file, mapped, mapped.CreateViewAccessor());
            refusal = source.Take(paths, snapLength);
            if (refusal == null) return source;
            source.Unmap();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            refusal = e.Message;
        }
        return null;
    }

    /// <summary>Tells writers that somebody reads. From a thread of its own: the reader may wait for its output.
    /// </summary>
    public void KeepAlive()
    {
        if (!IsTaken) Volatile.Write(ref _control->ReaderSeenNs, Stopwatch.GetTimestamp());
    }

    /// <summary>Takes what is there: calls back for each record. False if there was nothing.</summary>
    public bool Read(byte[] bytes, RecordAction action)
    {
        if (IsTaken) return false;
        if (Volatile.Read(ref _region.Tables->Capturing) != _paths)
            Volatile.Write(ref _region.Tables->Capturing, _paths); // switched off while this process was stopped
        ulong tail = Volatile.Read(ref _control->Tail), head = _control->Head;
        if (tail - head > CaptureRing.DataBytes)
        {
            Damaged++;
            head = tail;
        }
        bool found = head != tail;
        while (head != tail)
        {
            uint length = _region.Capture.Read(head, tail, out CaptureRecord record, bytes);
            if (length == 0)
            {
                Damaged++;
                head = tail;
                break;
            }
            action(this, in record, bytes.AsSpan(0, (int)record.Captured));
            head += length;
            Volatile.Write(ref _control->Head, head);
        }
        Volatile.Write(ref _control->Head, head);
        HealLock(tail);
        return found;
    }

    /// <summary>Looks whether a process of the stack lives.</summary>
    public void LookForLife()
    {
        for (int i = 0; i < StackRegion.MaxProcesses; i++)
        {
            ProcessSlot* slot = _region.ProcessAt(i);
            if (slot->State == ProcessSlot.Live && Directory.Exists($"/proc/{slot->Pid}")) return;
        }
        IsOver = true;
    }

    /// <summary>A process's name, with a descriptor if there is one: "redis-server(123) fd 7".</summary>
    public string Owner(int pid, int descriptor)
    {
        if (!_names.TryGetValue(pid, out string? name)) _names[pid] = name = NameOf(pid);
        return descriptor < 0 ? $"{name}({pid})" : $"{name}({pid}) fd {descriptor}";
    }

    /// <summary>A link's name; the region of the network path says it, and is opened once.</summary>
    public string? NameOfLink(int link) => Nic.LinkName(link);

    /// <summary>Switches the capture off and gives the ring's memory back.</summary>
    public void Dispose()
    {
        if (!IsTaken)
        {
            Volatile.Write(ref _region.Tables->Capturing, 0);
            Volatile.Write(ref _control->ReaderSeenNs, 0);
            _ = Advise(_region.Capture.Data, CaptureRing.DataBytes, AdviceRemove);
        }
        Unmap();
    }

    private string? Take(CapturePaths paths, int snapLength)
    {
        ulong session = Volatile.Read(ref _control->Session);
        long now = Stopwatch.GetTimestamp();
        if (_region.Tables->Capturing != 0 && !_region.Capture.IsAbandoned(now))
            return $"captured by process {_control->ReaderPid} already";
        if (Interlocked.CompareExchange(ref _control->Session, session + 1, session) != session)
            return "another capture of it has just begun";
        _session = session + 1;
        _paths = (uint)paths;
        _control->ReaderPid = Environment.ProcessId;
        _control->SnapLength = (uint)snapLength;
        _lostBefore = _control->LostFull + _control->LostBusy;
        Volatile.Write(ref _control->Head, Volatile.Read(ref _control->Tail));
        Volatile.Write(ref _control->ReaderSeenNs, now);
        Volatile.Write(ref _region.Tables->Capturing, _paths);
        return null;
    }

    /// <summary>A thread that another thread's exec() ended may have left the lock to its process for ever.</summary>
    private void HealLock(ulong tail)
    {
        int holder = Volatile.Read(ref _control->Lock);
        long now = Stopwatch.GetTimestamp();
        if (holder == 0 || tail != _stuckTail)
        {
            _stuckTail = tail;
            _stuckSinceNs = now;
        }
        else if (now - _stuckSinceNs > StuckNs && !IsStopped(holder))
            Interlocked.CompareExchange(ref _control->Lock, 0, holder);
    }

    private static bool IsStopped(int pid) => ProcessState(pid) is 'T' or 't';

    private static char ProcessState(int pid)
    {
        try
        {
            string stat = File.ReadAllText($"/proc/{pid}/stat");
            return stat[stat.LastIndexOf(')') + 2];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return ' ';
        }
    }

    private string NameOf(int pid)
    {
        try
        {
            return File.ReadAllText($"/proc/{pid}/comm").Trim();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            for (int i = 0; i < StackRegion.MaxProcesses; i++)
            {
                ProcessSlot* slot = _region.ProcessAt(i);
                if (slot->Pid != pid) continue;
                ReadOnlySpan<byte> name = new(slot->Name, 64);
                int end = name.IndexOf((byte)0);
                return Encoding.UTF8.GetString(end < 0 ? name : name[..end]);
            }
            return "?";
        }
    }

    private void Unmap()
    {
        _view.SafeMemoryMappedViewHandle.ReleasePointer();
        _view.Dispose();
        _file.Dispose();
    }

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int Advise(byte* address, nuint length, int advice);

    public delegate void RecordAction(CaptureSource source, in CaptureRecord record, ReadOnlySpan<byte> bytes);
}
