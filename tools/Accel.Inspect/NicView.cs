using Accel.Core.Local;
using Accel.Core.Memory;
using Accel.Core.Nic;

namespace Accel.Inspect;

/// <summary>A copy of the region of a stack's network path.</summary>
public sealed unsafe class NicView(RegionHeader header, SparseCopy copy) : IDisposable
{
    public RegionHeader Header => header;

    public SparseCopy Copy => copy;

    public NicRegion Region => new(copy.Address);

    /// <summary>
    /// The block of a connection of the stack's own local region, or -1 if its other end is a program.
    /// </summary>
    public int BlockOf(LocalRegion local, int conn)
    {
        if (conn >= LocalRegion.MaxConns || NicConn.EngineSide(local.ConnAt(conn)) < 0) return -1;
        uint plusOne = Region.ConnBlocks[conn];
        if (plusOne == 0 || plusOne > (uint)Region.BlocksHigh) return -1;
        NicBlock* block = Region.BlockAt((int)plusOne - 1);
        return block->Use != NicUse.Free && block->Conn == (uint)conn + 1 ? (int)plusOne - 1 : -1;
    }

    /// <summary>The listener with this index takes connections from the links too.</summary>
    public bool Listens(int listener) =>
        listener < LocalRegion.MaxListeners && Region.ListenerAt(listener)->Open != 0;

    public IEnumerable<int> Links()
    {
        for (int i = 0; i < NicRegion.MaxLinks; i++)
            if (IsLink(i)) yield return i;
    }

    /// <summary>Blocks in use, half-open and waiting ones among them.</summary>
    public IEnumerable<int> Blocks()
    {
        for (int i = 0; i < Region.BlocksHigh; i++)
            if (UseOf(i) != NicUse.Free) yield return i;
    }

    public string LinkName(int index)
    {
        if (!IsLink(index)) return "-";
        return RegionText.Of(Region.LinkAt(index)->Name, LinkInfo.NameBytes);
    }

    public void Dispose() => copy.Dispose();

    private bool IsLink(int index) => index < NicRegion.MaxLinks && Region.LinkAt(index)->InterfaceIndex != 0;

    private NicUse UseOf(int index) => Region.BlockAt(index)->Use;
}
