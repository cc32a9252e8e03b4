using System.Runtime.InteropServices;
using Accel.Core.Memory;
using Accel.Core.Tcp;

namespace Accel.Testing;

/// <summary>A pool of segment records, as a stack has in its region; several hosts may share one.</summary>
public sealed unsafe class RecordMemory : IDisposable
{
    readonly SegmentRecord* _records;
    readonly FreeList* _list;

    public RecordMemory(uint capacity)
    {
        _records = (SegmentRecord*)NativeMemory.AllocZeroed(capacity, (nuint)sizeof(SegmentRecord));
        _list = (FreeList*)NativeMemory.AllocZeroed((nuint)sizeof(FreeList));
        _list->Capacity = capacity;
    }

    public SegmentPool Pool => new(_records, _list);

    public int InUse => _list->InUse;

    public void Dispose()
    {
        NativeMemory.Free(_records);
        NativeMemory.Free(_list);
    }
}
