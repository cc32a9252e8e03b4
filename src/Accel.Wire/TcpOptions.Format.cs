namespace Accel.Wire;

// Reading and writing them (RFC 9293 3.2).
public partial struct TcpOptions
{
    /// <summary>The most that a header has room for.</summary>
    public const int MaxLength = 40;

    /// <summary>RFC 7323 2.3: a greater shift counts as this.</summary>
    public const byte MaxWindowScale = 14;

    private const byte KindEnd = 0, KindNop = 1, KindMss = 2, KindWindowScale = 3, KindSackPermitted = 4, KindSack = 5,
        KindTimestamps = 8;

    private const byte MssLength = 4, WindowScaleLength = 3, SackPermittedLength = 2, TimestampsLength = 10,
        SackBlockLength = 8;

    // What nearly every segment of a connection carries: no-op, no-op, timestamps of ten bytes (RFC 7323, appendix A).
    private const uint AlignedTimestamps = KindNop << 24 | KindNop << 16 | KindTimestamps << 8 | TimestampsLength;
    private const int AlignedTimestampsLength = 12;

    /// <summary>
    /// Reads the options of a header. Unknown ones, and known ones of a wrong size, are passed over; an MSS of 0 is
    /// none (as Linux). False if the list is broken (RFC 9293 3.1, MUST-7): what stood before the break is kept, and it
    /// is up to the caller to go on with that, as Linux does.
    /// </summary>
    public static bool TryParse(ReadOnlySpan<byte> bytes, out TcpOptions options)
    {
        options = default;
        if (bytes.Length == AlignedTimestampsLength && Big.U32(bytes, 0) == AlignedTimestamps)
        {
            options.TakeTimestamps(bytes[2..]);
            return true;
        }
        while (bytes.Length > 0)
        {
            var kind = bytes[0];
            if (kind == KindEnd)
                return true;
            if (kind == KindNop)
            {
                bytes = bytes[1..];
                continue;
            }
            if (bytes.Length < 2 || bytes[1] < 2 || bytes[1] > bytes.Length)
                return false;
            options.Take(bytes[..bytes[1]]);
            bytes = bytes[bytes[1]..];
        }
        return true;
    }

    /// <summary>Bytes that <see cref="WriteTo"/> writes: a multiple of four, at most 40.</summary>
    public readonly int Length
    {
        get
        {
            if (Present == TcpOptionKinds.Timestamps)
                return AlignedTimestampsLength;
            var blocks = SacksThatFit;
            return LengthWithoutSack + (blocks > 0 ? 4 + blocks * SackBlockLength : 0);
        }
    }

    /// <summary>
    /// SACK blocks that are written: four alone, three beside timestamps (RFC 2018 3). The first are the ones that
    /// matter most, so the last are left out.
    /// </summary>
    public readonly int SacksThatFit => !Has(TcpOptionKinds.Sack) ? 0
        : Math.Min(Math.Min((int)SackCount, SackBlocks.Length), (MaxLength - LengthWithoutSack - 4) / SackBlockLength);

    /// <summary>
    /// Writes them in Linux's order, each group aligned to four bytes by no-ops. Returns the bytes written, 0 if there
    /// is no room.
    /// </summary>
    public readonly int WriteTo(Span<byte> to)
    {
        if (Present == TcpOptionKinds.Timestamps)
            return WriteTimestamps(to, AlignedTimestamps);
        if (to.Length < Length)
            return 0;
        var at = 0;
        if (Has(TcpOptionKinds.Mss))
        {
            Big.Put(to, at, (uint)(KindMss << 24 | MssLength << 16 | Mss));
            at += 4;
        }
        var sackPermitted = Has(TcpOptionKinds.SackPermitted);
        if (Has(TcpOptionKinds.Timestamps))
        {
            // SACK-permitted takes the place of the two no-ops.
            const uint withSack = KindSackPermitted << 24 | SackPermittedLength << 16 | AlignedTimestamps & 0xFFFF;
            at += WriteTimestamps(to[at..], sackPermitted ? withSack : AlignedTimestamps);
        }
        else if (sackPermitted)
        {
            Big.Put(to, at, (uint)(KindNop << 24 | KindNop << 16 | KindSackPermitted << 8 | SackPermittedLength));
            at += 4;
        }
        if (Has(TcpOptionKinds.WindowScale))
        {
            Big.Put(to, at, (uint)(KindNop << 24 | KindWindowScale << 16 | WindowScaleLength << 8 | WindowScale));
            at += 4;
        }
        return WriteSacks(to, at);
    }

    private readonly int WriteTimestamps(Span<byte> to, uint first)
    {
        if (to.Length < AlignedTimestampsLength)
            return 0;
        Big.Put(to, 0, first);
        Big.Put(to, 4, TsVal);
        Big.Put(to, 8, TsEcr);
        return AlignedTimestampsLength;
    }

    private readonly int WriteSacks(Span<byte> to, int at)
    {
        var blocks = SacksThatFit;
        if (blocks <= 0)
            return at;
        var length = (uint)(2 + blocks * SackBlockLength);
        Big.Put(to, at, (uint)KindNop << 24 | KindNop << 16 | (uint)KindSack << 8 | length);
        at += 4;
        for (var i = 0; i < blocks; i++, at += SackBlockLength)
        {
            Big.Put(to, at, Sacks[i].Left.Value);
            Big.Put(to, at + 4, Sacks[i].Right.Value);
        }
        return at;
    }

    private readonly int LengthWithoutSack
    {
        get
        {
            var timestamps = Has(TcpOptionKinds.Timestamps);
            return (Has(TcpOptionKinds.Mss) ? 4 : 0) + (timestamps ? AlignedTimestampsLength : 0)
                + (!timestamps && Has(TcpOptionKinds.SackPermitted) ? 4 : 0)
                + (Has(TcpOptionKinds.WindowScale) ? 4 : 0);
        }
    }

    // One option, kind and length included. A second of a kind replaces the first, as in Linux.
    private void Take(ReadOnlySpan<byte> option)
    {
        switch (option[0])
        {
            case KindMss when option.Length == MssLength && Big.U16(option, 2) != 0:
                Present |= TcpOptionKinds.Mss;
                Mss = Big.U16(option, 2);
                break;
            case KindWindowScale when option.Length == WindowScaleLength:
                Present |= TcpOptionKinds.WindowScale;
                WindowScale = Math.Min(option[2], MaxWindowScale);
                break;
            case KindSackPermitted when option.Length == SackPermittedLength:
                Present |= TcpOptionKinds.SackPermitted;
                break;
            case KindTimestamps when option.Length == TimestampsLength:
                TakeTimestamps(option);
                break;
            case KindSack when option.Length > 2 && (option.Length - 2) % SackBlockLength == 0:
                TakeSacks(option[2..]);
                break;
            default:
                break;
        }
    }

    private void TakeTimestamps(ReadOnlySpan<byte> option)
    {
        Present |= TcpOptionKinds.Timestamps;
        TsVal = Big.U32(option, 2);
        TsEcr = Big.U32(option, 6);
    }

    private void TakeSacks(ReadOnlySpan<byte> blocks)
    {
        Present |= TcpOptionKinds.Sack;
        SackCount = (byte)Math.Min(blocks.Length / SackBlockLength, SackBlocks.Length);
        for (var i = 0; i < SackCount; i++)
        {
            Sacks[i].Left = new(Big.U32(blocks, i * SackBlockLength));
            Sacks[i].Right = new(Big.U32(blocks, i * SackBlockLength + 4));
        }
    }
}
