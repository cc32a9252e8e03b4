#include "images.h"

void play_helper(void); // cases_rights.c

void put(int fd, int place)
{
    if (fd != place) dup2(fd, place);
}

char *const *play(const char *step)
{
    static char *argv[4];
    argv[0] = "oracle", argv[1] = "play", argv[2] = (char *)step, argv[3] = NULL;
    return argv;
}

void become(const char *step)
{
    execv("/proc/self/exe", play(step));
    say("exec failed: %s", errno_name(errno));
    _exit(9);
}

pid_t child_plays(const char *step)
{
    pid_t child = spawn();
    if (child == 0) become(step);
    return child;
}

// ---- the steps

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

static void play_ended_names(void)
{
    struct sockaddr_in name;
    socklen_t length = sizeof name;
    SAY(getpeername(PLACE, SA(name), &length));
    length = sizeof name;
    SAY(getsockname(PLACE, SA(name), &length));
    say("at %s", name.sin_addr.s_addr == at4(near_ip, 0).sin_addr.s_addr ? "this host" : "another");
    ERROR(PLACE);
    play_read_to_end();
}

static void play_reset(void)
{
    MASK(PLACE);
    RECV(PLACE, 10, 0);
    RECV(PLACE, 10, 0);
    SEND(PLACE, "x", MSG_NOSIGNAL);
    MASK(PLACE);
}

// Says nothing as long as all is well: another image does the same at the other end.
static void play_exchange(void)
{
    if (send(PLACE, "word", 4, MSG_NOSIGNAL) != 4) say("exchange: send: %s", errno_name(errno));
    if (recv(PLACE, bytes, 4, MSG_WAITALL) != 4) say("exchange: receive: %s", errno_name(errno));
}

static void play_word(void)
{
    if (send(PLACE, "x", 1, MSG_NOSIGNAL) != 1) say("send: %s", errno_name(errno));
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
    become("again");
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
    {"ended_names", play_ended_names}, {"reset", play_reset}, {"exchange", play_exchange}, {"word", play_word},
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
