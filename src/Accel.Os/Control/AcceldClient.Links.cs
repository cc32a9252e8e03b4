using System.Collections.Generic;
using Accel.Core.Memory;
using Accel.Core.Nic;
using Accel.Core.Stack;
using Accel.Os.Links;

namespace Accel.Os.Control;

/// <summary>How the stack comes by its links: from acceld, or from the image that called exec().</summary>
public sealed unsafe partial class AcceldClient
{
    private NicRefusal ReceiveLinks(in WelcomeMessage welcome, LinkInfo* infos, int max, List<XdpLink> links)
    {
        for (uint i = 0; i < welcome.Links; i++)
        {
            if (!TryAwait(MessageKind.Link, out Message packet))
                return NicRefusal.Failed;
            LinkMessage message = Conversation.As<LinkMessage>(packet);
            int number = links.Count;
            int packetSocket = message.HasPacketSocket != 0 ? Keep(0, DescriptorEntry.PacketTag + number) : -1;
            int ringMap = message.RingBytes != 0
                ? Keep(message.HasPacketSocket != 0 ? 1 : 0, DescriptorEntry.RingTag + number) : -1;
            if (!TryMapRing(ringMap, message.RingBytes, packetSocket, message.Flags, out FrameRing ring, out Bell bell))
            {
                LastError = "the ring of the interface cannot be mapped";
                return NicRefusal.Failed;
            }
            XdpQueue[] queues = new XdpQueue[Math.Clamp(message.Queues, 1, 256)];
            for (int q = 0; q < queues.Length; q++)
            {
                if (TryReceiveQueue(number, q, ring.IsMapped, out queues[q]))
                    continue;
                for (int opened = 0; opened < q; opened++)
                    queues[opened].Unmap(_kernel);
                ring.Unmap(_kernel);
                bell.Unmap(_kernel);
                return NicRefusal.Failed;
            }
            if (links.Count == max)
            {
                ring.Unmap(_kernel);
                bell.Unmap(_kernel);
                continue;
            }
            LinkInfo* info = infos + links.Count;
            Fill(info, message);
            PacketSocket sender = new(_kernel, packetSocket, info->InterfaceIndex);
            links.Add(new XdpLink(_kernel, info, queues, ring, bell, sender));
        }
        return TryAwait(MessageKind.Ready, out Message ready) ? ready.Header.Refusal : NicRefusal.Failed;
    }

    /// <summary>The ring of a link, if it has one, and what is rung when frames come there.</summary>
    private bool TryMapRing(
        int ringMap, uint bytes, int packetSocket, LinkFlags flags, out FrameRing ring, out Bell bell)
    {
        bell = default;
        if (!FrameRing.TryMap(_kernel, ringMap, bytes, out ring))
            return false;
        if ((flags & LinkFlags.Bell) == 0 || Bell.TryMap(_kernel, packetSocket, out bell))
            return true;
        ring.Unmap(_kernel);
        return false;
    }

    private bool TryReceiveQueue(int link, int number, bool sendsOnly, out XdpQueue queue)
    {
        queue = default;
        if (!TryAwait(MessageKind.Queue, out Message packet))
            return false;
        QueueMessage message = Conversation.As<QueueMessage>(packet);
        int xsk = Keep(0, DescriptorEntry.OfQueue(DescriptorEntry.QueueTag, link, number));
        int memory = Keep(1, DescriptorEntry.OfQueue(DescriptorEntry.MemoryTag, link, number));
        LastError = XdpQueue.Open(_kernel, xsk, memory, message.Queue, message.RxRingSize, message.TxRingSize,
            sendsOnly, out queue);
        return LastError == null;
    }

    /// <summary>Moves a descriptor that came with the last packet to where it stays.</summary>
    private int Keep(int index, int tag)
    {
        if (index >= _broughtCount || _brought[index] < 0)
            return -1;
        int fd = _kernel.MoveHigh(_brought[index]);
        _brought[index] = -1;
        _own(fd, tag);
        if (_links.Length == 0)
            _kept.Add(fd);
        return fd;
    }

    /// <summary>
    /// acceld died before all was there. What it gave is given back: queues that are held and that no acceld hears of
    /// could be used by nobody as long as this program runs.
    /// </summary>
    private void DropLinks(List<XdpLink> links)
    {
        foreach (XdpLink link in links)
            link.Unmap();
        foreach (int fd in _kept)
            _disown(fd);
        _mirror = _steering = -1;
    }

    public ILink[] Resume(ulong stackId, LinkInfo* infos, int max, Func<int, int> find)
    {
        List<XdpLink> links = [];
        _mirror = find(DescriptorEntry.MirrorTag);
        _steering = find(DescriptorEntry.SteeringTag);
        if (!MapTables())
            return [];
        for (int i = 0; i < max && infos[i].InterfaceIndex != 0; i++)
        {
            XdpQueue[] queues = new XdpQueue[Math.Clamp(infos[i].Queues, 1, 256)];
            for (int q = 0; q < queues.Length; q++)
            {
                int memory = find(DescriptorEntry.OfQueue(DescriptorEntry.MemoryTag, i, q));
                LastError = XdpQueue.Open(_kernel, find(DescriptorEntry.OfQueue(DescriptorEntry.QueueTag, i, q)),
                    memory, (uint)q, infos[i].RxRingSize, infos[i].TxRingSize,
                    sendsOnly: infos[i].RingBytes != 0, out queues[q]);
                if (LastError != null)
                    return [];
                SharedLock.Abandon(ref queues[q].Umem.Header->Lock, _kernel.CurrentPid());
            }
            int packetSocket = find(DescriptorEntry.PacketTag + i);
            if (!TryMapRing(find(DescriptorEntry.RingTag + i), infos[i].RingBytes, packetSocket,
                (LinkFlags)infos[i].Flags, out FrameRing ring, out Bell bell))
                return [];
            PacketSocket sender = new(_kernel, packetSocket, infos[i].InterfaceIndex);
            links.Add(new XdpLink(_kernel, infos + i, queues, ring, bell, sender));
        }
        _stackId = stackId;
        _slot = infos[0].Slot;
        _links = [.. links];
        // It shows that the stack lives until this image has a conversation of its own.
        _inherited = find(DescriptorEntry.ControlTag);
        return [.. links];
    }

    private static void Fill(LinkInfo* info, in LinkMessage message)
    {
        *info = new LinkInfo
        {
            InterfaceIndex = message.InterfaceIndex,
            Flags = (uint)message.Flags,
            Mtu = message.Mtu,
            Queues = message.Queues,
            Slot = message.Slot,
            MaxSuperFrame = message.HasPacketSocket != 0 ? message.MaxSuperFrame : 0,
            RxRingSize = message.RxRingSize,
            TxRingSize = message.TxRingSize,
            FillRingSize = message.FillRingSize,
            CompletionRingSize = message.CompletionRingSize,
            Frames = message.Frames,
            FrameBytes = message.FrameBytes,
            RingBytes = message.RingBytes,
        };
        for (int i = 0; i < 6; i++)
            info->Mac[i] = message.Mac[i];
        for (int i = 0; i < LinkInfo.NameBytes; i++)
            info->Name[i] = message.Name[i];
    }
}
