using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>What was special about an ACK.</summary>
[Flags]
public enum AckFindings : ushort
{
    None = 0,

    /// <summary>SND.UNA moved.</summary>
    Advanced = 1,

    /// <summary>Something is reported by SACK for the first time.</summary>
    NewlySacked = 2,

    /// <summary>It acknowledged or SACKed bytes that were sent once, before the state's HighSeq (F-RTO).</summary>
    OriginalDelivered = 4,

    /// <summary>It acknowledged bytes that were sent more than once.</summary>
    RetransmissionAcked = 8,

    /// <summary>The first SACK block tells of a duplicate (RFC 2883).</summary>
    Dsack = 16,

    /// <summary>The duplicate is the tail loss probe's.</summary>
    DsackOfProbe = 32,

    /// <summary>Bytes arrived out of the order in which they were sent.</summary>
    Reordered = 64,

    /// <summary>The peer has dropped what it had reported by SACK (RFC 2018 8).</summary>
    Reneged = 128,

    /// <summary>A retransmission was lost again.</summary>
    RetransmissionLost = 256,

    /// <summary>A duplicate ACK (RFC 5681 2), or one that would be without its SACK blocks.</summary>
    Duplicate = 512,

    /// <summary>A congestion response was taken back: the retransmission had been spurious.</summary>
    Undone = 1024,

    /// <summary>The window was reduced because of this ACK: with ECN agreed on, CWR goes on the next new segment.
    /// </summary>
    Reduced = 2048,

    /// <summary>Fast recovery began with this ACK.</summary>
    RecoveryBegan = 4096,

    /// <summary>A SACK block was not one that this connection can have caused.</summary>
    BadSack = 8192,
}

/// <summary>What an ACK changed. The caller needs <see cref="AckedBytes"/>; the rest is for counters.</summary>
public struct AckOutcome
{
    public AckFindings Findings;

    /// <summary>How far SND.UNA moved (SYN and FIN count).</summary>
    public uint AckedBytes;

    /// <summary>Newly reported by SACK.</summary>
    public uint SackedBytes;

    /// <summary>Newly known to have arrived: acknowledged for the first time, one way or the other.</summary>
    public uint DeliveredBytes;

    /// <summary>Newly taken for lost.</summary>
    public uint LostBytes;

    /// <summary>Reported as a duplicate (RFC 2883): where it begins, and how much it is.</summary>
    public SeqNum DsackLeft;
    public uint DsackBytes;

    /// <summary>They can have been sent again since the present reduction began.</summary>
    public bool DsackInRecovery;

    /// <summary>Round trip to feed the estimator with (Karn's rule kept); -1: none.</summary>
    public long RttNs;

    /// <summary>Round trip of the last segment that this ACK is about, for congestion control; -1: none.</summary>
    public long LastRttNs;

    /// <summary>What had been delivered when that was sent which is newly delivered; 0: nothing is.</summary>
    public ulong PriorDelivered;

    public readonly bool Has(AckFindings findings) => (Findings & findings) != 0;
}
