using System.Runtime.InteropServices;

namespace Accel.Shim;

/// <summary>What the C side calls.</summary>
public static unsafe class Exports
{
    [UnmanagedCallersOnly(EntryPoint = "accel_start")]
    public static nint Start(
        [DNNE.C99Type("struct accel_process *")] void* process,
        [DNNE.C99Type("const char *const *")] byte** environ) => -38;
}
