using Accel.Core.Local;

namespace Accel.Core.Nic;

/// <summary>The two ends and streams of a connection as the engine, which is one of the ends, sees them.</summary>
internal readonly unsafe struct NicWire
{
    public readonly Conn* Conn;
    public readonly Side* Engine;
    public readonly Side* Program;

    /// <summary>What the program writes and the engine sends: Head is where SND.UNA is.</summary>
    public readonly Pipe* Out;

    /// <summary>What the engine receives and the program reads: Tail is where RCV.NXT is.</summary>
    public readonly Pipe* In;
    public readonly int Index;
    public readonly int EngineSide;

    private NicWire(Conn* conn, int index, int engineSide)
    {
        Conn = conn;
        Index = index;
        EngineSide = engineSide;
        Engine = LocalRegion.SideOf(conn, engineSide);
        Program = LocalRegion.SideOf(conn, 1 - engineSide);
        Out = LocalRegion.PipeOf(conn, 1 - engineSide);
        In = LocalRegion.PipeOf(conn, engineSide);
    }

    /// <summary>False if the block has no streams.</summary>
    public static bool TryOf(LocalRegion region, NicBlock* block, out NicWire wire)
    {
        wire = default;
        if (block->Conn - 1 >= LocalRegion.MaxConns)
            return false;
        int index = (int)block->Conn - 1;
        Conn* conn = region.ConnAt(index);
        if (conn->Generation != block->ConnGeneration)
            return false;
        wire = new NicWire(conn, index, (int)block->Side & 1);
        return true;
    }

    /// <summary>The same of a copy of the connection, which is made here.</summary>
    public static bool TryOf(LocalRegion region, NicBlock* block, Conn* copy, out NicWire wire)
    {
        wire = default;
        if (block->Conn - 1 >= LocalRegion.MaxConns)
            return false;
        int index = (int)block->Conn - 1;
        *copy = *region.ConnAt(index);
        if (copy->Generation != block->ConnGeneration)
            return false;
        wire = new NicWire(copy, index, (int)block->Side & 1);
        return true;
    }

    public static NicWire Of(LocalRegion region, int index, int engineSide) =>
        new(region.ConnAt(index), index, engineSide);
}
