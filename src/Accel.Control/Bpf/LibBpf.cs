using System.Runtime.InteropServices;

namespace Accel.Control.Bpf;

/// <summary>The calls of libbpf that are needed. Results: minus an errno, or a null pointer and errno.</summary>
internal static unsafe class LibBpf
{
    private const string Name = "libbpf.so.1";

    [DllImport(Name, EntryPoint = "libbpf_set_print")]
    public static extern nint SetPrint(delegate* unmanaged<int, byte*, void*, int> print);

    [DllImport(Name, EntryPoint = "bpf_object__open_mem")]
    public static extern nint OpenMemory(byte* bytes, nint count, void* options);

    [DllImport(Name, EntryPoint = "bpf_object__load")]
    public static extern int Load(nint program);

    [DllImport(Name, EntryPoint = "bpf_object__close")]
    public static extern void CloseObject(nint program);

    [DllImport(Name, EntryPoint = "bpf_object__find_map_by_name")]
    public static extern nint FindMap(nint program, byte* name);

    [DllImport(Name, EntryPoint = "bpf_object__find_program_by_name")]
    public static extern nint FindProgram(nint program, byte* name);

    [DllImport(Name, EntryPoint = "bpf_program__fd")]
    public static extern int ProgramFd(nint program);

    [DllImport(Name, EntryPoint = "bpf_map__fd")]
    public static extern int MapFd(nint map);

    [DllImport(Name, EntryPoint = "bpf_map__reuse_fd")]
    public static extern int ReuseMap(nint map, int fd);

    [DllImport(Name, EntryPoint = "bpf_map_update_elem")]
    public static extern int Update(int map, void* key, void* value, ulong flags);

    [DllImport(Name, EntryPoint = "bpf_map_lookup_elem")]
    public static extern int Lookup(int map, void* key, void* value);

    [DllImport(Name, EntryPoint = "bpf_map_delete_elem")]
    public static extern int Delete(int map, void* key);

    [DllImport(Name, EntryPoint = "bpf_map_get_next_key")]
    public static extern int NextKey(int map, void* key, void* next);

    [DllImport(Name, EntryPoint = "bpf_prog_get_fd_by_id")]
    public static extern int ProgramById(uint id);

    [DllImport(Name, EntryPoint = "bpf_map_get_fd_by_id")]
    public static extern int MapById(uint id);

    [DllImport(Name, EntryPoint = "bpf_obj_get_info_by_fd")]
    public static extern int GetInfo(int fd, void* info, uint* bytes);

    [DllImport(Name, EntryPoint = "bpf_prog_bind_map")]
    public static extern int BindMap(int program, int map, void* options);

    [DllImport(Name, EntryPoint = "bpf_xdp_attach")]
    public static extern int Attach(int interfaceIndex, int program, uint flags, AttachOptions* options);

    [DllImport(Name, EntryPoint = "bpf_xdp_detach")]
    public static extern int Detach(int interfaceIndex, uint flags, AttachOptions* options);

    [DllImport(Name, EntryPoint = "bpf_xdp_query")]
    public static extern int Query(int interfaceIndex, int flags, QueryOptions* options);

    [DllImport(Name, EntryPoint = "bpf_prog_attach_opts")]
    public static extern int AttachProgram(int program, int target, int type, ProgramAttachOptions* options);

    [DllImport(Name, EntryPoint = "bpf_prog_detach2")]
    public static extern int DetachProgram(int program, int target, int type);

    [DllImport(Name, EntryPoint = "bpf_prog_query")]
    public static extern int QueryPrograms(int target, int type, uint flags, uint* attached, uint* ids, uint* count);

    [DllImport(Name, EntryPoint = "bpf_map_create")]
    public static extern int CreateMap(int type, byte* name, uint keyBytes, uint valueBytes, uint entries,
        void* options);

    [DllImport(Name, EntryPoint = "libbpf_num_possible_cpus")]
    public static extern int PossibleCpus();
}

/// <summary>struct bpf_xdp_attach_opts</summary>
internal struct AttachOptions
{
    public nint Size;
    public int OldProgram;
    public int Padding;
}

/// <summary>struct bpf_prog_attach_opts</summary>
internal struct ProgramAttachOptions
{
    public nint Size;
    public uint Flags;
    public int Replaced;
}

/// <summary>struct bpf_xdp_query_opts</summary>
internal struct QueryOptions
{
    public nint Size;
    public uint Program;
    public uint NativeProgram;
    public uint HardwareProgram;
    public uint GenericProgram;
    public byte Mode;
    public byte Padding1;
    public ushort Padding2;
    public uint Padding3;
}

/// <summary>The beginning of struct bpf_prog_info.</summary>
internal unsafe struct ProgramInfo
{
    public uint Type;
    public uint Id;
    public ulong Tag;
    public uint JitedBytes;
    public uint TranslatedBytes;
    public ulong Jited;
    public ulong Translated;
    public ulong LoadTime;
    public uint Uid;
    public uint MapCount;
    public ulong Maps;
    public fixed byte Name[16];
}

/// <summary>The beginning of struct bpf_map_info.</summary>
internal unsafe struct MapInfo
{
    public uint Type;
    public uint Id;
    public uint KeyBytes;
    public uint ValueBytes;
    public uint MaxEntries;
    public uint Flags;
    public fixed byte Name[16];
}
