using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;
using Accel.Control.Broker;
using Accel.Control.Steering;
using Accel.Core.Nic;
using Accel.Os.Control;
using Accel.Wire;

namespace Accel.Control.Tests;

/// <summary>What Bpf/steering.h says is what the other side of the maps believes.</summary>
public partial class SteeringHeaderTests
{
    static readonly string Header = File.ReadAllText(Path.Combine(Here(), "../../src/Accel.Control/Bpf/steering.h"));

    static string Here([CallerFilePath] string file = "") => Path.GetDirectoryName(file)!;

    [Theory]
    [InlineData("MAX_SLOTS", SteeringLimits.MaxSlots)]
    [InlineData("MAX_QUEUES", SteeringLimits.MaxQueues)]
    [InlineData("MAX_ADDRESSES", SteeringLimits.MaxAddresses)]
    [InlineData("MAX_EXACT", SteeringLimits.MaxExact)]
    [InlineData("PORT_SLOT", PortEntry.SlotMask)]
    [InlineData("PORT_LISTENER", PortEntry.Listener)]
    [InlineData("PORT_MIXED", PortEntry.Mixed)]
    [InlineData("PORT_EXACT", PortEntry.Exact)]
    [InlineData("PORT_TAGGED", PortEntry.Tagged)]
    [InlineData("PORT_NOT_V6", PortEntry.NotV6)]
    [InlineData("PORT_NOT_V4", PortEntry.NotV4)]
    [InlineData("PORT_TAG_SHIFT", (ulong)PortEntry.TagShift)]
    [InlineData("PORT_LEAVING", PortEntry.Leaving)]
    [InlineData("INTERFACE_UP", (ulong)InterfaceConfig.Up)]
    [InlineData("INTERFACE_ANSWERS", (ulong)InterfaceConfig.Answers)]
    [InlineData("INTERFACE_PARTIAL_CHECKSUMS", (ulong)InterfaceConfig.PartialChecksums)]
    [InlineData("ANSWER_SCALE", (ulong)TcpOptionKinds.WindowScale)]
    [InlineData("ANSWER_SACK", (ulong)TcpOptionKinds.SackPermitted)]
    [InlineData("ANSWER_TIMESTAMPS", (ulong)TcpOptionKinds.Timestamps)]
    [InlineData("ANSWER_ECN", (ulong)SynAnswer.Ecn)]
    public void Numbers_are_the_same(string name, ulong value)
    {
        var text = Regex.Match(Header, $@"#define {name} +(\S.*?)( +/\*.*)?$", RegexOptions.Multiline).Groups[1].Value;
        var shift = Shifted().Match(text);
        var found = shift.Success ? 1ul << int.Parse(shift.Groups[1].Value)
            : text.StartsWith("0x", StringComparison.Ordinal) ? Convert.ToUInt64(text.TrimEnd('u', 'l'), 16)
            : ulong.Parse(text);
        Assert.Equal(value, found);
    }

    [Fact]
    public void Counts_have_a_name_each()
    {
        var names = Count().Matches(Header).Select(m => m.Groups[1].Value.ToLowerInvariant()).ToList();
        Assert.Equal(names, StatusReport.CountNames);
    }

    [Fact]
    public unsafe void Keys_and_values_are_as_long_as_in_C()
    {
        Assert.Equal(20, sizeof(ExactKey));
        Assert.Equal(16, sizeof(SlotHolder));
        Assert.Equal(16, sizeof(AddressKey));
        Assert.Equal(16, sizeof(InterfaceConfig));
        Assert.Equal(48, sizeof(SynAnswer));
    }

    [GeneratedRegex(@"\(1ull << (\d+)\)")]
    private static partial Regex Shifted();

    [GeneratedRegex(@"^    COUNT_(\w+),", RegexOptions.Multiline)]
    private static partial Regex Count();
}
