namespace Accel.House.Tests;

/// <summary>What a program with the library in it looks like from outside.</summary>
[Trait("stage", "abi")]
public class TransparencyTests
{
    /// <summary>Prints threads, signal handlers and descriptors before and after the runtime starts.</summary>
    const string Probe = """
        #define _GNU_SOURCE
        #include <arpa/inet.h>
        #include <dirent.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <string.h>
        #include <sys/socket.h>
        #include <unistd.h>

        static int entries(const char *path, int low_only)
        {
            DIR *d = opendir(path);
            struct dirent *e;
            int n = 0;
            while ((e = readdir(d)))
                n += e->d_name[0] != '.' && (!low_only || atoi(e->d_name) < 100);
            closedir(d);
            return n;
        }

        static void report(const char *when)
        {
            char line[200], handlers[64] = "", ignored[64] = "";
            unsigned long size = 0;
            FILE *f = fopen("/proc/self/status", "r");
            while (fgets(line, sizeof line, f)) {
                sscanf(line, "SigCgt: %63s", handlers);
                sscanf(line, "SigIgn: %63s", ignored);
                sscanf(line, "VmSize: %lu", &size);
            }
            fclose(f);
            printf("%s threads=%d handlers=%s ignored=%s descriptors=%d under_4GB=%d\n", when,
                   entries("/proc/self/task", 0), handlers, ignored, entries("/proc/self/fd", 1), size < (4ul << 20));
        }

        int main(void)
        {
            report("before");
            struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
            socklen_t n = sizeof a;
            int l = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0), s;
            char b[6] = "";
            if (bind(l, (void *)&a, n) || listen(l, 4) || getsockname(l, (void *)&a, &n)
                || connect(c, (void *)&a, n) || (s = accept(l, NULL, NULL)) < 0
                || write(c, "hello", 5) != 5 || read(s, b, 5) != 5 || strcmp(b, "hello"))
                return 1;
            close(s);
            close(c);
            close(l);
            report("after");
            return 0;
        }
        """;

    [Fact]
    public void A_program_keeps_its_threads_handlers_and_descriptors()
    {
        var folder = Directory.CreateTempSubdirectory("accel-house-").FullName;
        try
        {
            var source = Path.Combine(folder, "probe.c");
            var program = Path.Combine(folder, "probe");
            File.WriteAllText(source, Probe);
            House.Run("gcc", ["-O1", "-o", program, source]);
            Assert.Equal(House.Run(program, []), House.Run(program, [], House.Library));
        }
        finally
        {
            Directory.Delete(folder, true);
        }
    }

    [Theory]
    [InlineData("/bin/ls", "-la", "/usr/bin")]
    [InlineData("/bin/bash", "-c", "for i in 1 2 3; do echo $i | cat; done; exec 7<>/dev/null; echo $((1 + 1)) >&7")]
    [InlineData("/usr/bin/gcc", "-E", "-dM", "/dev/null")]
    [InlineData("/usr/bin/git", "--git-dir=ROOT/.git", "ls-files", "LICENSE")]
    public void A_program_without_eligible_sockets_runs_as_ever(string program, params string[] arguments)
    {
        arguments = [.. arguments.Select(a => a.Replace("ROOT", House.Root, StringComparison.Ordinal))];
        Assert.Equal(House.Run(program, arguments), House.Run(program, arguments, House.Library));
    }

    /// <summary>Once the runtime runs, its region is mapped.</summary>
    [Fact]
    public void The_runtime_does_not_start_without_an_eligible_socket() => Assert.Equal("0",
        House.Run("/bin/sh", ["-c", "cat /proc/self/maps | grep -c memfd:accel || true"], House.Library).Trim());
}
