namespace Accel.Control.Bpf;

/// <summary>How frames of an interface come to the stacks.</summary>
public enum AttachMode
{
    /// <summary>An XDP program in the driver.</summary>
    Native,

    /// <summary>An XDP program behind the driver, for which the kernel copies nearly every frame.</summary>
    Generic,

    /// <summary>A tc program that copies the frames into a ring of the stack's.</summary>
    Ring,
}

/// <summary>Puts the steering program on interfaces in any of its forms, finds it there, and takes it off.</summary>
public static class Attachment
{
    public static string NameOf(AttachMode mode) => mode switch
    {
        AttachMode.Native => "native",
        AttachMode.Generic => "generic",
        _ => "ring",
    };

    /// <summary>Returns null, or why not.</summary>
    public static string? Attach(int interfaceIndex, SteeringProgram program, AttachMode mode) =>
        mode == AttachMode.Ring ? TcxAttachment.Attach(interfaceIndex, program.FdOf(mode))
        : XdpAttachment.Attach(interfaceIndex, program.FdOf(mode), mode);

    /// <summary>In the place of one of the same mode.</summary>
    public static string? Exchange(int interfaceIndex, SteeringProgram program, int old, AttachMode mode) =>
        mode == AttachMode.Ring ? TcxAttachment.Exchange(interfaceIndex, program.FdOf(mode), old)
        : XdpAttachment.Exchange(interfaceIndex, program.FdOf(mode), old, mode);

    /// <summary>Takes a program off, if it is still the one that is there.</summary>
    public static string? Detach(int interfaceIndex, int program, AttachMode mode) =>
        mode == AttachMode.Ring ? TcxAttachment.Detach(interfaceIndex, program)
        : XdpAttachment.Detach(interfaceIndex, program, mode);

    /// <summary>
    /// A steering program of ours on an interface, or else the XDP program that somebody has there; the caller closes
    /// it. -1 if there is none.
    /// </summary>
    public static int Find(int interfaceIndex, out AttachMode mode, out string name)
    {
        int program = TcxAttachment.Find(interfaceIndex, SteeringProgram.CopyName);
        mode = AttachMode.Ring;
        name = SteeringProgram.CopyName;
        return program >= 0 ? program : XdpAttachment.Find(interfaceIndex, out mode, out name);
    }
}
