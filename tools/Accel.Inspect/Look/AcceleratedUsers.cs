using System.Buffers.Binary;
using System.Globalization;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Accel.Inspect.Look;

/// <summary>
/// Who is accelerated in this network namespace, as far as anybody may know: the abstract unix sockets at which stacks
/// meet and are woken, and whose they are (sock_diag(7), unix_diag.h).
/// </summary>
public static partial class AcceleratedUsers
{
    private const int Netlink = 16, Datagram = 2, Cloexec = 0x80000, SockDiag = 4, ByFamily = 20, Dump = 0x301;
    private const int HeaderBytes = 16, RequestBytes = 24, AnswerBytes = 16, NameAttribute = 0, UidAttribute = 7;
    private const int ShowNameAndUid = 0x41, Done = 3, Error = 2, MostRounds = 10_000;

    /// <summary>Their numbers; none where the kernel does not say it.</summary>
    public static SortedSet<uint> Find()
    {
        var users = new SortedSet<uint>();
        using SafeFileHandle socket = Socket(Netlink, Datagram | Cloexec, SockDiag);
        if (socket.IsInvalid) return users;
        byte[] question = new byte[HeaderBytes + RequestBytes];
        BinaryPrimitives.WriteInt32LittleEndian(question, question.Length);
        BinaryPrimitives.WriteInt16LittleEndian(question.AsSpan(4), ByFamily);
        BinaryPrimitives.WriteInt16LittleEndian(question.AsSpan(6), Dump);
        question[HeaderBytes] = 1; // AF_UNIX
        BinaryPrimitives.WriteUInt32LittleEndian(question.AsSpan(HeaderBytes + 4), uint.MaxValue);
        BinaryPrimitives.WriteInt32LittleEndian(question.AsSpan(HeaderBytes + 12), ShowNameAndUid);
        if (Send(socket, question, (nuint)question.Length, 0) != question.Length) return users;
        byte[] answer = new byte[1 << 16];
        for (int i = 0; i < MostRounds; i++)
        {
            int got = (int)Receive(socket, answer, (nuint)answer.Length, 0);
            if (got <= 0 || !Read(answer.AsSpan(0, got), users)) break;
        }
        return users;
    }

    /// <summary>A user by name, as /etc/passwd has it, or by number.</summary>
    public static string Name(uint uid)
    {
        string number = uid.ToString(CultureInfo.InvariantCulture);
        try
        {
            return File.ReadLines("/etc/passwd").Select(line => line.Split(':'))
                .FirstOrDefault(f => f.Length > 2 && f[2] == number)?[0] ?? $"uid {number}";
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return $"uid {number}";
        }
    }

    /// <summary>False at the end of all.</summary>
    private static bool Read(ReadOnlySpan<byte> messages, SortedSet<uint> users)
    {
        while (messages.Length >= HeaderBytes)
        {
            int length = BinaryPrimitives.ReadInt32LittleEndian(messages);
            if (BinaryPrimitives.ReadInt16LittleEndian(messages[4..]) is Done or Error || length < HeaderBytes
                || length > messages.Length)
                return false;
            if (length > HeaderBytes + AnswerBytes) ReadSocket(messages[(HeaderBytes + AnswerBytes)..length], users);
            messages = messages[Math.Min((length + 3) & ~3, messages.Length)..];
        }
        return true;
    }

    private static void ReadSocket(ReadOnlySpan<byte> attributes, SortedSet<uint> users)
    {
        bool isOurs = false;
        uint? uid = null;
        while (attributes.Length >= 4)
        {
            int length = BinaryPrimitives.ReadUInt16LittleEndian(attributes);
            if (length < 4 || length > attributes.Length) return;
            ReadOnlySpan<byte> value = attributes[4..length];
            switch (BinaryPrimitives.ReadUInt16LittleEndian(attributes[2..]))
            {
                case NameAttribute:
                    isOurs = value.StartsWith("\0accel-1-"u8) || value.StartsWith("\0accel-wake-"u8);
                    break;
                case UidAttribute when value.Length >= sizeof(uint):
                    uid = BinaryPrimitives.ReadUInt32LittleEndian(value);
                    break;
            }
            attributes = attributes[Math.Min((length + 3) & ~3, attributes.Length)..];
        }
        if (isOurs && uid is { } user) users.Add(user);
    }

    [LibraryImport("libc", EntryPoint = "socket", SetLastError = true)]
    private static partial SafeFileHandle Socket(int domain, int type, int protocol);

    [LibraryImport("libc", EntryPoint = "send", SetLastError = true)]
    private static partial nint Send(SafeFileHandle socket, byte[] bytes, nuint length, int flags);

    [LibraryImport("libc", EntryPoint = "recv", SetLastError = true)]
    private static partial nint Receive(SafeFileHandle socket, byte[] bytes, nuint length, int flags);
}
