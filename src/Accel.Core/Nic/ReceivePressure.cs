using Accel.Core.Local;
using Accel.Core.Tcp;

namespace Accel.Core.Nic;

/// <summary>
/// What all connections together may have on its way must fit into the ring that frames wait in, or they are lost and
/// sent again. A window is a promise to one connection, whose buffer has that room; many such promises fill the ring if
/// the stack does not run for a moment. So when it is more than half full of data, no connection is offered more than
/// half of what it was, and more again by and by (Linux does the same when all TCP has too much memory:
/// tcp_under_memory_pressure() and tcp_clamp_window()).
/// </summary>
public static unsafe class ReceivePressure
{
    /// <summary>The least that a connection is offered, and what is offered first when the ring fills.</summary>
    public const uint Least = 64 << 10, First = 512 << 10;

    /// <summary>The promises of before are kept: what comes of them says nothing yet of what was offered since.
    /// </summary>
    public const long HalveNs = TcpContext.NsPerMs, GrowNs = 20 * TcpContext.NsPerMs;

    /// <summary>Frames of less are no data: a flood of them is not to shrink the windows of those who are not of it.
    /// </summary>
    private const long MeanData = 1024;

    /// <summary>A batch was taken from a link.</summary>
    internal static void OnBatch(NicCore core, LinkInfo* info, FrameRef* frames, int count)
    {
        NicTables* t = core.Head;
        bool isFull = info->RingBacklog > info->RingBytes / 2 && AreData(frames, count);
        long since = core.NowNs - t->OfferMostNs;
        if (isFull ? since < HalveNs : t->OfferMost == 0 || since < GrowNs)
            return;
        t->OfferMostNs = core.NowNs;
        if (isFull)
        {
            core.Count(NicCounter.ReceivePressure);
            t->OfferMost = t->OfferMost == 0 ? First : Math.Max(Least, t->OfferMost / 2);
            return;
        }
        t->OfferMost += t->OfferMost / 8;
        if (t->OfferMost >= 1u << PipeOps.StalledLog2)
            t->OfferMost = 0;
    }

    private static bool AreData(FrameRef* frames, int count)
    {
        long bytes = 0;
        for (int i = 0; i < count; i++)
            bytes += frames[i].Length;
        return bytes >= MeanData * count;
    }
}
