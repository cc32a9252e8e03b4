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
            XdpQueue[] queues = new XdpQueue[Math.Clamp(message.Queues, 1, 256)];
            for (int q = 0; q < queues.Length; q++)
            {
                if (!TryAwait(MessageKind.Queue, out packet))
                    return NicRefusal.Failed;
                QueueMessage queue = Conversation.As<QueueMessage>(packet);
                int xsk = Keep(0, DescriptorEntry.OfQueue(DescriptorEntry.QueueTag, number, q));
                int memory = Keep(1, DescriptorEntry.OfQueue(DescriptorEntry.MemoryTag, number, q));
                LastError = XdpQueue.Open(_kernel, xsk, memory, queue.Queue, queue.RxRingSize, queue.TxRingSize,
                    out queues[q]);
                if (LastError != null)
                    return NicRefusal.Failed;
            }
            if (links.Count == max)
                continue;
            LinkInfo* info = infos + links.Count;
            Fill(info, message);
            links.Add(new XdpLink(_kernel, info, queues, new PacketSocket(_kernel, packetSocket)));
        }
        return TryAwait(MessageKind.Ready, out Message ready) ? ready.Header.Refusal : NicRefusal.Failed;
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
                    memory, (uint)q, infos[i].RxRingSize, infos[i].TxRingSize, out queues[q]);
                if (LastError != null)
                    return [];
                SharedLock.Abandon(ref queues[q].Umem.Header->Lock, _kernel.CurrentPid());
            }
            PacketSocket packet = new(_kernel, find(DescriptorEntry.PacketTag + i));
            links.Add(new XdpLink(_kernel, infos + i, queues, packet));
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
        };
        for (int i = 0; i < 6; i++)
            info->Mac[i] = message.Mac[i];
        for (int i = 0; i < LinkInfo.NameBytes; i++)
            info->Name[i] = message.Name[i];
    }
}
