// Signals: EINTR and SA_RESTART for every blocking call, handlers that use sockets themselves.
#include "oracle.h"

static int fd_, port_;
static struct epoll_event event_;

static long do_recv(void) { return recv(fd_, bytes, 10, 0); }
static long do_read(void) { return read(fd_, bytes, 10); }
static long do_recvmsg(void)
{
    struct iovec iov = {bytes, 10};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    return recvmsg(fd_, &message, 0);
}
static long do_send(void) { return send(fd_, bytes, sizeof bytes, MSG_NOSIGNAL); }
static long do_accept(void) { return accept(fd_, NULL, NULL); }
static long do_poll(void)
{
    struct pollfd set = {fd_, POLLIN, 0};
    return poll(&set, 1, 300);
}
static long do_select(void)
{
    fd_set in;
    FD_ZERO(&in);
    FD_SET(fd_, &in);
    struct timeval time = {0, 300000};
    return select(fd_ + 1, &in, NULL, NULL, &time);
}
static long do_epoll(void) { return epoll_wait(fd_, &event_, 1, 300); }

// Without SA_RESTART, and with it; the call is ended by later() if it goes on.
static void interrupted(const char *what, long (*call)(void), int flags)
{
    memset((void *)caught, 0, sizeof caught);
    catch_signal(SIGALRM, flags);
    alarm_in(40);
    errno = 0;
    long r = call();
    int error = errno;
    say("%s%s: %ld %s, handled %d", what, flags & SA_RESTART ? " with SA_RESTART" : "", r < 0 ? -1 : r,
        r < 0 ? errno_name(error) : "", caught[SIGALRM]);
}

PAIR(signal_recv, "recv, read, recvmsg: EINTR, or restarted until data comes")
{
    fd_ = a;
    static const struct { const char *name; long (*call)(void); } calls[] = {
        {"recv", do_recv}, {"read", do_read}, {"recvmsg", do_recvmsg}};
    for (int i = 0; i < 3; i++) {
        interrupted(calls[i].name, calls[i].call, 0);
        later_send(90, b, "x");
        interrupted(calls[i].name, calls[i].call, SA_RESTART);
        join_later();
    }
}

PAIR(signal_send, "send on a full pipe: EINTR, or restarted")
{
    fd_ = a;
    say("filled %s", fill(a) > 0 ? "yes" : "no");
    interrupted("send", do_send, 0);
    fill(a);
    later_shutdown(90, a, SHUT_WR);
    interrupted("send", do_send, SA_RESTART);
    join_later();
    (void)b;
}

CASE(signal_accept, "accept: EINTR, or restarted until a client comes")
{
    fd_ = listener();
    port_ = port_of(fd_);
    void dial_it(void *unused) { (void)unused; dial(port_); }
    interrupted("accept", do_accept, 0);
    later_call(90, dial_it, NULL);
    memset((void *)caught, 0, sizeof caught);
    catch_signal(SIGALRM, SA_RESTART);
    alarm_in(40);
    SAY(do_accept() >= 0);
    say("handled %d", caught[SIGALRM]);
    join_later();
}

CASE(signal_connect, "connect into a full backlog: EINTR without SA_RESTART, then EALREADY")
{
    backlog = 0;
    int l = listener();
    dial(port_of(l));
    int c = socket(AF_INET, SOCK_STREAM, 0);
    catch_signal(SIGALRM, 0);
    alarm_in(40);
    SAY(connect_to(c, port_of(l)));
    say("handled %d", caught[SIGALRM]);
    nonblock(c);
    SAY(connect_to(c, port_of(l)));
}

PAIR(signal_waits, "poll, select, epoll_wait: EINTR even with SA_RESTART")
{
    (void)b;
    for (int flags = 0; flags < 2; flags++) {
        fd_ = a;
        interrupted("poll", do_poll, flags ? SA_RESTART : 0);
        interrupted("select", do_select, flags ? SA_RESTART : 0);
        fd_ = epoll_create1(0);
        ep_add(fd_, a, EPOLLIN, 1);
        interrupted("epoll_wait", do_epoll, flags ? SA_RESTART : 0);
    }
}

PAIR(signal_receive_timeout, "with SO_RCVTIMEO even SA_RESTART gives EINTR")
{
    struct timeval time = {2, 0};
    fd_ = a;
    SAY(setsockopt(a, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time));
    interrupted("recv", do_recv, SA_RESTART);
    interrupted("recv", do_recv, 0);
    (void)b;
}

PAIR(signal_ignored, "an ignored signal interrupts nothing")
{
    signal(SIGUSR1, SIG_IGN);
    later_signal(30, SIGUSR1);
    later_send(70, b, "x");
    TIMED(recv(a, bytes, 10, 0), 70);
    join_later();
}

PAIR(signal_partial_send, "a big blocking send interrupted after a part gives the part")
{
    static char big[16 << 20];
    catch_signal(SIGUSR1, 0);
    later_signal(60, SIGUSR1);
    long r = send(a, big, sizeof big, 0);
    say("part: %s, handled %d", r > 0 && r < (long)sizeof big ? "yes" : "no", caught[SIGUSR1]);
    join_later();
    (void)b;
}

PAIR(signal_stop_continue, "SIGSTOP and SIGCONT do not interrupt a blocked recv")
{
    pid_t me = getpid(), child = spawn();
    if (child == 0) {
        nap(30);
        kill(me, SIGSTOP);
        nap(40);
        kill(me, SIGCONT);
        _exit(0);
    }
    later_send(150, b, "x");
    RECV(a, 10, 0);
    join_later();
    reap(child);
}

static int in_handler, handler_runs;
static char handler_got[16];

static void io_handler(int signal)
{
    (void)signal;
    int saved = errno;
    handler_runs++;
    if (send(in_handler, "from the handler", 16, MSG_NOSIGNAL) != 16) handler_runs += 1000;
    ssize_t r = recv(in_handler, handler_got, sizeof handler_got - 1, MSG_DONTWAIT);
    if (r < 0 && errno != EAGAIN) handler_runs += 1000;
    errno = saved;
}

static void install_io_handler(int flags)
{
    struct sigaction action = {.sa_handler = io_handler, .sa_flags = flags};
    sigaction(SIGUSR1, &action, NULL);
}

PAIR(signal_handler_io, "a handler sends on another connection while this one blocks in recv")
{
    int c, d;
    local_pair(&c, &d);
    in_handler = c;
    install_io_handler(SA_RESTART);
    SEND(d, "to handler", 0);
    later_signal(40, SIGUSR1);
    later_send(90, b, "x");
    RECV(a, 10, 0);
    join_later();
    say("runs %d, got %s", handler_runs, handler_got);
    RECV(d, 100, 0);
}

PAIR(signal_handler_same_socket, "a handler sends on the very socket that blocks in recv")
{
    in_handler = a;
    install_io_handler(0);
    later_signal(40, SIGUSR1);
    TIMED(recv(a, bytes, 10, 0), 40);
    join_later();
    say("runs %d", handler_runs);
    RECV(b, 100, 0);
}

PAIR(signal_storm, "a stream of signals during a transfer loses no byte and no signal is left over")
{
    int c, d;
    local_pair(&c, &d);
    in_handler = c;
    install_io_handler(SA_RESTART);
    pid_t me = getpid(), child = spawn();
    if (child == 0) {
        for (int i = 0; i < 200; i++) {
            kill(me, SIGUSR1);
            usleep(300);
        }
        _exit(0);
    }
    later_pump(0, b, 9, 16 << 20);
    SAY(xsink(a, 9, 16 << 20));
    SAY(join_later());
    reap(child);
    settle();
    long got = 0, r;
    while ((r = recv(d, bytes, sizeof bytes, MSG_DONTWAIT)) > 0) got += r;
    say("handler ran %s, its bytes %s", handler_runs > 0 && handler_runs < 1000 ? "yes" : "no",
        got == handler_runs * 16L ? "all there" : "not all there");
}

PAIR(signal_mask_kept, "a signal blocked by the program stays blocked through socket calls")
{
    sigset_t set, now;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    catch_signal(SIGUSR2, 0);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    later_signal(20, SIGUSR2);
    later_send(60, b, "x");
    RECV(a, 10, 0);
    join_later();
    pthread_sigmask(SIG_SETMASK, NULL, &now);
    say("handled %d, blocked %d", caught[SIGUSR2], sigismember(&now, SIGUSR2));
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    say("handled %d", caught[SIGUSR2]);
}

static void info_handler(int signal, siginfo_t *info, void *context)
{
    (void)context;
    caught[signal] = info->si_code == SI_QUEUE ? info->si_value.sival_int : -1;
}

PAIR(signal_info, "a handler gets its siginfo although it comes during a socket call")
{
    struct sigaction action = {.sa_sigaction = info_handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGRTMIN, &action, NULL);
    pid_t me = getpid(), child = spawn();
    if (child == 0) {
        nap(40);
        sigqueue(me, SIGRTMIN, (union sigval){.sival_int = 4711});
        _exit(0);
    }
    SAY(recv(a, bytes, 10, 0));
    say("value %d", caught[SIGRTMIN]);
    reap(child);
    (void)b;
}

PAIR(signal_reset_hand, "SA_RESETHAND and SA_NODEFER hold")
{
    struct sigaction action = {.sa_handler = SIG_DFL}, old;
    catch_signal(SIGUSR1, SA_RESETHAND);
    later_signal(30, SIGUSR1);
    SAY(recv(a, bytes, 10, 0));
    join_later();
    sigaction(SIGUSR1, NULL, &old);
    say("handled %d, default again %d", caught[SIGUSR1], old.sa_handler == SIG_DFL);
    sigaction(SIGUSR1, &action, &old);
    catch_signal(SIGUSR1, SA_NODEFER | SA_RESTART);
    sigaction(SIGUSR1, NULL, &old);
    say("flags kept %d", (old.sa_flags & (SA_NODEFER | SA_RESTART)) == (SA_NODEFER | SA_RESTART));
    (void)b;
}

PAIR(signal_epoll_pwait, "epoll_pwait lets a blocked signal in while it waits")
{
    sigset_t set, none;
    sigemptyset(&none);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    catch_signal(SIGUSR1, SA_RESTART);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int ep = epoll_create1(0);
    struct epoll_event event;
    SAY(ep_add(ep, a, EPOLLIN, 1));
    later_signal(40, SIGUSR1);
    TIMED(epoll_pwait(ep, &event, 1, 2000, &none), 40);
    join_later();
    say("handled %d", caught[SIGUSR1]);
    raise(SIGUSR1);
    TIMED(epoll_pwait(ep, &event, 1, 2000, &none), 0);
    say("handled %d", caught[SIGUSR1]);
    raise(SIGUSR1);
    TIMED(epoll_pwait(ep, &event, 1, 50, NULL), 50);
    say("handled %d", caught[SIGUSR1]);
    SEND(b, "x", 0);
    SAY(epoll_pwait(ep, &event, 1, 2000, NULL));
}
