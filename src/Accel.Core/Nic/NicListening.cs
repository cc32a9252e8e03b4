using System.Runtime.InteropServices;
using Accel.Core.Local;
using Accel.Core.Memory;

namespace Accel.Core.Nic;

/// <summary>
/// A listener as the engine sees it, at the index of the <see cref="Listener"/> that it fills the accept queue of.
/// </summary>
[SharedLayout, StructLayout(LayoutKind.Explicit, Size = 128)]
public struct NicListening
{
    /// <summary>Index plus one of the next in the port's bucket.</summary>
    [FieldOffset(0)] public uint Next;

    /// <summary>1: takes SYNs.</summary>
    [FieldOffset(4)] public uint Open;

    /// <summary>The listener's when it began: another one is another listener.</summary>
    [FieldOffset(8)] public uint Generation;

    /// <summary>Handshakes that are under way.</summary>
    [FieldOffset(12)] public uint HalfOpen;
    [FieldOffset(16)] public Endpoint Local;
    [FieldOffset(40)] public NicSettings Settings;

    /// <summary>IPV6_V6ONLY.</summary>
    [FieldOffset(80)] public uint V6Only;

    /// <summary>1: the program on the interfaces may answer SYNs for it (see <see cref="SynAnswer"/>).</summary>
    [FieldOffset(84)] public uint HasAnswer;

    /// <summary>When a SYN was last answered with a cookie, as far as is known here; 0: never.</summary>
    [FieldOffset(88)] public long CookieSentNs;
    [FieldOffset(96)] public ulong Syns;
    [FieldOffset(104)] public ulong Drops;
}
