using System.Runtime.InteropServices;
using Accel.Core.Memory;
using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>
/// Loss detection by time (RFC 8985): what was sent well before something that has arrived is lost. And the tail loss
/// probe that makes an ACK come when none would.
/// </summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 64)]
public partial struct Rack
{
    /// <summary>RACK.xmit_ts, RACK.end_seq, RACK.rtt: of what was sent last among all that has arrived.</summary>
    [FieldOffset(0)] public long SentNs;
    [FieldOffset(8)] public long RttNs;
    [FieldOffset(16)] public SeqNum End;

    /// <summary>RACK.reo_wnd_mult: quarters of the least round trip to wait for reordered segments.</summary>
    [FieldOffset(20)] public byte WindowSteps;

    /// <summary>RACK.reo_wnd_persist: recoveries until the window shrinks again.</summary>
    [FieldOffset(21)] public byte WindowPersist;

    /// <summary>Something arrived since losses were last looked for.</summary>
    [FieldOffset(22)] public bool Advanced;
    [FieldOffset(23)] public bool DsackSeen;

    /// <summary>Reordering was ever seen, so often; and how far, in segments (Linux's tp->reordering).</summary>
    [FieldOffset(24)] public uint ReorderSeen;
    [FieldOffset(28)] public uint Reordering;

    /// <summary>When the reordering window of some segment ends; 0: none waits.</summary>
    [FieldOffset(32)] public long DeadlineNs;

    /// <summary>Bytes delivered when the window was last widened: not twice in a round trip.</summary>
    [FieldOffset(40)] public ulong WidenedAt;

    /// <summary>TLP.end_seq, meaningful with <see cref="ProbeOut"/>; TLP.is_retrans.</summary>
    [FieldOffset(48)] public SeqNum ProbeEnd;
    [FieldOffset(52)] public bool ProbeOut;
    [FieldOffset(53)] public bool ProbeIsResend;
}
