using System.Collections.Concurrent;
using Accel.Control.Broker;
using Accel.Control.Links;
using Accel.Control.Mirror;
using Accel.Core.Local;
using Accel.Core.Nic;

namespace Accel.Control.Tests;

/// <summary>The broker in this process, on a thread in the near namespace, with a mirror and a policy of the test.
/// </summary>
sealed class InnerBroker : IDisposable
{
    readonly Broker.Broker _broker;
    readonly Thread _thread;
    readonly ConcurrentQueue<string> _log = new();
    Exception? _error;

    public InnerBroker(NetworkPair pair, IAccessPolicy? policy = null, QueueSizes? sizes = null,
        ILookSource? looks = null)
    {
        SocketPath = $"/run/accel/inner-{pair.Near}.sock";
        Mirror = new FixedMirror(pair);
        _broker = new Broker.Broker(new BrokerOptions
        {
            Patterns = [NetworkPair.NearDevice],
            SocketPath = SocketPath,
            Policy = policy ?? new RootOnlyPolicy(),
            Sizes = sizes ?? QueueSizes.For(512),
            Log = _log.Enqueue,
            Looks = looks,
        }, Mirror);
        using var started = new ManualResetEventSlim();
        _thread = new Thread(() => NetworkPair.In(pair.Near, () =>
        {
            try
            {
                _broker.Start();
                started.Set();
                _broker.Run();
            }
            catch (Exception e)
            {
                _error = e;
                started.Set();
            }
            _broker.Dispose();
            return 0;
        }));
        _thread.Start();
        Assert.True(started.Wait(20_000), "the broker does not start");
        if (_error != null)
            throw new InvalidOperationException(_error.Message, _error);
    }

    public string SocketPath { get; }

    public FixedMirror Mirror { get; }

    public string Log => string.Join('\n', _log);

    public void Dispose()
    {
        _broker.Stop();
        _thread.Join();
        if (_error != null)
            throw new InvalidOperationException(_error.Message, _error);
    }
}

/// <summary>A mirror that knows the near namespace's addresses and does what the test says.</summary>
sealed class FixedMirror(NetworkPair pair) : INetMirror
{
    readonly MirrorRegion _memory = new();

    public int Fd => _memory.Fd;

    public void Start()
    {
        var index = int.Parse(NetworkPair.IpText("-n", pair.Near, "-o", "link", "show", NetworkPair.NearDevice)
            .Split(':')[0]);
        Addresses = [new OwnAddress(TestStack.Local(NetworkPair.NearAddress, 0), index, false)];
    }

    public IReadOnlyList<OwnAddress> Addresses { get; set; } = [];

    public event Action? AddressesChanged;

    public event Action<IcmpEvent>? IcmpReceived;

    public event Action? NeighboursChanged
    {
        add { }
        remove { }
    }

    public ConcurrentQueue<(int Interface, Endpoint Neighbour)> Resolved { get; } = new();

    public void Resolve(int interfaceIndex, in Endpoint neighbour) => Resolved.Enqueue((interfaceIndex, neighbour));

    public void Change(params OwnAddress[] addresses)
    {
        Addresses = addresses;
        AddressesChanged?.Invoke();
    }

    public void Report(IcmpEvent report) => IcmpReceived?.Invoke(report);

    public void Dispose() => _memory.Dispose();
}
