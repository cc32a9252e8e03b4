namespace Accel.Core.Tcp;

/// <summary>
/// The two names of a connection. An IPv4 address is the low four bytes of its first word, as it lies on the wire.
/// </summary>
public struct TcpFlow
{
    public ulong LocalLow;
    public ulong LocalHigh;
    public ulong RemoteLow;
    public ulong RemoteHigh;
    public ushort LocalPort;
    public ushort RemotePort;
    public bool IsV6;
}
