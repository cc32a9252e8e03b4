namespace Accel.Testing.Script;

/// <summary>A packet script (see README.md): runs it, and says what is wrong with its form.</summary>
public static class PacketScript
{
    /// <summary>Initial numbers of stack and peer: ordinary ones, and such that both wrap, or change sign, within a few
    /// segments.</summary>
    static readonly (uint Stack, uint Peer)[] InitialNumbers =
    [
        (1_000_000, 5_000_000),
        (uint.MaxValue - 1500, uint.MaxValue - 700),
        (int.MaxValue - 2500u, int.MaxValue - 1500u),
    ];

    public static void Run(string path)
    {
        var lines = File.ReadAllLines(path);
        foreach (var (stack, peer) in InitialNumbers)
        {
            try
            {
                ScriptRun.Run(lines, stack, peer);
            }
            catch (ScriptException e)
            {
                throw new ScriptException($"{path}, initial numbers {stack} and {peer}\n{lines[0]}\n{e.Message}");
            }
        }
    }
}
