using System.Reflection;
using System.Text;
using System.Text.RegularExpressions;

namespace Accel.House.Tests;

/// <summary>What the managed side believes about C and Linux, put to the C compiler as _Static_asserts.</summary>
[Trait("stage", "abi")]
public partial class CTruthTests
{
    const string Includes = """
        #define _GNU_SOURCE
        #include <errno.h>
        #include <fcntl.h>
        #include <linux/if_xdp.h>
        #include <linux/membarrier.h>
        #include <linux/sockios.h>
        #include <netinet/in.h>
        #include <netinet/tcp.h>
        #include <poll.h>
        #include <stddef.h>
        #include <sys/epoll.h>
        #include <sys/file.h>
        #include <sys/ioctl.h>
        #include <sys/mman.h>
        #include <sys/socket.h>
        #include <sys/syscall.h>
        #include <sys/uio.h>
        #include "abi.h"

        """;

    /// <summary>The classes of Linux's numbers, and how the names of their constants begin in C.</summary>
    static readonly (string Type, string[] Prefixes)[] Classes =
    [
        ("Accel.Posix.Errno", [""]), ("Accel.Posix.Af", ["AF_"]), ("Accel.Posix.Msg", ["MSG_"]),
        ("Accel.Posix.Ev", ["POLL", "EPOLL", "EPOLL_"]), ("Accel.Posix.So", ["SO_"]), ("Accel.Posix.Request", [""]),
        ("Accel.Os.Errno", [""]),
    ];

    /// <summary>Constants that carry a name of our own.</summary>
    static readonly Dictionary<string, string> Renamed = new()
    {
        ["Accel.Posix.AccelResult.Wait"] = "ACCEL_WAIT",
        ["Accel.Posix.AccelResult.Pass"] = "ACCEL_PASS",
        ["Accel.Posix.AccelWait.SleepPoll"] = "ACCEL_SLEEP_POLL",
        ["Accel.Posix.AccelWait.SleepEpoll"] = "ACCEL_SLEEP_EPOLL",
        ["Accel.Posix.AccelStep.Unmap"] = "ACCEL_STEP_UNMAP",
        ["Accel.Posix.AccelStep.Put"] = "ACCEL_STEP_PUT",
        ["Accel.Posix.AccelStep.Copy"] = "ACCEL_STEP_COPY",
        ["Accel.Posix.AccelStep.Member"] = "ACCEL_STEP_MEMBER",
        ["Accel.Posix.AccelStep.Lent"] = "ACCEL_STEP_LENT",
        ["Accel.Posix.AccelStep.Close"] = "ACCEL_STEP_CLOSE",
        ["Accel.Core.Stack.DescriptorEntry.KindSocket"] = "ACCEL_KIND_SOCKET",
        ["Accel.Core.Stack.DescriptorEntry.KindEpoll"] = "ACCEL_KIND_EPOLL",
        ["Accel.Core.Stack.DescriptorEntry.KindInternal"] = "ACCEL_KIND_INTERNAL",
        ["Accel.Core.Stack.DescriptorEntry.OnKernel"] = "ACCEL_TRACKED",
        ["Accel.Os.LinuxKernel.AddressUnix"] = "AF_UNIX",
        ["Accel.Os.LinuxKernel.Datagram"] = "SOCK_DGRAM",
        ["Accel.Os.LinuxKernel.Cloexec"] = "SOCK_CLOEXEC",
        ["Accel.Os.LinuxKernel.NonBlock"] = "SOCK_NONBLOCK",
        ["Accel.Os.LinuxKernel.DontWait"] = "MSG_DONTWAIT",
        ["Accel.Os.LinuxKernel.NoSignal"] = "MSG_NOSIGNAL",
        ["Accel.Os.LinuxKernel.DuplicateFd"] = "F_DUPFD",
        ["Accel.Os.LinuxKernel.DuplicateCloexec"] = "F_DUPFD_CLOEXEC",
        ["Accel.Os.LinuxKernel.GetFlagsCommand"] = "F_GETFL",
        ["Accel.Os.LinuxKernel.SetFlagsCommand"] = "F_SETFL",
        ["Accel.Os.LinuxKernel.ReadWrite"] = "O_RDWR",
        ["Accel.Os.LinuxKernel.Directory"] = "O_DIRECTORY",
        ["Accel.Os.LinuxKernel.ProtectReadWrite"] = "PROT_READ | PROT_WRITE",
        ["Accel.Os.LinuxKernel.MapShared"] = "MAP_SHARED",
        ["Accel.Os.LinuxKernel.MapNoReserve"] = "MAP_NORESERVE",
        ["Accel.Os.LinuxKernel.AtCwd"] = "AT_FDCWD",
        ["Accel.Os.Links.XskRings.SocketXdp"] = "SOL_XDP",
        ["Accel.Os.Links.XskRings.MmapOffsets"] = "XDP_MMAP_OFFSETS",
        ["Accel.Os.Links.XskRings.ReceivePage"] = "XDP_PGOFF_RX_RING",
        ["Accel.Os.Links.XskRings.SendPage"] = "XDP_PGOFF_TX_RING",
        ["Accel.Os.Links.XskRings.FillPage"] = "XDP_UMEM_PGOFF_FILL_RING",
        ["Accel.Os.Links.XskRings.CompletionPage"] = "XDP_UMEM_PGOFF_COMPLETION_RING",
        ["Accel.Os.LinuxKernel.MapPopulate"] = "MAP_POPULATE",
        ["Accel.Os.LinuxKernel.PollIn"] = "POLLIN",
    };

    /// <summary>System calls whose number has another name than the call.</summary>
    static readonly Dictionary<string, string> Calls = new()
    {
        ["Seek"] = "lseek", ["Pread"] = "pread64", ["Pwrite"] = "pwrite64", ["PrLimit"] = "prlimit64",
        ["SendMessage"] = "sendmsg", ["ReceiveMessage"] = "recvmsg",
    };

    /// <summary>The fields of the system's structs, in the order of their mirrors' fields.</summary>
    static readonly Dictionary<string, string[]> SystemStructs = new()
    {
        ["pollfd"] = ["fd", "events", "revents"],
        ["iovec"] = ["iov_base", "iov_len"],
        ["msghdr"] = ["msg_name", "msg_namelen", "msg_iov", "msg_iovlen", "msg_control", "msg_controllen", "msg_flags"],
        ["epoll_event"] = ["events", "data"],
    };

    static readonly Dictionary<string, string> OtherFields = new() { ["fdcount"] = "nfds", ["systemcall"] = "syscall" };

    static readonly HashSet<string> Macros = [.. Gcc("-dM", "-E", Includes).Split('\n')
        .Where(l => l.StartsWith("#define ", StringComparison.Ordinal)).Select(l => l.Split(' ')[1])];

    [Fact]
    public void Numbers_of_Linux_are_right()
    {
        var text = new StringBuilder(Includes);
        var unknown = new List<string>();
        foreach (var (type, prefixes) in Classes)
            foreach (var field in Constants(Type(type)))
            {
                var names = prefixes.Select(p => p + field.Name).ToList();
                if (field.Name.Contains('_'))
                    names.Add(field.Name);
                names.RemoveAll(n => !Macros.Contains(n));
                if (names.Count == 0)
                    unknown.Add($"{type}.{field.Name}: no header has it");
                foreach (var name in names)
                    Assertion(text, name, field);
            }
        foreach (var (constant, name) in Renamed)
        {
            var dot = constant.LastIndexOf('.');
            if (Constants(Type(constant[..dot])).FirstOrDefault(f => f.Name == constant[(dot + 1)..]) is { } field)
                Assertion(text, name, field);
            else
                unknown.Add($"{constant}: gone or renamed: change the row in this test");
        }
        House.None(unknown, "Name it as C does, or give it a row in this test.");
        Gcc("-c", "-std=gnu11", text.ToString());
    }

    [Fact]
    public void Numbers_of_system_calls_are_right()
    {
        var text = new StringBuilder(Includes);
        var numbers = Macros.Where(m => m.StartsWith("SYS_", StringComparison.Ordinal))
            .ToDictionary(m => Plain(m["SYS_".Length..]));
        foreach (var field in Constants(Type("Accel.Os.SystemCall")))
        {
            var call = Plain(Calls.GetValueOrDefault(field.Name, field.Name));
            Assert.True(numbers.ContainsKey(call), $"SystemCall.{field.Name}: no such system call");
            Assertion(text, numbers[call], field);
        }
        Gcc("-c", "-std=gnu11", text.ToString());
    }

    [Fact]
    public void Structs_lie_as_in_C()
    {
        var text = new StringBuilder(Includes);
        var mirrors = Mirror().Matches(House.Read("src/Accel.Posix/Abi.cs"))
            .Select(m => (C: m.Groups[1].Value, Type: Type("Accel.Posix." + m.Groups[2].Value))).ToList();
        Assert.Contains(mirrors, m => m.C == "accel_thread");
        foreach (var (name, type) in mirrors)
        {
            var fields = type.GetFields(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic)
                .OrderBy(f => LayoutTests.Offset(type, f)).ToList();
            var inC = SystemStructs.TryGetValue(name, out var known) ? known : Fields(name);
            Assert.True(fields.Count == inC.Length, $"{type} has {fields.Count} fields, struct {name} {inC.Length}");
            text.Append($"_Static_assert(sizeof(struct {name}) == {LayoutTests.Size(type)}, \"{type.Name}\");\n");
            foreach (var (field, member) in fields.Zip(inC))
            {
                var plain = Plain(field.Name);
                Assert.True(known != null || OtherFields.GetValueOrDefault(plain, plain) == Plain(member),
                    $"{type}.{field.Name} stands where struct {name} has {member}");
                text.Append($"_Static_assert(offsetof(struct {name}, {member}) == {LayoutTests.Offset(type, field)}")
                    .Append($" && sizeof(((struct {name} *)0)->{member}) == {LayoutTests.Size(field.FieldType)}, ")
                    .Append($"\"{type.Name}.{field.Name}\");\n");
            }
        }
        Gcc("-c", "-std=gnu11", text.ToString());
    }

    static void Assertion(StringBuilder text, string name, FieldInfo field)
    {
        var value = Convert.ToDecimal(field.GetRawConstantValue(), null);
        text.Append($"_Static_assert((long long)({name}) == {value}ll, ")
            .Append($"\"{field.DeclaringType!.Name}.{field.Name} = {value}\");\n");
    }

    static IEnumerable<FieldInfo> Constants(Type type) =>
        type.GetFields(BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic).Where(f => f.IsLiteral);

    /// <summary>The members of a struct in abi.h, in order.</summary>
    static string[] Fields(string name)
    {
        var body = Regex.Match(House.Read("shim/abi.h"), $@"struct {name} \{{(.*?)^\}};", RegexOptions.Singleline
            | RegexOptions.Multiline).Groups[1].Value;
        body = Regex.Replace(body, @"/\*.*?\*/", "", RegexOptions.Singleline);
        return [.. Member().Matches(body).Select(m => m.Groups[1].Success ? m.Groups[1].Value : m.Groups[2].Value)];
    }

    static string Plain(string name) => name.Replace("_", "", StringComparison.Ordinal).ToLowerInvariant();

    static Type Type(string name)
    {
        foreach (var room in new[] { "Accel.Core", "Accel.Posix", "Accel.Os" })
            if (Assembly.Load(room).GetType(name) is { } type)
                return type;
        throw new InvalidOperationException($"{name} is gone: change the row in this test");
    }

    static string Gcc(params string[] arguments)
    {
        var folder = Directory.CreateTempSubdirectory("accel-house-").FullName;
        try
        {
            var source = Path.Combine(folder, "truth.c");
            File.WriteAllText(source, arguments[^1]);
            return House.Run("gcc", [.. arguments[..^1], "-I", House.Path("shim"), source, "-o",
                arguments.Contains("-c") ? Path.Combine(folder, "truth.o") : "-"]);
        }
        finally
        {
            Directory.Delete(folder, true);
        }
    }

    // A doc comment that begins with the C struct's name, and the struct below it.
    [GeneratedRegex(@"<summary>struct (\w+)[^\n]*</summary>\s*(?:\[[^\n]*\]\s*)?public (?:unsafe )?struct (\w+)")]
    private static partial Regex Mirror();

    [GeneratedRegex(@"(?:\(\*(\w+)\)\([^;]*\)|(\w+)\s*(?:\[\w+\])?)\s*;")]
    private static partial Regex Member();
}
