using Accel.Control.Native;
using Accel.Os.Control;

namespace Accel.Control.Broker;

/// <summary>One connection, and what could not be sent over it yet.</summary>
internal sealed class Client(int fd, Peer peer, long now) : IDisposable
{
    private const int MostWaiting = 2048;

    private readonly Conversation _conversation = new(DaemonKernel.Shared, fd);
    private readonly Queue<Action<Client>> _outbox = new();
    private int _lastError;

    public int Fd => fd;

    public Peer Peer => peer;

    public Stack? Stack { get; set; }

    public long ConnectedAt => now;

    /// <summary>When it asked for a neighbour last; 0: never.</summary>
    public long AskedAt { get; set; }

    public bool HasOutput => _outbox.Count > 0;

    /// <summary>Why it is to be dropped, if it is.</summary>
    public string? Fault { get; set; }

    /// <summary>
    /// Sends a packet, or keeps it until there is room. The descriptors must stay open until then: they are the
    /// stack's or acceld's own.
    /// </summary>
    public void Send<T>(T packet, params int[] descriptors) where T : unmanaged
    {
        if (Fault != null)
            return;
        if (_outbox.Count == 0 && TrySend(packet, descriptors))
            return;
        if (_outbox.Count >= MostWaiting)
            Fault = "does not read what it is sent";
        else
            _outbox.Enqueue(client => client.TrySend(packet, descriptors));
    }

    private bool TrySend<T>(in T packet, int[] descriptors) where T : unmanaged
    {
        _lastError = -_conversation.Send(packet, descriptors);
        if (_lastError is not (0 or Libc.EAGAIN))
            Fault = $"cannot be written to: {Libc.Text(_lastError)}";
        return _lastError == 0;
    }

    /// <summary>The connection takes more now.</summary>
    public void Flush()
    {
        while (Fault == null && _outbox.TryPeek(out Action<Client>? send))
        {
            send(this);
            if (_lastError != 0)
                return;
            _outbox.Dequeue();
        }
    }

    /// <summary>False at the end, or if there is nothing now.</summary>
    public bool TryReceive(out Message packet, int[] descriptors, out int count)
    {
        int got = _conversation.Receive(out packet, descriptors, out count);
        if (got > 0)
            return true;
        if (got is not (-Libc.EAGAIN or -Libc.EINTR))
            Fault = "";
        return false;
    }

    public void Dispose() => Libc.Close(fd);
}
