using Accel.Core.Local;
using Accel.Core.Nic;

namespace Accel.Control.Steering;

/// <summary>
/// What the programs on the interfaces answer SYNs of a flood with, by listener: an entry for its name, or one for each
/// family whose unspecified address it has.
/// </summary>
public sealed class AnswerTable(SteeringMaps maps)
{
    /// <summary>The entry for IPv4 of an IPv6 socket, as that is the one that takes it away.</summary>
    private const byte OfIpv6Socket = 1;

    /// <summary>Sets what a listener answers, or takes it away if it does not say.</summary>
    public void Set(in Endpoint local, bool v6Only, uint slot, in SynAnswer answer)
    {
        Remove(local, slot);
        if (!answer.IsValid)
            return;
        Endpoint plain = local.Unmapped();
        SynAnswer own = answer;
        own.Slot = (ushort)(slot + 1);
        own.Owner = 0;
        maps.Answers.Set(ExactKey.Of(false, plain), own);
        if (plain.Family != Endpoint.V6 || !plain.IsAny || v6Only)
            return;
        own.Owner = OfIpv6Socket;
        maps.Answers.Set(ExactKey.Of(false, AnyV4(plain.Port)), own);
    }

    public void Remove(in Endpoint local, uint slot)
    {
        Endpoint plain = local.Unmapped();
        RemoveOne(ExactKey.Of(false, plain), slot, 0);
        if (plain.Family == Endpoint.V6 && plain.IsAny)
            RemoveOne(ExactKey.Of(false, AnyV4(plain.Port)), slot, OfIpv6Socket);
    }

    public void RemoveSlot(uint slot)
    {
        foreach (ExactKey key in maps.Answers.Keys<ExactKey>())
        {
            if (maps.Answers.TryGet(key, out SynAnswer found) && found.Slot == slot + 1)
                maps.Answers.Remove(key);
        }
    }

    private void RemoveOne(ExactKey key, uint slot, byte owner)
    {
        if (maps.Answers.TryGet(key, out SynAnswer found) && found.Slot == slot + 1 && found.Owner == owner)
            maps.Answers.Remove(key);
    }

    private static Endpoint AnyV4(ushort port) => new() { Family = Endpoint.V4, Port = port };
}
