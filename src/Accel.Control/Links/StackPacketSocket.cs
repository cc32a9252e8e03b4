using Accel.Control.Native;
using Accel.Os.Links;

namespace Accel.Control.Links;

/// <summary>
/// The packet socket of a stack on an interface: super-frames leave over it, and in ring mode it is the
/// <see cref="Bell"/>. It must receive nothing else, whatever who holds it does: its filter is locked in.
/// </summary>
public static unsafe class StackPacketSocket
{
    private const int Version = 10, ReceiveRing = 5, VnetHeader = 15, SendBytes = 8 << 20;
    private const ushort EtherType8021Ad = 0x88A8;

    /// <summary>BPF_LD | BPF_H | BPF_ABS, BPF_JMP | BPF_JEQ | BPF_K, BPF_RET | BPF_K</summary>
    private const ushort LoadHalf = 0x28, JumpIfEqual = 0x15, Return = 0x06;

    /// <summary>struct tpacket_req</summary>
    private record struct RingRequest(uint BlockBytes, uint Blocks, uint FrameBytes, uint Frames);

    /// <summary>struct sock_filter</summary>
    private record struct Instruction(ushort Code, byte IfTrue, byte IfFalse, uint Value);

    /// <summary>
    /// <paramref name="slot"/>: whose bell it is to be, if any. Minus an errno if it cannot be had; without a bell if
    /// only that cannot.
    /// </summary>
    public static int Open(NetInterface device, uint? slot, out bool hasBell)
    {
        hasBell = slot != null;
        int fd = slot is { } rung ? OpenBell(device, rung) : -1;
        if (fd >= 0)
            return fd;
        hasBell = false;
        return Open(device, 0, [new(Return, 0, 0, 0)], hasRing: false);
    }

    /// <summary>Takes one byte of what the program has tagged with the slot (src/Accel.Control/Bpf/ring.h).</summary>
    private static int OpenBell(NetInterface device, uint slot) => Open(device, EtherType8021Ad,
    [
        new(LoadHalf, 0, 0, 12), new(JumpIfEqual, 0, 3, EtherType8021Ad),
        new(LoadHalf, 0, 0, 14), new(JumpIfEqual, 0, 1, slot),
        new(Return, 0, 0, 1), new(Return, 0, 0, 0),
    ], hasRing: true);

    private static int Open(NetInterface device, ushort protocol, ReadOnlySpan<Instruction> filter, bool hasRing)
    {
        int fd = Libc.Socket(Libc.AfPacket, Libc.SockRaw | Libc.SockCloexec | Libc.SockNonBlock, 0);
        if (fd < 0)
            return -Libc.Errno;
        // struct sockaddr_ll; protocol 0 receives nothing.
        byte* address = stackalloc byte[20];
        new Span<byte>(address, 20).Clear();
        *(ushort*)address = Libc.AfPacket;
        *(ushort*)(address + 2) = System.Buffers.Binary.BinaryPrimitives.ReverseEndianness(protocol);
        *(int*)(address + 4) = device.Index;
        RingRequest ring = new(Bell.Bytes, 1, Bell.Bytes, 1);
        fixed (Instruction* first = filter)
        {
            // struct sock_fprog. The bind comes last: nothing is to be received before the filter is there.
            ulong* program = stackalloc ulong[] { (ulong)filter.Length, (ulong)first };
            if (Libc.SetOption(fd, Libc.SolPacket, VnetHeader, 1)
                && (!hasRing || (Libc.SetOption(fd, Libc.SolPacket, Version, 1)
                    && Libc.SetSockOpt(fd, Libc.SolPacket, ReceiveRing, &ring, (uint)sizeof(RingRequest)) == 0))
                && Libc.SetSockOpt(fd, Libc.SolSocket, Libc.SoAttachFilter, program, 16) == 0
                && Libc.SetOption(fd, Libc.SolSocket, Libc.SoLockFilter, 1)
                && Libc.Bind(fd, address, 20) == 0)
            {
                Libc.SetOption(fd, Libc.SolSocket, Libc.SoSndBufForce, SendBytes);
                return fd;
            }
        }
        int errno = Libc.Errno;
        Libc.Close(fd);
        return -errno;
    }
}
