namespace Accel.Core.Nic;

/// <summary>Which local ports have connections.</summary>
public static unsafe class NicPorts
{
    public const int Words = 65536 / 64;

    /// <summary>
    /// Sets the bit of each local port that some connection uses, TIME-WAIT included, or a listener: one may have come
    /// where another went. Under the engine's lock.
    /// </summary>
    public static void Collect(NicRegion region, ulong* ports)
    {
        int high = region.BlocksHigh;
        for (int i = 0; i < high; i++)
        {
            NicBlock* block = region.BlockAt(i);
            ushort port = block->Route.Local.Port;
            if (block->Use != NicUse.Free)
                ports[port >> 6] |= 1ul << (port & 63);
        }
        for (int i = 0; i < Local.LocalRegion.MaxListeners; i++)
        {
            NicListening* listener = region.ListenerAt(i);
            if (listener->Open != 0)
                ports[listener->Local.Port >> 6] |= 1ul << (listener->Local.Port & 63);
        }
    }
}
