using Accel.Control.Native;

namespace Accel.Control.Bpf;

/// <summary>A BPF map that this process holds.</summary>
public sealed unsafe class BpfMap(int fd) : IDisposable
{
    public int Fd { get; private set; } = fd;

    public void Set<TKey, TValue>(TKey key, TValue value) where TKey : unmanaged where TValue : unmanaged
    {
        int result = LibBpf.Update(Fd, &key, &value, 0);
        if (result < 0)
            throw new ControlException($"BPF map: update: {Libc.Text(-result)}");
    }

    public bool TryGet<TKey, TValue>(TKey key, out TValue value) where TKey : unmanaged where TValue : unmanaged
    {
        fixed (TValue* to = &value)
            return LibBpf.Lookup(Fd, &key, to) >= 0;
    }

    /// <summary>False if there is no such entry.</summary>
    public bool Remove<TKey>(TKey key) where TKey : unmanaged => LibBpf.Delete(Fd, &key) >= 0;

    public List<TKey> Keys<TKey>() where TKey : unmanaged
    {
        List<TKey> keys = [];
        TKey key, next;
        for (bool first = true; LibBpf.NextKey(Fd, first ? null : &key, &next) >= 0; first = false)
        {
            key = next;
            keys.Add(key);
        }
        return keys;
    }

    /// <summary>The entry of a per-CPU map, summed up.</summary>
    public ulong Sum(uint key)
    {
        int cpus = Math.Max(1, LibBpf.PossibleCpus());
        ulong* values = stackalloc ulong[cpus];
        ulong sum = 0;
        if (LibBpf.Lookup(Fd, &key, values) >= 0)
            for (int i = 0; i < cpus; i++)
                sum += values[i];
        return sum;
    }

    public void Dispose()
    {
        if (Fd >= 0)
            Libc.Close(Fd);
        Fd = -1;
    }
}
