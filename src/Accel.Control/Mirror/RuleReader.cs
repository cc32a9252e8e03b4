using System.Runtime.InteropServices;
using Accel.Core.Ip;
using Accel.Core.Local;

namespace Accel.Control.Mirror;

/// <summary>struct fib_rule_hdr and its attributes (linux/fib_rules.h).</summary>
internal static class RuleReader
{
    public const int HeaderBytes = 12;
    private const int Target = 1, Source = 2, InputInterface = 3, Priority = 6, Mark = 10, Flow = 11;
    private const int SuppressPrefixLength = 14, Table = 15, MarkMask = 16, OutputInterface = 17, Padding = 18;
    private const int L3Master = 19, Protocol = 21;
    private const byte ToTable = 1;
    private const uint Permanent = 1, Inverted = 2, Detached = 8 | 16;

    /// <summary>
    /// Reads a rule as it is for a packet that this host sends through a socket without a mark and without a device.
    /// False if it then never applies.
    /// </summary>
    public static bool TryRead(in NetlinkMessage message, out RuleEntry rule)
    {
        rule = default;
        ReadOnlySpan<byte> body = message.Body;
        if (body.Length < HeaderBytes || Families.Of(body[0]) is not (> 0 and var family))
            return false;
        uint flags = MemoryMarshal.Read<uint>(body[8..]);
        rule.Family = family;
        rule.ToLength = body[1];
        rule.FromLength = body[2];
        rule.Table = body[4];
        uint mark = 0, mask = uint.MaxValue;
        // What is not known here decides for the whole rule, whatever the rest says.
        bool unknown = body[3] != 0 || (flags & ~(Permanent | Inverted | Detached)) != 0, never = false;
        bool unusual = body[7] != ToTable;
        foreach (NetlinkAttribute attribute in message.After(HeaderBytes))
        {
            switch (attribute.Type)
            {
                case Target:
                    rule.To = PrefixOf(attribute, family);
                    break;
                case Source:
                    rule.From = PrefixOf(attribute, family);
                    break;
                case Priority:
                    rule.Priority = attribute.U32;
                    break;
                case Table:
                    rule.Table = attribute.U32;
                    break;
                case Mark:
                    mark = attribute.U32;
                    break;
                case MarkMask:
                    mask = attribute.U32;
                    break;
                case InputInterface:
                    // What this host sends comes in from the loopback interface, as it were.
                    never |= !attribute.Value.TrimEnd((byte)0).SequenceEqual("lo"u8);
                    break;
                case OutputInterface when family == Endpoint.V4:
                    never = true;
                    break;
                case L3Master:
                    // Sockets of a VRF are bound to a device, and so the kernel's.
                    never |= attribute.Value is [not 0, ..];
                    break;
                case SuppressPrefixLength:
                    rule.ShortestPrefix = (byte)Math.Min(unchecked(attribute.U32 + 1), 255);
                    break;
                case Protocol or Flow or Padding:
                    break;
                default:
                    unknown = true;
                    break;
            }
        }
        never |= (mark & mask) != 0;
        bool isInverted = (flags & Inverted) != 0;
        if (never && !isInverted)
            return false;
        if (never || unknown && isInverted)
        {
            // "not" something that never is so: always.
            rule.FromLength = rule.ToLength = 0;
            isInverted = false;
            unknown &= !never;
        }
        rule.Flags = (byte)((unknown || unusual ? RuleEntry.Unusual : 0) | (isInverted ? RuleEntry.Inverted : 0));
        return true;
    }

    private static Prefix PrefixOf(in NetlinkAttribute attribute, byte family)
    {
        (ulong low, ulong high) = attribute.Address;
        return Prefix.Of(family, low, high);
    }
}
