using System.Text;
using Accel.Control.Native;

namespace Accel.Control.Bpf;

/// <summary>What the kernel says of a program that somebody loaded.</summary>
public static unsafe class LoadedProgram
{
    /// <summary>The program with an id, which the caller closes.</summary>
    public static int Open(uint id, out string name)
    {
        int fd = LibBpf.ProgramById(id);
        if (fd < 0)
            throw new ControlException($"the program on the interface cannot be opened: {Libc.Text(-fd)}");
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

    private static string Text(byte* name)
    {
        ReadOnlySpan<byte> bytes = new(name, 16);
        int end = bytes.IndexOf((byte)0);
        return Encoding.ASCII.GetString(end < 0 ? bytes : bytes[..end]);
    }
}
