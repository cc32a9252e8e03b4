/* Handlers, sleeping calls, EINTR and SA_RESTART. */
#include "check.h"

#include <setjmp.h>

static volatile int handled, order[8], orders;
static int sockets[2];
static sigjmp_buf out;

static void count(int sig)
{
    (void)sig;
    handled++;
}

static void install(int sig, void (*handler)(int), int flags)
{
    struct sigaction act = { .sa_handler = handler, .sa_flags = flags };
    CHECK(sigaction(sig, &act, NULL) == 0);
}

static char byte;

static void recv_interrupted(void)
{
    pair(sockets);
    install(SIGUSR1, count, 0);
    struct later l = { .ms = 50, .sig = SIGUSR1 };
    later(&l);
    FAILS(EINTR, recv(sockets[0], &byte, 1, 0));
    CHECK(handled == 1);
}

static void recv_restarted(void)
{
    pair(sockets);
    install(SIGUSR1, count, SA_RESTART);
    struct later l = { .ms = 50, .sig = SIGUSR1, .fd = sockets[1], .text = "x" };
    later(&l);
    CHECK(recv(sockets[0], &byte, 1, 0) == 1 && byte == 'x');
    CHECK(handled == 1);
}

/* A timeout on the socket makes it fail even under SA_RESTART: signal(7). */
static void recv_with_timeout_never_restarted(void)
{
    pair(sockets);
    struct timeval time = { .tv_sec = 5 };
    CHECK(setsockopt(sockets[0], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time) == 0);
    install(SIGUSR1, count, SA_RESTART);
    struct later l = { .ms = 50, .sig = SIGUSR1 };
    later(&l);
    FAILS(EINTR, recv(sockets[0], &byte, 1, 0));
}

static void accept_interrupted(void)
{
    struct sockaddr_in at;
    int door = listener(&at);
    install(SIGUSR1, count, 0);
    struct later l = { .ms = 50, .sig = SIGUSR1 };
    later(&l);
    FAILS(EINTR, accept(door, NULL, NULL));
}

/* poll, select and epoll_wait are never restarted. */
static void waits_never_restarted(void)
{
    pair(sockets);
    install(SIGUSR1, count, SA_RESTART);
    struct pollfd fds = { .fd = sockets[0], .events = POLLIN };
    struct later l = { .ms = 50, .sig = SIGUSR1 };
    later(&l);
    FAILS(EINTR, poll(&fds, 1, 2000));
    pthread_join(l.thread, NULL);

    fd_set set;
    FD_ZERO(&set);
    FD_SET(sockets[0], &set);
    later(&l);
    FAILS(EINTR, select(sockets[0] + 1, &set, NULL, NULL, NULL));
    pthread_join(l.thread, NULL);

    int epfd = epoll_create1(0);
    struct epoll_event event = { .events = EPOLLIN };
    CHECK(epoll_ctl(epfd, EPOLL_CTL_ADD, sockets[0], &event) == 0);
    later(&l);
    FAILS(EINTR, epoll_wait(epfd, &event, 1, -1));
    CHECK(handled == 3);
}

/* A signal that is blocked but for the wait itself. */
static void masks_of_waits(void)
{
    pair(sockets);
    install(SIGUSR1, count, 0);
    sigset_t usr1, none;
    sigemptyset(&none);
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    CHECK(sigprocmask(SIG_BLOCK, &usr1, NULL) == 0);
    struct pollfd fds = { .fd = sockets[0], .events = POLLIN };
    raise(SIGUSR1);
    FAILS(EINTR, ppoll(&fds, 1, NULL, &none));
    CHECK(handled == 1);

    fd_set set;
    FD_ZERO(&set);
    FD_SET(sockets[0], &set);
    raise(SIGUSR1);
    FAILS(EINTR, pselect(sockets[0] + 1, &set, NULL, NULL, NULL, &none));
    CHECK(handled == 2);

    int epfd = epoll_create1(0);
    struct epoll_event event = { .events = EPOLLIN };
    CHECK(epoll_ctl(epfd, EPOLL_CTL_ADD, sockets[0], &event) == 0);
    raise(SIGUSR1);
    FAILS(EINTR, epoll_pwait(epfd, &event, 1, -1, &none));
    CHECK(handled == 3);
    raise(SIGUSR1);
    struct timespec tenth = { .tv_nsec = 100000000 };
    FAILS(EINTR, epoll_pwait2(epfd, &event, 1, &tenth, &none));
    CHECK(handled == 4);
}

/* The handler itself uses sockets while its thread sleeps in a call on one. */
static void talk(int sig)
{
    int other[2];
    char text[4];
    (void)sig;
    pair(other);
    CHECK(write(other[0], "abc", 3) == 3);
    struct pollfd fds[3] = { { .fd = other[1], .events = POLLIN }, { .fd = other[0], .events = POLLIN } };
    CHECK(poll(fds, 2, 1000) == 1 && fds[0].revents == POLLIN);
    CHECK(read(other[1], text, sizeof text) == 3);
    CHECK(poll(fds, 2, 30) == 0);
    close(other[0]);
    close(other[1]);
    handled++;
}

static void handler_uses_sockets(void)
{
    pair(sockets);
    install(SIGUSR1, talk, SA_RESTART);
    struct later l = { .ms = 50, .sig = SIGUSR1, .fd = sockets[1], .text = "x" };
    later(&l);
    CHECK(recv(sockets[0], &byte, 1, 0) == 1 && byte == 'x' && handled == 1);
    pthread_join(l.thread, NULL);

    struct pollfd fds[40];
    for (int i = 0; i < 40; i++) fds[i] = (struct pollfd){ .fd = sockets[0], .events = POLLIN };
    l = (struct later){ .ms = 50, .sig = SIGUSR1 };
    later(&l);
    FAILS(EINTR, poll(fds, 40, 2000));
    CHECK(handled == 2);
}

static void leave(int sig) { siglongjmp(out, sig); }

/* Out of a sleeping call by siglongjmp, again and again; everything works afterwards. */
static void longjmp_out_of_sleep(void)
{
    pair(sockets);
    install(SIGUSR1, leave, 0);
    for (volatile int i = 0; i < 40; i++) {
        struct later l = { .ms = 5, .sig = SIGUSR1 };
        struct pollfd fds = { .fd = sockets[0], .events = POLLIN };
        if (sigsetjmp(out, 1) == 0) {
            later(&l);
            if (i % 2) recv(sockets[0], &byte, 1, 0);
            else poll(&fds, 1, -1);
            CHECK(!"came back");
        }
    }
    int type; /* glibc itself leaves the thread cancellable at any moment here: not part of what must agree */
    CHECK(pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &type) == 0);
    CHECK(getenv("LD_PRELOAD") == NULL || type == PTHREAD_CANCEL_DEFERRED);
    CHECK(write(sockets[1], "y", 1) == 1 && recv(sockets[0], &byte, 1, 0) == 1 && byte == 'y');
}

static void dispositions_are_told(void)
{
    struct sigaction act = { .sa_handler = count, .sa_flags = SA_RESTART | SA_NODEFER }, old;
    sigaddset(&act.sa_mask, SIGUSR2);
    pair(sockets);
    CHECK(sigaction(SIGUSR1, NULL, &old) == 0 && old.sa_handler == SIG_DFL);
    CHECK(sigaction(SIGUSR1, &act, &old) == 0 && old.sa_handler == SIG_DFL);
    CHECK(sigaction(SIGUSR1, NULL, &old) == 0 && old.sa_handler == count);
    CHECK((old.sa_flags & (SA_RESTART | SA_NODEFER | SA_SIGINFO | SA_RESETHAND)) == (SA_RESTART | SA_NODEFER));
    CHECK(sigismember(&old.sa_mask, SIGUSR2) == 1 && sigismember(&old.sa_mask, SIGUSR1) == 0);
    CHECK(signal(SIGUSR1, SIG_IGN) == count && signal(SIGUSR1, count) == SIG_IGN);
    CHECK(siginterrupt(SIGUSR1, 1) == 0);
    CHECK(sigaction(SIGUSR1, NULL, &old) == 0 && (old.sa_flags & SA_RESTART) == 0 && old.sa_handler == count);
    CHECK(signal(SIGUSR1, count) == count && sigaction(SIGUSR1, NULL, &old) == 0 && !(old.sa_flags & SA_RESTART));
    FAILS(EINVAL, sigaction(SIGKILL, &act, NULL));
    FAILS(EINVAL, sigaction(65, &act, NULL));
    CHECK(signal(0, count) == SIG_ERR && errno == EINVAL);
    for (int sig = 1; sig < 65; sig++) { /* the start of the runtime left nothing behind */
        if (sig == 32 || sig == 33 || sig == SIGUSR1) continue;
        CHECK(sigaction(sig, NULL, &old) == 0 && old.sa_handler == SIG_DFL);
    }
}

static void reset_hand(void)
{
    struct sigaction old;
    pair(sockets);
    install(SIGUSR1, count, SA_RESETHAND);
    raise(SIGUSR1);
    CHECK(handled == 1 && sigaction(SIGUSR1, NULL, &old) == 0 && old.sa_handler == SIG_DFL);
}

static void note(int sig, siginfo_t *info, void *context)
{
    (void)context;
    CHECK(info->si_signo == sig && info->si_code == SI_QUEUE);
    order[orders++ % 8] = info->si_value.sival_int;
}

/* Real-time signals queue, in order, with their values. */
static void realtime_queue(void)
{
    pair(sockets);
    struct sigaction act = { .sa_sigaction = note, .sa_flags = SA_SIGINFO | SA_RESTART };
    CHECK(sigaction(SIGRTMIN + 3, &act, NULL) == 0);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 3);
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (int i = 0; i < 5; i++) CHECK(sigqueue(getpid(), SIGRTMIN + 3, (union sigval){ .sival_int = i }) == 0);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    CHECK(orders == 5);
    for (int i = 0; i < 5; i++) CHECK(order[i] == i);
}

static int expected_next;
static void in_order(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)context;
    if (info->si_value.sival_int != expected_next) handled = -1000000;
    expected_next++;
    handled++;
}

static void *echo_peer(void *argument)
{
    char buf[4096];
    ssize_t n;
    (void)argument;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    while ((n = read(sockets[1], buf, sizeof buf)) > 0) CHECK(write(sockets[1], buf, (size_t)n) == n);
    return NULL;
}

static pthread_t victim;
static volatile int stop;
static void *storm(void *argument)
{
    int value = 0;
    (void)argument;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    while (!stop) {
        if (pthread_sigqueue(victim, SIGRTMIN + 3, (union sigval){ .sival_int = value }) == 0) value++;
        struct timespec t = { .tv_nsec = 20000 };
        nanosleep(&t, NULL);
    }
    return (void *)(intptr_t)value;
}

/* Signals at any moment of a busy exchange: none lost, none out of order, no byte wrong. */
static void signal_storm(void)
{
    pair(sockets);
    struct sigaction act = { .sa_sigaction = in_order, .sa_flags = SA_SIGINFO | SA_RESTART };
    CHECK(sigaction(SIGRTMIN + 3, &act, NULL) == 0);
    pthread_t peer, storming;
    victim = pthread_self();
    CHECK(pthread_create(&peer, NULL, echo_peer, NULL) == 0 && pthread_create(&storming, NULL, storm, NULL) == 0);
    double end = now_s() + 1.5;
    uint32_t sent = 0, got;
    while (now_s() < end) {
        sent++;
        CHECK(write(sockets[0], &sent, sizeof sent) == sizeof sent);
        CHECK(recv(sockets[0], &got, sizeof got, MSG_WAITALL) == sizeof got && got == sent);
    }
    void *queued;
    stop = 1;
    pthread_join(storming, &queued);
    CHECK(handled == (int)(intptr_t)queued && handled > 100);
}

/* The same with handlers that may interrupt themselves, on a stack of their own, and that talk. */
static volatile int nested, deepest;
static void nest(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)info;
    (void)context;
    int depth = ++nested;
    if (depth > deepest) deepest = depth;
    if (handled++ % 64 == 0 && depth == 1) {
        int other[2];
        char c = 0;
        pair(other);
        CHECK(write(other[0], "n", 1) == 1 && read(other[1], &c, 1) == 1 && c == 'n');
        close(other[0]);
        close(other[1]);
    }
    nested--;
}

static void signal_storm_without_defer(void)
{
    pair(sockets);
    struct sigaction act = { .sa_sigaction = nest, .sa_flags = SA_SIGINFO | SA_RESTART | SA_NODEFER };
    CHECK(sigaction(SIGRTMIN + 3, &act, NULL) == 0);
    pthread_t peer, storming;
    victim = pthread_self();
    CHECK(pthread_create(&peer, NULL, echo_peer, NULL) == 0 && pthread_create(&storming, NULL, storm, NULL) == 0);
    double end = now_s() + 1;
    uint32_t sent = 0, got;
    while (now_s() < end) {
        sent++;
        CHECK(write(sockets[0], &sent, sizeof sent) == sizeof sent);
        CHECK(recv(sockets[0], &got, sizeof got, MSG_WAITALL) == sizeof got && got == sent);
    }
    stop = 1;
    pthread_join(storming, NULL);
    CHECK(handled > 100 && nested == 0);
}

/* A timer that interrupts everything, all the time: calls fail with EINTR or succeed, and nothing is lost. */
static void interval_timer(void)
{
    pair(sockets);
    install(SIGALRM, count, 0);
    pthread_t peer;
    CHECK(pthread_create(&peer, NULL, echo_peer, NULL) == 0);
    struct itimerval often = { .it_interval.tv_usec = 300, .it_value.tv_usec = 300 };
    CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
    double end = now_s() + 1;
    for (uint32_t sent = 1; now_s() < end; sent++) {
        uint32_t got = 0;
        size_t have = 0;
        ssize_t n;
        while ((n = write(sockets[0], &sent, sizeof sent)) < 0) CHECK(errno == EINTR);
        CHECK(n == sizeof sent);
        struct pollfd fds = { .fd = sockets[0], .events = POLLIN };
        while (have < sizeof got) {
            while (poll(&fds, 1, -1) < 0) CHECK(errno == EINTR);
            n = recv(sockets[0], (char *)&got + have, sizeof got - have, 0);
            if (n < 0) CHECK(errno == EINTR);
            else have += (size_t)n;
        }
        CHECK(got == sent);
    }
    CHECK(handled > 500);
}

static void pipe_signal(void)
{
    pair(sockets);
    install(SIGPIPE, count, 0);
    close(sockets[1]);
    sleep_ms(20);
    while (write(sockets[0], "x", 1) == 1) sleep_ms(5);
    FAILS(EPIPE, write(sockets[0], "x", 1));
    int before = handled;
    CHECK(before >= 1);
    FAILS(EPIPE, send(sockets[0], "x", 1, MSG_NOSIGNAL));
    CHECK(handled == before);
    signal(SIGPIPE, SIG_IGN);
    FAILS(EPIPE, write(sockets[0], "x", 1));
    pid_t child = fork();
    if (child == 0) {
        signal(SIGPIPE, SIG_DFL);
        write(sockets[0], "x", 1);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE);
}

static void alternate_stack(void)
{
    static char area[65536];
    stack_t stack = { .ss_sp = area, .ss_size = sizeof area };
    pair(sockets);
    CHECK(sigaltstack(&stack, NULL) == 0);
    install(SIGUSR1, talk, SA_ONSTACK | SA_RESTART);
    struct later l = { .ms = 30, .sig = SIGUSR1, .fd = sockets[1], .text = "x" };
    later(&l);
    CHECK(recv(sockets[0], &byte, 1, 0) == 1 && handled == 1);
}

/* Stopped and continued in a sleeping call: nothing happened. */
static void stop_and_continue(void)
{
    pair(sockets);
    pid_t child = fork();
    if (child == 0) {
        CHECK(recv(sockets[0], &byte, 1, 0) == 1 && byte == 'z');
        _exit(0);
    }
    sleep_ms(50);
    kill(child, SIGSTOP);
    sleep_ms(50);
    kill(child, SIGCONT);
    sleep_ms(50);
    CHECK(write(sockets[1], "z", 1) == 1);
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

TESTS({ "recv-interrupted", recv_interrupted }, { "recv-restarted", recv_restarted },
      { "recv-with-timeout-never-restarted", recv_with_timeout_never_restarted },
      { "accept-interrupted", accept_interrupted }, { "waits-never-restarted", waits_never_restarted },
      { "masks-of-waits", masks_of_waits }, { "handler-uses-sockets", handler_uses_sockets },
      { "longjmp-out-of-sleep", longjmp_out_of_sleep }, { "dispositions-are-told", dispositions_are_told },
      { "reset-hand", reset_hand }, { "realtime-queue", realtime_queue }, { "signal-storm", signal_storm },
      { "signal-storm-without-defer", signal_storm_without_defer }, { "interval-timer", interval_timer },
      { "pipe-signal", pipe_signal }, { "alternate-stack", alternate_stack },
      { "stop-and-continue", stop_and_continue })
