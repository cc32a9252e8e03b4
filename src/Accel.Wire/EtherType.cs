namespace Accel.Wire;

/// <summary>What an Ethernet frame carries.</summary>
public enum EtherType : ushort
{
    Ipv4 = 0x0800,
    Arp = 0x0806,

    /// <summary>IEEE 802.1Q tag.</summary>
    Vlan = 0x8100,
    Ipv6 = 0x86DD,

    /// <summary>IEEE 802.1ad outer tag.</summary>
    ServiceVlan = 0x88A8,
}
