using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>Makes a control block for a new connection. The block may hold anything before.</summary>
public static class TcpOpen
{
    /// <summary>What Linux takes a peer for that announces no MSS (RFC 9293 3.7.1).</summary>
    public const ushort DefaultMss = 536;

    /// <summary>RFC 9293 3.10.1, active OPEN: SYN-SENT. <see cref="TcpOutput"/> makes the SYN.</summary>
    public static void Active(ref Tcb tcb, in TcpOpening opening, in TcpContext ctx)
    {
        Prepare(ref tcb, in opening, in ctx);
        tcb.State = TcpState.SynSent;
        SetIss(ref tcb, opening.HasIss ? opening.Iss : InitialSequence.Of(in opening.Flow, in ctx));
        if (ctx.Settings.Timestamps)
            tcb.Flags |= TcbFlags.Timestamps;
        if (ctx.Settings.Sack)
            tcb.Flags |= TcbFlags.Sack;
        if (ctx.Settings.WindowScaling)
            tcb.Flags |= TcbFlags.WindowScaling;
        if (ctx.Settings.Ecn == EcnMode.Full)
            tcb.Flags |= TcbFlags.Ecn;
        ctx.Count(TcpCounter.ActiveOpens);
    }

    /// <summary>
    /// RFC 9293 3.10.7.2, a SYN for a listener: SYN-RECEIVED. <see cref="TcpOutput"/> makes the SYN-ACK. Until the
    /// handshake is complete the block needs no buffers: <see cref="TcpOpening.ReceiveSpace"/> is what is offered.
    /// </summary>
    public static void Passive(ref Tcb tcb, in TcpSegment syn, in TcpOpening opening, in TcpContext ctx)
    {
        Prepare(ref tcb, in opening, in ctx);
        tcb.State = TcpState.SynReceived;
        tcb.Flags |= TcbFlags.Passive;
        SetIss(ref tcb, opening.HasIss ? opening.Iss : InitialSequence.Of(in opening.Flow, in ctx));
        TakeSyn(ref tcb, in syn);
        TakeOptions(ref tcb, in syn.Options, in ctx, offered: Offers(in ctx.Settings));
        // RFC 3168 6.1.1: the peer asks for ECN by both bits.
        bool asks = syn.Has(TcpFlags.Ece) && syn.Has(TcpFlags.Cwr);
        if (asks && ctx.Settings.Ecn != EcnMode.Off && !opening.SynWasMarked && !syn.CongestionExperienced)
            tcb.Flags |= TcbFlags.Ecn;
    }

    /// <summary>
    /// The ACK of a SYN-ACK that the stack kept nothing of (see <see cref="SynCookie"/>): on success the connection is
    /// in SYN-RECEIVED as if it had been kept, and the ACK is to be given to <see cref="TcpInput"/>.
    /// </summary>
    public static bool FromCookie(ref Tcb tcb, in TcpSegment ack, in TcpOpening opening, in TcpContext ctx)
    {
        if (!SynCookie.TryRead(in opening.Flow, in ack, in ctx, out CookieOptions cookie))
        {
            ctx.Count(TcpCounter.CookieRefused);
            return false;
        }
        Prepare(ref tcb, in opening, in ctx);
        tcb.State = TcpState.SynReceived;
        tcb.Flags |= TcbFlags.Passive | TcbFlags.SynRetransmitted;
        tcb.Flags &= ~TcbFlags.SynDue;
        SetIss(ref tcb, ack.Ack - 1);
        tcb.SndNxt = ack.Ack;
        TcpSegment syn = new() { Seq = ack.Seq - 1, Window = ack.Window, Flags = TcpFlags.Syn };
        syn.Options.Present = TcpOptionKinds.Mss;
        syn.Options.Mss = cookie.Mss;
        syn.Options.TsVal = ack.Options.TsVal;
        syn.Options.WindowScale = cookie.SndWscale;
        if (cookie.Timestamps)
            syn.Options.Present |= TcpOptionKinds.Timestamps;
        if (cookie.Sack)
            syn.Options.Present |= TcpOptionKinds.SackPermitted;
        if (cookie.WindowScaling)
            syn.Options.Present |= TcpOptionKinds.WindowScale;
        TakeSyn(ref tcb, in syn);
        TakeOptions(ref tcb, in syn.Options, in ctx, offered: Offers(in ctx.Settings));
        if (cookie.Ecn && ctx.Settings.Ecn != EcnMode.Off)
            tcb.Flags |= TcbFlags.Ecn;
        tcb.RcvWup = tcb.RcvNxt;
        tcb.RcvWnd = Math.Min(opening.ReceiveSpace, Window.MaxUnscaled);
        ctx.Count(TcpCounter.CookieOpens);
        return true;
    }

    /// <summary>The SYN-ACK that answers a SYN with a cookie; nothing is kept.</summary>
    public static TcpEmit CookieAnswer(in TcpSegment syn, in TcpOpening opening, in TcpContext ctx)
    {
        TcpEmit emit = default;
        bool v6 = opening.Flow.IsV6;
        TcpOptionKinds agreed = syn.Options.Present & Offers(in ctx.Settings);
        bool ecn = syn.Has(TcpFlags.Ece) && syn.Has(TcpFlags.Cwr) && ctx.Settings.Ecn != EcnMode.Off
            && !opening.SynWasMarked && !syn.CongestionExperienced && (agreed & TcpOptionKinds.Timestamps) != 0;
        ushort peer = syn.Options.Has(TcpOptionKinds.Mss) ? syn.Options.Mss : DefaultMss;
        emit.Seq = SynCookie.Make(in opening.Flow, syn.Seq, peer, in ctx);
        emit.Ack = syn.Seq + 1;
        emit.Flags = TcpFlags.Syn | TcpFlags.Ack | (ecn ? TcpFlags.Ece : TcpFlags.None);
        emit.Window = (ushort)Math.Min(opening.ReceiveSpace, Window.MaxUnscaled);
        emit.Options.Present = TcpOptionKinds.Mss;
        emit.Options.Mss = Pmtu.MssOf(opening.Mtu, v6);
        if (opening.Options.MaxSegment != 0)
            emit.Options.Mss = Math.Min(emit.Options.Mss, opening.Options.MaxSegment);
        // What cannot be written into the cookie's timestamp is not offered.
        if ((agreed & TcpOptionKinds.Timestamps) == 0)
            return emit;
        emit.Options.Present |= agreed & ~TcpOptionKinds.Mss;
        emit.Options.WindowScale = Window.ScaleFor(ctx.Settings.ReceiveMax);
        TcpOptions kept = syn.Options;
        kept.Present = agreed;
        emit.Options.TsVal = SynCookie.Timestamp(in kept, ecn, ctx.NowMs)
            + InitialSequence.TimestampOffset(in opening.Flow, in ctx.Settings);
        emit.Options.TsEcr = syn.Options.TsVal;
        return emit;
    }

    internal static TcpOptionKinds Offers(in TcpSettings settings) => TcpOptionKinds.Mss
        | (settings.Timestamps ? TcpOptionKinds.Timestamps : 0)
        | (settings.Sack ? TcpOptionKinds.SackPermitted : 0)
        | (settings.WindowScaling ? TcpOptionKinds.WindowScale : 0);

    /// <summary>What our SYN offered, as the options of the peer's answer are held against it.</summary>
    internal static TcpOptionKinds Offered(in Tcb tcb) => TcpOptionKinds.Mss
        | ((tcb.Flags & TcbFlags.Timestamps) != 0 ? TcpOptionKinds.Timestamps : 0)
        | ((tcb.Flags & TcbFlags.Sack) != 0 ? TcpOptionKinds.SackPermitted : 0)
        | ((tcb.Flags & TcbFlags.WindowScaling) != 0 ? TcpOptionKinds.WindowScale : 0);

    private static void Prepare(ref Tcb tcb, in TcpOpening opening, in TcpContext ctx)
    {
        bool v6 = opening.Flow.IsV6;
        tcb = default;
        tcb.Flags = TcbFlags.SynDue | (v6 ? TcbFlags.V6 : TcbFlags.None);
        tcb.Options = opening.Options;
        tcb.Path.Mtu = opening.Mtu;
        tcb.AdvertisedMss = Pmtu.MssOf(opening.Mtu, v6);
        if (opening.Options.MaxSegment != 0)
            tcb.AdvertisedMss = Math.Min(tcb.AdvertisedMss, opening.Options.MaxSegment);
        tcb.PeerMss = DefaultMss;
        tcb.RcvWnd = Math.Min(opening.ReceiveSpace, Window.MaxUnscaled);
        tcb.TsOffset = InitialSequence.TimestampOffset(in opening.Flow, in ctx.Settings);
        tcb.OpenedAt = tcb.HeardAt = tcb.SentAt = ctx.NowNs;
        tcb.Recovery.Congestion.Algorithm = opening.Congestion;
        Pmtu.SyncMss(ref tcb, in ctx.Settings);
    }

    private static void SetIss(ref Tcb tcb, SeqNum iss) => tcb.Iss = tcb.SndUna = tcb.SndNxt = tcb.SndSml = iss;

    /// <summary>Where the peer begins.</summary>
    internal static void TakeSyn(ref Tcb tcb, in TcpSegment syn)
    {
        tcb.Irs = syn.Seq;
        tcb.RcvNxt = tcb.RcvWup = tcb.ReadSeq = syn.Seq + 1;
        tcb.SndWl1 = syn.Seq;
        // RFC 7323 2.2: the window of a SYN is never scaled.
        tcb.SndWnd = tcb.MaxWindow = syn.Window;
    }

    /// <summary>What both ends can do is done; what one lacks is not.</summary>
    internal static void TakeOptions(ref Tcb tcb, in TcpOptions options, in TcpContext ctx, TcpOptionKinds offered)
    {
        TcpOptionKinds agreed = options.Present & offered;
        tcb.Flags &= ~(TcbFlags.Timestamps | TcbFlags.Sack | TcbFlags.WindowScaling);
        if ((agreed & TcpOptionKinds.Timestamps) != 0)
        {
            tcb.Flags |= TcbFlags.Timestamps;
            tcb.TsRecent = options.TsVal;
            tcb.TsRecentAt = ctx.NowNs;
            tcb.OptionBytes = TimestampBytes;
        }
        if ((agreed & TcpOptionKinds.SackPermitted) != 0)
            tcb.Flags |= TcbFlags.Sack;
        if ((agreed & TcpOptionKinds.WindowScale) != 0)
        {
            tcb.Flags |= TcbFlags.WindowScaling;
            tcb.SndWscale = Math.Min(options.WindowScale, (byte)Window.MaxScale);
            tcb.RcvWscale = Window.ScaleFor(ctx.Settings.ReceiveMax);
        }
        tcb.PeerMss = options.Has(TcpOptionKinds.Mss) && options.Mss != 0 ? options.Mss : DefaultMss;
        Pmtu.SyncMss(ref tcb, in ctx.Settings);
        tcb.RcvMss = (ushort)Math.Max(LeastRcvMss, Math.Min(DefaultMss,
            Math.Min(Math.Min(tcb.AdvertisedMss, tcb.SndMss), tcb.RcvWnd / 2)));
    }

    internal const ushort TimestampBytes = 12;
    private const uint LeastRcvMss = 88;
}
