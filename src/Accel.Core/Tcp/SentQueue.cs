using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Accel.Core.Memory;
using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>Two ends of a run that was reported by SACK.</summary>
[InlineArray(SackBlocks.Length)]
public struct SackCache
{
    private SackBlock _first;
}

/// <summary>
/// What a connection has in flight: records in order of sequence numbers, and those whose fate is open in order of
/// sending. Counts are in bytes. All zero: nothing in flight.
/// </summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 128)]
public partial struct SentQueue
{
    [FieldOffset(0)] public uint Head;
    [FieldOffset(4)] public uint Tail;
    [FieldOffset(8)] public uint Oldest;
    [FieldOffset(12)] public uint Newest;

    /// <summary>What is in the queue: [Una, Nxt).</summary>
    [FieldOffset(16)] public SeqNum Una;
    [FieldOffset(20)] public SeqNum Nxt;

    /// <summary>Bytes reported by SACK; without SACK, what duplicate ACKs stand for.</summary>
    [FieldOffset(24)] public uint Sacked;

    /// <summary>Bytes taken for lost, and those of them that were not sent again yet.</summary>
    [FieldOffset(28)] public uint Lost;
    [FieldOffset(32)] public uint LostUnsent;

    /// <summary>Bytes whose retransmission is in flight.</summary>
    [FieldOffset(36)] public uint Resent;
    [FieldOffset(40)] public uint Records;

    /// <summary>No lost and unsent record lies before this one; 0: start at the head.</summary>
    [FieldOffset(44)] public uint LostHint;

    /// <summary>Where SACK was last at work.</summary>
    [FieldOffset(48)] public uint SackHint;

    /// <summary>End of the highest run reported by SACK; Una if there is none.</summary>
    [FieldOffset(52)] public SeqNum HighestSacked;

    /// <summary>Bytes that have arrived, ever, and when that was last known of some.</summary>
    [FieldOffset(56)] public ulong Delivered;
    [FieldOffset(64)] public long DeliveredNs;
    [FieldOffset(72)] public long FirstSentNs;

    /// <summary>Bytes in a second, the last that was measured over a whole flight; 0: none.</summary>
    [FieldOffset(80)] public ulong DeliveryRate;

    /// <summary>Blocks of the last SACK option, wholly in the records: what comes again is not looked for again.
    /// </summary>
    [FieldOffset(88)] public SackCache Known;

    public readonly bool IsEmpty => Head == 0;

    public readonly uint Outstanding => (uint)(Nxt - Una);

    /// <summary>RFC 6675 "pipe": bytes that are in the network as far as is known.</summary>
    public readonly uint InFlight
    {
        get
        {
            uint gone = Sacked + Lost;
            uint there = Outstanding + Resent;
            return there > gone ? there - gone : 0;
        }
    }
}
