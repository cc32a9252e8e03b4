using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Accel.Core.Local;

namespace Accel.Inspect;

/// <summary>Addresses as ss writes them.</summary>
public static class EndpointText
{
    public static unsafe string Of(Endpoint endpoint)
    {
        if (endpoint.Family is not (Endpoint.V4 or Endpoint.V6)) return "*:*";
        return Of(new IPAddress(new ReadOnlySpan<byte>(endpoint.Address, endpoint.Family == Endpoint.V4 ? 4 : 16)),
            endpoint.Port);
    }

    public static string Of(IPAddress address, int port)
    {
        string host = address.AddressFamily == AddressFamily.InterNetworkV6 ? $"[{address}]" : address.ToString();
        return $"{host}:{(port == 0 ? "*" : port.ToString(CultureInfo.InvariantCulture))}";
    }
}
