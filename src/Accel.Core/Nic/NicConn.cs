using Accel.Core.Local;

namespace Accel.Core.Nic;

/// <summary>Where a connection over a network interface stands, as the program may know it.</summary>
public enum NicPhase : byte
{
    /// <summary>Not opened yet, or no connection of the engine.</summary>
    None = 0,
    Connecting,
    Established,

    /// <summary>It never came about, or was cut: see <see cref="NicConn.ErrorOf"/>.</summary>
    Failed,

    /// <summary>Both directions have ended in order; what was received may still be read.</summary>
    Closed,
}

/// <summary>Why a connection failed or could not be begun. The first are those of <see cref="Tcp.TcpError"/>.</summary>
public enum NicError : byte
{
    None = 0,
    Reset,
    Refused,
    TimedOut,
    HostUnreachable,
    NetUnreachable,
    MessageSize,
    Broken,

    /// <summary>A table of the network path is full.</summary>
    NoMemory,

    /// <summary>There is a connection of that name already.</summary>
    AddressInUse,

    /// <summary>No link leads there.</summary>
    NoLink,

    /// <summary>No such connection of the engine.</summary>
    NotConnected,
}

/// <summary>
/// What can be seen of a connection over a network interface without any lock: the engine writes it into its own side.
/// </summary>
public static unsafe class NicConn
{
    private const int ErrorShift = 8;

    /// <summary>The engine's side, or -1 if both ends of the connection are programs.</summary>
    public static int EngineSide(Conn* conn) =>
        (Volatile.Read(ref conn->Side1.Watch) & Side.EngineWatch) != 0 ? 1
        : (Volatile.Read(ref conn->Side0.Watch) & Side.EngineWatch) != 0 ? 0 : -1;

    public static NicPhase PhaseOf(Conn* conn)
    {
        int side = EngineSide(conn);
        return side < 0 ? NicPhase.None : (NicPhase)(byte)Volatile.Read(ref LocalRegion.SideOf(conn, side)->Phase);
    }

    /// <summary>Why it failed, if it did.</summary>
    public static NicError ErrorOf(Conn* conn)
    {
        int side = EngineSide(conn);
        return side < 0 ? NicError.None
            : (NicError)(byte)(Volatile.Read(ref LocalRegion.SideOf(conn, side)->Phase) >> ErrorShift);
    }

    internal static void Set(Side* engine, NicPhase phase, NicError error = NicError.None) =>
        Volatile.Write(ref engine->Phase, (uint)phase | (uint)error << ErrorShift);
}
