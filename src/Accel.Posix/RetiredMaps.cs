using System.Runtime.InteropServices;
using Accel.Core.Memory;

namespace Accel.Posix;

/// <summary>
/// Mappings of regions that the stack no longer uses. Threads look at regions without a lock, so a mapping is undone
/// only after it has been out of everybody's sight for a while.
/// </summary>
public sealed unsafe class RetiredMaps
{
    private const int Capacity = 256;
    private const long GraceNs = 2_000_000_000;

    private struct Map
    {
        public nint Address;
        public long RetiredNs;
    }

    private readonly Map* _maps;

    [ColdPath]
    public RetiredMaps() => _maps = (Map*)NativeMemory.AllocZeroed(Capacity, (nuint)sizeof(Map));

    /// <summary>Takes a mapping that nobody finds any more. If there is no room it stays for ever.</summary>
    public void Add(PosixStack s, byte* address)
    {
        long now = s.Kernel.NowNs();
        for (int i = 0; i < Capacity; i++)
        {
            if (Interlocked.CompareExchange(ref _maps[i].RetiredNs, now, 0) != 0)
                continue;
            Volatile.Write(ref _maps[i].Address, (nint)address);
            return;
        }
    }

    /// <summary>Undoes those that were retired long enough ago.</summary>
    public void Unmap(PosixStack s)
    {
        long now = s.Kernel.NowNs();
        for (int i = 0; i < Capacity; i++)
        {
            if (_maps[i].RetiredNs == 0 || now - _maps[i].RetiredNs < GraceNs)
                continue;
            nint address = Interlocked.Exchange(ref _maps[i].Address, 0);
            if (address == 0)
                continue;
            s.Kernel.UnmapRegion((byte*)address);
            Volatile.Write(ref _maps[i].RetiredNs, 0);
        }
    }
}
