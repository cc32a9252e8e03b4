namespace Accel.Core.Ip;

/// <summary>Numbers of the kernel's own routing tables (RT_TABLE_).</summary>
public static class RouteTable
{
    public const uint Default = 253, Main = 254, Local = 255;
}
