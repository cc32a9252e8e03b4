using Accel.Core.Stack;

namespace Accel.Core.Tests;

public class OptionTests
{
    [Theory]
    [InlineData("ACCEL_SPIN_US", "0", 0)]
    [InlineData("ACCEL_SPIN_US", "-1", -1)]
    [InlineData("ACCEL_SPIN_US", "250", 250)]
    [InlineData("ACCEL_STRICT", "1", 1)]
    public void Values_in_range_are_taken(string name, string text, long expected)
    {
        Assert.Null(OptionTable.Parse(Row(name), text, out var value));
        Assert.Equal(expected, value);
    }

    [Theory]
    [InlineData("ACCEL_SPIN_US", "-2")]
    [InlineData("ACCEL_SPIN_US", "soon")]
    [InlineData("ACCEL_SPIN_US", "")]
    [InlineData("ACCEL_STRICT", "2")]
    [InlineData("ACCEL_LOCAL_MB", "99999999999999999999")]
    public void What_is_wrong_is_said_with_the_name_and_what_is_used_instead(string name, string text)
    {
        var message = OptionTable.Parse(Row(name), text, out _);
        Assert.StartsWith($"{name}={text}: ", message);
        Assert.EndsWith($"using {Row(name).Default}", message);
    }

    [Theory]
    [InlineData("ACCEL_SPIN_US", true)]
    [InlineData("ACCEL_NIC,ACCEL_SPIN_US,ACCEL_STRICT", true)]
    [InlineData("ACCEL_SPIN_US_TOO", false)]
    [InlineData("", false)]
    [InlineData(null, false)]
    public void A_profile_says_which_options_are_its(string? list, bool isIn) =>
        Assert.Equal(isIn, OptionTable.IsIn(list, "ACCEL_SPIN_US"));

    static OptionRow Row(string name) => OptionTable.Rows.Single(r => r.Name == name);
}
