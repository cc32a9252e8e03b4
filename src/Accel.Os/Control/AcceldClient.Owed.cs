using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Nic;

namespace Accel.Os.Control;

/// <summary>
/// What acceld is still to hear of ports that this stack gave up while no acceld was there, or while it was silent. The
/// entry that an acceld made outlives it: frames would go on coming to a stack that knows nothing of the port, and
/// whoever has it by now would be heard by nobody. So each is said again until it was answered.
/// </summary>
public sealed unsafe partial class AcceldClient
{
    private const int MaxOwed = 1024;

    private readonly Owed[] _owed = new Owed[MaxOwed];
    private int _owedCount;

    private struct Owed
    {
        /// <summary>Of the question in this conversation; 0: not asked yet.</summary>
        public uint Serial;
        public Transport Transport;
        public bool IsListener;
        public Endpoint Local;
    }

    /// <summary>How many things are still to be said.</summary>
    public int OwedCount => _owedCount;

    public void Unsteer(Transport transport, ReadOnlySpan<Endpoint> locals)
    {
        foreach (ref readonly Endpoint local in locals)
        {
            if (!TryGiveBack(transport, local))
                Owe(transport, local, false);
        }
        if (_owedCount == 0 || !IsJoined())
            return;
        // acceld answers them in one turn of its own.
        long end = _kernel.NowNs() + _patience * 1_000_000L;
        while (_owedCount > 0 && TryAwait(MessageKind.Answer, out _) && _kernel.NowNs() < end)
            SayOwed();
    }

    private void Owe(Transport transport, in Endpoint local, bool listener)
    {
        Forgive(transport, local);
        // Without room it stays as it is until the stack ends: more than a program has ports.
        if (_owedCount == MaxOwed)
            return;
        _owed[_owedCount++] = new Owed { Transport = transport, IsListener = listener, Local = local };
        if (_fd >= 0)
            SayOwed();
    }

    /// <summary>The stack has the port anew. True if acceld was asked to take it away, and may do so at any time.
    /// </summary>
    private bool Forgive(Transport transport, in Endpoint local)
    {
        bool asked = false;
        for (int i = _owedCount - 1; i >= 0; i--)
        {
            Endpoint one = _owed[i].Local.Unmapped();
            if (_owed[i].Transport != transport || one.Port != local.Port || !one.SameAddress(local.Unmapped()))
                continue;
            asked |= _owed[i].Serial != 0;
            RemoveOwed(i);
        }
        return asked;
    }

    /// <summary>Asks without waiting: answers are taken as they come.</summary>
    private void SayOwed()
    {
        for (int i = 0; i < _owedCount; i++)
        {
            if (_owed[i].Serial != 0)
                continue;
            SteerMessage question = new()
            {
                Header = Question(MessageKind.Unsteer),
                Transport = _owed[i].Transport,
                IsListener = (byte)(_owed[i].IsListener ? 1 : 0),
                Local = _owed[i].Local,
            };
            if (new Conversation(_kernel, _fd).Send(question) < 0)
                return;
            _owed[i].Serial = question.Header.Serial;
        }
    }

    /// <summary>An answer has come.</summary>
    private void SettleOwed(uint serial)
    {
        for (int i = 0; i < _owedCount; i++)
        {
            if (_owed[i].Serial != serial)
                continue;
            RemoveOwed(i);
            return;
        }
    }

    /// <summary>The conversation is over: what was not answered may not have been heard.</summary>
    private void OweAgain()
    {
        for (int i = 0; i < _owedCount; i++)
            _owed[i].Serial = 0;
    }

    private void RemoveOwed(int index)
    {
        _owedCount--;
        Array.Copy(_owed, index + 1, _owed, index, _owedCount - index);
    }
}
