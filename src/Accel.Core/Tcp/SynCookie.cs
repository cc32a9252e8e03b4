using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>What a SYN cookie remembers of the SYN that it answered.</summary>
public struct CookieOptions
{
    public ushort Mss;
    public bool Timestamps;
    public bool Sack;
    public bool WindowScaling;
    public byte SndWscale;
    public bool Ecn;
}

/// <summary>
/// RFC 4987 3.6: the answer to a SYN that the stack keeps nothing of. The connection is made from the ACK that brings
/// the cookie back. Its parts are as Linux's: a count of minutes in the upper byte, one of few segment sizes in the
/// lower bits, both hidden under keyed hashes; scale and SACK travel in the low bits of the timestamp.
/// </summary>
public static class SynCookie
{
    private const int CountBits = 24;
    private const uint LowMask = (1u << CountBits) - 1;
    private const uint MaxAgeMinutes = 2;
    private const uint TsScaleMask = 0xF;
    private const uint TsSack = 0x10;
    private const uint TsEcn = 0x20;
    private const int TsBits = 6;
    private const uint NoScale = TsScaleMask;

    /// <summary>The sizes that real paths have (Linux's tables for IPv4 and IPv6).</summary>
    private static ReadOnlySpan<ushort> Sizes4 => [536, 1300, 1440, 1460];

    private static ReadOnlySpan<ushort> Sizes6 => [1280 - 60, 1480 - 60, 1500 - 60, 9000 - 60];

    public static SeqNum Make(in TcpFlow flow, SeqNum syn, ushort mss, in TcpContext ctx)
    {
        ReadOnlySpan<ushort> sizes = Sizes(in flow);
        uint index = (uint)sizes.Length - 1;
        while (index > 0 && sizes[(int)index] > mss)
            index--;
        uint minutes = Minutes(in ctx);
        return new(Hash(in flow, 0, in ctx) + syn.Value + (minutes << CountBits)
            + ((Hash(in flow, minutes, in ctx) + index) & LowMask));
    }

    /// <summary>True if the ACK of a handshake acknowledges a cookie of ours that is not too old.</summary>
    public static bool TryRead(
        in TcpFlow flow, in TcpSegment ack, in TcpContext ctx, out CookieOptions options)
    {
        options = default;
        uint cookie = (ack.Ack - 1).Value - Hash(in flow, 0, in ctx) - (ack.Seq - 1).Value;
        uint minutes = Minutes(in ctx);
        uint age = (minutes - (cookie >> CountBits)) & (uint.MaxValue >> CountBits);
        if (age >= MaxAgeMinutes)
            return false;
        uint index = (cookie - Hash(in flow, minutes - age, in ctx)) & LowMask;
        ReadOnlySpan<ushort> sizes = Sizes(in flow);
        if (index >= (uint)sizes.Length)
            return false;
        options.Mss = sizes[(int)index];
        return TryReadTimestamp(in flow, in ack, in ctx, ref options);
    }

    /// <summary>The TSval of the SYN-ACK: what the SYN offered in its low bits, and never later than now.</summary>
    public static uint Timestamp(in TcpOptions syn, bool ecn, uint now)
    {
        uint low = syn.Has(TcpOptionKinds.WindowScale) ? Math.Min((uint)syn.WindowScale, Window.MaxScale) : NoScale;
        if (syn.Has(TcpOptionKinds.SackPermitted))
            low |= TsSack;
        if (ecn)
            low |= TsEcn;
        uint value = now >> TsBits << TsBits | low;
        return value > now ? value - (1u << TsBits) : value;
    }

    private static bool TryReadTimestamp(
        in TcpFlow flow, in TcpSegment ack, in TcpContext ctx, ref CookieOptions options)
    {
        if (!ack.Options.Has(TcpOptionKinds.Timestamps))
            return true;
        // Without timestamps the SYN-ACK offered none: this peer sends what was not agreed on.
        if (!ctx.Settings.Timestamps)
            return false;
        uint low = ack.Options.TsEcr - InitialSequence.TimestampOffset(in flow, in ctx.Settings);
        options.Timestamps = true;
        options.Sack = (low & TsSack) != 0;
        options.Ecn = (low & TsEcn) != 0;
        options.WindowScaling = (low & TsScaleMask) != NoScale;
        if (options.WindowScaling)
            options.SndWscale = (byte)(low & TsScaleMask);
        // What is switched off was not offered in the SYN-ACK, so nobody can have agreed to it.
        return (!options.Sack || ctx.Settings.Sack) && (!options.WindowScaling || ctx.Settings.WindowScaling)
            && options.SndWscale <= Window.MaxScale;
    }

    private static ReadOnlySpan<ushort> Sizes(in TcpFlow flow) => flow.IsV6 ? Sizes6 : Sizes4;

    private static uint Minutes(in TcpContext ctx) => (uint)(ctx.NowNs / (60 * TcpContext.NsPerSecond));

    private static uint Hash(in TcpFlow flow, uint count, in TcpContext ctx) =>
        (uint)InitialSequence.Hash(
            in flow, ctx.Settings.CookieKey0, ctx.Settings.CookieKey1, count == 0 ? 0 : count + 1ul);
}
