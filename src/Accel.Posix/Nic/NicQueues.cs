using Accel.Core.Memory;
using Accel.Core.Nic;
using Accel.Core.Stack;

namespace Accel.Posix;

/// <summary>
/// The queues of the network interfaces as descriptors: what sleeps wait for, so that they end when a frame comes.
/// </summary>
[method: ColdPath]
public sealed unsafe class NicQueues(PosixStack s, ILink[] links)
{
    /// <summary>More queues than that are waited for through the hub, which costs each wake-up a level more.</summary>
    private const int MaxDirectQueues = 4;

    public NicSleepers Sleepers { get; } = new(s, links);

    /// <summary>The hub takes the queues, if sleeps do not name them, and what is hardly ever needed.</summary>
    public void JoinHub()
    {
        foreach (ILink link in links)
        {
            if (link.SpareDescriptor >= 0)
                s.Peers.AddLink(link.SpareDescriptor);
        }
        if (IsDirect)
            return;
        foreach (ILink link in links)
        {
            for (int queue = 0; queue < link.DescriptorCount; queue++)
                s.Peers.AddLink(link.Descriptor(queue));
        }
    }

    /// <summary>True if a sleep names the queues itself.</summary>
    private bool IsDirect
    {
        get
        {
            uint queues = 0;
            foreach (ILink link in links)
                queues += (uint)link.DescriptorCount;
            return queues <= MaxDirectQueues;
        }
    }

    /// <summary>What a sleep has to name beside the hub, so that it ends when a frame comes. Returns how many.
    /// </summary>
    public uint SleepOn(PollFd* fds) => IsDirect ? Descriptors(fds, MaxDirectQueues) : 0;

    /// <summary>
    /// An epoll set of the program's waits for frames too. Of several that sleep one wakes for a frame, takes it, and
    /// wakes the one whose connection it was for.
    /// </summary>
    public void Join(EpollSet* set, int epfd)
    {
        if (set->HasLinks != 0 || !IsDirect)
            return;
        set->HasLinks = 1;
        PollFd* fds = stackalloc PollFd[MaxDirectQueues];
        uint count = Descriptors(fds, MaxDirectQueues);
        for (uint i = 0; i < count; i++)
            s.Kernel.EpollCtl(epfd, Ev.CTL_ADD, fds[i].Fd, Ev.IN | Ev.EXCLUSIVE, EpollSets.LinkMarker(set));
    }

    /// <summary>Before another program has the set: it would not know what these events are.</summary>
    [ColdPath]
    public void Leave(EpollSet* set, int epfd)
    {
        if (set->HasLinks == 0)
            return;
        set->HasLinks = 0;
        PollFd* fds = stackalloc PollFd[MaxDirectQueues];
        uint count = SleepOn(fds);
        for (uint i = 0; i < count; i++)
            s.Kernel.EpollCtl(epfd, Ev.CTL_DEL, fds[i].Fd, 0, 0);
    }

    /// <summary>What the links and acceld can be waited for with. Returns how many.</summary>
    public uint Descriptors(PollFd* fds, uint max)
    {
        uint count = 0;
        foreach (ILink link in links)
        {
            for (int queue = 0; queue < link.DescriptorCount && count < max; queue++)
                fds[count++] = new PollFd { Fd = link.Descriptor(queue), Events = (short)Ev.IN };
        }
        return count;
    }
}
