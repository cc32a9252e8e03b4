// accept: order, flags, what is inherited, full backlogs.
#include "oracle.h"

#include <sys/resource.h>

DUO(accept_order, "connections are accepted in the order they came, with their early data")
{
    int l = listener(), port = port_of(l), c[4];
    static const char *texts[] = {"first", "second", "third", "fourth"};
    for (int i = 0; i < 4; i++) {
        c[i] = xsocket(AF_INET, SOCK_STREAM);
        SAY(xconnect(c[i], near_ip, port));
        SEND(c[i], texts[i], 0);
        expect_local(c[i]);
    }
    MASK(l);
    for (int i = 0; i < 4; i++) {
        int b = FD(accept(l, NULL, NULL));
        RECV(b, 100, 0);
        say("peer is client %d: %s", i, peer_port_of(b) == xport(c[i]) ? "yes" : "no");
    }
    MASK(l);
}

CASE(accept_address_truncated, "accept with small, zero and wrong address lengths")
{
    int l = listener(), port = port_of(l);
    for (socklen_t room = 0; room <= 24; room += 6) {
        dial(port);
        unsigned char buffer[32];
        memset(buffer, 0xee, sizeof buffer);
        socklen_t length = room;
        int b = FD(accept(l, (struct sockaddr *)buffer, &length));
        if (room >= 4) buffer[2] = buffer[3] = 0;
        say("room %u: length %u, bytes %s", room, length, data_text(buffer, 24));
        close(b);
    }
    dial(port);
    socklen_t negative = (socklen_t)-5;
    struct sockaddr_in s;
    SAY(accept(l, SA(s), &negative));
    MASK(l);
    dial(port);
    socklen_t length = sizeof s;
    SAY(accept(l, (struct sockaddr *)8, &length));
    MASK(l);
    dial(port);
    SAY(accept(l, SA(s), NULL));
    MASK(l);
    dial(port);
    FD(accept(l, NULL, &length));
    say("length untouched: %u", length);
}

CASE(accept_without_a_number, "accept when the process has no number left: with nobody there, and with somebody")
{
    struct rlimit before, none;
    int l = listener(), port = port_of(l);
    nonblock(l);
    dial(port);
    FD(accept(l, NULL, NULL));
    SAY(accept(l, NULL, NULL));
    int lowest = dup(l);
    close(lowest);
    getrlimit(RLIMIT_NOFILE, &before);
    none = (struct rlimit){(rlim_t)lowest, before.rlim_max};
    setrlimit(RLIMIT_NOFILE, &none);
    SAY(accept(l, NULL, NULL));
    fcntl(l, F_SETFL, 0);
    SAY(accept(l, NULL, NULL));
    setrlimit(RLIMIT_NOFILE, &before);
    dial(port);
    setrlimit(RLIMIT_NOFILE, &none);
    SAY(accept(l, NULL, NULL));
    setrlimit(RLIMIT_NOFILE, &before);
    FD(accept(l, NULL, NULL));
    nonblock(l);
    SAY(accept(l, NULL, NULL));
}

CASE(accept_wrong_sockets, "accept on what is not listening")
{
    int a, b;
    local_pair(&a, &b);
    SAY(accept(a, NULL, NULL));
    SAY(accept(b, NULL, NULL));
    SAY(accept(-1, NULL, NULL));
    SAY(accept(1001, NULL, NULL));
    SAY(accept4(listener(), NULL, NULL, 0x40));
    SAY(accept4(a, NULL, NULL, 0x40));
    int fresh = socket(AF_INET, SOCK_STREAM, 0), file = open("/dev/null", O_RDONLY);
    SAY(accept(fresh, NULL, NULL));
    struct sockaddr_in any = at4("127.0.0.1", 0);
    SAY(bind(fresh, SA(any), sizeof any));
    SAY(accept(fresh, NULL, NULL));
    SAY(accept(file, NULL, NULL));
}

CASE(accept_nonblocking, "EAGAIN on an empty queue; a client gone before accept is still accepted")
{
    int l = listener();
    nonblock(l);
    SAY(accept(l, NULL, NULL));
    int c = dial(port_of(l));
    SEND(c, "gone", 0);
    SAY(close(c));
    MASK(l);
    int b = FD(accept(l, NULL, NULL));
    RECV(b, 10, 0);
    RECV(b, 10, 0);
    SAY(accept(l, NULL, NULL));
    MASK(l);
}

DUO(accept_reset_client, "a client that was reset before accept")
{
    int l = listener();
    nonblock(l);
    int c = xsocket(AF_INET, SOCK_STREAM);
    SAY(xconnect(c, near_ip, port_of(l)));
    SEND(c, "data before", 0);
    SAY(xlinger(c, 1, 0));
    SAY(xclose(c));
    MASK(l);
    int b = FD(accept(l, NULL, NULL));
    MASK(b);
    RECV(b, 100, 0);
    RECV(b, 100, 0);
    ERROR(b);
    MASK(l);
}

CASE(accept4_flags, "accept4 sets what it is asked, accept inherits neither")
{
    int l = listener(), port = port_of(l);
    nonblock(l);
    static const int flags[] = {0, SOCK_NONBLOCK, SOCK_CLOEXEC, SOCK_NONBLOCK | SOCK_CLOEXEC};
    for (int i = 0; i < 4; i++) {
        dial(port);
        int b = FD(accept4(l, NULL, NULL, flags[i]));
        say("F_GETFL %#x F_GETFD %#x", fcntl(b, F_GETFL), fcntl(b, F_GETFD));
    }
    dial(port);
    int b = FD(accept(l, NULL, NULL));
    say("F_GETFL %#x F_GETFD %#x", fcntl(b, F_GETFL), fcntl(b, F_GETFD));
}

CASE(accept_inherits_options, "the accepted socket has the listener's options as they were")
{
    int l = socket(AF_INET, SOCK_STREAM, 0);
    SETOPT(l, SOL_SOCKET, SO_REUSEADDR, 1);
    SETOPT(l, SOL_SOCKET, SO_KEEPALIVE, 1);
    SETOPT(l, SOL_SOCKET, SO_OOBINLINE, 1);
    SETOPT(l, IPPROTO_TCP, TCP_NODELAY, 1);
    SETOPT(l, IPPROTO_TCP, TCP_KEEPIDLE, 77);
    SETOPT(l, IPPROTO_TCP, TCP_KEEPINTVL, 7);
    SETOPT(l, IPPROTO_TCP, TCP_KEEPCNT, 5);
    SETOPT(l, IPPROTO_TCP, TCP_USER_TIMEOUT, 4321);
    SETOPT(l, SOL_SOCKET, SO_RCVLOWAT, 3);
    SETOPT(l, SOL_SOCKET, SO_SNDBUF, 20000);
    SETOPT(l, SOL_SOCKET, SO_RCVBUF, 30000);
    SETOPT(l, SOL_SOCKET, SO_PRIORITY, 3);
    SETOPT(l, IPPROTO_IP, IP_TOS, 0x10);
    SETOPT(l, IPPROTO_IP, IP_TTL, 33);
    set_linger(l, 1, 9);
    struct timeval time = {2, 0};
    SAY(setsockopt(l, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time));
    struct sockaddr_in any = at4("127.0.0.1", 0);
    SAY(bind(l, SA(any), sizeof any));
    SAY(listen(l, 4));
    int c = dial(port_of(l)), b = FD(accept(l, NULL, NULL));
    (void)c;
    GETOPT(b, SOL_SOCKET, SO_REUSEADDR);
    GETOPT(b, SOL_SOCKET, SO_KEEPALIVE);
    GETOPT(b, SOL_SOCKET, SO_OOBINLINE);
    GETOPT(b, IPPROTO_TCP, TCP_NODELAY);
    GETOPT(b, IPPROTO_TCP, TCP_KEEPIDLE);
    GETOPT(b, IPPROTO_TCP, TCP_KEEPINTVL);
    GETOPT(b, IPPROTO_TCP, TCP_KEEPCNT);
    GETOPT(b, IPPROTO_TCP, TCP_USER_TIMEOUT);
    GETOPT(b, SOL_SOCKET, SO_RCVLOWAT);
    GETOPT(b, SOL_SOCKET, SO_SNDBUF);
    GETOPT(b, SOL_SOCKET, SO_RCVBUF);
    GETOPT(b, SOL_SOCKET, SO_PRIORITY);
    GETOPT(b, IPPROTO_IP, IP_TTL);
    GETOPT(b, IPPROTO_IP, IP_TOS);
    GETOPT(b, SOL_SOCKET, SO_ACCEPTCONN);
    struct linger linger = {0};
    socklen_t length = sizeof linger;
    SAY(getsockopt(b, SOL_SOCKET, SO_LINGER, &linger, &length));
    say("linger %d %d", linger.l_onoff, linger.l_linger);
    length = sizeof time;
    SAY(getsockopt(b, SOL_SOCKET, SO_RCVTIMEO, &time, &length));
    say("timeout %ld.%06ld", (long)time.tv_sec, (long)time.tv_usec);
}

CASE(accept_options_after_connect, "options set on the listener between connect and accept")
{
    int l = listener();
    int c = dial(port_of(l));
    (void)c;
    SETOPT(l, IPPROTO_TCP, TCP_NODELAY, 1);
    SETOPT(l, SOL_SOCKET, SO_KEEPALIVE, 1);
    int b = FD(accept(l, NULL, NULL));
    GETOPT(b, IPPROTO_TCP, TCP_NODELAY);
    GETOPT(b, SOL_SOCKET, SO_KEEPALIVE);
    int d = dial(port_of(l));
    (void)d;
    b = FD(accept(l, NULL, NULL));
    GETOPT(b, IPPROTO_TCP, TCP_NODELAY);
    GETOPT(b, SOL_SOCKET, SO_KEEPALIVE);
}

CASE(accept_timeout, "SO_RCVTIMEO bounds accept")
{
    int l = listener();
    struct timeval time = {0, 80000};
    SAY(setsockopt(l, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time));
    TIMED(accept(l, NULL, NULL), 80);
    dial(port_of(l));
    FD(accept(l, NULL, NULL));
}

CASE(accept_blocks, "a blocking accept waits for a client of another thread")
{
    int l = listener(), c = socket(AF_INET, SOCK_STREAM, 0);
    struct dialing { int fd, port; } d = {c, port_of(l)};
    void dial_later(void *argument) { struct dialing *p = argument; connect_to(p->fd, p->port); }
    later_call(40, dial_later, &d);
    int b = TIMED(accept(l, NULL, NULL) >= 0, 40);
    join_later();
    expect_local(c);
    say("accepted %d", b);
    SEND(c, "x", 0);
}

CASE(backlog_full_nonblocking, "a full backlog leaves non-blocking clients in progress; accept lets them in")
{
    backlog = 1;
    int l = listener(), port = port_of(l), done = 0;
    int c[6];
    for (int i = 0; i < 6; i++) {
        c[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        int r = connect_to(c[i], port);
        say("client %d: %s", i, r ? errno_name(errno) : "0");
        say("  then %s", poll_text(xpoll(c[i], POLLOUT, i < 2 ? 1000 : 30)));
    }
    nonblock(l);
    for (int i = 0; i < 2; i++) {
        int b = FD(accept(l, NULL, NULL));
        done += b >= 0;
    }
    say("accepted %d", done);
    // Those in progress try again after a second on the kernel: they must come in without further calls.
    int in = 0;
    for (int i = 2; i < 4; i++) {
        struct pollfd wait = {l, POLLIN, 0};
        if (poll(&wait, 1, 4000) == 1 && accept(l, NULL, NULL) >= 0) in++;
    }
    say("came in later: %d", in);
}

CASE(backlog_zero, "a backlog of 0 still takes one")
{
    backlog = 0;
    int l = listener(), port = port_of(l);
    int c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), d = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    SAY(connect_to(c, port));
    AWAIT(c, POLLOUT);
    SAY(connect_to(d, port));
    say("second: %s", poll_text(xpoll(d, POLLOUT, 50)));
    int b = FD(accept(l, NULL, NULL));
    SEND(c, "one", 0);
    RECV(b, 10, 0);
}

CASE(backlog_counts, "backlog N takes N + 1 connections")
{
    backlog = 4;
    int l = listener(), port = port_of(l), ready = 0;
    for (int i = 0; i < 8; i++) {
        int c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect_to(c, port);
        ready += xpoll(c, POLLOUT, 20) == POLLOUT;
    }
    say("established: %d", ready);
    int accepted = 0;
    nonblock(l);
    while (accepted < 5 && accept(l, NULL, NULL) >= 0) accepted++;
    say("accepted: %d", accepted);
}

CASE(accept_several_threads, "three threads in accept, three clients: each gets one")
{
    static int l, got;
    l = listener();
    void take(void *unused)
    {
        (void)unused;
        int b = accept(l, NULL, NULL);
        if (b >= 0) __atomic_fetch_add(&got, 1, __ATOMIC_SEQ_CST);
        send(b, "y", 1, 0);
    }
    for (int i = 0; i < 3; i++) later_call(0, take, NULL);
    nap(30);
    int c[3];
    for (int i = 0; i < 3; i++) c[i] = dial(port_of(l));
    for (int i = 0; i < 3; i++) RECV(c[i], 10, 0);
    join_later();
    say("accepted %d", got);
}

CASE(accept_after_listener_dup, "a dup of the listener accepts; the port lives until the last is closed")
{
    int l = listener(), port = port_of(l), d = dup(l);
    SAY(close(l));
    int c = dial(port), b = FD(accept(d, NULL, NULL));
    SEND(c, "through the dup", 0);
    RECV(b, 100, 0);
    SAY(close(d));
    int e = socket(AF_INET, SOCK_STREAM, 0);
    SAY(connect_to(e, port));
    SEND(b, "lives on", 0);
    RECV(c, 100, 0);
}
