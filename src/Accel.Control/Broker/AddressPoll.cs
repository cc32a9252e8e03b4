using System.Net.NetworkInformation;
using Accel.Core.Local;
using Accel.Core.Nic;

namespace Accel.Control.Broker;

/// <summary>The namespace's addresses, looked up every second, and no routes: enough for steering alone.</summary>
public sealed class AddressPoll : INetMirror
{
    private readonly Timer _timer;
    private OwnAddress[] _addresses = [];

    public AddressPoll()
    {
        _timer = new Timer(_ => Look());
        Fd = -1;
    }

    public int Fd { get; private set; }

    public IReadOnlyList<OwnAddress> Addresses => _addresses;

    public event Action? AddressesChanged;

    public event Action<IcmpEvent>? IcmpReceived
    {
        add { }
        remove { }
    }

    public unsafe void Start()
    {
        fixed (byte* name = "accel-addresses\0"u8)
            Fd = Native.Libc.MemfdCreate(name, 1);
        Native.Libc.Truncate(Fd, Core.Ip.NetLimits.SizeBytes);
        byte* region = Native.DaemonKernel.Shared.MapShare(Fd, 4096);
        *(Core.Memory.RegionHeader*)region = new Core.Memory.RegionHeader
        {
            Magic = Core.Memory.RegionHeader.ExpectedMagic,
            Version = Core.Memory.RegionHeader.CurrentVersion,
            Kind = Core.Memory.RegionKind.NetTables,
            LayoutHash = Core.Memory.LayoutHash.Value,
            SizeBytes = (ulong)Core.Ip.NetLimits.SizeBytes,
        };
        Look();
        _timer.Change(1000, 1000);
    }

    private unsafe void Look()
    {
        List<OwnAddress> found = [];
        foreach (NetworkInterface one in NetworkInterface.GetAllNetworkInterfaces())
        {
            IPInterfaceProperties properties = one.GetIPProperties();
            foreach (UnicastIPAddressInformation address in properties.UnicastAddresses)
            {
                byte[] bytes = address.Address.GetAddressBytes();
                Endpoint endpoint = new() { Family = bytes.Length == 4 ? Endpoint.V4 : Endpoint.V6 };
                bytes.CopyTo(new Span<byte>(endpoint.Address, 16));
                bool isLoopback = one.NetworkInterfaceType == NetworkInterfaceType.Loopback;
                int index = isLoopback ? 1 : properties.GetIPv4Properties().Index;
                found.Add(new OwnAddress(endpoint, index, isLoopback));
            }
        }
        if (found.SequenceEqual(_addresses))
            return;
        _addresses = [.. found];
        AddressesChanged?.Invoke();
    }

    public void Resolve(int interfaceIndex, in Endpoint neighbour)
    {
    }

    public void Dispose()
    {
        _timer.Dispose();
        if (Fd >= 0)
            Native.Libc.Close(Fd);
    }
}
