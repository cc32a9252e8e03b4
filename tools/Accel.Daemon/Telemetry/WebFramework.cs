using System.Reflection;
using System.Runtime.InteropServices;
using System.Runtime.Loader;
using Accel.Control;

namespace Accel.Daemon.Telemetry;

/// <summary>
/// ASP.NET Core, found when it is needed. Named in acceld's runtimeconfig it would be looked through at each start; few
/// run acceld with --metrics, and what it answers first must come soon.
/// </summary>
public static class WebFramework
{
    private const string Name = "Microsoft.AspNetCore.App";

    private static int _isFound;

    /// <summary>From here on its assemblies can be loaded.</summary>
    public static void Find()
    {
        if (Interlocked.Exchange(ref _isFound, 1) != 0) return;
        string folder = Folder(RuntimeEnvironment.GetRuntimeDirectory())
            ?? throw new ControlException($"--metrics needs {Name} {Environment.Version.Major}, which is not installed "
                + "beside the .NET runtime (Debian: aspnetcore-runtime)");
        AssemblyLoadContext.Default.Resolving += (context, name) => Load(context, folder, name);
    }

    /// <summary>The framework beside a runtime: shared/NAME/VERSION, of the same version or the newest of its line.
    /// </summary>
    public static string? Folder(string runtime)
    {
        string own = Path.TrimEndingDirectorySeparator(runtime);
        string all = Path.Combine(Path.GetDirectoryName(Path.GetDirectoryName(own)!)!, Name);
        if (!Directory.Exists(all)) return null;
        string same = Path.Combine(all, Path.GetFileName(own));
        if (Directory.Exists(same)) return same;
        return Directory.GetDirectories(all).Where(f => Number(f)?.Major == Environment.Version.Major).MaxBy(Number);

        static Version? Number(string path) =>
            Version.TryParse(Path.GetFileName(path), out Version? number) ? number : null;
    }

    private static Assembly? Load(AssemblyLoadContext context, string folder, AssemblyName name)
    {
        string path = Path.Combine(folder, $"{name.Name}.dll");
        return File.Exists(path) ? context.LoadFromAssemblyPath(path) : null;
    }
}
