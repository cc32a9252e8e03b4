namespace Accel.Control.Broker;

/// <summary>Takes looks at the stacks of this network namespace. Called by one thread, not the broker's.</summary>
public interface ILookSource
{
    /// <summary>Writes a look; <paramref name="only"/>: at the stacks of this user.</summary>
    void Take(uint? only, Stream to);
}
