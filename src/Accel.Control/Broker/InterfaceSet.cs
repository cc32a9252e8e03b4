using System.IO.Enumeration;
using Accel.Control.Bpf;
using Accel.Control.Links;
using Accel.Control.Native;
using Accel.Control.Steering;

namespace Accel.Control.Broker;

/// <summary>The interfaces that match the patterns, as they come, change and go.</summary>
internal sealed class InterfaceSet(BrokerOptions options) : IDisposable
{
    private readonly Dictionary<int, ServedInterface> _served = [];
    private readonly HashSet<string> _refused = [];
    private SteeringMaps? _maps;

    public IEnumerable<ServedInterface> All => _served.Values;

    public SteeringMaps? Maps => _maps;

    /// <summary>Interfaces that match and cannot be served, and why.</summary>
    public Dictionary<string, string> Refusals { get; } = [];

    public event Action<ServedInterface>? Changed;

    public event Action<ServedInterface>? Removed;

    public ServedInterface? Find(int index) => _served.GetValueOrDefault(index);

    /// <summary>
    /// Before anything is served: takes over the shared maps of an acceld that died, and takes its program off
    /// interfaces that are not wanted any more.
    /// </summary>
    public void FindLeftovers()
    {
        foreach (NetInterface device in NetInterface.List())
        {
            int program = Attachment.Find(device.Index, out AttachMode mode, out string name);
            if (program < 0)
                continue;
            if (SteeringProgram.IsOurs(name))
            {
                Dictionary<string, BpfMap> maps = LoadedProgram.MapsOf(program);
                _maps ??= SteeringMaps.From(maps);
                foreach (BpfMap map in maps.Values)
                    map.Dispose();
                if (!Matches(device.Name))
                {
                    options.Log($"{device.Name}: not served any more, taking the program off");
                    Attachment.Detach(device.Index, program, mode);
                }
            }
            Libc.Close(program);
        }
    }

    /// <summary>Serves what is new, follows what changed, forgets what has gone.</summary>
    public void Refresh()
    {
        List<NetInterface> devices = NetInterface.List();
        foreach (NetInterface device in devices)
        {
            if (!Matches(device.Name))
                continue;
            if (!_served.TryGetValue(device.Index, out ServedInterface? served))
                Serve(device);
            else if (!served.Device.IsSame(device))
            {
                served.Configure(device);
                Changed?.Invoke(served);
            }
        }
        foreach (ServedInterface served in _served.Values.ToList())
        {
            if (devices.Exists(d => d.Index == served.Device.Index))
                continue;
            options.Log($"{served.Device.Name}: gone");
            _served.Remove(served.Device.Index);
            Removed?.Invoke(served);
            served.Dispose();
        }
    }

    private void Serve(NetInterface device)
    {
        try
        {
            ServedInterface served = ServedInterface.Open(device, ref _maps, options.Mode, options.Sizes,
                options.MostQueues);
            _served[device.Index] = served;
            Refusals.Remove(device.Name);
            if (served.Queues < device.Queues)
                options.Log($"{device.Name}: only {served.Queues} of {device.Queues} queues are used: what arrives on "
                    + "the others stays with the kernel, which resets accelerated connections");
            options.Log($"{device.Name}: {Describe(served)}");
        }
        catch (ControlException e)
        {
            Refusals[device.Name] = e.Message;
            if (_refused.Add($"{device.Index} {e.Message}"))
                options.Log($"{device.Name}: not served: {e.Message}");
        }
    }

    public static string Describe(ServedInterface served) =>
        $"{Attachment.NameOf(served.Mode)} mode ({served.Why}), {served.Queues} "
        + $"queue{(served.Queues == 1 ? "" : "s")}, MTU {served.Device.Mtu}, driver {served.Device.Driver}";

    private bool Matches(string name)
    {
        foreach (string pattern in options.Patterns)
            if (FileSystemName.MatchesSimpleExpression(pattern, name, ignoreCase: false))
                return true;
        return false;
    }

    /// <summary>Takes the programs off. The maps go with the last of them.</summary>
    public void Detach()
    {
        foreach (ServedInterface served in _served.Values)
            if (served.Detach() is { } refusal)
                options.Log($"{served.Device.Name}: the program could not be taken off: {refusal}");
    }

    public void Dispose()
    {
        foreach (ServedInterface served in _served.Values)
            served.Dispose();
        _served.Clear();
        _maps?.Dispose();
    }
}
