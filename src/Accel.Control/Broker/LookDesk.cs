using System.Collections.Concurrent;
using System.Diagnostics;
using Accel.Control.Native;
using Accel.Core.Nic;
using Accel.Os.Control;

namespace Accel.Control.Broker;

/// <summary>
/// Answers who wants to look at stacks. A look is taken by a thread of its own, of the lowest priority and one at a
/// time; it serves all who ask within the next moment, and after one that took long there is a pause: the broker's
/// thread never waits, and however many ask, looks have a small part of one CPU.
/// </summary>
internal sealed class LookDesk(BrokerOptions options, Action wake) : IDisposable
{
    /// <summary>As long as one who asks should wait: less than a client without a stack may stay.</summary>
    public const int AnswerMilliseconds = 4000;

    /// <summary>A look is given out for so long, or five times as long as it took, within bounds.</summary>
    private const int FreshMilliseconds = 500, PauseFactor = 5, OldMilliseconds = 10_000;

    /// <summary>Who has got a look has so long to read it.</summary>
    private const int ReadMilliseconds = 5000;

    private const int MostWaiting = 256, MostUsers = 64, LowestPriority = 19;
    private const long MostBytes = 256 << 20;

    private sealed record Waiting(Client Client, uint Serial, Scope Scope);

    /// <summary>All stacks, or those of one user.</summary>
    private readonly record struct Scope(uint? Only);

    private sealed record Taken(Scope Scope, LookFile? File, long AtMilliseconds, long TookMilliseconds);

    private readonly List<Waiting> _waiting = [];
    private readonly Dictionary<Scope, Taken> _taken = [];
    private readonly Queue<(LookFile File, long UntilMilliseconds)> _retired = new();
    private readonly ConcurrentQueue<Taken> _done = new();
    private readonly BlockingCollection<Scope> _orders = [];
    private readonly HashSet<Scope> _ordered = [];
    private Thread? _thread;
    private long _retiredBytes;

    private static long Now => Environment.TickCount64;

    /// <summary>Answers now, or when a look was taken.</summary>
    public void Ask(Client client, uint serial)
    {
        LookScope may = options.Looks is null ? LookScope.None : options.Policy.MayLook(client.Peer);
        if (may == LookScope.None)
        {
            Answer(client, serial, NicRefusal.Policy);
            return;
        }
        Scope scope = new(may == LookScope.Own ? client.Peer.Uid : null);
        if (_taken.TryGetValue(scope, out Taken? taken) && IsFresh(taken))
            Answer(client, serial, taken);
        else if (_waiting.Count >= MostWaiting || _ordered.Count >= MostUsers
            || _waiting.Exists(w => w.Client == client))
            Answer(client, serial, NicRefusal.Busy);
        else
        {
            _waiting.Add(new(client, serial, scope));
            Order(scope);
        }
    }

    /// <summary>A client that has gone waits for nothing.</summary>
    public void Forget(Client client) => _waiting.RemoveAll(w => w.Client == client);

    /// <summary>Gives out what was taken since, and takes back what is old.</summary>
    public void Tend()
    {
        while (_done.TryDequeue(out Taken? taken))
        {
            _ordered.Remove(taken.Scope);
            if (_taken.Remove(taken.Scope, out Taken? before))
                Retire(before);
            _taken[taken.Scope] = taken;
            foreach (Waiting one in _waiting.Where(w => w.Scope == taken.Scope).ToList())
            {
                _waiting.Remove(one);
                Answer(one.Client, one.Serial, taken);
            }
        }
        foreach (Taken old in _taken.Values.Where(t => !IsFresh(t)).ToList())
        {
            _taken.Remove(old.Scope);
            Retire(old);
        }
        while (_retired.TryPeek(out (LookFile File, long UntilMilliseconds) oldest)
            && (Now >= oldest.UntilMilliseconds || _retiredBytes > MostBytes))
        {
            _retired.Dequeue();
            _retiredBytes -= oldest.File.Bytes;
            oldest.File.Dispose();
        }
    }

    private static bool IsFresh(Taken taken) =>
        Now - taken.AtMilliseconds
        < Math.Clamp(PauseFactor * taken.TookMilliseconds, FreshMilliseconds, OldMilliseconds);

    private void Retire(Taken taken)
    {
        if (taken.File is null)
            return;
        _retired.Enqueue((taken.File, Now + ReadMilliseconds));
        _retiredBytes += taken.File.Bytes;
    }

    private static void Answer(Client client, uint serial, Taken taken)
    {
        int fd = taken.File?.Open() ?? -1;
        if (fd < 0)
        {
            Answer(client, serial, NicRefusal.Failed);
            return;
        }
        Answer(client, serial, NicRefusal.None, fd);
        Libc.Close(fd);
    }

    private static void Answer(Client client, uint serial, NicRefusal refusal, params int[] descriptors)
    {
        client.Send(new Message { Header = MessageHeader.Of(MessageKind.Answer, serial, refusal) }, descriptors);
        // Who does not read gets nothing: the descriptor is closed by then.
        if (client.HasOutput)
            client.Fault = "";
    }

    private void Order(Scope scope)
    {
        if (!_ordered.Add(scope))
            return;
        if (_thread is null)
        {
            _thread = new Thread(Work) { IsBackground = true, Name = "looks" };
            _thread.Start();
        }
        _orders.Add(scope);
    }

    /// <summary>The thread that looks.</summary>
    private void Work()
    {
        // On Linux a priority is a thread's, and 0 is the calling one.
        _ = Libc.SetPriority(0, 0, LowestPriority);
        foreach (Scope scope in _orders.GetConsumingEnumerable())
        {
            long started = Stopwatch.GetTimestamp();
            LookFile? file = null;
            try
            {
                file = LookFile.Make(to => options.Looks!.Take(scope.Only, to));
            }
            catch (Exception e)
            {
                // Whatever a region made of it: acceld goes on.
                options.Log($"a look at the stacks failed: {e.Message}");
            }
            _done.Enqueue(new(scope, file, Now, (long)Stopwatch.GetElapsedTime(started).TotalMilliseconds));
            wake();
        }
    }

    public void Dispose()
    {
        _orders.CompleteAdding();
        foreach (Taken taken in _taken.Values)
            taken.File?.Dispose();
        foreach ((LookFile file, _) in _retired)
            file.Dispose();
    }
}
