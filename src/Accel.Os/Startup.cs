using System.Runtime.InteropServices;
using System.Text;
using Accel.Core.Memory;
using Accel.Core.Stack;

namespace Accel.Os;

/// <summary>What happens once per stack: its region is made and the environment read.</summary>
[ColdPath]
public static unsafe class Startup
{
    /// <summary>
    /// Makes the stack region, with the options from the environment. Null if there is no memory for it.
    /// </summary>
    public static StackRegion? CreateStack(LinuxKernel kernel, byte** environment, out int fd)
    {
        byte* address = kernel.CreateRegion("accel-stack", StackRegion.SizeBytes, out fd);
        if (address == null)
            return null;
        StackRegion region = new(address);
        region.Format(kernel.Random() | 1, kernel.CurrentPid(), kernel.CurrentUid(), kernel.WallNs());
        ReadOptions(kernel, &region.Tables->Options, environment);
        return region;
    }

    /// <summary>
    /// The stack of the image before this one, by the descriptor that it left. Null if it is not a stack of this build.
    /// </summary>
    public static StackRegion? OpenStack(LinuxKernel kernel, int fd)
    {
        byte* address = kernel.MapRegion(fd, RegionKind.Stack, 0);
        return address == null ? null : new StackRegion(address);
    }

    private static void ReadOptions(LinuxKernel kernel, OptionValues* values, byte** environment)
    {
        string? profile = Find(environment, OptionTable.ProfileOptions);
        foreach (OptionRow row in OptionTable.Rows)
        {
            values->Values[(int)row.Option] = row.Default;
            string? text = Find(environment, row.Name);
            if (text is null)
                continue;
            string? complaint = OptionTable.Parse(row, text, out long value);
            if (complaint is null)
            {
                values->Values[(int)row.Option] = value;
                values->FromEnvironment[(int)row.Option] = 1;
                values->FromProfile[(int)row.Option] = (byte)(OptionTable.IsIn(profile, row.Name) ? 1 : 0);
            }
            else
                Complain(kernel, complaint);
        }
    }

    private static void Complain(LinuxKernel kernel, string text)
    {
        byte[] line = Encoding.UTF8.GetBytes($"accel: {text}\n");
        fixed (byte* bytes = line)
            kernel.Write(2, bytes, (ulong)line.Length, -1);
    }

    private static string? Find(byte** environment, string name)
    {
        for (byte** e = environment; *e != null; e++)
        {
            ReadOnlySpan<byte> entry = MemoryMarshal.CreateReadOnlySpanFromNullTerminated(*e);
            int equals = entry.IndexOf((byte)'=');
            if (equals == name.Length && Encoding.ASCII.GetString(entry[..equals]) == name)
                return Encoding.UTF8.GetString(entry[(equals + 1)..]);
        }
        return null;
    }
}
