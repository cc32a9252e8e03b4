using Accel.Wire;

namespace Accel.Core.Tcp;

/// <summary>The SACK option that goes out (RFC 2018 4, RFC 2883 4).</summary>
public static class SackWriter
{
    /// <summary>Two NOPs, kind and length; a block.</summary>
    private const uint HeadBytes = 4, BlockBytes = 8;

    /// <summary>RFC 2018 3: with timestamps there is room for three.</summary>
    private const int MaxBlocks = 4, MaxWithTimestamps = 3;

    private static int Blocks(in Tcb tcb)
    {
        if ((tcb.Flags & TcbFlags.Sack) == 0)
            return 0;
        int most = (tcb.Flags & TcbFlags.Timestamps) != 0 ? MaxWithTimestamps : MaxBlocks;
        int duplicates = (tcb.Flags & TcbFlags.DsackDue) != 0 ? 1 : 0;
        return Math.Min(most, tcb.Reassembly.RecentCount + duplicates);
    }

    public static uint OptionBytes(in Tcb tcb)
    {
        int blocks = Blocks(in tcb);
        return blocks == 0 ? 0 : HeadBytes + (uint)blocks * BlockBytes;
    }

    public static void Write(ref Tcb tcb, ref TcpEmit emit)
    {
        int blocks = Blocks(in tcb);
        if (blocks == 0)
            return;
        int at = 0;
        if ((tcb.Flags & TcbFlags.DsackDue) != 0)
        {
            emit.Options.Sacks[at++] = tcb.Reassembly.Duplicate;
            // RFC 2883 4: reported once.
            tcb.Flags &= ~TcbFlags.DsackDue;
        }
        for (int i = 0; at < blocks; i++)
            emit.Options.Sacks[at++] = tcb.Reassembly.Recent[i];
        emit.Options.Present |= TcpOptionKinds.Sack;
        emit.Options.SackCount = (byte)blocks;
    }
}
