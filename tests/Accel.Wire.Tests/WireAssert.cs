namespace Accel.Wire.Tests;

/// <summary>Comparisons that name the field that differs.</summary>
static class WireAssert
{
    public static void Same(in TcpOptions expected, in TcpOptions actual)
    {
        Assert.Equal(Fields(expected), Fields(actual));
        for (var i = 0; i < expected.SackCount; i++)
        {
            Assert.Equal(expected.Sacks[i].Left.Value, actual.Sacks[i].Left.Value);
            Assert.Equal(expected.Sacks[i].Right.Value, actual.Sacks[i].Right.Value);
        }
    }

    static (TcpOptionKinds, byte, byte, ushort, uint, uint) Fields(in TcpOptions o) =>
        (o.Present, o.WindowScale, o.SackCount, o.Mss, o.TsVal, o.TsEcr);
}
