// exec: sockets without close-on-exec go on in the new image, those with it end as the kernel ends them.
// Two processes write one transcript: while the new image speaks, the case is silent.
#include "oracle.h"

#include <spawn.h>

extern char **environ;
void play_helper(void); // cases_rights.c

// The other side of an exec: this binary again, with a step to play on descriptors of known numbers.
enum { PLACE = 100 };

static void put(int fd, int place)
{
    if (fd != place) dup2(fd, place);
}

static char *const *play(const char *step, const char *argument)
{
    static char *argv[5];
    argv[0] = "oracle", argv[1] = "play", argv[2] = (char *)step, argv[3] = (char *)argument, argv[4] = NULL;
    return argv;
}

static void become(const char *step, const char *argument)
{
    fflush(stdout);
    execv("/proc/self/exe", play(step, argument));
    say("exec failed: %s", errno_name(errno));
    _exit(9);
}

// A child that becomes the step.
static pid_t child_plays(const char *step, const char *argument)
{
    fflush(stdout);
    pid_t child = spawn();
    if (child == 0) become(step, argument);
    return child;
}

// ---- what the new images do

static void play_echo(void)
{
    RECV(PLACE, 100, 0);
    SEND(PLACE, "from the new image", 0);
}

static void play_nothing(void) { }

static void play_sleep(void) { nap(400); }

static void play_options(void)
{
    GETOPT(PLACE, IPPROTO_TCP, TCP_NODELAY);
    GETOPT(PLACE, SOL_SOCKET, SO_KEEPALIVE);
    say("flags %#x", fcntl(PLACE, F_GETFL));
    struct timeval timeout = {0};
    socklen_t length = sizeof timeout;
    SAY(getsockopt(PLACE, SOL_SOCKET, SO_RCVTIMEO, &timeout, &length));
    say("timeout %ld s %ld us", (long)timeout.tv_sec, (long)timeout.tv_usec);
    struct linger linger = {0};
    length = sizeof linger;
    SAY(getsockopt(PLACE, SOL_SOCKET, SO_LINGER, &linger, &length));
    say("linger %d %d", linger.l_onoff, linger.l_linger);
    RECV(PLACE, 10, 0);
}

static void play_names(void)
{
    struct sockaddr_in local, remote;
    socklen_t length = sizeof local;
    SAY(getsockname(PLACE, SA(local), &length));
    length = sizeof remote;
    SAY(getpeername(PLACE, SA(remote), &length));
    say("local %s, remote %s", local.sin_port == htons((uint16_t)atoi(getenv("LOCAL_PORT"))) ? "same" : "other",
        remote.sin_port == htons((uint16_t)atoi(getenv("REMOTE_PORT"))) ? "same" : "other");
}

static void play_read_to_end(void)
{
    RECV(PLACE, 4, 0);
    RECV(PLACE, 100, 0);
    RECV(PLACE, 100, 0);
    MASK(PLACE);
    SEND(PLACE, "x", 0);
}

static void play_write_after_shutdown(void)
{
    SEND(PLACE, "no", MSG_NOSIGNAL);
    RECV(PLACE, 100, 0);
}

static void play_accept(void)
{
    AWAIT(PLACE, POLLIN);
    for (int i = 0; i < 2; i++) {
        int b = FD(accept(PLACE, NULL, NULL));
        RECV(b, 100, 0);
        SEND(b, "accepted in the new image", 0);
        SAY(close(b));
    }
}

static void play_epoll(void)
{
    EPOLL(PLACE, 8, 1000);
    RECV(PLACE + 1, 100, 0);
    EPOLL(PLACE, 8, 0);
    SEND(PLACE + 1, "go on", 0);
    EPOLL(PLACE, 8, 2000);
    RECV(PLACE + 1, 100, 0);
    SAY(epoll_ctl(PLACE, EPOLL_CTL_DEL, PLACE + 1, NULL));
    SAY(epoll_ctl(PLACE, EPOLL_CTL_DEL, PLACE + 1, NULL));
    EPOLL(PLACE, 8, 0);
}

static void play_closed(void)
{
    say("flags of a close-on-exec descriptor: %s", fcntl(PLACE, F_GETFD) < 0 ? errno_name(errno) : "open");
    char byte;
    SAY(recv(PLACE, &byte, 1, 0));
}

static void play_sink(void)
{
    long wanted = atol(getenv("LENGTH"));
    say("took %s", xsink(PLACE, 7, wanted) == wanted ? "all" : "something else");
    SEND(PLACE, "done", 0);
}

static void play_again(void)
{
    int left = atoi(getenv("AGAIN"));
    RECV(PLACE, 3, 0);
    SEND(PLACE, "ok ", 0);
    if (left == 0) return;
    char text[16];
    snprintf(text, sizeof text, "%d", left - 1);
    setenv("AGAIN", text, 1);
    become("again", NULL);
}

static void play_dups(void)
{
    SEND(PLACE, "one ", 0);
    SAY(close(PLACE));
    SEND(PLACE + 1, "two", 0);
    SAY(close(PLACE + 1));
}

static void play_forks(void)
{
    pid_t child = spawn();
    if (child == 0) {
        RECV(PLACE, 100, 0);
        SEND(PLACE, "grandchild", 0);
        _exit(0);
    }
    reap(child);
    SEND(PLACE, " child", 0);
}

static void play_environment(void)
{
    for (char **e = environ; *e != NULL; e++)
        if (strncmp(*e, "ACCEL_INHERIT", 13) == 0) say("a stranger in the environment: %s", *e);
    say("seen");
}

static void play_dial(void)
{
    int c = dial(atoi(getenv("LOCAL_PORT"))), b = FD(accept(PLACE, NULL, NULL));
    SEND(c, "own", 0);
    RECV(b, 10, 0);
    SEND(PLACE + 1, "inherited", 0);
}

static void play_signals(void)
{
    const int which[] = {SIGUSR1, SIGUSR2, SIGHUP, SIGTERM};
    sigset_t mask;
    sigprocmask(SIG_BLOCK, NULL, &mask);
    for (int i = 0; i < 4; i++) {
        struct sigaction now;
        sigaction(which[i], NULL, &now);
        say("signal %d: %s%s", i, now.sa_handler == SIG_DFL ? "default" : now.sa_handler == SIG_IGN ? "ignored" : "?",
            sigismember(&mask, which[i]) ? ", blocked" : "");
    }
    say("%s group", getpgrp() == getpid() ? "its own" : "another's");
    SEND(PLACE, "", 0);
}

static const struct {
    const char *name;
    void (*run)(void);
} steps[] = {
    {"echo", play_echo}, {"nothing", play_nothing}, {"sleep", play_sleep}, {"options", play_options},
    {"names", play_names}, {"read_to_end", play_read_to_end}, {"write_after_shutdown", play_write_after_shutdown},
    {"accept", play_accept}, {"epoll", play_epoll}, {"closed", play_closed}, {"sink", play_sink},
    {"again", play_again}, {"dups", play_dups}, {"forks", play_forks}, {"environment", play_environment},
    {"dial", play_dial}, {"signals", play_signals}, {"helper", play_helper},
};

int oracle_play(const char *name)
{
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        if (strcmp(steps[i].name, name)) continue;
        steps[i].run();
        return 0;
    }
    fprintf(stderr, "no step %s\n", name);
    return 2;
}

// ---- the cases

PAIR(exec_echo, "the child's new image reads and writes the parent's connection")
{
    put(a, PLACE);
    SEND(b, "for the new image", 0);
    reap(child_plays("echo", NULL));
    RECV(b, 100, 0);
    SEND(a, " and the parent", 0);
    RECV(b, 100, 0);
    MASK(b);
}

PAIR(exec_moves, "only the new image has the connection: it ends with it")
{
    put(a, PLACE);
    SEND(b, "alone", 0);
    pid_t child = child_plays("echo", NULL);
    close(a);
    close(PLACE);
    reap(child);
    AWAIT(b, POLLIN);
    RECV(b, 18, MSG_WAITALL);
    AWAIT(b, POLLRDHUP);
    RECV(b, 100, 0);
}

PAIR(exec_untouched, "a new image that touches nothing ends: the connection does too, not before")
{
    put(a, PLACE);
    pid_t child = child_plays("sleep", NULL);
    SAY(close(a));
    SAY(close(PLACE));
    nap(150);
    MASK(b);
    reap(child);
    AWAIT(b, POLLIN);
    RECV(b, 100, 0);
}

PAIR(exec_unread, "unread data and an end of file are there in the new image")
{
    put(a, PLACE);
    SEND(b, "1234 and the rest", 0);
    SAY(xshutdown(b, SHUT_WR));
    reap(child_plays("read_to_end", NULL));
    RECV(b, 10, 0);
}

PAIR(exec_half_closed, "a shutdown of before holds in the new image")
{
    put(a, PLACE);
    SAY(shutdown(a, SHUT_WR));
    SEND(b, "still read", 0);
    reap(child_plays("write_after_shutdown", NULL));
    AWAIT(b, POLLIN);
    RECV(b, 10, 0);
}

PAIR(exec_options, "options, timeouts and flags go along")
{
    put(a, PLACE);
    SETOPT(a, IPPROTO_TCP, TCP_NODELAY, 1);
    SETOPT(a, SOL_SOCKET, SO_KEEPALIVE, 1);
    struct timeval timeout = {0, 200000};
    SAY(setsockopt(a, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout));
    set_linger(a, 1, 7);
    nonblock(a);
    reap(child_plays("options", NULL));
    (void)b;
}

PAIR(exec_names, "both names go along")
{
    char text[16];
    put(a, PLACE);
    snprintf(text, sizeof text, "%d", port_of(a));
    setenv("LOCAL_PORT", text, 1);
    snprintf(text, sizeof text, "%d", peer_port_of(a));
    setenv("REMOTE_PORT", text, 1);
    reap(child_plays("names", NULL));
    (void)b;
}

PAIR(exec_close_on_exec, "a close-on-exec descriptor is closed, the connection stays the parent's")
{
    put(a, PLACE);
    SAY(fcntl(PLACE, F_SETFD, FD_CLOEXEC));
    SAY(fcntl(a, F_SETFD, FD_CLOEXEC));
    reap(child_plays("closed", NULL));
    SEND(a, "unharmed", 0);
    RECV(b, 100, 0);
}

PAIR(exec_closes_last, "exec closes the last descriptor: end of file while the new image runs")
{
    SAY(fcntl(a, F_SETFD, FD_CLOEXEC));
    pid_t child = child_plays("sleep", NULL);
    SAY(close(a));
    nap(150);
    MASK(b);
    RECV(b, 10, MSG_DONTWAIT);
    reap(child);
}

PAIR(exec_closes_unread, "exec closes the last descriptor of a connection with unread data: reset")
{
    SEND(b, "never read", 0);
    AWAIT(a, POLLIN);
    SAY(fcntl(a, F_SETFD, FD_CLOEXEC));
    pid_t child = child_plays("sleep", NULL);
    SAY(close(a));
    nap(150);
    ENDED(b);
    RECV(b, 10, MSG_DONTWAIT);
    reap(child);
}

PAIR(exec_one_of_two, "one descriptor of two is close-on-exec: the connection lives")
{
    put(a, PLACE);
    SAY(fcntl(a, F_SETFD, FD_CLOEXEC));
    SEND(b, "by the other", 0);
    pid_t child = child_plays("echo", NULL);
    close(a);
    close(PLACE);
    reap(child);
    RECV(b, 18, MSG_WAITALL);
    RECV(b, 10, 0);
}

PAIR(exec_dups, "two descriptors of one connection in the new image")
{
    put(a, PLACE);
    put(a, PLACE + 1);
    SAY(close(a));
    pid_t child = child_plays("dups", NULL);
    close(PLACE);
    close(PLACE + 1);
    reap(child);
    RECV(b, 7, MSG_WAITALL);
    RECV(b, 10, 0);
}

CASE(exec_listener, "the new image accepts: what waited in the queue, and what comes")
{
    int l = listener(), c = dial(port_of(l));
    SEND(c, "early", 0);
    put(l, PLACE);
    pid_t child = child_plays("accept", NULL);
    int port = port_of(l);
    close(l);
    close(PLACE);
    int d = dial(port);
    xsend(d, "late", 4, 0);
    reap(child);
    RECV(c, 100, 0);
    RECV(c, 100, 0);
    RECV(d, 100, 0);
    RECV(d, 100, 0);
    int e = socket(AF_INET, SOCK_STREAM, 0);
    SAY(connect_to(e, port));
}

CASE(exec_listener_closes, "exec closes the last descriptor of a listener: connections are refused")
{
    int l = listener(), port = port_of(l);
    SAY(fcntl(l, F_SETFD, FD_CLOEXEC));
    pid_t child = child_plays("sleep", NULL);
    SAY(close(l));
    nap(150);
    int c = socket(AF_INET, SOCK_STREAM, 0);
    SAY(connect_to(c, port));
    reap(child);
}

PAIR(exec_epoll, "an epoll set goes along with its members")
{
    int ep = epoll_create1(0);
    put(a, PLACE + 1);
    put(ep, PLACE);
    SAY(ep_add(PLACE, PLACE + 1, EPOLLIN, 5));
    SEND(b, "first", 0);
    pid_t child = child_plays("epoll", NULL);
    xrecv(b, bytes, 5, MSG_WAITALL);
    nap(30);
    xsend(b, "second", 6, 0);
    reap(child);
}

PAIR(exec_epoll_edge, "an edge that was reported before exec is not reported again")
{
    int ep = epoll_create1(0);
    put(a, PLACE + 1);
    put(ep, PLACE);
    SAY(ep_add(PLACE, PLACE + 1, EPOLLIN | EPOLLET, 5));
    SEND(b, "first", 0);
    EPOLL(PLACE, 8, 1000);
    SEND(b, " more", 0);
    pid_t child = child_plays("epoll", NULL);
    xrecv(b, bytes, 5, MSG_WAITALL);
    nap(30);
    xsend(b, "second", 6, 0);
    reap(child);
}

CASE(exec_epoll_listener, "a listener in an epoll set wakes the new image")
{
    int l = listener(), ep = epoll_create1(0), port = port_of(l);
    put(ep, PLACE);
    SAY(ep_add(PLACE, l, EPOLLIN, 9));
    pid_t child = child_plays("sleep", NULL);
    int c = dial(port);
    EPOLL(PLACE, 8, 1000);
    int b = FD(accept(l, NULL, NULL));
    SEND(c, "x", 0);
    RECV(b, 10, 0);
    reap(child);
}

PAIR(exec_bulk_in, "a megabyte that is on its way while exec happens")
{
    put(a, PLACE);
    setenv("LENGTH", "1048576", 1);
    later_pump(0, b, 7, 1 << 20);
    pid_t child = child_plays("sink", NULL);
    reap(child);
    say("pumped %ld", join_later());
    RECV(b, 10, 0);
}

PAIR(exec_bulk_out, "what was written before exec arrives, although the writer has become another")
{
    pid_t child = spawn();
    if (child == 0) {
        if (xpump(a, 3, 200000) != 200000) _exit(1);
        become("nothing", NULL);
    }
    SAY(close(a));
    say("took %ld", xsink(b, 3, 200000));
    reap(child);
    RECV(b, 10, 0);
}

PAIR(exec_chain, "five images one after the other")
{
    put(a, PLACE);
    setenv("AGAIN", "4", 1);
    pid_t child = child_plays("again", NULL);
    close(a);
    close(PLACE);
    int answers = 0;
    for (int i = 0; i < 5; i++) {
        xsend(b, "abc", 3, 0);
        answers += xrecv(b, bytes, 3, MSG_WAITALL) == 3;
    }
    reap(child);
    say("%d answers", answers);
    RECV(b, 3, 0);
}

PAIR(exec_then_fork, "the new image forks, and both use the connection")
{
    put(a, PLACE);
    SEND(b, "for the grandchild", 0);
    reap(child_plays("forks", NULL));
    RECV(b, 100, 0);
}

PAIR(exec_environment, "the new image's environment is what it was given")
{
    put(a, PLACE);
    reap(child_plays("environment", NULL));
    (void)b;
}

CASE(exec_and_new, "the new image makes connections of its own beside the inherited ones")
{
    int l = listener(), c, d;
    char text[16];
    local_pair(&c, &d);
    snprintf(text, sizeof text, "%d", port_of(l));
    setenv("LOCAL_PORT", text, 1);
    put(l, PLACE);
    put(c, PLACE + 1);
    reap(child_plays("dial", NULL));
    RECV(d, 100, 0);
}

PAIR(exec_fails, "an exec that fails changes nothing")
{
    SAY(fcntl(a, F_SETFD, FD_CLOEXEC));
    SAY(execl("/nowhere/at/all", "x", (char *)NULL));
    SAY(execl("/etc/passwd", "x", (char *)NULL));
    int f = open("/tmp", O_TMPFILE | O_RDWR, 0700);
    if (write(f, "no program at all", 17) != 17) return;
    SAY(fexecve(f, (char *const[]){"x", NULL}, environ));
    static char much[200000];
    memset(much, 'x', sizeof much - 1);
    SAY(execl("/bin/true", "true", much, (char *)NULL));
    SEND(a, "unharmed", 0);
    RECV(b, 100, 0);
    SEND(b, "both ways", 0);
    RECV(a, 100, 0);
    pid_t child = spawn();
    if (child == 0) {
        SAY(execl("/bin/true", "true", much, (char *)NULL));
        SAY(fexecve(f, (char *const[]){"x", NULL}, environ));
        SEND(a, "child", 0);
        _exit(0);
    }
    reap(child);
    RECV(b, 100, 0);
    SAY(close(a));
    AWAIT(b, POLLIN);
}

PAIR(exec_by_vfork, "vfork and exec")
{
    put(a, PLACE);
    SEND(b, "by vfork", 0);
    fflush(stdout);
    pid_t child = vfork();
    if (child == 0) {
        execv("/proc/self/exe", play("echo", NULL));
        _exit(9);
    }
    reap(child);
    RECV(b, 100, 0);
}

PAIR(exec_shell, "a shell script on descriptors 0 and 1, with programs of its own")
{
    fflush(stdout);
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
    fflush(stdout);
    pid_t child = spawn();
    if (child == 0) {
        char *const environment[] = {"WORD=1", NULL};
        execve("/proc/self/exe", play("echo", NULL), environment);
        _exit(9);
    }
    reap(child);
    RECV(b, 100, 0);
}

static void *execute(void *unused)
{
    (void)unused;
    become("echo", NULL);
    return NULL;
}

static void *block(void *fd)
{
    char byte;
    recv((int)(intptr_t)fd, &byte, 1, 0);
    return NULL;
}

PAIR(exec_of_many_threads, "a thread of many calls exec while others sleep on the socket")
{
    put(a, PLACE);
    pid_t child = spawn();
    if (child == 0) {
        pthread_t thread;
        for (int i = 0; i < 3; i++) pthread_create(&thread, NULL, block, (void *)(intptr_t)PLACE);
        nap(50);
        pthread_create(&thread, NULL, execute, NULL);
        for (;;) block((void *)(intptr_t)PLACE);
    }
    nap(250);
    xsend(b, "for the new image", 17, 0);
    reap(child);
    RECV(b, 100, 0);
    SAY(close(a));
    SAY(close(PLACE));
    AWAIT(b, POLLIN);
    RECV(b, 100, 0);
}

PAIR(exec_by_spawn, "posix_spawn with file actions that put the connection in place")
{
    posix_spawn_file_actions_t actions;
    pid_t child;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, a, PLACE);
    posix_spawn_file_actions_addclose(&actions, a);
    SEND(b, "by spawn", 0);
    int r = posix_spawn(&child, "/proc/self/exe", &actions, NULL, play("echo", NULL), environ);
    reap(child);
    SAY(r);
    RECV(b, 100, 0);
    SAY(posix_spawn(&child, "/nowhere/at/all", &actions, NULL, play("echo", NULL), environ));
    SAY(posix_spawnp(&child, "no-such-program", &actions, NULL, play("echo", NULL), environ));
    posix_spawn_file_actions_addclosefrom_np(&actions, PLACE + 1);
    SEND(b, "and again", 0);
    r = posix_spawn(&child, "/proc/self/exe", &actions, NULL, play("echo", NULL), environ);
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
    int r = posix_spawn(&child, "/proc/self/exe", NULL, &attributes, play("signals", NULL), environ);
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
