using Accel.Control.Native;

namespace Accel.Control.Bpf;

/// <summary>
/// Puts tc programs on interfaces, before what comes in there reaches the kernel's protocols (BPF_TCX_INGRESS, since
/// Linux 6.6). Like an XDP program they stay when acceld dies; others may be there as well.
/// </summary>
internal static unsafe class TcxAttachment
{
    private const int Ingress = 46, MostPrograms = 64;
    private const uint Replace = 1 << 2;

    /// <summary>Attaches. Returns null, or why not.</summary>
    public static string? Attach(int interfaceIndex, int program)
    {
        ProgramAttachOptions options = new() { Size = sizeof(ProgramAttachOptions) };
        return Refusal(LibBpf.AttachProgram(program, interfaceIndex, Ingress, &options));
    }

    /// <summary>Puts a program in the place of another, without a frame in between that sees none.</summary>
    public static string? Exchange(int interfaceIndex, int program, int old)
    {
        ProgramAttachOptions options = new() { Size = sizeof(ProgramAttachOptions), Flags = Replace, Replaced = old };
        return Refusal(LibBpf.AttachProgram(program, interfaceIndex, Ingress, &options));
    }

    public static string? Detach(int interfaceIndex, int program) =>
        Refusal(LibBpf.DetachProgram(program, interfaceIndex, Ingress));

    /// <summary>The program of a name on an interface, which the caller closes; -1 if there is none.</summary>
    public static int Find(int interfaceIndex, string wanted)
    {
        uint* ids = stackalloc uint[MostPrograms];
        uint attached, count = MostPrograms;
        // Older kernels know of no such place.
        if (LibBpf.QueryPrograms(interfaceIndex, Ingress, 0, &attached, ids, &count) < 0)
            return -1;
        for (uint i = 0; i < Math.Min(count, MostPrograms); i++)
        {
            int fd = LoadedProgram.Open(ids[i], out string name);
            if (name == wanted)
                return fd;
            Libc.Close(fd);
        }
        return -1;
    }

    private static string? Refusal(int result) => result >= 0 ? null : Libc.Text(-result);
}
