using Accel.Core.Nic;
using Accel.Testing.Death;

namespace Accel.Core.Tests.Nic;

/// <summary>Regions that were whole, and in which a program then wrote anything anywhere.</summary>
public sealed class NicRemainderFuzzTests
{
    const int Rounds = 3000;

    /// <summary>
    /// Nothing beyond the regions is read, which would end the test; and a queue holds no more than two rings.
    /// </summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void No_word_leads_out_of_the_regions(ulong seed)
    {
        var random = new Prng(Prng.Seed(seed));
        var spoiling = new Accel.Testing.Prng(random.Next());
        int closed = 0, reset = 0, nothing = 0;
        for (var round = 0; round < Rounds; round += 50)
        {
            using var memory = new DeadMemory();
            var dead = memory.Dead;
            for (var i = 0; i < 50; i++)
            {
                var bytes = new byte[random.OneIn(3) ? random.Below(100_000) : random.Below(16_000)];
                dead.Add(DeadRegions.V4(10, 77, 0, 1, 5000 + i), DeadRegions.V4(10, 77, 0, 2, 80), bytes,
                    random.Below(bytes.Length + 1), random.Next() >> random.Below(64), (uint)random.Next());
            }
            for (var i = 0; i < 50; i++)
                dead.Spoil(spoiling, i);
            for (var i = 0; i < 50; i++)
            {
                switch (memory.DutyOf(i, out var queue))
                {
                    case NicDuty.Close:
                        Assert.InRange(queue!.Length, 0, 2 << 22);
                        closed++;
                        break;
                    case NicDuty.Reset: reset++; break;
                    default: nothing++; break;
                }
            }
        }
        // All three are met, and often: what is spoilt is neither nothing nor everything.
        Assert.True(closed > Rounds / 20 && reset > Rounds / 20 && nothing > Rounds / 100,
            $"{closed} closed, {reset} reset, {nothing} nothing");
    }
}
