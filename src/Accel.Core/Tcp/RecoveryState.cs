namespace Accel.Core.Tcp;

/// <summary>What the sender makes of the path, numbered as Linux's tcpi_ca_state.</summary>
public enum RecoveryState : byte
{
    /// <summary>Nothing unusual.</summary>
    Open = 0,

    /// <summary>SACKs or duplicate ACKs come: reordering or loss.</summary>
    Disorder = 1,

    /// <summary>Reducing the window because the network said so: ECN, or a loss that a probe repaired.</summary>
    Reduced = 2,

    /// <summary>Fast recovery (RFC 5681, 6675, 8985).</summary>
    Recovery = 3,

    /// <summary>Recovery after a retransmission timeout.</summary>
    Loss = 4,
}

/// <summary>What loss recovery waits for.</summary>
public enum RecoveryTimer : byte
{
    None = 0,

    /// <summary>RFC 6298. Call <see cref="LossRecovery.OnTimeout"/>.</summary>
    Retransmit,

    /// <summary>RFC 8985 7. Call <see cref="LossRecovery.OnProbeTimer"/>.</summary>
    LossProbe,

    /// <summary>RFC 8985 6.2 step 5. Call <see cref="LossRecovery.OnReorderTimer"/>.</summary>
    Reorder,
}

/// <summary>What a tail loss probe sends (RFC 8985 7.3).</summary>
public enum LossProbe : byte
{
    /// <summary>No probe is due.</summary>
    None = 0,

    /// <summary>A segment of data that was never sent.</summary>
    New,

    /// <summary>The last segment again, or the first.</summary>
    Last,
}
