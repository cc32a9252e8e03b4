// Connecting to the other process: every outcome, blocking and not, and what the descriptor says meanwhile.
#include "oracle.h"

static int far_listener(int length)
{
    int l = xsocket(AF_INET, SOCK_STREAM);
    if (xbind(l, far_ip, 0) || xlisten(l, length)) say("no listener there");
    return l;
}

// A port of the other process that refuses: bound, not listening.
static int far_closed(void)
{
    int fd = xsocket(AF_INET, SOCK_STREAM);
    xbind(fd, far_ip, 0);
    return xport(fd);
}

static int out(int fd, int port)
{
    struct sockaddr_in to = at4(far_ip, port);
    return connect(fd, SA(to), sizeof to);
}

static int fresh(int flags) { return socket(AF_INET, SOCK_STREAM | flags, 0); }

DUO(out_refused, "ECONNREFUSED, and the same socket again")
{
    int port = far_closed(), c = fresh(0);
    SAY(out(c, port));
    ERROR(c);
    MASK(c);
    SAY(out(c, port));
    RECV(c, 1, 0);
    SAY(send(c, "x", 1, MSG_NOSIGNAL));
    int l = far_listener(5);
    SAY(out(c, xport(l)));
    int s = xaccept(l);
    SEND(c, "after all", 0);
    RECV(s, 20, 0);
}

DUO(out_refused_nonblocking, "a refusal without blocking, found by poll")
{
    int port = far_closed(), c = fresh(SOCK_NONBLOCK);
    long r = out(c, port);
    say("begun: %s", r < 0 && (errno == EINPROGRESS || errno == ECONNREFUSED) ? "yes" : "no");
    int error = errno;
    if (error == EINPROGRESS) {
        AWAIT(c, POLLOUT);
        MASK(c);
        ERROR(c);
    }
    ERROR(c);
    MASK(c);
}

DUO(out_nonblocking, "a connection without blocking: EINPROGRESS, writable, 0, EISCONN")
{
    int l = far_listener(5), c = fresh(SOCK_NONBLOCK);
    SAY(out(c, xport(l)));
    AWAIT(c, POLLOUT);
    ERROR(c);
    SAY(out(c, xport(l)));
    SAY(out(c, xport(l)));
    expect_local(c);
    int s = xaccept(l);
    SEND(s, "hello", 0);
    AWAIT(c, POLLIN);
    RECV(c, 10, 0);
}

DUO(out_nonblocking_send, "after a connection without blocking the first call is a send")
{
    int l = far_listener(5), c = fresh(SOCK_NONBLOCK);
    SAY(out(c, xport(l)));
    AWAIT(c, POLLOUT);
    SEND(c, "first", 0);
    int s = xaccept(l);
    RECV(s, 10, 0);
    SAY(out(c, xport(l)));
}

DUO(out_epoll_before, "epoll over a socket that is then connected")
{
    int l = far_listener(5), c = fresh(SOCK_NONBLOCK), ep = epoll_create1(0);
    SAY(ep_add(ep, c, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, 1));
    EPOLL(ep, 4, 0);
    SAY(out(c, xport(l)));
    EPOLL(ep, 4, 2000);
    EPOLL(ep, 4, 0);
    int s = xaccept(l);
    SEND(s, "x", 0);
    EPOLL(ep, 4, 2000);
    SAY(xclose(s));
    EPOLL(ep, 4, 2000);
}

DUO(out_epoll_refused, "epoll over a socket that is then refused")
{
    int port = far_closed(), c = fresh(SOCK_NONBLOCK), ep = epoll_create1(0);
    SAY(ep_add(ep, c, EPOLLIN | EPOLLOUT | EPOLLRDHUP, 1));
    out(c, port);
    EPOLL(ep, 4, 2000);
    ERROR(c);
    EPOLL(ep, 4, 0);
}

DUO(out_select, "select finds a finished connect() writable")
{
    int l = far_listener(5), c = fresh(SOCK_NONBLOCK);
    fd_set set;
    struct timeval time = {2, 0};
    SAY(out(c, xport(l)));
    FD_ZERO(&set);
    FD_SET(c, &set);
    say("select %d", select(c + 1, NULL, &set, NULL, &time));
    ERROR(c);
    FD_ZERO(&set);
    FD_SET(c, &set);
    time.tv_sec = 0;
    say("select for reading %d", select(c + 1, &set, NULL, NULL, &time));
}

DUO(out_bound, "bind() first: the port is the one bound, and stays taken")
{
    int l = far_listener(5), c = fresh(0), d = fresh(0);
    struct sockaddr_in at = at4(near_ip, 0);
    SAY(bind(c, SA(at), sizeof at));
    int port = port_of(c);
    SAY(out(c, xport(l)));
    expect_local(c);
    say("port %s", port_of(c) == port ? "kept" : "changed");
    at.sin_port = htons(port);
    SAY(bind(d, SA(at), sizeof at));
    int s = xaccept(l);
    SAY(xclose(s));
    AWAIT(c, POLLIN);
    SAY(close(c));
}

DUO(out_bound_wildcard, "bind() to the wildcard: connect() fixes the address")
{
    int l = far_listener(5), c = fresh(0);
    struct sockaddr_in at = at4("0.0.0.0", 0);
    SAY(bind(c, SA(at), sizeof at));
    int port = port_of(c);
    SAY(out(c, xport(l)));
    expect_local(c);
    struct sockaddr_in name;
    socklen_t length = sizeof name;
    SAY(getsockname(c, SA(name), &length));
    say("%s", address_text(&name, length, port));
}

DUO(out_reset_before_accept, "the listener closes before it accepts")
{
    int l = far_listener(5), c = fresh(0);
    SAY(out(c, xport(l)));
    SEND(c, "unheard", 0);
    SAY(xclose(l));
    ENDED(c);
    MASK(c);
    RECV(c, 10, 0);
    SEND(c, "x", MSG_NOSIGNAL);
}

DUO(out_early_data, "data sent before accept() arrives, and the end after it")
{
    int l = far_listener(5), c = fresh(0);
    SAY(out(c, xport(l)));
    SEND(c, "early", 0);
    SAY(shutdown(c, SHUT_WR));
    int s = xaccept(l);
    AWAIT(s, POLLIN);
    RECV(s, 10, 0);
    RECV(s, 10, 0);
    SEND(s, "late", 0);
    RECV(c, 10, 0);
}

DUO(out_dissolve, "connect(AF_UNSPEC) ends a connection; the socket can be used again")
{
    int l = far_listener(5), c = fresh(0);
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    SAY(out(c, xport(l)));
    int s = xaccept(l);
    SAY(connect(c, &none, sizeof none));
    ENDED(s);
    RECV(s, 10, 0);
    MASK(c);
    SAY(peer_port_of(c));
    SAY(out(c, xport(l)));
    int s2 = xaccept(l);
    SEND(c, "again", 0);
    RECV(s2, 10, 0);
}

DUO(out_dissolve_pending, "connect(AF_UNSPEC) while a connection is under way or was refused")
{
    int port = far_closed(), c = fresh(0);
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    SAY(connect(c, &none, sizeof none));
    SAY(out(c, port));
    SAY(connect(c, &none, sizeof none));
    ERROR(c);
    MASK(c);
}

DUO(out_many, "thirty connections, each with its own words")
{
    enum { COUNT = 30 };
    int l = far_listener(COUNT), c[COUNT], s[COUNT], good = 0;
    for (int i = 0; i < COUNT; i++) {
        char text[16];
        c[i] = fresh(0);
        if (out(c[i], xport(l))) say("connect %d: %s", i, errno_name(errno));
        expect_local(c[i]);
        s[i] = xaccept(l);
        send(c[i], text, snprintf(text, sizeof text, "client %d", i), 0);
    }
    for (int i = 0; i < COUNT; i++) {
        char text[16];
        int n = snprintf(text, sizeof text, "client %d", i);
        good += xrecv(s[i], bytes, 100, 0) == n && !memcmp(bytes, text, n);
    }
    say("%d", good);
}

DUO(out_churn, "connect, exchange, close, thirty times")
{
    int l = far_listener(8), good = 0;
    for (int i = 0; i < 30; i++) {
        int c = fresh(0);
        if (out(c, xport(l))) {
            say("connect %d: %s", i, errno_name(errno));
            break;
        }
        int s = xaccept(l);
        send(c, "ping", 4, 0);
        good += xrecv(s, bytes, 4, MSG_WAITALL) == 4;
        xsend(s, "pong", 4, 0);
        good += recv(c, bytes, 4, MSG_WAITALL) == 4;
        if (i % 2) {
            xclose(s);
            good += recv(c, bytes, 1, 0) == 0;
            close(c);
        } else {
            close(c);
            good += xrecv(s, bytes, 1, 0) == 0;
            xclose(s);
        }
    }
    say("%d", good);
}

DUO(out_bad_names, "connect() with bad names leaves the socket fresh")
{
    int l = far_listener(5), c = fresh(0);
    struct sockaddr_in to = at4(far_ip, xport(l));
    SAY(connect(c, SA(to), 3));
    SAY(connect(c, SA(to), 0));
    to.sin_family = AF_INET6;
    SAY(connect(c, SA(to), sizeof to));
    to.sin_family = AF_UNIX;
    SAY(connect(c, SA(to), sizeof to));
    to = at4("255.255.255.255", 80);
    SAY(connect(c, SA(to), sizeof to));
    to = at4("224.0.0.1", 80);
    say("to a group: %s", connect(c, SA(to), sizeof to) ? "refused" : "ok");
    SAY(out(c, xport(l)));
}

static int dialled;
static void dial_out(void *port)
{
    dialled = fresh(0);
    say("connect there: %d", out(dialled, (int)(intptr_t)port));
}

DUO(out_by_thread, "one thread connects, another sends")
{
    int l = far_listener(5);
    later_call(0, dial_out, (void *)(intptr_t)xport(l));
    join_later();
    int s = xaccept(l);
    SEND(dialled, "from the first", 0);
    RECV(s, 20, 0);
}

DUO(out_fastopen, "MSG_FASTOPEN connects and sends")
{
    int l = far_listener(5), c = fresh(0);
    struct sockaddr_in to = at4(far_ip, xport(l));
    SAY(sendto(c, "fast", 4, MSG_FASTOPEN, SA(to), sizeof to));
    int s = xaccept(l);
    AWAIT(s, POLLIN);
    RECV(s, 10, 0);
    SEND(s, "back", 0);
    RECV(c, 10, 0);
}

DUO(out_nodelay_first, "options set before connect() hold after it")
{
    int l = far_listener(5), c = fresh(0);
    SETOPT(c, IPPROTO_TCP, TCP_NODELAY, 1);
    SETOPT(c, SOL_SOCKET, SO_KEEPALIVE, 1);
    SETOPT(c, IPPROTO_TCP, TCP_KEEPIDLE, 77);
    SETOPT(c, IPPROTO_IP, IP_TOS, 0x10);
    SAY(out(c, xport(l)));
    expect_local(c);
    GETOPT(c, IPPROTO_TCP, TCP_NODELAY);
    GETOPT(c, SOL_SOCKET, SO_KEEPALIVE);
    GETOPT(c, IPPROTO_TCP, TCP_KEEPIDLE);
    GETOPT(c, IPPROTO_IP, IP_TOS);
    say("accepted: %ld", xgetopt(xaccept(l), IPPROTO_TCP, TCP_NODELAY));
}

CASE(connect_as_another_user, "connect to a listener of the own process, which runs as somebody else by now")
{
    int l = listener(), port = port_of(l);
    SAY(seteuid(65534));
    int c = dial(port);
    int b = FD(accept(l, NULL, NULL));
    SEND(c, "still ours", 0);
    RECV(b, 100, 0);
    SAY(seteuid(0));
}
