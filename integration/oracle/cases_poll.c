// poll and ppoll: every mask, odd entries, time limits, mixes with pipes.
#include "oracle.h"

PAIR(poll_masks, "the mask of each condition in turn")
{
    MASK(a);
    SEND(b, "x", 0);
    MASK(a);
    RECV(a, 1, 0);
    MASK(a);
    SAY(xshutdown(b, SHUT_WR));
    AWAIT(a, POLLRDHUP);
    MASK(a);
    SAY(shutdown(a, SHUT_WR));
    settle();
    MASK(a);
    MASK(b);
}

PAIR(poll_norm_bits, "POLLRDNORM, POLLWRNORM, POLLRDBAND")
{
    int all = POLLIN | POLLOUT | POLLRDNORM | POLLRDBAND | POLLWRNORM | POLLWRBAND | POLLPRI | POLLRDHUP;
    say("%s", poll_text(xpoll(a, all, 0)));
    SEND(b, "x", 0);
    say("%s", poll_text(xpoll(a, all, 0)));
    say("%s", poll_text(xpoll(a, POLLRDNORM, 0)));
    SAY(xclose(b));
    AWAIT(a, POLLRDHUP);
    say("%s", poll_text(xpoll(a, all, 0)));
    SEND(a, "x", 0);
    ENDED(a);
    say("%s", poll_text(xpoll(a, all, 0)));
    say("%s", poll_text(xpoll(a, POLLHUP | POLLERR | POLLNVAL, 0)));
}

PAIR(poll_entries, "negative, closed and huge descriptors among good ones")
{
    int closed = dup(a);
    close(closed);
    SEND(b, "x", 0);
    struct pollfd set[6] = {{-1, POLLIN, 0x55}, {closed, POLLIN, 0x55}, {a, POLLIN, 0x55}, {1 << 20, POLLIN, 0x55},
        {-1000, POLLOUT, 0x55}, {a, POLLOUT, 0x55}};
    SAY(poll(set, 6, 1000));
    for (int i = 0; i < 6; i++) say("%d: %s", i, poll_text(set[i].revents));
    SAY(poll(set, 1, 0));
    say("%s", poll_text(set[0].revents));
    SAY(poll(set, 0, 0));
    SAY(poll(NULL, 0, 0));
    SAY(poll(set, 1 << 30, 0));
    (void)b;
}

CASE(poll_fault, "a set of descriptors where nothing is mapped")
{
    SAY(poll((struct pollfd *)8, 1, 0));
    int l = listener();
    SAY(poll((struct pollfd *)8, 1, 0));
    MASK(l);
}

PAIR(poll_same_twice, "the same socket in several entries counts each time")
{
    struct pollfd set[4] = {{a, POLLIN, 0}, {a, POLLOUT, 0}, {a, POLLIN | POLLOUT, 0}, {a, 0, 0}};
    SAY(poll(set, 4, 0));
    SEND(b, "x", 0);
    SAY(poll(set, 4, 0));
    for (int i = 0; i < 4; i++) say("%d: %s", i, poll_text(set[i].revents));
}

PAIR(poll_times, "time limits: 0, short, and n = 0")
{
    struct pollfd set = {a, POLLIN, 0};
    TIMED(poll(&set, 1, 0), 0);
    TIMED(poll(&set, 1, 60), 60);
    TIMED(poll(NULL, 0, 40), 40);
    struct timespec time = {0, 50000000}, bad = {0, 2000000000}, negative = {-1, 0};
    TIMED(ppoll(&set, 1, &time, NULL), 50);
    SAY(ppoll(&set, 1, &bad, NULL));
    SAY(ppoll(&set, 1, &negative, NULL));
    say("time left alone: %ld %ld", (long)time.tv_sec, time.tv_nsec);
    (void)b;
}

PAIR(poll_woken, "a waiting poll is woken by data, by end of file, by room to write")
{
    struct pollfd set = {a, POLLIN, 0};
    later_send(40, b, "x");
    TIMED(poll(&set, 1, 5000), 40);
    join_later();
    say("%s", poll_text(set.revents));
    RECV(a, 1, 0);
    later_shutdown(40, b, SHUT_WR);
    TIMED(poll(&set, 1, -1), 40);
    join_later();
    say("%s", poll_text(set.revents));
}

PAIR(poll_woken_out, "a poll for POLLOUT on a full pipe is woken when the peer reads")
{
    nonblock(a);
    long total = fill(a);
    struct pollfd set = {a, POLLOUT, 0};
    TIMED(poll(&set, 1, 30), 30);
    for (long got = 0; got < total; ) {
        long r = xrecv(b, bytes, 65536, 0);
        if (r <= 0) break;
        got += r;
    }
    SAY(poll(&set, 1, 3000));
    say("%s", poll_text(set.revents));
}

PAIR(poll_woken_reset, "a poll asking for nothing is woken by a reset")
{
    struct pollfd set = {a, 0, 0};
    SAY(xlinger(b, 1, 0));
    later_close(40, b);
    TIMED(poll(&set, 1, 5000), 40);
    join_later();
    say("%s", poll_text(set.revents));
}

PAIR(poll_mixed_kernel, "sockets and pipes in one poll, woken by either")
{
    int p[2], e = eventfd(0, 0);
    SAY(pipe(p));
    struct pollfd set[4] = {{a, POLLIN, 0}, {p[0], POLLIN, 0}, {e, POLLIN, 0}, {p[1], POLLOUT, 0}};
    SAY(poll(set, 4, 0));
    for (int i = 0; i < 4; i++) say("%d: %s", i, poll_text(set[i].revents));
    later_send(40, b, "x");
    TIMED(poll(set, 3, 5000), 40);
    join_later();
    for (int i = 0; i < 3; i++) say("%d: %s", i, poll_text(set[i].revents));
    RECV(a, 1, 0);
    SAY(eventfd_write(e, 1));
    SAY(write(p[1], "y", 1));
    SAY(poll(set, 3, 5000));
    for (int i = 0; i < 3; i++) say("%d: %s", i, poll_text(set[i].revents));
}

static void write_pipe(void *fd) { if (write((int)(intptr_t)fd, "z", 1) != 1) say("pipe"); }

PAIR(poll_mixed_woken_by_pipe, "a poll on sockets that sleep and a pipe that wakes")
{
    int p[2];
    SAY(pipe(p));
    struct pollfd set[2] = {{a, POLLIN, 0}, {p[0], POLLIN, 0}};
    later_call(40, write_pipe, (void *)(intptr_t)p[1]);
    TIMED(poll(set, 2, 5000), 40);
    join_later();
    say("%s, %s", poll_text(set[0].revents), poll_text(set[1].revents));
    (void)b;
}

CASE(poll_listener, "poll on a listener, woken by a client, ready until accepted")
{
    int l = listener(), port = port_of(l), c[2];
    MASK(l);
    struct pollfd set = {l, POLLIN | POLLOUT, 0};
    TIMED(poll(&set, 1, 30), 30);
    for (int i = 0; i < 2; i++) c[i] = dial(port);
    (void)c;
    SAY(poll(&set, 1, 1000));
    say("%s", poll_text(set.revents));
    FD(accept(l, NULL, NULL));
    MASK(l);
    FD(accept(l, NULL, NULL));
    MASK(l);
}

CASE(poll_many, "three hundred connections in one poll, one of them ready")
{
    backlog = 400;
    static struct pollfd set[600];
    int l = listener(), port = port_of(l), b[300];
    for (int i = 0; i < 300; i++) {
        set[i] = (struct pollfd){dial(port), POLLIN, 0};
        b[i] = accept(l, NULL, NULL);
    }
    SAY(poll(set, 300, 0));
    SEND(b[217], "x", 0);
    SAY(poll(set, 300, 1000));
    for (int i = 0; i < 300; i++)
        if (set[i].revents) say("%d: %s", i, poll_text(set[i].revents));
    for (int i = 0; i < 300; i += 100) send(b[i], "y", 1, 0);
    settle();
    SAY(poll(set, 300, 1000));
    close(b[5]);
    settle();
    SAY(poll(set, 300, 1000));
    say("5: %s", poll_text(set[5].revents));
}

CASE(poll_high_numbers, "poll on descriptors above 1024")
{
    int a, b;
    local_pair(&a, &b);
    SAY(dup2(a, 3000));
    SAY(close(a));
    struct pollfd set = {3000, POLLIN | POLLOUT, 0};
    SAY(poll(&set, 1, 0));
    say("%s", poll_text(set.revents));
    SEND(b, "high", 0);
    SAY(poll(&set, 1, 1000));
    say("%s", poll_text(set.revents));
    RECV(3000, 10, 0);
    SAY(close(3000));
    AWAIT(b, POLLIN);
}

PAIR(ppoll_sigmask, "ppoll lets a blocked signal in only while it waits")
{
    sigset_t set, none;
    sigemptyset(&none);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    catch_signal(SIGUSR1, 0);
    sigprocmask(SIG_BLOCK, &set, NULL);
    struct pollfd wait = {a, POLLIN, 0};
    raise(SIGUSR1);
    say("handled before: %d", caught[SIGUSR1]);
    struct timespec time = {2, 0};
    TIMED(ppoll(&wait, 1, &time, &none), 0);
    say("handled: %d", caught[SIGUSR1]);
    later_signal(40, SIGUSR1);
    TIMED(ppoll(&wait, 1, &time, &none), 40);
    join_later();
    say("handled: %d", caught[SIGUSR1]);
    raise(SIGUSR1);
    SEND(b, "x", 0);
    SAY(ppoll(&wait, 1, &time, NULL));
    say("ready wins, not handled: %d", caught[SIGUSR1]);
    SAY(ppoll(&wait, 1, &time, &none));
    say("ready and pending: %d", caught[SIGUSR1]);
}

PAIR(select_basic, "select: three sets, counts, and what is left in them")
{
    fd_set in, out, except;
    int top = a + 1;
    for (int round = 0; round < 4; round++) {
        if (round == 1) SEND(b, "x", 0);
        if (round == 2) SAY(xshutdown(b, SHUT_WR));
        if (round == 3) {
            SAY(xlinger(b, 1, 0));
            SAY(xclose(b));
        }
        settle();
        FD_ZERO(&in);
        FD_ZERO(&out);
        FD_ZERO(&except);
        FD_SET(a, &in);
        FD_SET(a, &out);
        FD_SET(a, &except);
        struct timeval time = {0, 0};
        SAY(select(top, &in, &out, &except, &time));
        say("in %d out %d except %d", !!FD_ISSET(a, &in), !!FD_ISSET(a, &out), !!FD_ISSET(a, &except));
    }
    RECV(a, 10, 0);
}

PAIR(select_times, "select: time limits, the time left, no sets, bad arguments")
{
    fd_set in;
    FD_ZERO(&in);
    FD_SET(a, &in);
    struct timeval time = {0, 60000};
    TIMED(select(a + 1, &in, NULL, NULL, &time), 60);
    say("time left %ld %ld, set %d", (long)time.tv_sec, (long)time.tv_usec, !!FD_ISSET(a, &in));
    FD_SET(a, &in);
    time = (struct timeval){3, 0};
    later_send(40, b, "x");
    TIMED(select(a + 1, &in, NULL, NULL, &time), 40);
    join_later();
    say("time left below 3 s: %s", time.tv_sec == 2 ? "yes" : "no");
    time = (struct timeval){0, 30000};
    TIMED(select(0, NULL, NULL, NULL, &time), 30);
    time = (struct timeval){-1, 0};
    SAY(select(a + 1, &in, NULL, NULL, &time));
    time = (struct timeval){0, 0};
    SAY(select(-1, &in, NULL, NULL, &time));
    FD_ZERO(&in);
    int closed = dup(a);
    FD_SET(closed, &in);
    close(closed);
    SAY(select(closed + 1, &in, NULL, NULL, &time));
    FD_SET(a, &in);
    SAY(select(closed + 1, &in, NULL, NULL, &time));
}

PAIR(select_limit_n, "descriptors at or above n are not looked at")
{
    fd_set in;
    FD_ZERO(&in);
    FD_SET(a, &in);
    SEND(b, "x", 0);
    struct timeval time = {0, 0};
    SAY(select(a, &in, NULL, NULL, &time));
    say("left in the set: %d", !!FD_ISSET(a, &in));
    FD_SET(a, &in);
    SAY(select(a + 1, &in, NULL, NULL, &time));
}

PAIR(select_mixed, "sockets and pipes in one select")
{
    int p[2];
    SAY(pipe(p));
    fd_set in;
    int top = (a > p[1] ? a : p[1]) + 1;
    for (int round = 0; round < 3; round++) {
        if (round == 1) SEND(b, "x", 0);
        if (round == 2) SAY(write(p[1], "y", 1));
        FD_ZERO(&in);
        FD_SET(a, &in);
        FD_SET(p[0], &in);
        struct timeval time = {0, 20000};
        SAY(select(top, &in, NULL, NULL, &time));
        say("socket %d pipe %d", !!FD_ISSET(a, &in), !!FD_ISSET(p[0], &in));
    }
}

CASE(select_above_1024, "select with a set made larger than FD_SETSIZE")
{
    int a, b;
    local_pair(&a, &b);
    SAY(dup2(a, 1500));
    SAY(close(a));
    static unsigned long set[4096 / 64], out[4096 / 64];
    set[1500 / 64] |= 1ul << 1500 % 64;
    out[1500 / 64] |= 1ul << 1500 % 64;
    struct timeval time = {0, 0};
    SAY(select(1501, (fd_set *)set, (fd_set *)out, NULL, &time));
    say("in %d out %d", set[1500 / 64] != 0, out[1500 / 64] != 0);
    SEND(b, "x", 0);
    set[1500 / 64] |= 1ul << 1500 % 64;
    SAY(select(1501, (fd_set *)set, NULL, NULL, &time));
    say("in %d", set[1500 / 64] != 0);
}

PAIR(pselect_sigmask, "pselect with a mask, and its time left alone")
{
    sigset_t set, none;
    sigemptyset(&none);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    catch_signal(SIGUSR2, SA_RESTART);
    sigprocmask(SIG_BLOCK, &set, NULL);
    fd_set in;
    FD_ZERO(&in);
    FD_SET(a, &in);
    struct timespec time = {0, 50000000};
    raise(SIGUSR2);
    SAY(pselect(a + 1, &in, NULL, NULL, &time, &none));
    say("handled %d, set %d", caught[SIGUSR2], !!FD_ISSET(a, &in));
    FD_SET(a, &in);
    TIMED(pselect(a + 1, &in, NULL, NULL, &time, &none), 50);
    say("time %ld %ld", (long)time.tv_sec, time.tv_nsec);
    FD_SET(a, &in);
    later_send(30, b, "x");
    TIMED(pselect(a + 1, &in, NULL, NULL, NULL, NULL), 30);
    join_later();
}
