// The ways to another program: spawn, system, popen, vfork, shells. Its sockets go along.
#include "images.h"

#include <spawn.h>

PAIR(exec_by_spawn, "posix_spawn with file actions that put the connection in place")
{
    posix_spawn_file_actions_t actions;
    pid_t child;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, a, PLACE);
    posix_spawn_file_actions_addclose(&actions, a);
    SEND(b, "by spawn", 0);
    int r = posix_spawn(&child, "/proc/self/exe", &actions, NULL, play("echo"), environ);
    reap(child);
    SAY(r);
    RECV(b, 100, 0);
    SAY(posix_spawn(&child, "/nowhere/at/all", &actions, NULL, play("echo"), environ));
    SAY(posix_spawnp(&child, "no-such-program", &actions, NULL, play("echo"), environ));
    posix_spawn_file_actions_addclosefrom_np(&actions, PLACE + 1);
    SEND(b, "and again", 0);
    r = posix_spawn(&child, "/proc/self/exe", &actions, NULL, play("echo"), environ);
    reap(child);
    SAY(r);
    RECV(b, 100, 0);
    posix_spawn_file_actions_destroy(&actions);
}

static volatile sig_atomic_t usr1;
static void on_usr1(int signal) { (void)signal; usr1++; }

PAIR(exec_spawn_attributes, "posix_spawn's attributes: mask, defaults, group")
{
    posix_spawnattr_t attributes;
    sigset_t set;
    pid_t child;
    put(a, PLACE);
    signal(SIGUSR1, on_usr1);
    signal(SIGUSR2, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    posix_spawnattr_init(&attributes);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    posix_spawnattr_setsigmask(&attributes, &set);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    posix_spawnattr_setsigdefault(&attributes, &set);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    int r = posix_spawn(&child, "/proc/self/exe", NULL, &attributes, play("signals"), environ);
    reap(child);
    SAY(r);
    SEND(a, "unharmed", 0);
    RECV(b, 100, 0);
}

PAIR(exec_by_system, "system(): the shell has the connection")
{
    put(a, 9);
    SEND(b, "line\n", 0);
    SAY(system("read line <&9; echo got $line >&9; exit 7"));
    RECV(b, 100, 0);
    SAY(system("kill -9 $$"));
    SAY(system("kill -INT $PPID; exit 4"));
    SAY(close(9));
    SEND(a, "still", 0);
    RECV(b, 100, 0);
}

PAIR(exec_by_popen, "popen(): the command has the connection, and a pipe to us")
{
    char text[100] = "";
    put(a, 9);
    SEND(b, "from the other end\n", 0);
    FILE *f = popen("read line <&9; echo \"$line\"; exit 3", "r");
    say("%s", fgets(text, sizeof text, f) != NULL ? text : "nothing");
    SAY(pclose(f));
    f = popen("cat >&9", "w");
    fputs("through cat", f);
    SAY(pclose(f));
    RECV(b, 100, 0);
}

PAIR(exec_by_vfork, "vfork and exec")
{
    put(a, PLACE);
    SEND(b, "by vfork", 0);
    pid_t child = vfork();
    if (child == 0) {
        execv("/proc/self/exe", play("echo"));
        _exit(9);
    }
    reap(child);
    RECV(b, 100, 0);
}

PAIR(exec_shell, "a shell script on descriptors 0 and 1, with programs of its own")
{
    pid_t child = spawn();
    if (child == 0) {
        dup2(a, 0);
        dup2(a, 1);
        execlp("sh", "sh", "-c", "read line; echo got $line; head -n 1 | tr a-z A-Z; cat", (char *)NULL);
        _exit(9);
    }
    SAY(close(a));
    SEND(b, "hello\n", 0);
    RECV(b, 10, MSG_WAITALL);
    SEND(b, "louder\n", 0);
    RECV(b, 7, MSG_WAITALL);
    SEND(b, "to the end", 0);
    SAY(xshutdown(b, SHUT_WR));
    RECV(b, 10, MSG_WAITALL);
    RECV(b, 10, 0);
    reap(child);
}

PAIR(exec_bare_environment, "an exec with an environment of one word")
{
    put(a, PLACE);
    SEND(b, "bare", 0);
    pid_t child = spawn();
    if (child == 0) {
        char *const environment[] = {"WORD=1", NULL};
        execve("/proc/self/exe", play("echo"), environment);
        _exit(9);
    }
    reap(child);
    RECV(b, 100, 0);
}
