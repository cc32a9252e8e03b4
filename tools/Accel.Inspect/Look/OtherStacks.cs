using Accel.Control.Broker;
using Accel.Control.Native;
using Accel.Os.Control;
using Microsoft.Win32.SafeHandles;

namespace Accel.Inspect.Look;

/// <summary>
/// The stacks that this user may not look at itself, as acceld of this network namespace shows them: for those who look
/// again and again, acceld is asked twice a second at most.
/// </summary>
public sealed class OtherStacks(string? socketPath = null) : IDisposable
{
    private const long AgainMilliseconds = 500;

    private readonly string _path = socketPath ?? Protocol.SocketPath(DaemonKernel.Shared.NetworkNamespace());

    private LookReply? _last;
    private long _askedAt;

    /// <summary>Adds them to a machine, and to <see cref="Machine.Unseen"/> what cannot be seen.</summary>
    public void AddTo(Machine machine)
    {
        if (_last is null || Environment.TickCount64 - _askedAt >= AgainMilliseconds)
        {
            _last?.Dispose();
            _last = LookQuery.Ask(_path);
            _askedAt = Environment.TickCount64;
        }
        try
        {
            if (_last.File is { } file)
            {
                using var stream = new FileStream(
                    new SafeFileHandle(file.DangerousGetHandle(), ownsHandle: false), FileAccess.Read, 1 << 18);
                stream.Position = 0;
                LookReader.AddTo(machine, stream);
                return;
            }
            machine.Unseen = _last.IsAbsent ? Absent(machine) : $"stacks of other users cannot be seen: {_last.Why}";
        }
        catch (Exception e) when (e is IOException or InvalidDataException)
        {
            machine.Unseen = $"stacks of other users cannot be seen: acceld's look: {e.Message}";
        }
    }

    /// <summary>Without acceld nothing is said on a host where nobody else is accelerated.</summary>
    private static string? Absent(Machine machine)
    {
        string[] users = [.. AcceleratedUsers.Find().Except(machine.Stacks.Select(s => s.Header.OwnerUid))
            .Select(AcceleratedUsers.Name)];
        return users.Length == 0 ? null
            : $"stacks of {(users.Length == 1 ? "another user" : $"{users.Length} other users")} "
                + $"({string.Join(", ", users.Take(5))}{(users.Length > 5 ? ", ..." : "")}) cannot be seen: "
                + "run as root, or start acceld";
    }

    public void Dispose() => _last?.Dispose();
}
