using Accel.Control.Native;

namespace Accel.Control.Bpf;

/// <summary>
/// Puts XDP programs on interfaces and takes them off. By netlink, not by a link descriptor: the program stays when
/// acceld dies, and with it its maps, from which the next acceld goes on.
/// </summary>
internal static unsafe class XdpAttachment
{
    private const uint IfNoneExists = 1, Generic = 1 << 1, Native = 1 << 2, Replace = 1 << 4;
    private const byte MultiMode = 4;

    /// <summary>Attaches where nothing is. Returns null, or why not.</summary>
    public static string? Attach(int interfaceIndex, int program, AttachMode mode) =>
        Refusal(LibBpf.Attach(interfaceIndex, program, Flag(mode) | IfNoneExists, null));

    /// <summary>Puts a program in the place of another, without a frame in between that sees none.</summary>
    public static string? Exchange(int interfaceIndex, int program, int old, AttachMode mode)
    {
        AttachOptions options = new() { Size = sizeof(AttachOptions), OldProgram = old };
        return Refusal(LibBpf.Attach(interfaceIndex, program, Flag(mode) | Replace, &options));
    }

    /// <summary>Takes a program off, if it is still the one that is there.</summary>
    public static string? Detach(int interfaceIndex, int program, AttachMode mode)
    {
        AttachOptions options = new() { Size = sizeof(AttachOptions), OldProgram = program };
        return Refusal(LibBpf.Detach(interfaceIndex, Flag(mode) | Replace, &options));
    }

    /// <summary>The program on an interface, which the caller closes; -1 if there is none.</summary>
    public static int Find(int interfaceIndex, out AttachMode mode, out string name)
    {
        mode = AttachMode.Generic;
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
            ? AttachMode.Native : AttachMode.Generic;
        return LoadedProgram.Open(id, out name);
    }

    private static uint Flag(AttachMode mode) => mode == AttachMode.Native ? Native : Generic;

    private static string? Refusal(int result) => result >= 0 ? null : Libc.Text(-result);
}
