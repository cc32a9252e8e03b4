using Accel.Control.Bpf;
using Accel.Control.Native;
using Accel.Core.Local;
using Accel.Os.Control;

namespace Accel.Control.Steering;

/// <summary>An IPv6 address, or an IPv4 address as ::ffff:a.b.c.d, as a key of a map.</summary>
public record struct AddressKey(ulong Low, ulong High)
{
    public static AddressKey Of(in Endpoint address)
    {
        Endpoint mapped = address.Mapped();
        return new AddressKey(mapped.AddressLow, mapped.AddressHigh);
    }

    public readonly Endpoint Address =>
        new Endpoint { Family = Endpoint.V6, AddressLow = Low, AddressHigh = High }.Unmapped();
}

/// <summary>struct exact_key</summary>
public record struct ExactKey(uint Word0, uint Word1, uint Word2, uint Word3, ushort Port, byte IsUdp, byte Unused)
{
    public static ExactKey Of(bool udp, in Endpoint local)
    {
        AddressKey key = AddressKey.Of(local);
        return new ExactKey((uint)key.Low, (uint)(key.Low >> 32), (uint)key.High, (uint)(key.High >> 32),
            System.Buffers.Binary.BinaryPrimitives.ReverseEndianness(local.Port), (byte)(udp ? 1 : 0), 0);
    }

    public readonly Endpoint Local =>
        new AddressKey(Word0 | (ulong)Word1 << 32, Word2 | (ulong)Word3 << 32).Address with
        {
            Port = System.Buffers.Binary.BinaryPrimitives.ReverseEndianness(Port),
        };
}

/// <summary>struct interface_config</summary>
public record struct InterfaceConfig(ulong MacAndFlags, uint Mtu, uint MostSyns)
{
    public const int Up = 1, Answers = 2, PartialChecksums = 4;

    public static InterfaceConfig Of(ReadOnlySpan<byte> mac, int flags, uint mtu, uint mostSyns)
    {
        ulong packed = (ulong)flags << 48;
        for (int i = 0; i < 6; i++)
            packed |= (ulong)mac[i] << (8 * i);
        return new InterfaceConfig(packed, mtu, mostSyns);
    }
}

/// <summary>struct slot_holder</summary>
public record struct SlotHolder(ulong Stack, uint Uid, uint Unused);

/// <summary>struct bell</summary>
public record struct BellState(ulong Consumed, ulong RungAt, ulong QuietUntil, ulong Present);

/// <summary>
/// The maps that all interfaces of a network namespace share. They live as long as a program on an interface holds
/// them, so a new acceld finds those of one that died.
/// </summary>
public sealed unsafe class SteeringMaps : IDisposable
{
    public static readonly string[] Names = ["ports", "exact", "answers", "addresses", "slots"];

    private readonly Dictionary<string, BpfMap> _maps;

    private SteeringMaps(Dictionary<string, BpfMap> maps)
    {
        _maps = maps;
        Ports = (ulong*)DaemonKernel.Shared.MapShare(PortsFd, PortEntry.TableBytes);
        if (Ports == null)
            throw new ControlException("the table of ports cannot be mapped");
    }

    /// <summary>Takes the shared maps out of a program's; the rest stays. Null if one is missing.</summary>
    public static SteeringMaps? From(Dictionary<string, BpfMap> maps)
    {
        if (!Array.TrueForAll(Names, maps.ContainsKey))
            return null;
        var taken = new Dictionary<string, BpfMap>();
        foreach (string name in Names)
        {
            maps.Remove(name, out BpfMap? map);
            taken[name] = map!;
        }
        return new SteeringMaps(taken);
    }

    public IReadOnlyDictionary<string, BpfMap> All => _maps;

    /// <summary>Written by stacks of root too, so with compare-and-exchange only.</summary>
    public ulong* Ports { get; }

    public int PortsFd => _maps["ports"].Fd;

    public BpfMap Exact => _maps["exact"];

    public BpfMap Answers => _maps["answers"];

    public BpfMap Addresses => _maps["addresses"];

    public BpfMap Slots => _maps["slots"];

    public void Dispose()
    {
        DaemonKernel.Shared.Unmap((byte*)Ports, PortEntry.TableBytes);
        foreach (BpfMap map in _maps.Values)
            map.Dispose();
    }
}
