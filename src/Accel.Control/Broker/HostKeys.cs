using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Accel.Os.Control;

namespace Accel.Control.Broker;

/// <summary>
/// The secret that sequence numbers and timestamps of new connections come from (RFC 6528, RFC 7323 5.4). One for all
/// stacks of the host and for as long as it runs, as the kernel's: when a program uses a port again that another had,
/// a peer in TIME-WAIT must see both go on rising, or it takes the new connection for an old one's echo.
/// </summary>
public readonly record struct HostKeys(ulong Key0, ulong Key1)
{
    private const string Kept = Protocol.Folder + "/keys";

    /// <summary>What the first acceld made; this one makes it if it is the first.</summary>
    public static HostKeys Load()
    {
        Span<byte> bytes = stackalloc byte[16];
        RandomNumberGenerator.Fill(bytes);
        Directory.CreateDirectory(Protocol.Folder);
        if (!File.Exists(Kept))
            Offer(bytes);
        using (FileStream file = File.OpenRead(Kept))
            file.ReadExactly(bytes);
        ReadOnlySpan<ulong> words = MemoryMarshal.Cast<byte, ulong>(bytes);
        return new HostKeys(words[0], words[1]);
    }

    /// <summary>Whole or not at all, and readable by root alone; another acceld may be at the same.</summary>
    private static void Offer(ReadOnlySpan<byte> bytes)
    {
        string own = $"{Kept}.{Environment.ProcessId}.{Environment.CurrentManagedThreadId}";
        FileStreamOptions options = new()
        {
            Mode = FileMode.Create,
            Access = FileAccess.Write,
            UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
        };
        using (FileStream file = new(own, options))
            file.Write(bytes);
        try
        {
            File.Move(own, Kept, overwrite: false);
        }
        catch (IOException) when (File.Exists(Kept))
        {
            File.Delete(own);
        }
    }
}
