using System.Runtime.InteropServices;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Nic;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// Local ports whose program is done with them while their connections are not: the last segments of a close, and
/// TIME-WAIT. So long the kernel's socket stays, lest the kernel give the port to somebody else, and frames for it keep
/// coming here.
/// </summary>
public sealed unsafe class PortKeeper
{
    /// <summary>As many as there are ports.</summary>
    private const int Capacity = 65536;
    private const long SweepNs = 100_000_000;

    /// <summary>So many at once: a connect() that needs an answer of acceld's waits for theirs.</summary>
    private const int AtOnce = 32;

    private struct Kept
    {
        public Endpoint Local;
        public int Descriptor;
    }

    private readonly PosixStack _s;
    private readonly NicPath _nic;
    private readonly Kept* _kept;

    /// <summary>Taken from the list, and not closed yet.</summary>
    private readonly Kept* _going;
    private int _count;
    private int _goingCount;
    private int _lock;
    private int _sweeping;
    private long _sweptNs;

    [ColdPath]
    public PortKeeper(PosixStack s, NicPath nic)
    {
        _s = s;
        _nic = nic;
        _kept = (Kept*)NativeMemory.AllocZeroed(Capacity, (nuint)sizeof(Kept));
        _going = (Kept*)NativeMemory.AllocZeroed(AtOnce, (nuint)sizeof(Kept));
    }

    /// <summary>Ports that are kept now.</summary>
    public int Count => Volatile.Read(ref _count);

    /// <summary>
    /// Keeps a port for as long as connections use it. <paramref name="descriptor"/>: a socket that holds it and is the
    /// library's own from now on; -1 if another does.
    /// </summary>
    public void Keep(AccelThread* t, in Endpoint local, int descriptor)
    {
        _s.Lock(ref _lock, t);
        bool room = _count < Capacity;
        if (room)
            _kept[_count++] = new Kept { Local = local, Descriptor = descriptor };
        PosixStack.Unlock(ref _lock);
        // No room: what is left of the connection is the kernel's to refuse, as after a crash.
        if (!room)
        {
            Kept one = new() { Local = local, Descriptor = descriptor };
            LetGo(t, new ReadOnlySpan<Kept>(in one));
        }
    }

    /// <summary>
    /// A connection that held a port has gone, and the port is about to be the kernel's again: frames for it as well,
    /// unless another connection is on it.
    /// </summary>
    public void Release(AccelThread* t, in Endpoint local)
    {
        Keep(t, local, -1);
        _sweptNs = 0;
        Sweep(t, _s.Kernel.NowNs());
    }

    /// <summary>Lets go what no connection uses any more. Looks now and then only.</summary>
    public void Sweep(AccelThread* t, long now)
    {
        if (_count == 0 || now - _sweptNs < SweepNs)
            return;
        _s.Lock(ref _sweeping, t);
        _sweptNs = now;
        // Who is kept from here on is not looked at: its connection may have come after the look at the engine's.
        int next = Volatile.Read(ref _count) - 1;
        ulong* used = stackalloc ulong[NicPorts.Words];
        NativeMemory.Clear(used, NicPorts.Words * sizeof(ulong));
        _nic.Engine.Enter(t->Tid);
        NicPorts.Collect(_nic.Engine.Region, used);
        _nic.Engine.Exit(t->Tid, now);
        while (next >= 0)
        {
            _s.Lock(ref _lock, t);
            for (; next >= 0 && _goingCount < AtOnce; next--)
            {
                Kept kept = _kept[next];
                if ((used[kept.Local.Port >> 6] & 1ul << (kept.Local.Port & 63)) != 0)
                    continue;
                _going[_goingCount++] = kept;
                _kept[next] = _kept[--_count];
            }
            PosixStack.Unlock(ref _lock);
            LetGo(t, new ReadOnlySpan<Kept>(_going, _goingCount));
            _goingCount = 0;
        }
        PosixStack.Unlock(ref _sweeping);
    }

    private void LetGo(AccelThread* t, ReadOnlySpan<Kept> done)
    {
        Span<Endpoint> locals = stackalloc Endpoint[AtOnce];
        for (int i = 0; i < done.Length; i++)
            locals[i] = done[i].Local;
        // The kernel's sockets last: as soon as one is gone, its port may be another's.
        _nic.Steering.Unsteer(t, Transport.Tcp, locals[..done.Length]);
        foreach (ref readonly Kept one in done)
        {
            if (one.Descriptor >= 0)
                _s.Disown(one.Descriptor);
        }
    }

    /// <summary>In the image that came by exec(): the sockets that hold ports came along.</summary>
    public void AfterExec(AccelThread* t)
    {
        int high = _s.S.ProcessAt(_s.Slot)->HighestDescriptor;
        byte* name = stackalloc byte[(int)Addresses.V6Bytes];
        for (int fd = (int)_s.Process->InternalMin; fd < high; fd++)
        {
            uint length = Addresses.V6Bytes;
            if (_s.IsTagged(fd, DescriptorEntry.PortTag) && _s.Kernel.GetSockName(fd, name, &length) >= 0
                && Addresses.TryRead(name, length, out Endpoint local))
                Keep(t, local.Unmapped(), fd);
        }
    }

    /// <summary>In a fork child: the parent keeps them.</summary>
    public void AfterFork()
    {
        for (int i = 0; i < _count; i++)
        {
            if (_kept[i].Descriptor >= 0)
                _s.Disown(_kept[i].Descriptor);
        }
        for (int i = 0; i < _goingCount; i++)
        {
            // It may be closed by now, and the number another's.
            if (_s.IsTagged(_going[i].Descriptor, DescriptorEntry.PortTag))
                _s.Disown(_going[i].Descriptor);
        }
        _count = _goingCount = 0;
        _lock = _sweeping = 0;
    }
}
