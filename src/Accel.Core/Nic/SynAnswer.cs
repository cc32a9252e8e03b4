using System.Runtime.InteropServices;
using Accel.Core.Memory;
using Accel.Core.Tcp;
using Accel.Wire;

namespace Accel.Core.Nic;

/// <summary>
/// What a listener's SYN-ACK with a cookie is made from, for the program on the interfaces to make it in the stack's
/// name: struct syn_answer of Bpf/steering.h. Zeroed: it is not to.
/// </summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 48)]
public struct SynAnswer
{
    /// <summary>Bits of <see cref="Offers"/> beside those of <see cref="TcpOptionKinds"/>.</summary>
    public const byte Ecn = 16, Valid = 128;

    [FieldOffset(0)] public ulong CookieKey0;
    [FieldOffset(8)] public ulong CookieKey1;

    /// <summary>In the order in which <see cref="InitialSequence.TimestampOffset"/> takes them.</summary>
    [FieldOffset(16)] public ulong TimestampKey0;
    [FieldOffset(24)] public ulong TimestampKey1;

    /// <summary>The stack's plus one: acceld's to say.</summary>
    [FieldOffset(32)] public ushort Slot;
    [FieldOffset(34)] public ushort Window;

    /// <summary>TCP_MAXSEG; 0: what the MTU says.</summary>
    [FieldOffset(36)] public ushort MaxSegment;
    [FieldOffset(38)] public byte Ttl;
    [FieldOffset(39)] public byte Tos;
    [FieldOffset(40)] public byte Scale;

    /// <summary>Options that may be agreed on, as <see cref="TcpOptionKinds"/>, and the bits above.</summary>
    [FieldOffset(41)] public byte Offers;

    /// <summary>acceld's to say.</summary>
    [FieldOffset(42)] public byte Owner;

    public readonly bool IsValid => (Offers & Valid) != 0;

    public static SynAnswer Of(in TcpSettings stack, in NicSettings listener, uint receiveSpace) => new()
    {
        CookieKey0 = stack.CookieKey0,
        CookieKey1 = stack.CookieKey1,
        TimestampKey0 = stack.SequenceKey1,
        TimestampKey1 = stack.SequenceKey0,
        Window = (ushort)Math.Min(receiveSpace, Tcp.Window.MaxUnscaled),
        MaxSegment = listener.MaxSegment,
        Ttl = listener.Ttl,
        Tos = listener.Tos,
        Scale = Tcp.Window.ScaleFor(stack.ReceiveMax),
        Offers = (byte)(Valid | (byte)TcpOpen.Offers(in stack) | (stack.Ecn != EcnMode.Off ? Ecn : 0)),
    };
}
