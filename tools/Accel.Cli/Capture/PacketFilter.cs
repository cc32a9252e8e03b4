using System.Runtime.InteropServices;

namespace Accel.Cli.Capture;

/// <summary>A filter in tcpdump's language (pcap-filter(7)), compiled and run by libpcap.</summary>
internal sealed unsafe partial class PacketFilter : IDisposable
{
    private const string Library = "libpcap.so.0.8";
    private const int Ethernet = 1, SnapLength = 262144;
    private const uint AnyNetmask = 0xFFFFFFFF;

    private nint _pcap;
    private Program _program;

    private PacketFilter(nint pcap) => _pcap = pcap;

    /// <summary>struct bpf_program.</summary>
    private struct Program
    {
        public uint Length;
        public nint Instructions;
    }

    /// <summary>struct pcap_pkthdr.</summary>
    private struct Header
    {
        public long Seconds;
        public long Micros;
        public uint Captured;
        public uint Length;
    }

    /// <summary>Null, and what libpcap says of it, if the text is no filter.</summary>
    public static PacketFilter? Compile(string text, out string? error)
    {
        try
        {
            PacketFilter filter = new(OpenDead(Ethernet, SnapLength));
            error = Compile(filter._pcap, ref filter._program, text, 1, AnyNetmask) == 0 ? null
                : Marshal.PtrToStringUTF8(GetError(filter._pcap)) ?? "not a filter";
            if (error == null) return filter;
            filter.Dispose();
        }
        catch (Exception e) when (e is DllNotFoundException or EntryPointNotFoundException)
        {
            error = $"a filter needs {Library}, which is not there: install libpcap0.8";
        }
        return null;
    }

    public bool Matches(in Packet packet)
    {
        Header header = new() { Captured = (uint)packet.Bytes.Length, Length = (uint)packet.Length };
        fixed (byte* bytes = packet.Bytes.Span)
            return OfflineFilter(in _program, in header, bytes) != 0;
    }

    public void Dispose()
    {
        if (_pcap == 0) return;
        if (_program.Instructions != 0) FreeCode(ref _program);
        Close(_pcap);
        _pcap = 0;
    }

    [LibraryImport(Library, EntryPoint = "pcap_open_dead")]
    private static partial nint OpenDead(int linkType, int snapLength);

    [LibraryImport(Library, EntryPoint = "pcap_compile", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Compile(nint pcap, ref Program program, string text, int optimize, uint netmask);

    [LibraryImport(Library, EntryPoint = "pcap_geterr")]
    private static partial nint GetError(nint pcap);

    [LibraryImport(Library, EntryPoint = "pcap_offline_filter")]
    private static partial int OfflineFilter(in Program program, in Header header, byte* packet);

    [LibraryImport(Library, EntryPoint = "pcap_freecode")]
    private static partial void FreeCode(ref Program program);

    [LibraryImport(Library, EntryPoint = "pcap_close")]
    private static partial void Close(nint pcap);
}
