using Accel.Inspect;

namespace Accel.Cli.Why;

/// <summary>Why a process has no stack.</summary>
internal static class ProcessVerdict
{
    private const string Library = "libaccel.so";

    /// <summary>Programs that the library leaves alone (shim/confine.c).</summary>
    private static readonly string[] LeftAlone = ["sshd", "sshd-session", "sshd-auth", "vsftpd"];

    public static Verdict Of(int pid, Machine machine)
    {
        string who = $"process {pid} ({Read(pid, "comm")?.Trim() ?? "?"})";
        string? refusal = machine.Refusals.FirstOrDefault(r => r.Contains($"process {pid}:", StringComparison.Ordinal));
        if (refusal is not null)
            return No("other_build", $"{who} is accelerated, but this tool cannot read its stack: {refusal}",
                "use the tools of the build that the process runs with");
        string? maps = Read(pid, "maps"), environment = Read(pid, "environ");
        if (maps is null || environment is null)
            return No("not_yours", $"{who} belongs to another user, who may not be looked at", "run this as root");
        string[] settings = environment.Split('\0');
        bool asked = settings.Any(s => s.StartsWith("LD_PRELOAD=", StringComparison.Ordinal)
            && s.Contains(Library, StringComparison.Ordinal));
        if (!maps.Contains(Library, StringComparison.Ordinal))
            return asked
                ? No("preload_ignored", $"{who} was started with the preload and has not loaded it: it is static, "
                    + "setuid, of another libc, or has unloaded it by exec() with an environment of its own",
                    "use a dynamically linked program of this system, without setuid")
                : No("not_preloaded", $"{who} runs without the library, entirely on the kernel",
                    "start it with `accel run -- PROGRAM`, or with LD_PRELOAD=$(accel lib)");
        if (settings.FirstOrDefault(s => s.StartsWith("ACCEL_DISABLE=", StringComparison.Ordinal)) is { } off
            && off is not "ACCEL_DISABLE=" and not "ACCEL_DISABLE=0")
            return No("disabled", $"{who} has {off} in its environment", "start it without ACCEL_DISABLE");
        if (LeftAlone.Contains(Path.GetFileName(Executable(pid))))
            return No("left_alone", $"{who} is left on the kernel: its sessions lock themselves in with seccomp "
                + "filters",
                "start it with ACCEL_DISABLE=0, which insists");
        return No("no_socket", $"{who} has the library, and no socket that could be accelerated so far: TCP counts "
            + "from bind(), listen() or connect() on, UDP where acceld serves an interface", null);
    }

    private static Verdict No(string reason, string sentence, string? remedy) =>
        new(null, SocketLine.Kernel, reason, Verdict.With(sentence, remedy), remedy);

    private static string? Executable(int pid)
    {
        try
        {
            return new FileInfo($"/proc/{pid}/exe").LinkTarget;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private static string? Read(int pid, string file)
    {
        try
        {
            return File.ReadAllText($"/proc/{pid}/{file}");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
