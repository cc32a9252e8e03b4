using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace Accel.Os.Links;

/// <summary>
/// A packet socket (PACKET_VNET_HDR) over which long runs leave as one super-frame that the kernel or the device cuts
/// into segments: an order of magnitude cheaper than frame by frame. Sends only; straight from the program's memory.
/// </summary>
public readonly unsafe struct PacketSocket(LinuxKernel kernel, int fd, int interfaceIndex)
{
    private const int DontWait = 0x40, EthernetBytes = 14, MaxRuns = 4;
    private const ushort AfPacket = 17;
    private const byte NeedsChecksum = 1, GsoNone = 0, GsoTcpV4 = 1, GsoTcpV6 = 4, ChecksumAtTcp = 16;
    private const ushort EtherTypeV6 = 0x86DD;

    /// <summary>What one super-frame holds at most, headers and all: an IP packet of 64 KiB.</summary>
    public const int MaxBytes = 65535;

    public bool IsOpen => kernel != null && fd >= 0;

    public int Descriptor => fd;

    /// <summary>
    /// Sends a TCP super-frame whose checksum field holds the sum of the pseudo header. Returns 0 or minus an errno.
    /// </summary>
    public int SendTcp(byte* header, int headerLength, byte* run1, int length1, byte* run2, int length2,
        int segmentSize)
    {
        bool isV6 = BinaryPrimitives.ReadUInt16BigEndian(new ReadOnlySpan<byte>(header + 12, 2)) == EtherTypeV6;
        int ipBytes = isV6 ? 40 : (header[EthernetBytes] & 15) * 4;
        bool isCut = length1 + length2 > segmentSize;
        VirtioHeader virtio = new()
        {
            Flags = NeedsChecksum,
            GsoType = !isCut ? GsoNone : isV6 ? GsoTcpV6 : GsoTcpV4,
            HeaderLength = (ushort)headerLength,
            SegmentSize = (ushort)(isCut ? segmentSize : 0),
            ChecksumStart = (ushort)(EthernetBytes + ipBytes),
            ChecksumOffset = ChecksumAtTcp,
        };
        return Send(&virtio, header, headerLength, run1, length1, run2, length2);
    }

    /// <summary>Sends a whole frame as it is. Returns 0 or minus an errno.</summary>
    public int SendFrame(byte* frame, int length)
    {
        VirtioHeader virtio = default;
        return Send(&virtio, frame, length, null, 0, null, 0);
    }

    private int Send(VirtioHeader* virtio, byte* header, int headerLength, byte* run1, int length1, byte* run2,
        int length2)
    {
        IoVector* runs = stackalloc IoVector[MaxRuns];
        int count = 0;
        runs[count++] = new IoVector { Base = (ulong)virtio, Length = (ulong)sizeof(VirtioHeader) };
        runs[count++] = new IoVector { Base = (ulong)header, Length = (ulong)headerLength };
        if (length1 > 0)
            runs[count++] = new IoVector { Base = (ulong)run1, Length = (ulong)length1 };
        if (length2 > 0)
            runs[count++] = new IoVector { Base = (ulong)run2, Length = (ulong)length2 };
        // The kernel reads the protocol out of the frame only if the address says none: the socket's own may be that of
        // the bell.
        LinkAddress to = new() { Family = AfPacket, InterfaceIndex = interfaceIndex };
        MessageVector message = new()
        {
            Name = (ulong)&to, NameLength = (uint)sizeof(LinkAddress), Runs = (ulong)runs, RunCount = (ulong)count,
        };
        long sent = kernel.SendMessage(fd, &message, DontWait);
        return sent < 0 ? (int)sent : 0;
    }

    /// <summary>struct sockaddr_ll</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct LinkAddress
    {
        public ushort Family;
        public ushort Protocol;
        public int InterfaceIndex;
        public ushort HardwareType;
        public byte PacketType;
        public byte AddressLength;
        public ulong Address;
    }

    /// <summary>struct virtio_net_hdr</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct VirtioHeader
    {
        public byte Flags;
        public byte GsoType;
        public ushort HeaderLength;
        public ushort SegmentSize;
        public ushort ChecksumStart;
        public ushort ChecksumOffset;
    }
}
