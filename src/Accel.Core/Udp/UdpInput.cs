using System.Runtime.InteropServices;
using Accel.Core.Local;
using Accel.Core.Nic;
using Accel.Wire;

namespace Accel.Core.Udp;

/// <summary>Takes datagrams in: checks, finds the socket, writes a record into its ring (RFC 768, RFC 1122 4.1).
/// </summary>
public sealed unsafe class UdpInput(NicRegion region, LocalRegion local, INicHost host, ILink[] links)
{
    private readonly UdpRegion _udp = region.Udp;

    private void Count(NicCounter counter) => region.Tables->Counters.Values[(int)counter]++;

    public void OnDatagram(ref UdpArrival packet, long nowNs)
    {
        if (!UdpView.TryParseHead(packet.Head, out UdpView udp) || udp.Length > packet.Length
            || udp.DestinationPort == 0)
        {
            Count(NicCounter.RxMalformed);
            return;
        }
        packet.Length = udp.Length;
        if (!HasRightChecksum(in packet, udp.Checksum))
        {
            Count(NicCounter.RxBadChecksum);
            return;
        }
        packet.Local.Port = udp.DestinationPort;
        packet.Remote.Port = udp.SourcePort;
        int index = UdpTable.Find(_udp, packet.Local, packet.Remote);
        if (index < 0 || local.ConnAt(index)->Generation != _udp.BindingAt(index)->Generation)
        {
            Count(NicCounter.UdpNoSocket);
            return;
        }
        Deliver(index, in packet, nowNs);
    }

    private void Deliver(int index, in UdpArrival packet, long nowNs)
    {
        UdpBinding* binding = _udp.BindingAt(index);
        uint length = (uint)(packet.Length - UdpHeader.Length);
        Pipe* pipe = LocalRegion.PipeOf(local.ConnAt(index), 1);
        ulong room = UdpRecord.Room(length);
        if (PipeOps.Space(pipe, pipe->Tail, room) < room
            && (!PipeOps.Grow(local, pipe, stalled: true) || PipeOps.Space(pipe, pipe->Tail, room) < room))
        {
            binding->Drops++;
            Count(NicCounter.UdpFull);
            return;
        }
        UdpRecord record = new()
        {
            Length = length, Ttl = packet.Ttl, Tos = packet.Tos, ArrivalNs = nowNs,
            Source = packet.Remote, Destination = packet.Local,
        };
        int interfaceIndex = links[packet.Link].Info->InterfaceIndex;
        record.Destination.ScopeId = (uint)interfaceIndex;
        if (packet.Remote.IsLinkLocal)
            record.Source.ScopeId = (uint)interfaceIndex;
        ulong at = 0;
        if (!TryStore(pipe, (byte*)&record, UdpRecord.Bytes, ref at) || !TryStorePayload(pipe, in packet, ref at))
        {
            Count(NicCounter.CorruptStreams);
            return;
        }
        Side* program = &local.ConnAt(index)->Side0;
        if (Volatile.Read(ref program->Watch) != 0)
            pipe->Stamp = host.Ticks();
        PipeOps.Publish(pipe, room);
        pipe->Sends++;
        binding->Received++;
        binding->ReceivedBytes += length;
        Count(NicCounter.UdpReceived);
        host.Notify(local, index, 0);
    }

    private bool TryStorePayload(Pipe* pipe, in UdpArrival packet, ref ulong at)
    {
        int left = packet.Length - UdpHeader.Length;
        int first = Math.Min(left, packet.Head.Length - UdpHeader.Length);
        fixed (byte* head = packet.Head)
        {
            if (!TryStore(pipe, head + UdpHeader.Length, (ulong)first, ref at))
                return false;
        }
        left -= first;
        for (int i = 0; left > 0; i++)
        {
            if (i == packet.RestCount)
                return false;
            int piece = Math.Min(left, packet.Rest[i].Length);
            if (!TryStore(pipe, packet.Rest[i].Data, (ulong)piece, ref at))
                return false;
            left -= piece;
        }
        return true;
    }

    private bool TryStore(Pipe* pipe, byte* from, ulong count, ref ulong at)
    {
        while (count > 0)
        {
            byte* to = PipeOps.WriteRun(local, pipe, at, count, out ulong run);
            if (run == 0)
                return false;
            NativeMemory.Copy(from, to, (nuint)run);
            from += run;
            at += run;
            count -= run;
        }
        return true;
    }

    /// <summary>
    /// The sum over everything. IPv4 allows none (RFC 768), IPv6 does not (RFC 8200 8.1). On a link whose peers are on
    /// this host the pseudo header's sum alone will do: a device was to do the rest.
    /// </summary>
    private bool HasRightChecksum(in UdpArrival packet, ushort checksum)
    {
        bool v6 = packet.Local.Family == Endpoint.V6;
        if (checksum == 0)
            return !v6;
        uint sum = PseudoSum(packet.Remote, packet.Local, packet.Length);
        if ((links[packet.Link].Info->Flags & (uint)LinkFlags.TrustsPartialChecksums) != 0
            && checksum == Checksum.Partial(sum))
        {
            Count(NicCounter.RxPartialChecksum);
            return true;
        }
        int at = Math.Min(packet.Head.Length, packet.Length);
        sum = Checksum.Add(packet.Head[..at], sum);
        for (int i = 0; i < packet.RestCount && at < packet.Length; i++)
        {
            int length = Math.Min(packet.Rest[i].Length, packet.Length - at);
            sum = Checksum.Add(new ReadOnlySpan<byte>(packet.Rest[i].Data, length), sum, at);
            at += length;
        }
        return Checksum.IsRight(sum);
    }

    internal static uint PseudoSum(in Endpoint source, in Endpoint destination, int length) =>
        source.Family == Endpoint.V6
            ? Checksum.PseudoV6(new Ipv6Address(source.AddressLow, source.AddressHigh),
                new Ipv6Address(destination.AddressLow, destination.AddressHigh), IpProtocol.Udp, length)
            : Checksum.PseudoV4(
                (uint)source.AddressLow, (uint)destination.AddressLow, IpProtocol.Udp, length);
}
