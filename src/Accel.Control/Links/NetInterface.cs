using System.Runtime.InteropServices;
using System.Text;
using Accel.Control.Native;

namespace Accel.Control.Links;

/// <summary>What the kernel says of an interface of this network namespace, by ioctl.</summary>
public sealed unsafe record NetInterface(
    int Index, string Name, byte[] Mac, uint Mtu, bool IsUp, bool IsEthernet, string Driver, int Queues)
{
    private const nint GetFlags = 0x8913, GetMtu = 0x8921, GetHardware = 0x8927, Ethtool = 0x8946;
    private const uint DriverInfo = 3, Channels = 0x3C;
    private const int Up = 1, NameBytes = 16;

    /// <summary>A device whose other end is on this host, which may leave checksums to be filled in.</summary>
    public bool IsVirtualPair => Driver is "veth";

    /// <summary>True unless what matters to a link is another.</summary>
    public bool IsSame(NetInterface other) =>
        Index == other.Index && Mtu == other.Mtu && IsUp == other.IsUp && Mac.AsSpan().SequenceEqual(other.Mac);

    /// <summary>All interfaces but the loopback one and those that carry no Ethernet frames.</summary>
    public static List<NetInterface> List()
    {
        List<NetInterface> found = [];
        // struct if_nameindex: index, and a pointer to the name. The last has the index 0.
        nint* names = NameIndexes();
        if (names == null)
            throw new ControlException($"interfaces cannot be listed: {Libc.Error}");
        for (nint* one = names; *(uint*)one != 0; one += 2)
        {
            NetInterface? known = Look(*(int*)one, Marshal.PtrToStringUTF8(one[1])!);
            if (known is { IsEthernet: true })
                found.Add(known);
        }
        FreeNameIndexes(names);
        return found;
    }

    private static NetInterface? Look(int index, string name)
    {
        int fd = Libc.Socket(Libc.AfInet, Libc.SockDgram | Libc.SockCloexec, 0);
        if (fd < 0)
            throw new ControlException($"no socket: {Libc.Error}");
        // struct ifreq: 16 bytes of name, 24 of a union.
        byte* request = stackalloc byte[40];
        byte[] bytes = Encoding.UTF8.GetBytes(name);
        new Span<byte>(request, 40).Clear();
        bytes.AsSpan(0, Math.Min(bytes.Length, NameBytes - 1)).CopyTo(new Span<byte>(request, NameBytes));
        try
        {
            if (Libc.Ioctl(fd, GetFlags, request) < 0)
                return null;
            bool up = (*(short*)(request + NameBytes) & Up) != 0;
            if (Libc.Ioctl(fd, GetMtu, request) < 0)
                return null;
            uint mtu = *(uint*)(request + NameBytes);
            if (Libc.Ioctl(fd, GetHardware, request) < 0)
                return null;
            // struct sockaddr: ARPHRD_ETHER is 1.
            bool ethernet = *(ushort*)(request + NameBytes) == 1;
            byte[] mac = new Span<byte>(request + NameBytes + 2, 6).ToArray();
            // struct ethtool_drvinfo: the driver's name is at 4.
            byte* driver = stackalloc byte[196];
            new Span<byte>(driver, 196).Clear();
            *(uint*)driver = DriverInfo;
            *(byte**)(request + NameBytes) = driver;
            bool known = Libc.Ioctl(fd, Ethtool, request) >= 0;
            string text = known ? Marshal.PtrToStringUTF8((nint)(driver + 4)) ?? "" : "";
            // struct ethtool_channels: most rx, tx, other, combined; then how many there are.
            uint* channels = stackalloc uint[9];
            new Span<uint>(channels, 9).Clear();
            channels[0] = Channels;
            *(uint**)(request + NameBytes) = channels;
            int queues = Libc.Ioctl(fd, Ethtool, request) >= 0 ? (int)(channels[5] + channels[8]) : 1;
            return new NetInterface(index, name, mac, mtu, up, ethernet, text, Math.Max(1, queues));
        }
        finally
        {
            Libc.Close(fd);
        }
    }

    [DllImport("libc", EntryPoint = "if_nameindex")]
    private static extern nint* NameIndexes();

    [DllImport("libc", EntryPoint = "if_freenameindex")]
    private static extern void FreeNameIndexes(nint* names);
}
