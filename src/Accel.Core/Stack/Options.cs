using System.Runtime.InteropServices;
using Accel.Core.Memory;

namespace Accel.Core.Stack;

/// <summary>
/// Every ACCEL_* setting that the library reads. The order is the order of <see cref="OptionTable.Rows"/>.
/// </summary>
public enum Option
{
    SpinMicros,
    Strict,
    Disable,
    LocalMegabytes,
    SendBuffer,
    ReceiveBuffer,
    Nic,
    Diagnostics,
    Count,
}

/// <summary>An option's environment name, default, range, unit and one-line meaning.</summary>
public readonly record struct OptionRow(
    Option Option, string Name, long Default, long Min, long Max, string Unit, string Meaning);

/// <summary>
/// A setting that is a word and not a number, so that it has no place among the values of the region.
/// </summary>
public readonly record struct OptionWord(string Name, bool IsForUsers, string Meaning);

/// <summary>
/// The one declaration of the options: parsing, range checks, help, stackdump and documents follow it.
/// </summary>
[ColdPath]
public static class OptionTable
{
    /// <summary>ACCEL_SPIN_US value that asks for the adaptive spin.</summary>
    public const long AdaptiveSpin = -1;

    public static readonly OptionRow[] Rows =
    [
        new(Option.SpinMicros, "ACCEL_SPIN_US", AdaptiveSpin, -1, 10_000_000, "us",
            "How long a blocking call looks at its sockets before it sleeps; -1: adaptive, "
            + "at most 50 us, none when both ends share a CPU."),
        new(Option.Strict, "ACCEL_STRICT", 0, 0, 1, "",
            "1: a connect() that would have to use the kernel fails with ECONNREFUSED and a listen() with EOPNOTSUPP, "
            + "and the reason is said on standard error; what is accepted from the kernel is said, and served."),
        new(Option.Disable, "ACCEL_DISABLE", 0, 0, 1, "", "1: the library is loaded but accelerates nothing."),
        new(Option.LocalMegabytes, "ACCEL_LOCAL_MB", 1024, 128, 16384, "MiB",
            "Address space of the region for local connections (memory is used only as needed)."),
        new(Option.SendBuffer, "ACCEL_SNDBUF", 2_621_440, 4096, 33_554_432, "bytes",
            "Send buffer of a local connection whose program set none."),
        new(Option.ReceiveBuffer, "ACCEL_RCVBUF", 131_072, 4096, 33_554_432, "bytes",
            "Receive buffer of a local connection whose program set none."),
        new(Option.Nic, "ACCEL_NIC", 1, 0, 1, "",
            "0: connections over network interfaces stay on the kernel, whether or not acceld serves them."),
        new(Option.Diagnostics, "ACCEL_DIAGNOSTICS", 0, 0, 1, "",
            "1: connections that open, close, or go to the kernel are logged in the stack's region, where acceld and "
            + "accelstat read them."),
    ];

    /// <summary>
    /// Says which of the others a profile has set, so that the tools can tell where a value comes from.
    /// </summary>
    public const string ProfileOptions = "ACCEL_PROFILE_OPTIONS";

    /// <summary>What is a word: for users, or between our own programs.</summary>
    public static readonly OptionWord[] Words =
    [
        new("ACCEL_LOG", true, "A file that gets a line for each rare event: start, fork, exec, hand-over."),
        new("ACCEL_PROFILE", true, "The profile that `accel run --profile` has read; it says so to the tools."),
        new(ProfileOptions, false, "The options that the profile has set, with commas between them."),
        new("ACCEL_INHERIT", false, "What one image tells the next in exec()."),
    ];

    /// <summary>True if a list with commas has the name.</summary>
    public static bool IsIn(string? list, string name)
    {
        if (list is null)
            return false;
        foreach (Range range in list.AsSpan().Split(','))
        {
            if (list.AsSpan(range).SequenceEqual(name))
                return true;
        }
        return false;
    }

    /// <summary>Parses one value. Returns null if it is good, else what is wrong with it.</summary>
    public static string? Parse(in OptionRow row, string text, out long value)
    {
        if (!long.TryParse(text, out value))
            return $"{row.Name}={text}: expected a number from {row.Min} to {row.Max}; using {row.Default}";
        if (value < row.Min || value > row.Max)
            return $"{row.Name}={text}: outside {row.Min} to {row.Max}; using {row.Default}";
        return null;
    }
}

/// <summary>The options as parsed at start, for this stack and for whoever looks at it.</summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 512)]
public unsafe struct OptionValues
{
    [FieldOffset(0)] public fixed long Values[32];

    /// <summary>1 where the environment gave the value.</summary>
    [FieldOffset(256)] public fixed byte FromEnvironment[32];

    /// <summary>1 where it was a profile that put it into the environment.</summary>
    [FieldOffset(288)] public fixed byte FromProfile[32];

    /// <summary>Where an option's value comes from, for people.</summary>
    [ColdPath]
    public readonly string Origin(Option option) => FromEnvironment[(int)option] == 0 ? "default"
        : FromProfile[(int)option] == 0 ? "environment" : "profile";
}
