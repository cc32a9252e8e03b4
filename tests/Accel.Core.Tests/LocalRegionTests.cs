using Accel.Core.Local;
using Accel.Core.Memory;

namespace Accel.Core.Tests;

/// <summary>The tables of a local region: what is taken comes back, and a full region says no without a leak.</summary>
public unsafe class LocalRegionTests
{
    [Fact]
    public void A_connection_comes_back_with_its_rings()
    {
        using var memory = new TestRegion();
        var region = memory.Region;
        var first = region.TakeConn(1, 0);
        var generation = region.ConnAt(first)->Generation;
        Assert.Equal(2, memory.BuffersInUse(0));
        region.FreeConn(first);
        Assert.Equal(0, memory.BuffersInUse(0));
        Assert.Equal(0, region.Tables->Conns.InUse);
        Assert.Equal(first, region.TakeConn(1, 0));
        Assert.Equal(generation + 1, region.ConnAt(first)->Generation);
    }

    [Fact]
    public void A_full_region_refuses_and_holds_nothing_back()
    {
        // Room for three rings: the second connection gets one of its two.
        using var memory = new TestRegion(3 << 14);
        var region = memory.Region;
        Assert.True(region.TakeConn(1, 0) >= 0);
        Assert.Equal(-1, region.TakeConn(1, 0));
        Assert.Equal(1, region.Tables->Conns.InUse);
        Assert.Equal(2, memory.BuffersInUse(0));
    }

    [Fact]
    public void Pools_balance_over_any_history()
    {
        using var memory = new TestRegion(32 << 20);
        var region = memory.Region;
        var random = new Prng(Prng.Seed(3));
        var conns = new List<int>();
        var listeners = new List<int>();
        var bells = new List<int>();
        for (var step = 0; step < 20_000; step++)
        {
            switch (random.Below(6))
            {
                case 0 when region.TakeConn(1, 0) is var c and >= 0: conns.Add(c); break;
                case 1 when conns.Count > 0: region.FreeConn(Pick(conns, random)); break;
                case 2 when region.TakeListener() is var l and >= 0: listeners.Add(l); break;
                case 3 when listeners.Count > 0: region.GiveListener(Pick(listeners, random)); break;
                case 4 when region.TakeDoorbell(1, 9) is var b and >= 0: bells.Add(b); break;
                case 5 when bells.Count > 0: region.GiveDoorbell(Pick(bells, random)); break;
            }
            Assert.Equal(conns.Count, region.Tables->Conns.InUse);
            Assert.Equal(listeners.Count, region.Tables->Listeners.InUse);
            Assert.Equal(bells.Count, region.Tables->Doorbells.InUse);
            Assert.Equal(2 * conns.Count, memory.BuffersInUse(0));
        }
        Assert.Equal(conns.Count, conns.Distinct().Count());
    }

    [Fact]
    public void A_stack_has_one_entry_and_loses_it_with_its_last_process()
    {
        using var memory = new TestRegion();
        var region = memory.Region;
        var owner = region.Attach(100, 1000);
        var a = region.Attach(200, 1000);
        Assert.Equal(a, region.Attach(200, 1000));
        Assert.NotEqual(owner, a);
        var member = Attachment.MemberAt(region.AttachmentAt((int)a - 1), 3);
        member->Pid = 42;
        region.TakeDoorbell(a, 1);
        region.DetachIfEmpty(a);
        Assert.Equal(1, region.Tables->Doorbells.InUse);
        member->Pid = 0;
        region.DetachIfEmpty(a);
        Assert.Equal(0, region.Tables->Doorbells.InUse);
        Assert.Equal(a, region.Attach(300, 1000));
    }

    [Fact]
    public void A_doorbell_gives_each_mark_once()
    {
        using var memory = new TestRegion();
        var bell = memory.Region.DoorbellAt(0);
        var random = new Prng(Prng.Seed(5));
        for (var round = 0; round < 50; round++)
        {
            var posted = Enumerable.Range(0, 1 + random.Below(300)).Select(_ => random.Below(Doorbell.MaxSources))
                .Append(Doorbell.MaxSources - 1).ToHashSet();
            foreach (var source in posted)
                Doorbell.Post(bell, source);
            var taken = new List<int>();
            while (Doorbell.TakeWord(bell, out var first, out var bits))
                taken.AddRange(Enumerable.Range(0, 64).Where(i => (bits >> i & 1) != 0).Select(i => first + i));
            Assert.Equal(posted.Order(), taken.Order());
        }
    }

    [Fact]
    public void A_header_refuses_what_it_is_not()
    {
        using var memory = new TestRegion();
        ref var header = ref memory.Region.Tables->Header;
        Assert.Null(RegionHeader.Refusal(in header, RegionKind.Local, LayoutHash.Value));
        Assert.NotNull(RegionHeader.Refusal(in header, RegionKind.Stack, LayoutHash.Value));
        var other = RegionHeader.Refusal(in header, RegionKind.Local, ~LayoutHash.Value);
        Assert.Contains($"{LayoutHash.Value:x16}", other);
        Assert.Contains($"{~LayoutHash.Value:x16}", other);
        header.Version++;
        Assert.NotNull(RegionHeader.Refusal(in header, RegionKind.Local, LayoutHash.Value));
        header.Magic = 0;
        Assert.NotNull(RegionHeader.Refusal(in header, RegionKind.Local, LayoutHash.Value));
    }

    [Fact]
    public void Endpoints_know_loopback_and_the_two_forms_of_IPv4()
    {
        var v4 = Endpoint.Loopback(Endpoint.V4, 80);
        var v6 = Endpoint.Loopback(Endpoint.V6, 80);
        Assert.True(v4.IsLoopback && v6.IsLoopback && v4.Mapped().IsLoopback);
        Assert.False(v6.IsMapped);
        Assert.True(v4.Mapped().IsMapped);
        Assert.True(v4.Mapped().Unmapped().SameAddress(v4));
        Assert.Equal(80, v4.Mapped().Unmapped().Port);
        Assert.True(v6.Unmapped().SameAddress(v6));
        Assert.False(v4.IsAny);
        Assert.True(new Endpoint { Family = Endpoint.V6 }.IsAny);
        Assert.False(new Endpoint { Family = Endpoint.V6 }.IsLoopback);
        Assert.False(new Endpoint { Family = Endpoint.V4, AddressLow = 0x0100000A }.IsLoopback);
    }

    static int Pick(List<int> list, Prng random)
    {
        var i = random.Below(list.Count);
        var value = list[i];
        list.RemoveAt(i);
        return value;
    }
}
