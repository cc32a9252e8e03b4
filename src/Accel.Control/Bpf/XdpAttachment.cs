using System.Text;
using Accel.Control.Native;

namespace Accel.Control.Bpf;

/// <summary>How a program sits on an interface.</summary>
public enum XdpMode
{
    Native,
    Generic,
}

/// <summary>
/// Puts programs on interfaces and takes them off. By netlink, not by a link descriptor: the program stays when acceld
/// dies, and with it its maps, from which the next acceld goes on.
/// </summary>
public static unsafe class XdpAttachment
{
    private const uint IfNoneExists = 1, Generic = 1 << 1, Native = 1 << 2, Replace = 1 << 4;
    private const byte MultiMode = 4;

    /// <summary>Attaches where nothing is. Returns null, or why not.</summary>
    public static string? Attach(int interfaceIndex, int program, XdpMode mode) =>
        Refusal(LibBpf.Attach(interfaceIndex, program, Flag(mode) | IfNoneExists, null));

    /// <summary>Puts a program in the place of another, without a frame in between that sees none.</summary>
    public static string? Exchange(int interfaceIndex, int program, int old, XdpMode mode)
    {
        AttachOptions options = new() { Size = sizeof(AttachOptions), OldProgram = old };
        return Refusal(LibBpf.Attach(interfaceIndex, program, Flag(mode) | Replace, &options));
    }

    /// <summary>Takes a program off, if it is still the one that is there.</summary>
    public static string? Detach(int interfaceIndex, int program, XdpMode mode)
    {
        AttachOptions options = new() { Size = sizeof(AttachOptions), OldProgram = program };
        return Refusal(LibBpf.Detach(interfaceIndex, Flag(mode) | Replace, &options));
    }

    /// <summary>The program on an interface, which the caller closes; -1 if there is none.</summary>
    public static int Find(int interfaceIndex, out XdpMode mode, out string name)
    {
        mode = XdpMode.Generic;
        name = "";
        QueryOptions options = new() { Size = sizeof(QueryOptions) };
        int result = LibBpf.Query(interfaceIndex, 0, &options);
        if (result < 0)
            throw new ControlException($"XDP programs cannot be listed: {Libc.Text(-result)}");
        uint id = options.Program != 0 ? options.Program
            : options.NativeProgram != 0 ? options.NativeProgram
            : options.GenericProgram;
        if (id == 0)
            return -1;
        mode = options.Mode == 1 || (options.Mode == MultiMode && options.NativeProgram != 0)
            ? XdpMode.Native : XdpMode.Generic;
        int fd = LibBpf.ProgramById(id);
        if (fd < 0)
            throw new ControlException($"the XDP program on the interface cannot be opened: {Libc.Text(-fd)}");
        ProgramInfo info = default;
        uint bytes = (uint)sizeof(ProgramInfo);
        LibBpf.GetInfo(fd, &info, &bytes);
        name = Text(info.Name);
        return fd;
    }

    /// <summary>The maps that a program holds, by name. The caller owns them.</summary>
    public static Dictionary<string, BpfMap> MapsOf(int program)
    {
        const int most = 64;
        uint* ids = stackalloc uint[most];
        ProgramInfo info = new() { MapCount = most, Maps = (ulong)ids };
        uint bytes = (uint)sizeof(ProgramInfo);
        Dictionary<string, BpfMap> maps = [];
        if (LibBpf.GetInfo(program, &info, &bytes) < 0)
            return maps;
        for (int i = 0; i < Math.Min(info.MapCount, most); i++)
        {
            int fd = LibBpf.MapById(ids[i]);
            if (fd < 0)
                continue;
            MapInfo map = default;
            bytes = (uint)sizeof(MapInfo);
            LibBpf.GetInfo(fd, &map, &bytes);
            if (!maps.TryAdd(Text(map.Name), new BpfMap(fd)))
                Libc.Close(fd);
        }
        return maps;
    }

    private static uint Flag(XdpMode mode) => mode == XdpMode.Native ? Native : Generic;

    private static string? Refusal(int result) => result >= 0 ? null : Libc.Text(-result);

    private static string Text(byte* name)
    {
        ReadOnlySpan<byte> bytes = new(name, 16);
        int end = bytes.IndexOf((byte)0);
        return Encoding.ASCII.GetString(end < 0 ? bytes : bytes[..end]);
    }
}
