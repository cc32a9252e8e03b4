using Accel.Core.Nic;
using Accel.Core.Tcp;
using Accel.Inspect;

namespace Accel.Stat;

/// <summary>What `accelstat figures` prints.</summary>
public static class FigureHelp
{
    public static IEnumerable<string> Lines()
    {
        var figures = new TextTable("figure", "unit", "kind", "meaning");
        foreach (Figure f in Figures.All)
            figures.Add(
                f.Name, f.Unit.Length == 0 ? "-" : f.Unit, f.Kind == FigureKind.Gauge ? "now" : "total", f.Meaning);
        var drops = new TextTable("drop", "meaning");
        foreach (NicCounter counter in Drops.Network)
            drops.Add(NicCounterTable.Rows[(int)counter].Name, NicCounterTable.Rows[(int)counter].Meaning);
        foreach (TcpCounter counter in Drops.Tcp)
            drops.Add(TcpCounterTable.Rows[(int)counter].Name, TcpCounterTable.Rows[(int)counter].Meaning);
        foreach ((string name, string meaning) in Drops.Links) drops.Add(name, meaning);
        return [.. figures.Lines(), "", .. drops.Lines()];
    }
}
