namespace Accel.Control;
/// <summary>The limits that the program on the interface was compiled with (Bpf/steering.h).</summary>
public static class SteeringLimits
{
    public const int MaxSlots = 128, MaxQueues = 64, MaxAddresses = 4096, MaxExact = 16384;
}
