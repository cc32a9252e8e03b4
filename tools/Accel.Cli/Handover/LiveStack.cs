using System.IO.MemoryMappedFiles;
using Accel.Core.Handover;
using Accel.Core.Memory;
using Accel.Core.Stack;

namespace Accel.Cli.Handover;

/// <summary>The stack of a running process, mapped to be written to: one word of it is a request.</summary>
internal sealed unsafe class LiveStack : IDisposable
{
    private const string Name = "/memfd:accel-stack (deleted)";

    private readonly MemoryMappedFile _file;
    private readonly MemoryMappedViewAccessor _view;
    private readonly StackRegion _region;
    private readonly ProcessSlot* _slot;

    private LiveStack(MemoryMappedFile file, MemoryMappedViewAccessor view, StackRegion region, ProcessSlot* slot)
    {
        _file = file;
        _view = view;
        _region = region;
        _slot = slot;
    }

    public bool IsDone => Volatile.Read(ref _slot->HandoverWanted) == 0;

    public HandoverRefusal LastRefusal => (HandoverRefusal)_region.Tables->HandoverRefusal;

    public static LiveStack? Of(int pid, out string? why)
    {
        why = "no stack (not accelerated, no socket yet, or not yours)";
        try
        {
            foreach (string path in Directory.GetFileSystemEntries($"/proc/{pid}/fd"))
            {
                if (new FileInfo(path).LinkTarget == Name && Map(path, pid, ref why) is { } stack)
                    return stack;
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            why = e.Message;
        }
        return null;
    }

    private static LiveStack? Map(string path, int pid, ref string? why)
    {
        using FileStream stream = new(path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);
        MemoryMappedFile file = MemoryMappedFile.CreateFromFile(stream, null, 0, MemoryMappedFileAccess.ReadWrite,
            HandleInheritability.None, leaveOpen: true);
        MemoryMappedViewAccessor view = file.CreateViewAccessor();
        byte* address = null;
        view.SafeMemoryMappedViewHandle.AcquirePointer(ref address);
        StackRegion region = new(address);
        why = RegionHeader.Refusal(*(RegionHeader*)address, RegionKind.Stack, LayoutHash.Value);
        for (int i = 0; why == null && i < StackRegion.MaxProcesses; i++)
        {
            ProcessSlot* slot = region.ProcessAt(i);
            if (slot->State == ProcessSlot.Live && slot->Pid == pid)
                return new LiveStack(file, view, region, slot);
        }
        why ??= "it has left its stack";
        view.Dispose();
        file.Dispose();
        return null;
    }

    /// <summary>One descriptor, or all of them (-1).</summary>
    public void Ask(int descriptor)
    {
        Volatile.Write(ref _slot->HandoverWanted,
            descriptor < 0 ? ProcessSlot.AllDescriptors : descriptor + 1);
        Interlocked.Increment(ref _region.Tables->Handovers);
    }

    public long Count(Counter counter)
    {
        long sum = 0;
        for (int i = 0; i < CounterShard.Shards; i++)
            sum += _region.ShardAt(i)->Values[(int)counter];
        return sum;
    }

    public void Dispose()
    {
        _view.SafeMemoryMappedViewHandle.ReleasePointer();
        _view.Dispose();
        _file.Dispose();
    }
}
