/* fork in all its forms, exec and exit. */
#include "check.h"

#include <pty.h>
#include <sched.h>
#include <spawn.h>
#include <sys/stat.h>

extern char **environ;
static int sockets[2];
static char byte;

static int status_of(pid_t pid)
{
    int status;
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void still_works(void)
{
    CHECK(write(sockets[0], "p", 1) == 1 && read(sockets[1], &byte, 1) == 1 && byte == 'p');
    CHECK(write(sockets[1], "q", 1) == 1 && read(sockets[0], &byte, 1) == 1 && byte == 'q');
}

/* Children of every kind that touch nothing. */
static void idle_children(void)
{
    pair(sockets);
    for (int i = 0; i < 20; i++) {
        pid_t pid = fork();
        if (pid == 0) _exit(i);
        CHECK(status_of(pid) == i);
    }
    CHECK(system("exit 3") == 3 << 8);
    FILE *f = popen("echo hello", "r");
    char text[16];
    CHECK(f != NULL && fgets(text, sizeof text, f) != NULL && strcmp(text, "hello\n") == 0 && pclose(f) == 0);
    pid_t pid;
    char *const argv[] = { "sh", "-c", "exit 4", NULL };
    CHECK(posix_spawnp(&pid, "sh", NULL, NULL, argv, environ) == 0 && status_of(pid) == 4);
    CHECK(posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ) == 0 && status_of(pid) == 4);
    still_works();
}

/* Both ends of a fork go on with all sockets, and a close on one side is no close on the other. */
static void shared_sockets(void)
{
    pair(sockets);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK(read(sockets[1], &byte, 1) == 1 && byte == 'a');
        CHECK(write(sockets[1], "b", 1) == 1);
        close(sockets[0]);
        close(sockets[1]);
        pair(sockets); /* and sockets of its own */
        still_works();
        _exit(0);
    }
    CHECK(write(sockets[0], "a", 1) == 1 && read(sockets[0], &byte, 1) == 1 && byte == 'b');
    CHECK(status_of(pid) == 0);
    still_works();
}

static void grandchildren(void)
{
    pair(sockets);
    pid_t pid = fork();
    if (pid == 0) {
        pid_t second = fork(); /* of a child that has touched nothing */
        if (second == 0) {
            CHECK(write(sockets[1], "g", 1) == 1);
            _exit(0);
        }
        _exit(status_of(second));
    }
    CHECK(read(sockets[0], &byte, 1) == 1 && byte == 'g' && status_of(pid) == 0);
    still_works();
}

static void fork_without_atfork(void)
{
    pair(sockets);
    pid_t pid = _Fork();
    if (pid == 0) {
        write(sockets[1], "u", 1);
        _exit(0);
    }
    CHECK(read(sockets[0], &byte, 1) == 1 && byte == 'u' && status_of(pid) == 0);
    pid = (pid_t)syscall(SYS_fork);
    if (pid == 0) {
        write(sockets[1], "r", 1);
        _exit(0);
    }
    CHECK(read(sockets[0], &byte, 1) == 1 && byte == 'r' && status_of(pid) == 0);
}

static int cloned(void *argument)
{
    write(sockets[1], argument, 1);
    close(sockets[0]);
    close(sockets[1]);
    return 21;
}

/* Children of clone: with a memory of its own, such a one is a fork. */
static void clones(void)
{
    static char stack[65536] __attribute__((aligned(16)));
    pair(sockets);
    pid_t pid = clone(cloned, stack + sizeof stack, SIGCHLD, "c");
    CHECK(read(sockets[0], &byte, 1) == 1 && byte == 'c' && status_of(pid) == 21);
    still_works();
    pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, NULL, NULL, 0);
    if (pid == 0) _exit(cloned("n"));
    CHECK(read(sockets[0], &byte, 1) == 1 && byte == 'n' && status_of(pid) == 21);
    still_works();
    uint64_t args[8] = { [4] = SIGCHLD };
    pid = (pid_t)syscall(SYS_clone3, args, sizeof args);
    if (pid == 0) _exit(cloned("3"));
    CHECK(read(sockets[0], &byte, 1) == 1 && byte == '3' && status_of(pid) == 21);
    still_works();
    pid = clone(cloned, stack + sizeof stack, SIGCHLD | CLONE_VFORK, "v");
    CHECK(read(sockets[0], &byte, 1) == 1 && byte == 'v' && status_of(pid) == 21);
    still_works();
}

/* vfork: the child's closes are its own, its parent waits for exec or exit. */
static void vfork_and_exit(void)
{
    pair(sockets);
    pid_t pid = vfork();
    if (pid == 0) {
        close(sockets[0]);
        close(sockets[1]);
        _exit(7);
    }
    CHECK(status_of(pid) == 7);
    still_works();
}

static void vfork_waits_for_exec(void)
{
    pair(sockets);
    double began = now_s();
    pid_t pid = vfork();
    if (pid == 0) {
        sleep_ms(150);
        execl("/bin/sh", "sh", "-c", "sleep 0.4; exit 5", (char *)NULL);
        _exit(99);
    }
    double took = now_s() - began;
    CHECK(took > 0.14 && took < 0.45);
    CHECK(status_of(pid) == 5);
    still_works();
}

static void vfork_before_any_socket(void)
{
    volatile int shared = 0;
    pid_t pid = vfork();
    if (pid == 0) {
        shared = 1; /* the real vfork: one memory */
        close(0);
        _exit(6);
    }
    CHECK(status_of(pid) == 6 && shared == 1);
    CHECK(fcntl(0, F_GETFD) >= 0);
}

/* What Python's subprocess does: many children by vfork, which close all but three, with threads about. */
static void *keep_talking(void *argument)
{
    volatile int *stop = argument;
    while (!*stop) still_works();
    return NULL;
}

static void vfork_and_close_range(void)
{
    static volatile int stop;
    pthread_t thread;
    pair(sockets);
    CHECK(pthread_create(&thread, NULL, keep_talking, (void *)&stop) == 0);
    for (int i = 0; i < 30; i++) {
        pid_t pid = vfork();
        if (pid == 0) {
            close_range(3, ~0u, 0);
            execl("/bin/true", "true", (char *)NULL);
            _exit(99);
        }
        CHECK(status_of(pid) == 0);
    }
    stop = 1;
    pthread_join(thread, NULL);
    still_works();
}

static void *fork_a_lot(void *argument)
{
    (void)argument;
    for (int i = 0; i < 50; i++) {
        pid_t pid = fork();
        if (pid == 0) _exit(9);
        CHECK(status_of(pid) == 9);
    }
    return NULL;
}

static void threads_fork(void)
{
    pthread_t threads[4];
    pair(sockets);
    for (int i = 0; i < 4; i++) CHECK(pthread_create(&threads[i], NULL, fork_a_lot, NULL) == 0);
    double end = now_s() + 0.5;
    while (now_s() < end) still_works();
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    still_works();
}

static void daemons(void)
{
    pair(sockets);
    pid_t pid = fork();
    if (pid == 0) {
        pid_t before = getpid();
        CHECK(daemon(0, 0) == 0);
        struct stat st;
        char where[8];
        CHECK(getpid() != before && getsid(0) == getpid() && strcmp(getcwd(where, sizeof where), "/") == 0);
        CHECK(fstat(0, &st) == 0 && S_ISCHR(st.st_mode));
        CHECK(write(sockets[1], "d", 1) == 1);
        _exit(0);
    }
    CHECK(status_of(pid) == 0);
    CHECK(read(sockets[0], &byte, 1) == 1 && byte == 'd');
}

static void pseudo_terminal(void)
{
    int master;
    pair(sockets);
    pid_t pid = forkpty(&master, NULL, NULL, NULL);
    if (pid == 0) {
        CHECK(isatty(0) && write(sockets[1], "t", 1) == 1);
        _exit(0);
    }
    CHECK(read(sockets[0], &byte, 1) == 1 && byte == 't' && status_of(pid) == 0);
}

static void exec_fails(void)
{
    pair(sockets);
    char *const argv[] = { "x", NULL };
    FAILS(ENOENT, execv("/nonexistent", argv));
    FAILS(ENOENT, execvp("no-such-program-here", argv));
    FAILS(ENOENT, execle("/nonexistent", "a", "b", (char *)NULL, environ));
    FAILS(EINVAL, fexecve(-1, argv, environ));
    still_works();
}

/* All of the family hands over arguments and environment. */
static void exec_family(void)
{
    static const char script[] = "[ \"$1\" = one ] && [ \"$2\" = two ] && [ $# = 2 ] && [ \"$WORD\" = w ]";
    char *const argv[] = { "sh", "-c", (char *)script, "sh", "one", "two", NULL };
    char *const envp[] = { "WORD=w", "PATH=/usr/bin:/bin", NULL };
    pair(sockets);
    setenv("WORD", "w", 1);
    for (int way = 0; way < 9; way++) {
        pid_t pid = fork();
        if (pid == 0) {
            if (way == 0) execve("/bin/sh", argv, envp);
            if (way == 1) execv("/bin/sh", argv);
            if (way == 2) execvp("sh", argv);
            if (way == 3) execvpe("sh", argv, envp);
            if (way == 4) execl("/bin/sh", "sh", "-c", script, "sh", "one", "two", (char *)NULL);
            if (way == 5) execlp("sh", "sh", "-c", script, "sh", "one", "two", (char *)NULL);
            if (way == 6) execle("/bin/sh", "sh", "-c", script, "sh", "one", "two", (char *)NULL, envp);
            if (way == 7) fexecve(open("/bin/sh", O_RDONLY), argv, envp);
            if (way == 8) execveat(AT_FDCWD, "/bin/sh", argv, envp, 0);
            _exit(99);
        }
        CHECK(status_of(pid) == 0);
    }
}

/* A successor with a bare environment stays under the preload; one whose environment was edited does not. */
static void environment_over_exec(void)
{
    char *const argv[] = { "sh", "-c", "[ \"$LD_PRELOAD\" = \"$WANTED\" ]", NULL };
    const char *preload = getenv("LD_PRELOAD");
    char wanted[4096];
    snprintf(wanted, sizeof wanted, "WANTED=%s", preload == NULL ? "" : preload);
    char *const bare[] = { wanted, NULL };
    char *const edited[] = { "PATH=/usr/bin:/bin", "WANTED=", NULL };
    char *const emptied[] = { "LD_PRELOAD=", "WANTED=", NULL };
    pair(sockets);
    char *const *environments[] = { bare, edited, emptied };
    for (int i = 0; i < 3; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            execve("/bin/sh", argv, environments[i]);
            _exit(99);
        }
        CHECK(status_of(pid) == 0);
        CHECK(posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environments[i]) == 0 && status_of(pid) == 0);
    }
}

static void *use_until_death(void *argument)
{
    int *own = argument;
    for (;;) {
        if (write(own[0], "x", 1) != 1 || read(own[1], &byte, 1) != 1) sleep_ms(1);
        struct pollfd fds = { .fd = own[0], .events = POLLIN };
        poll(&fds, 1, 0);
    }
    return NULL;
}

/* The end of a process while other threads are in the middle of calls, by every way out. */
static void exit_under_load(void)
{
    for (int round = 0; round < 30; round++) {
        pid_t pid = fork();
        if (pid == 0) {
            pthread_t thread;
            int own[3][2];
            for (int i = 0; i < 3; i++) pair(own[i]);
            for (int i = 0; i < 3; i++) pthread_create(&thread, NULL, use_until_death, own[i]);
            sleep_ms(10 + round);
            if (round % 3 == 0) exit(11);
            if (round % 3 == 1) _exit(11);
            syscall(SYS_exit_group, 11);
        }
        CHECK(status_of(pid) == 11);
    }
}

static void talk_at_exit(void)
{
    CHECK(write(sockets[0], "e", 1) == 1 && read(sockets[1], &byte, 1) == 1 && byte == 'e');
    _exit(12);
}

/* Handlers of atexit still have their sockets. */
static void sockets_in_atexit(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        pair(sockets);
        atexit(talk_at_exit);
        exit(1);
    }
    CHECK(status_of(pid) == 12);
}

TESTS({ "idle-children", idle_children }, { "shared-sockets", shared_sockets }, { "grandchildren", grandchildren },
      { "fork-without-atfork", fork_without_atfork }, { "clones", clones }, { "vfork-and-exit", vfork_and_exit },
      { "vfork-waits-for-exec", vfork_waits_for_exec }, { "vfork-before-any-socket", vfork_before_any_socket },
      { "vfork-and-close-range", vfork_and_close_range }, { "threads-fork", threads_fork }, { "daemon", daemons },
      { "forkpty", pseudo_terminal }, { "exec-fails", exec_fails }, { "exec-family", exec_family },
      { "environment-over-exec", environment_over_exec }, { "exit-under-load", exit_under_load },
      { "sockets-in-atexit", sockets_in_atexit })
