using System.Reflection;
using Accel.Core.Tests;

namespace Accel.Wire.Tests;

/// <summary>
/// Parsers and what a hostile sender can make of frames: nothing is thrown, nothing outside of the input is read, and
/// what is returned depends on the input alone.
/// </summary>
public class FuzzTests
{
    const int Rounds = 60_000, MaxLength = 160;

    public static TheoryData<string> Targets => [.. FuzzTargets.All.Keys];

    public static TheoryData<string> Corpus => [.. CorpusFile.All.Select(f => f.Name)];

    [Fact]
    public void Each_parser_has_a_target()
    {
        var parsers = typeof(TcpOptions).Assembly.GetExportedTypes()
            .Where(t => t.Name.EndsWith("View", StringComparison.Ordinal) || t.GetMethod("TryParse") != null)
            .Select(t => t.Name).Append(nameof(PacketText));
        Assert.Equal(parsers.Order(), FuzzTargets.All.Keys.Order());
    }

    [Fact]
    public void Each_target_asks_for_everything()
    {
        var missing =
            from type in typeof(TcpOptions).Assembly.GetExportedTypes()
            where type.Name.EndsWith("View", StringComparison.Ordinal)
            let called = Called(typeof(FuzzTargets).GetMethod(type.Name)!)
            from method in type.GetMethods(BindingFlags.Public | BindingFlags.Instance | BindingFlags.Static
                | BindingFlags.DeclaredOnly)
            where !called.Contains(method)
            select $"{type.Name}.{method.Name}";
        Assert.Empty(missing);
    }

    [Theory]
    [MemberData(nameof(Corpus))]
    public void Corpus_holds(string name)
    {
        var file = CorpusFile.Named(name);
        using var page = new GuardedPage();
        foreach (var target in FuzzTargets.All.Values)
            Try(target, file.Bytes, page);
        if (file.Text != null)
            Assert.Equal(file.Text, PacketText.Frame(file.Bytes));
    }

    [Theory]
    [MemberData(nameof(Targets))]
    public void Every_cut_of_the_corpus_is_survived(string name)
    {
        var target = FuzzTargets.All[name];
        using var page = new GuardedPage();
        foreach (var input in Layers())
        {
            for (var length = 0; length <= Math.Min(input.Length, MaxLength); length++)
                Try(target, input.AsSpan(0, length), page);
        }
    }

    [Theory]
    [MemberData(nameof(Targets))]
    public void Random_changes_are_survived(string name)
    {
        var target = FuzzTargets.All[name];
        var random = new Prng(Prng.Seed(11));
        var layers = Layers().ToArray();
        using var page = new GuardedPage();
        var parsed = 0;
        for (var round = 0; round < Rounds; round++)
        {
            var bytes = random.OneIn(8) ? Noise(random) : Changed(layers[random.Below(layers.Length)], random);
            if (Try(target, bytes, page) != 0)
                parsed++;
        }
        // A fuzzer whose inputs are all refused at the door tries nothing.
        Assert.InRange(parsed, Rounds / 600, Rounds);
    }

    // At the very end of memory, and in the middle of other bytes.
    static ulong Try(FuzzTargets.Target target, ReadOnlySpan<byte> bytes, GuardedPage page)
    {
        Span<byte> around = stackalloc byte[bytes.Length + 128];
        around.Fill(0x5A);
        bytes.CopyTo(around[64..]);
        try
        {
            var digest = target(page.AtEnd(bytes));
            Assert.Equal(digest, target(around.Slice(64, bytes.Length)));
            return digest;
        }
        catch (Exception e)
        {
            Assert.Fail($"{target.Method.Name}: keep this as Corpus/<name>.hex\n{Convert.ToHexString(bytes)}\n{e}");
            return 0;
        }
    }

    // What lies at the usual places in frames, so that each parser meets inputs of its own kind.
    static IEnumerable<byte[]> Layers() =>
        from file in CorpusFile.All
        from skip in new[] { 0, 12, 14, 18, 34, 42, 54, 62, 74 }
        where skip < file.Bytes.Length
        select file.Bytes[skip..];

    static byte[] Noise(Prng random)
    {
        var bytes = new byte[random.Below(MaxLength)];
        for (var i = 0; i < bytes.Length; i++)
            bytes[i] = (byte)random.Next();
        return bytes;
    }

    static byte[] Changed(byte[] layer, Prng random)
    {
        var bytes = layer[..Math.Min(layer.Length, random.OneIn(2) ? MaxLength : random.Below(MaxLength))];
        for (var changes = random.Below(5); changes > 0 && bytes.Length > 0; changes--)
        {
            // Headers are where it hurts.
            var at = random.Below(random.OneIn(2) ? bytes.Length : Math.Min(bytes.Length, 60));
            bytes[at] = random.Below(4) switch
            {
                0 => (byte)random.Next(),
                1 => (byte)(bytes[at] ^ 1 << random.Below(8)),
                2 => (byte)(bytes[at] + random.Below(5) - 2),
                _ => new byte[] { 0, 1, 0x7F, 0x80, 0xFF, 43, 44, 51, 60 }[random.Below(9)],
            };
        }
        return bytes;
    }

    // What a method calls: every call instruction (0x28) whose operand is a method.
    static HashSet<MethodBase> Called(MethodInfo method)
    {
        var il = method.GetMethodBody()!.GetILAsByteArray()!;
        var called = new HashSet<MethodBase>();
        for (var i = 0; i + 4 < il.Length; i++)
        {
            var token = BitConverter.ToInt32(il, i + 1);
            if (il[i] != 0x28 || token >> 24 is not (0x06 or 0x0A))
                continue;
            if (method.Module.ResolveMember(token) is MethodBase target)
                called.Add(target);
        }
        return called;
    }
}
