using System.Runtime.InteropServices;
using System.Text;
using Accel.Control.Native;
using Accel.Control.Steering;

namespace Accel.Control.Bpf;

/// <summary>
/// One load of the programs in accel.bpf.c for one interface: with maps of its own, or with those that are handed in.
/// </summary>
public sealed unsafe class SteeringProgram : IDisposable
{
    public const string Name = "accel_steer", CopyName = "accel_copy";

    /// <summary>The maps that each interface has for itself.</summary>
    public static readonly string[] OwnMaps = ["xsks", "link_config", "counts", "rings", "rings_full", "bells"];

    private static readonly StringBuilder Complaints = new();

    private nint _object;
    private int _steer = -1;
    private int _copy = -1;

    private SteeringProgram(nint opened) => _object = opened;

    /// <summary>The program that is made for a mode.</summary>
    public int FdOf(AttachMode mode) => mode == AttachMode.Ring ? _copy : _steer;

    /// <summary>One of the programs, whichever it is.</summary>
    public static bool IsOurs(string name) => name is Name or CopyName;

    public Dictionary<string, BpfMap> Maps { get; } = [];

    /// <summary>Loads the program. Maps of the given names are used, not owned; the others are made.</summary>
    public static SteeringProgram Load(IReadOnlyDictionary<string, BpfMap> given)
    {
        using Stream stream = typeof(SteeringProgram).Assembly.GetManifestResourceStream("accel.bpf.o")
            ?? throw new ControlException("the steering program is not in this build");
        byte[] bytes = new byte[stream.Length];
        stream.ReadExactly(bytes);
        lock (Complaints)
        {
            Complaints.Clear();
            LibBpf.SetPrint(&Complain);
            nint opened;
            fixed (byte* start = bytes)
                opened = LibBpf.OpenMemory(start, bytes.Length, null);
            if (opened == 0)
                throw new ControlException($"the steering program cannot be opened: {Libc.Error} {Complaints}");
            var program = new SteeringProgram(opened);
            try
            {
                program.Finish(given);
                return program;
            }
            catch
            {
                program.Dispose();
                throw;
            }
        }
    }

    private void Finish(IReadOnlyDictionary<string, BpfMap> given)
    {
        foreach ((string name, BpfMap map) in given)
        {
            int reused = LibBpf.ReuseMap(Map(name), map.Fd);
            if (reused < 0)
                throw new ControlException($"map {name} cannot be used again: {Libc.Text(-reused)}");
        }
        int loaded = LibBpf.Load(_object);
        if (loaded < 0)
            throw new ControlException(
                $"the kernel refuses the steering program: {Libc.Text(-loaded)}\n{Complaints}".TrimEnd());
        _steer = Program(Name);
        _copy = Program(CopyName);
        foreach (string name in (string[])[.. SteeringMaps.Names, .. OwnMaps])
        {
            // The object closes its own descriptors.
            int copy = Libc.Fcntl(LibBpf.MapFd(Map(name)), 1030, 0);
            if (copy < 0)
                throw new ControlException($"map {name}: {Libc.Error}");
            Maps[name] = new BpfMap(copy);
        }
        // Not used by a program, but found through it by the next acceld.
        foreach (int program in (int[])[_steer, _copy])
        {
            int bound = LibBpf.BindMap(program, Maps["slots"].Fd, null);
            if (bound < 0)
                throw new ControlException($"map slots cannot be bound to the program: {Libc.Text(-bound)}");
        }
    }

    private int Program(string name)
    {
        fixed (byte* bytes = Encoding.ASCII.GetBytes(name + "\0"))
            return LibBpf.ProgramFd(LibBpf.FindProgram(_object, bytes));
    }

    private nint Map(string name)
    {
        fixed (byte* bytes = Encoding.ASCII.GetBytes(name + "\0"))
        {
            nint map = LibBpf.FindMap(_object, bytes);
            return map != 0 ? map : throw new ControlException($"the steering program has no map {name}");
        }
    }

    // What libbpf has to say comes as a format and a va_list, which only C can read: vsnprintf does.
    [UnmanagedCallersOnly]
    private static int Complain(int level, byte* format, void* arguments)
    {
        const int warning = 0, most = 1024;
        if (level != warning || Complaints.Length > 8192)
            return 0;
        byte* text = stackalloc byte[most];
        int length = Format(text, most, format, arguments);
        if (length > 0)
            Complaints.Append(Encoding.UTF8.GetString(text, Math.Min(length, most - 1)));
        return 0;
    }

    [DllImport("libc", EntryPoint = "vsnprintf")]
    private static extern int Format(byte* to, nint bytes, byte* format, void* arguments);

    public void Dispose()
    {
        foreach (BpfMap map in Maps.Values)
            map.Dispose();
        Maps.Clear();
        if (_object != 0)
            LibBpf.CloseObject(_object);
        _object = 0;
        _steer = _copy = -1;
    }
}
