using System.Runtime.InteropServices;
using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Nic;
using Accel.Core.Stack;
using Accel.Core.Tcp;

namespace Accel.Testing;

/// <summary>
/// A stack and its local region as a program holds them: two memory files, here in the test's own process.
/// </summary>
public sealed unsafe partial class SharedStack : IDisposable
{
    // Of the regions: several stacks live in the process at a time.
    private const ulong LocalId = 1 << 21, NicId = 1 << 20;
    private readonly int _stackFile, _localFile;
    private NicRegion _nic;
    private int _nicFile = -1;

    public SharedStack(ulong id)
    {
        Id = id;
        Stack = new StackRegion(Create("accel-stack", StackRegion.SizeBytes, out _stackFile));
        Stack.Format(id, Environment.ProcessId, 0, DateTimeOffset.UtcNow.ToUnixTimeMilliseconds() * 1_000_000);
        long size = LocalRegion.FixedBytes + (64 << 20);
        Local = new LocalRegion(Create("accel-local", size, out _localFile));
        Local.Format(LocalId + id, id, size, Environment.ProcessId, 0, 1);
        ProcessSlot* process = Stack.ProcessAt(3);
        process->Pid = Environment.ProcessId;
        process->State = ProcessSlot.Live;
        Stack.RegionAt(0)->Id = LocalId + id;
        Stack.Tables->RegionsHigh = 1;
        foreach (OptionRow row in OptionTable.Rows) Stack.Tables->Options.Values[(int)row.Option] = row.Default;
    }

    public ulong Id { get; }

    public StackRegion Stack { get; }

    public LocalRegion Local { get; }

    /// <summary>The stack's network path; made when first asked for.</summary>
    public NicRegion Nic
    {
        get
        {
            if (!_nic.IsMapped)
            {
                _nic = new NicRegion(Create("accel-nic", NicRegion.SizeBytes, out _nicFile));
                _nic.Format(NicId + Id, Id, Environment.ProcessId, 0, 1);
                Stack.Tables->NicRegionId = NicId + Id;
            }
            return _nic;
        }
    }

    /// <summary>A link by its name.</summary>
    public LinkInfo* AddLink(int index, string name, LinkFlags flags)
    {
        LinkInfo* link = Nic.LinkAt(index);
        link->InterfaceIndex = index + 2;
        link->Flags = (uint)flags;
        for (int i = 0; i < name.Length; i++) link->Name[i] = (byte)name[i];
        return link;
    }

    /// <summary>A block of the engine; with a connection: its engine's side is side 1.</summary>
    public NicBlock* AddBlock(NicUse use, TcpState state, int conn = -1)
    {
        int index = FreeList.Take(&Nic.Tables->Blocks, (byte*)Nic.BlockAt(0), sizeof(NicBlock));
        NicBlock* block = Nic.BlockAt(index);
        block->Use = use;
        block->Tcb.State = state;
        if (conn < 0) return block;
        block->Conn = (uint)conn + 1;
        Nic.ConnBlocks[conn] = (uint)index + 1;
        Local.ConnAt(conn)->Side1.Watch |= Side.EngineWatch;
        return block;
    }

    /// <summary>A socket of the given state under a descriptor of this process.</summary>
    public Socket* Add(int descriptor, SocketState state, PathReason reason)
    {
        int index = Stack.TakeSocket();
        Socket* socket = Stack.SocketAt(index);
        socket->State = (uint)state;
        socket->Reason = (byte)reason;
        Stack.DescriptorsOf(3)[descriptor] = DescriptorEntry.Of(DescriptorEntry.KindSocket, index);
        Stack.ProcessAt(3)->HighestDescriptor = Math.Max(Stack.ProcessAt(3)->HighestDescriptor, descriptor + 1);
        return socket;
    }

    /// <summary>Spoils the header, as another build's region would look.</summary>
    public void PretendOtherLayout() => Stack.Tables->Header.LayoutHash++;

    /// <summary>How much memory the files take.</summary>
    public long StackBlocks() => Blocks(_stackFile) + Blocks(_localFile) + (_nicFile < 0 ? 0 : Blocks(_nicFile));

    /// <summary>Cuts the stack's file off, or lets it grow: what is not there must not be touched.</summary>
    public void Resize(long bytes)
    {
        if (Truncate(_stackFile, bytes) != 0) throw new IOException("the file cannot be resized");
    }

    /// <summary>From now on the files are another user's, as the kernel has it.</summary>
    public void GiveTo(uint user)
    {
        foreach (int file in (int[])[_stackFile, _localFile, _nicFile])
            if (file >= 0 && ChangeOwner(file, user, user) != 0) throw new IOException("the file cannot be given away");
    }

    public void Dispose()
    {
        _ = Close(_stackFile);
        _ = Close(_localFile);
        if (_nicFile >= 0) _ = Close(_nicFile);
    }

    private static byte* Create(string name, long bytes, out int file)
    {
        file = MemfdCreate(name, 1);
        if (file < 0 || Truncate(file, bytes) != 0) throw new IOException($"no memory file for {name}");
        byte* address = Map(null, (nuint)bytes, 3, 0x4001, file, 0);
        if ((nint)address == -1) throw new IOException($"{name} cannot be mapped");
        return address;
    }

    /// <summary>st_blocks of struct stat on x86-64.</summary>
    private static long Blocks(int file)
    {
        byte* stat = stackalloc byte[256];
        if (FStat(file, stat) != 0) throw new IOException("fstat failed");
        return *(long*)(stat + 64);
    }

    [LibraryImport("libc", EntryPoint = "memfd_create", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int MemfdCreate(string name, uint flags);

    [LibraryImport("libc", EntryPoint = "ftruncate")]
    private static partial int Truncate(int file, long bytes);

    [LibraryImport("libc", EntryPoint = "fchown")]
    private static partial int ChangeOwner(int file, uint user, uint group);

    [LibraryImport("libc", EntryPoint = "fstat")]
    private static partial int FStat(int file, byte* stat);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int Close(int file);

    [LibraryImport("libc", EntryPoint = "mmap")]
    private static partial byte* Map(void* address, nuint length, int protection, int flags, int fd, long offset);
}
