// Starts a program on one CPU and says at its end what it cost.
//   launch CPU COST_FILE PRELOAD|- PROGRAM ARGS
// Writes "user_us N", "system_us N", "status N" into COST_FILE (which may be "-": nowhere). The preload is put into the
// program's environment only, so that this program itself is never measured or intercepted. Should the harness die, the
// program is ended with it.
#include "load.h"
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

static void become(int cpu, const char *preload, char **program)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) < 0) fail("sched_setaffinity");
    if (strcmp(preload, "-") != 0) setenv("LD_PRELOAD", preload, 1);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execvp(program[0], program);
    fail(program[0]);
}

int main(int argc, char **argv)
{
    if (argc < 5) {
        fprintf(stderr, "usage: launch CPU COST_FILE PRELOAD|- PROGRAM ARGS\n");
        return 2;
    }
    if (strcmp(argv[2], "-") == 0) become(atoi(argv[1]), argv[3], argv + 4); // no cost asked for: become the program
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    pid_t child = fork();
    if (child < 0) fail("fork");
    if (child == 0) become(atoi(argv[1]), argv[3], argv + 4);
    int status = 0;
    struct rusage used;
    while (wait4(child, &status, 0, &used) < 0)
        if (errno != EINTR) fail("wait4");
    FILE *f = fopen(argv[2], "w");
    if (f == NULL) fail(argv[2]);
    status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    fprintf(f, "user_us %lld\nsystem_us %lld\nstatus %d\n", used.ru_utime.tv_sec * 1000000LL + used.ru_utime.tv_usec,
            used.ru_stime.tv_sec * 1000000LL + used.ru_stime.tv_usec, status);
    fclose(f);
    return status;
}
