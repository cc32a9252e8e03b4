using System.Runtime.InteropServices;
using Accel.Core.Local;
using Accel.Core.Udp;

namespace Accel.Posix;

/// <summary>Control data of UDP: what sendmsg() asks for, and what recvmsg() tells.</summary>
public static unsafe class UdpControl
{
    private const int HeaderBytes = 16;
    private const int IpTos = 1, IpTtl = 2, IpPacketInfo = 8, V6PacketInfo = 50, V6HopLimit = 52, V6TrafficClass = 67;
    private const int Timestamp = 29, TimestampNanos = 35, RxqOverflow = 40;

    /// <summary>Reads what is asked for one datagram. False: there is something that only the kernel knows.</summary>
    public static bool TryRead(MsgHdr* message, ref UdpSend send)
    {
        byte* at = (byte*)message->Control;
        byte* end = at + message->ControlLength;
        if ((ulong)at < 4096)
            return message->ControlLength == 0;
        bool v6 = send.Destination.Family == Endpoint.V6;
        while (end - at >= HeaderBytes)
        {
            ulong length = *(ulong*)at;
            if (length < HeaderBytes || length > (ulong)(end - at))
                return false;
            if (!TryTake(*(int*)(at + 8), *(int*)(at + 12), at + HeaderBytes, length - HeaderBytes, v6, ref send))
                return false;
            at += (length + 7) & ~7ul;
        }
        return true;
    }

    private static bool TryTake(int level, int type, byte* data, ulong length, bool v6, ref UdpSend send)
    {
        switch (level, type)
        {
            case (So.IPPROTO_IP, IpPacketInfo) when !v6 && length == 12:
                send.InterfaceIndex = *(int*)data;
                if (*(uint*)(data + 4) != 0)
                    send.Source = new Endpoint { Family = Endpoint.V4, AddressLow = *(uint*)(data + 4) };
                return true;
            case (So.IPPROTO_IPV6, V6PacketInfo) when length == 20:
                Endpoint source = new()
                    { Family = Endpoint.V6, AddressLow = *(ulong*)data, AddressHigh = *(ulong*)(data + 8) };
                send.InterfaceIndex = *(int*)(data + 16);
                if (!source.IsAny)
                    send.Source = source.Unmapped();
                return source.IsAny || send.Source.Family == send.Destination.Family;
            case (So.IPPROTO_IP, IpTtl) when !v6 && length == sizeof(int):
                send.Ttl = *(int*)data;
                return send.Ttl is > 0 and <= byte.MaxValue;
            case (So.IPPROTO_IP, IpTos) when !v6 && length is sizeof(int) or 1:
                send.Tos = length == 1 ? *data : *(int*)data;
                return send.Tos is >= 0 and <= byte.MaxValue;
            case (So.IPPROTO_IPV6, V6HopLimit) when v6 && length == sizeof(int):
                send.Ttl = *(int*)data;
                return send.Ttl is >= -1 and <= byte.MaxValue;
            case (So.IPPROTO_IPV6, V6TrafficClass) when v6 && length == sizeof(int):
                send.Tos = *(int*)data;
                return send.Tos is >= -1 and <= byte.MaxValue;
            default:
                return false;
        }
    }

    /// <summary>Tells of a datagram what the socket asked for. Returns MSG_CTRUNC if there was no room for all.
    /// </summary>
    public static int Write(PosixStack s, MsgHdr* message, UdpBinding* binding, in UdpRecord record, bool isV6Socket)
    {
        ulong room = message->Control == null ? 0 : message->ControlLength;
        Writer writer = new((byte*)message->Control, room);
        UdpSettings settings = binding->Settings;
        if (settings.Flags != 0)
        {
            WriteSocketLevel(s, binding, record, ref writer);
            bool v4 = record.Destination.Family == Endpoint.V4;
            if (isV6Socket && settings.Has(UdpSettingFlags.PacketInfo6))
                WritePacketInfo6(record, ref writer);
            if (v4)
                WriteV4(settings, record, ref writer);
            else
                WriteV6(settings, record, ref writer);
        }
        message->ControlLength = writer.Used;
        return writer.Truncated ? Msg.CTRUNC : 0;
    }

    private static void WriteSocketLevel(PosixStack s, UdpBinding* binding, in UdpRecord record, ref Writer writer)
    {
        if (binding->Settings.Has(UdpSettingFlags.StampMicros | UdpSettingFlags.StampNanos))
        {
            long wall = s.Kernel.WallNs() - (s.Kernel.NowNs() - record.ArrivalNs);
            bool nanos = binding->Settings.Has(UdpSettingFlags.StampNanos);
            long* time = stackalloc long[2];
            time[0] = wall / 1_000_000_000;
            time[1] = wall % 1_000_000_000 / (nanos ? 1 : 1000);
            writer.Put(So.SOL_SOCKET, nanos ? TimestampNanos : Timestamp, time, 16);
        }
        uint drops = binding->Drops;
        if (binding->Settings.Has(UdpSettingFlags.Drops) && drops != 0)
            writer.Put(So.SOL_SOCKET, RxqOverflow, &drops, sizeof(uint));
    }

    private static void WritePacketInfo6(in UdpRecord record, ref Writer writer)
    {
        byte* info = stackalloc byte[20];
        Endpoint address = record.Destination.Mapped();
        *(ulong*)info = address.AddressLow;
        *(ulong*)(info + 8) = address.AddressHigh;
        *(uint*)(info + 16) = record.Destination.ScopeId;
        writer.Put(So.IPPROTO_IPV6, V6PacketInfo, info, 20);
    }

    private static void WriteV4(UdpSettings settings, in UdpRecord record, ref Writer writer)
    {
        if (settings.Has(UdpSettingFlags.PacketInfo4))
        {
            uint* info = stackalloc uint[3];
            info[0] = record.Destination.ScopeId;
            info[1] = info[2] = (uint)record.Destination.AddressLow;
            writer.Put(So.IPPROTO_IP, IpPacketInfo, info, 12);
        }
        int ttl = record.Ttl;
        byte tos = record.Tos;
        if (settings.Has(UdpSettingFlags.ReceiveTtl4))
            writer.Put(So.IPPROTO_IP, IpTtl, &ttl, sizeof(int));
        if (settings.Has(UdpSettingFlags.ReceiveTos4))
            writer.Put(So.IPPROTO_IP, IpTos, &tos, 1);
    }

    private static void WriteV6(UdpSettings settings, in UdpRecord record, ref Writer writer)
    {
        int hops = record.Ttl, trafficClass = record.Tos;
        if (settings.Has(UdpSettingFlags.ReceiveTtl6))
            writer.Put(So.IPPROTO_IPV6, V6HopLimit, &hops, sizeof(int));
        if (settings.Has(UdpSettingFlags.ReceiveTos6))
            writer.Put(So.IPPROTO_IPV6, V6TrafficClass, &trafficClass, sizeof(int));
    }

    /// <summary>Puts control messages one behind the other, as put_cmsg() of Linux.</summary>
    private ref struct Writer(byte* at, ulong room)
    {
        private byte* _at = at;
        private ulong _left = room;

        public ulong Used { get; private set; }

        public bool Truncated { get; private set; }

        public void Put(int level, int type, void* data, ulong length)
        {
            if (_left < HeaderBytes)
            {
                Truncated = true;
                return;
            }
            ulong whole = HeaderBytes + length;
            if (whole > _left)
            {
                Truncated = true;
                whole = _left;
            }
            *(ulong*)_at = whole;
            *(int*)(_at + 8) = level;
            *(int*)(_at + 12) = type;
            NativeMemory.Copy(data, _at + HeaderBytes, (nuint)(whole - HeaderBytes));
            ulong step = Math.Min((whole + 7) & ~7ul, _left);
            _at += step;
            _left -= step;
            Used += step;
        }
    }
}
