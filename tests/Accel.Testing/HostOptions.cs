using Accel.Core.Tcp;

namespace Accel.Testing;

/// <summary>What a <see cref="TcpHost"/> starts its connection with.</summary>
public sealed class HostOptions
{
    public uint Mtu { get; set; } = 1500;

    /// <summary>Bytes of the receiving buffer at first, and at most.</summary>
    public uint ReceiveBuffer { get; set; } = 65_536;

    public uint ReceiveMax { get; set; } = 4 << 20;

    /// <summary>The most payload of one emission; 0: a segment's.</summary>
    public uint Emission { get; set; }

    /// <summary>The number that our SYN has; null: what the machine chooses.</summary>
    public uint? Iss { get; set; }

    public bool NoDelay { get; set; }

    public EcnMode Ecn { get; set; } = EcnMode.Passive;

    public bool Sack { get; set; } = true;

    public bool Timestamps { get; set; } = true;

    public bool WindowScaling { get; set; } = true;

    public CongestionAlgorithm Congestion { get; set; } = CongestionAlgorithm.Cubic;

    /// <summary>What the program asked for by socket options.</summary>
    public TcpTuning Tuning;

    public TcpSettings Settings()
    {
        var settings = TcpSettings.Linux(1, 2, 3, 4);
        settings.ReceiveMax = ReceiveMax;
        settings.Ecn = Ecn;
        settings.Sack = Sack;
        settings.Timestamps = Timestamps;
        settings.WindowScaling = WindowScaling;
        settings.Congestion = Congestion;
        return settings;
    }
}
