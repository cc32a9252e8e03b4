using Accel.Core.Memory;

namespace Accel.Core.Tcp;

/// <summary>
/// The records of what all connections of a stack have in flight. Used under the engine's lock only, so its free list
/// needs no atomic step. The last eighth is kept for connections that have no record yet, and for splits that a
/// retransmission needs: nobody stands still because others have much in flight.
/// </summary>
public readonly unsafe struct SegmentPool(SegmentRecord* records, FreeList* list)
{
    private readonly SegmentRecord* _records = records;
    private readonly FreeList* _list = list;

    /// <summary>The record of a link (number plus one). Undefined for 0.</summary>
    public ref SegmentRecord this[uint link] => ref _records[link - 1];

    public uint Capacity => _list->Capacity;

    public uint Free => _list->Capacity - (uint)_list->InUse;

    /// <summary>True if a record can be had that is not one of the last eighth.</summary>
    public bool HasPlenty => Free > Capacity >> 3;

    /// <summary>Takes a record: its link, or 0 if there is none.</summary>
    public uint Take(bool urgent)
    {
        if (!urgent && !HasPlenty)
        {
            _list->Refused++;
            return 0;
        }
        uint link = (uint)_list->Head;
        if (link != 0)
            _list->Head = this[link].Next;
        else if (_list->Bumped < _list->Capacity)
            link = ++_list->Bumped;
        else
        {
            _list->Refused++;
            return 0;
        }
        _list->InUse++;
        return link;
    }

    public void Give(uint link)
    {
        this[link].Next = (uint)_list->Head;
        _list->Head = link;
        _list->InUse--;
    }
}
