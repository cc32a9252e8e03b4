using System.Text;
using Accel.Core.Memory;

namespace Accel.Os.Control;

/// <summary>One end of a connection that packets of the protocol and descriptors go over. Never blocks.</summary>
[ColdPath]
public readonly unsafe struct Conversation(LinuxKernel kernel, int fd)
{
    private const int Unix = 1, SequencePacket = 5, Cloexec = 0x80000, SocketLevel = 1, SendTimeout = 21;
    private const int Rights = 1, DontWait = 0x40, ControlBytes = 16 + 4 * Protocol.MaxDescriptors;
    private const int MaxPath = 107;

    public int Descriptor => fd;

    /// <summary>Connects to a daemon. Returns a descriptor or minus an errno.</summary>
    public static int Connect(LinuxKernel kernel, string path)
    {
        byte[] name = Encoding.UTF8.GetBytes(path);
        if (name.Length > MaxPath)
            return -Errno.ENAMETOOLONG;
        int fd = kernel.Socket(Unix, SequencePacket | Cloexec, 0);
        if (fd < 0)
            return fd;
        long* timeout = stackalloc long[] { Protocol.AnswerMilliseconds / 1000, 0 };
        kernel.SetSockOpt(fd, SocketLevel, SendTimeout, timeout, 16);
        byte* address = stackalloc byte[110];
        new Span<byte>(address, 110).Clear();
        *(ushort*)address = Unix;
        name.CopyTo(new Span<byte>(address + 2, MaxPath));
        int result = kernel.Connect(fd, address, (uint)(2 + name.Length + 1));
        if (result >= 0)
            return kernel.MoveHigh(fd);
        kernel.Close(fd);
        return result;
    }

    /// <summary>Sends a packet with descriptors. Returns 0 or minus an errno.</summary>
    public int Send<T>(in T packet, ReadOnlySpan<int> descriptors = default) where T : unmanaged
    {
        byte* control = stackalloc byte[ControlBytes];
        fixed (T* bytes = &packet)
        {
            IoVector run = new() { Base = (ulong)bytes, Length = (ulong)sizeof(T) };
            MessageVector message = new() { Runs = (ulong)(&run), RunCount = 1 };
            if (!descriptors.IsEmpty)
            {
                // struct cmsghdr: length with itself, level, type.
                *(ulong*)control = (ulong)(16 + 4 * descriptors.Length);
                *(int*)(control + 8) = SocketLevel;
                *(int*)(control + 12) = Rights;
                descriptors.CopyTo(new Span<int>(control + 16, Protocol.MaxDescriptors));
                message.Control = (ulong)control;
                message.ControlLength = (ulong)((16 + 4 * descriptors.Length + 7) & ~7);
            }
            long sent = kernel.SendMessage(fd, &message, DontWait);
            return sent < 0 ? (int)sent : 0;
        }
    }

    /// <summary>
    /// Takes a packet. Returns its bytes, 0 at the end of the conversation, or minus an errno; a packet of another
    /// length has its own here, and Header.Kind None. The descriptors that came are the caller's to close.
    /// </summary>
    public int Receive(out Message packet, Span<int> descriptors, out int count)
    {
        packet = default;
        count = 0;
        byte* control = stackalloc byte[ControlBytes];
        fixed (Message* bytes = &packet)
        {
            IoVector run = new() { Base = (ulong)bytes, Length = (ulong)sizeof(Message) };
            MessageVector message = new()
            {
                Runs = (ulong)(&run), RunCount = 1, Control = (ulong)control, ControlLength = ControlBytes,
            };
            long got = kernel.ReceiveMessage(fd, &message, DontWait);
            if (got < 0)
                return (int)got;
            if (message.ControlLength >= 20 && *(int*)(control + 8) == SocketLevel && *(int*)(control + 12) == Rights)
            {
                int brought = (int)Math.Min((*(ulong*)control - 16) / 4, Protocol.MaxDescriptors);
                for (int i = 0; i < brought; i++)
                {
                    int one = *(int*)(control + 16 + 4 * i);
                    if (count < descriptors.Length)
                        descriptors[count++] = one;
                    else
                        kernel.Close(one);
                }
            }
            if (got != sizeof(Message) && got != 0)
                packet = default;
            return (int)got;
        }
    }

    /// <summary>A packet as the struct of its kind.</summary>
    public static T As<T>(in Message packet) where T : unmanaged
    {
        fixed (Message* bytes = &packet)
            return *(T*)bytes;
    }
}
