namespace Accel.Core.Tcp;

/// <summary>Congestion control algorithms (TCP_CONGESTION).</summary>
public enum CongestionAlgorithm : byte
{
    /// <summary>RFC 9438.</summary>
    Cubic = 0,

    /// <summary>RFC 5681.</summary>
    Reno = 1,
}
