// Connecting: names on both ends, refusals, states, non-blocking order.
#include "oracle.h"

static void names(const char *who, int fd, int own, int peer)
{
    struct sockaddr_storage s;
    socklen_t length = sizeof s;
    memset(&s, 0, sizeof s);
    int r = getsockname(fd, SA(s), &length);
    say("%s sockname: %s", who, r ? errno_name(errno) : address_text(&s, length, own));
    length = sizeof s;
    memset(&s, 0, sizeof s);
    r = getpeername(fd, SA(s), &length);
    say("%s peername: %s", who, r ? errno_name(errno) : address_text(&s, length, peer));
}

CASE(connect_names, "getsockname and getpeername in every state of a connection's life")
{
    int l = socket(AF_INET, SOCK_STREAM, 0);
    names("fresh", l, 0, 0);
    struct sockaddr_in any = at4("127.0.0.1", 0);
    SAY(bind(l, SA(any), sizeof any));
    int port = port_of(l);
    say("a port was given: %s", port > 0 ? "yes" : "no");
    names("bound", l, port, 0);
    SAY(listen(l, 4));
    names("listening", l, port, 0);
    int c = socket(AF_INET, SOCK_STREAM, 0);
    SAY(connect_to(c, port));
    names("connected", c, port_of(c), port);
    say("ephemeral port differs from the listener's: %s", port_of(c) != port && port_of(c) > 0 ? "yes" : "no");
    struct sockaddr_storage s = {0};
    socklen_t length = sizeof s;
    int b = FD(accept(l, SA(s), &length));
    say("accepted from %s", address_text(&s, length, port_of(c)));
    names("accepted", b, port, port_of(c));
    close(l);
    names("accepted, listener closed", b, port, port_of(c));
    int client = port_of(c);
    SAY(shutdown(b, SHUT_WR));
    names("half closed", c, client, port);
    SAY(close(b));
    names("peer closed", c, client, port);
    SAY(send(c, "x", 1, MSG_NOSIGNAL));
    ENDED(c);
    names("reset", c, client, port);
}

PAIR(pair_names_agree, "each end's name is the other end's peer name")
{
    if (!(b & REMOTE)) say("my port is its peer's: %s", port_of(a) == peer_port_of(b) ? "yes" : "no");
    say("peer's port is its own: %s", peer_port_of(a) == xport(b) ? "yes" : "no");
    say("ports differ: %s", port_of(a) != xport(b) ? "yes" : "no");
}

CASE(name_truncation, "a short address buffer gets its part, and the full length")
{
    int a, b;
    local_pair(&a, &b);
    for (socklen_t room = 0; room <= 20; room += 4) {
        unsigned char buffer[32];
        memset(buffer, 0xee, sizeof buffer);
        socklen_t length = room;
        int r = getpeername(a, (struct sockaddr *)buffer, &length);
        buffer[2] = buffer[3] = 0;
        say("room %u: %d, length %u, bytes %s", room, r, length, data_text(buffer, 20));
    }
    socklen_t negative = (socklen_t)-1;
    struct sockaddr_in s;
    SAY(getsockname(a, SA(s), &negative));
    SAY(getsockname(a, NULL, NULL));
    socklen_t length = sizeof s;
    SAY(getsockname(a, (struct sockaddr *)8, &length));
    SAY(getpeername(a, SA(s), (socklen_t *)8));
}

CASE(connect_refused, "no listener: ECONNREFUSED, and the socket can be used again")
{
    int holder, port = closed_port(&holder);
    int c = socket(AF_INET, SOCK_STREAM, 0);
    SAY(connect_to(c, port));
    MASK(c);
    ERROR(c);
    say("still has a local port: %s", port_of(c) > 0 ? "yes" : "no");
    SAY(peer_port_of(c));
    SAY(connect_to(c, port));
    SAY(listen(holder, 1));
    SAY(connect_to(c, port));
    MASK(c);
    SEND(c, "after all", 0);
    int b = FD(accept(holder, NULL, NULL));
    RECV(b, 100, 0);
}

CASE(connect_refused_after_close, "the listener closed: refused; a waiting client is reset")
{
    int l = listener(), port = port_of(l);
    int waiting = dial(port);
    int c = socket(AF_INET, SOCK_STREAM, 0);
    SAY(close(l));
    SAY(connect_to(c, port));
    AWAIT(waiting, POLLIN);
    MASK(waiting);
    RECV(waiting, 10, 0);
    RECV(waiting, 10, 0);
    SEND(waiting, "x", 0);
}

DUO(connect_far_refused, "refusal as the other process sees it")
{
    int holder, port = closed_port(&holder);
    int c = xsocket(AF_INET, SOCK_STREAM);
    SAY(xconnect(c, near_ip, port));
    ERROR(c);
    MASK(c);
    SAY(listen(holder, 5));
    SAY(xconnect(c, near_ip, port));
    int s = FD(accept(holder, NULL, NULL));
    SEND(c, "hello", 0);
    RECV(s, 10, 0);
    SAY(close(holder));
    int d = xsocket(AF_INET, SOCK_STREAM);
    SAY(xconnect(d, near_ip, port));
    SEND(s, "still here", 0);
    RECV(c, 20, 0);
}

PAIR(connect_twice, "connect on a connected socket: EISCONN, also on the accepted end")
{
    int port = peer_port_of(a);
    SAY(connect_to(a, port));
    struct sockaddr_in other = at4("127.0.0.2", port);
    SAY(connect(a, SA(other), sizeof other));
    SAY(xconnect(b, "127.0.0.1", 1));
    SEND(a, "unharmed", 0);
    RECV(b, 20, 0);
}

CASE(connect_on_listener, "connect on a listening socket: EISCONN")
{
    int l = listener(), other = listener();
    SAY(connect_to(l, port_of(other)));
    SAY(connect_to(l, port_of(l)));
    MASK(l);
    int c = dial(port_of(l));
    int b = FD(accept(l, NULL, NULL));
    SEND(c, "ok", 0);
    RECV(b, 10, 0);
}

CASE(connect_bad_arguments, "wrong family, length, address, descriptor")
{
    int l = listener(), port = port_of(l);
    int c = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = at4("127.0.0.1", port);
    struct sockaddr_in6 to6 = at6("::1", port);
    SAY(connect(c, SA(to), sizeof to - 1));
    SAY(connect(c, SA(to), 1));
    SAY(connect(c, SA(to), 0));
    SAY(connect(c, SA(to), 129));
    SAY(connect(c, (struct sockaddr *)8, sizeof to));
    SAY(connect(c, SA(to6), sizeof to6));
    to.sin_family = AF_UNIX;
    SAY(connect(c, SA(to), sizeof to));
    SAY(connect(-1, SA(to), sizeof to));
    SAY(connect(999, SA(to), sizeof to));
    to.sin_family = AF_INET;
    char room[128];
    memset(room, 0, sizeof room);
    memcpy(room, &to, sizeof to);
    SAY(connect(c, (struct sockaddr *)room, sizeof room));
    SAY(connect(c, SA(to), sizeof to));
    struct stat st;
    int file = open("/dev/null", O_RDWR);
    SAY(connect(file, SA(to), sizeof to));
    SAY(fstat(c, &st));
    say("is a socket: %d", S_ISSOCK(st.st_mode));
}

CASE(connect_bound_client, "a client that bound its port first keeps it")
{
    int l = listener();
    int c = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in any = at4("127.0.0.1", 0);
    SAY(bind(c, SA(any), sizeof any));
    int port = port_of(c);
    SAY(connect_to(c, port_of(l)));
    say("port kept: %s", port_of(c) == port ? "yes" : "no");
    int b = FD(accept(l, NULL, NULL));
    say("seen by the server: %s", peer_port_of(b) == port ? "yes" : "no");
    struct sockaddr_in again = at4("127.0.0.1", port);
    int d = socket(AF_INET, SOCK_STREAM, 0);
    SAY(bind(d, SA(again), sizeof again));
    SAY(bind(c, SA(any), sizeof any));
}

CASE(connect_other_loopback, "127.0.0.2 to 127.0.0.3: names are the ones used")
{
    int l = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = at4("127.0.0.3", 0), from = at4("127.0.0.2", 0);
    SAY(bind(l, SA(at), sizeof at));
    SAY(listen(l, 3));
    SAY(bind(c, SA(from), sizeof from));
    at = at4("127.0.0.3", port_of(l));
    SAY(connect(c, SA(at), sizeof at));
    int b = FD(accept(l, NULL, NULL));
    names("client", c, port_of(c), port_of(l));
    names("server", b, port_of(l), port_of(c));
    struct sockaddr_in wrong = at4("127.0.0.4", port_of(l));
    int d = socket(AF_INET, SOCK_STREAM, 0);
    SAY(connect(d, SA(wrong), sizeof wrong));
}

CASE(connect_wildcard_listener, "a listener on 0.0.0.0 answers on every loopback address, and names the one used")
{
    int l = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in any = at4("0.0.0.0", 0);
    SAY(bind(l, SA(any), sizeof any));
    SAY(listen(l, 9));
    int port = port_of(l);
    names("listener", l, port, 0);
    static const char *to[] = {"127.0.0.1", "127.1.2.3", "0.0.0.0"};
    for (int i = 0; i < 3; i++) {
        int c = socket(AF_INET, SOCK_STREAM, 0);
        struct sockaddr_in at = at4(to[i], port);
        say("to %s", to[i]);
        SAY(connect(c, SA(at), sizeof at));
        expect_local(c);
        int b = FD(accept(l, NULL, NULL));
        names("client", c, port_of(c), port);
        names("server", b, port, port_of(c));
        SEND(c, "ping", 0);
        RECV(b, 10, 0);
    }
}

CASE(connect_nonblocking, "EINPROGRESS, then writable, SO_ERROR 0, EISCONN")
{
    int l = listener();
    int c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    MASK(c);
    SAY(connect_to(c, port_of(l)));
    AWAIT(c, POLLOUT);
    ERROR(c);
    SAY(connect_to(c, port_of(l)));
    SAY(connect_to(c, port_of(l)));
    SEND(c, "early data", 0);
    int b = FD(accept(l, NULL, NULL));
    RECV(b, 100, 0);
    RECV(c, 10, 0);
}

CASE(connect_nonblocking_refused, "EINPROGRESS or refusal, then OUT|ERR|HUP, and SO_ERROR once")
{
    int holder, port = closed_port(&holder);
    int c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    SAY(connect_to(c, port));
    AWAIT(c, POLLOUT);
    MASK(c);
    ERROR(c);
    ERROR(c);
    MASK(c);
    SAY(connect_to(c, port));
    SAY(connect_to(c, port));
    RECV(c, 10, 0);
    SEND(c, "x", 0);
}

CASE(connect_nonblocking_refused_recv, "the pending error is what the next receive or send reports, once")
{
    int holder, port = closed_port(&holder);
    int c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    connect_to(c, port);
    AWAIT(c, POLLOUT);
    RECV(c, 10, 0);
    RECV(c, 10, 0);
    int d = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    connect_to(d, port);
    AWAIT(d, POLLOUT);
    SEND(d, "x", 0);
    SEND(d, "x", 0);
    int e = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    connect_to(e, port);
    AWAIT(e, POLLOUT);
    SEND(e, "x", MSG_NOSIGNAL);
    SAY(peer_port_of(e));
}

CASE(connect_nonblocking_epoll, "an epoll set sees the connection complete, and a refusal")
{
    int l = listener(), holder, port = closed_port(&holder), ep = epoll_create1(0);
    int c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), d = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    SAY(ep_add(ep, c, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, 1));
    EPOLL(ep, 8, 0);
    SAY(connect_to(c, port_of(l)));
    EPOLL(ep, 8, 1000);
    EPOLL(ep, 8, 0);
    SAY(ep_add(ep, d, EPOLLIN | EPOLLOUT | EPOLLRDHUP, 2));
    EPOLL(ep, 8, 0);
    SAY(connect_to(d, port));
    EPOLL(ep, 8, 1000);
    ERROR(d);
    EPOLL(ep, 8, 0);
}

CASE(connect_unspec, "AF_UNSPEC undoes a connection: reset at the peer, socket usable again")
{
    int a, b;
    local_pair(&a, &b);
    struct sockaddr_in none = {.sin_family = AF_UNSPEC};
    SAY(connect(a, SA(none), sizeof none));
    MASK(a);
    SAY(peer_port_of(a));
    RECV(a, 10, 0);
    AWAIT(b, POLLIN);
    MASK(b);
    RECV(b, 10, 0);
    RECV(b, 10, 0);
    int l = listener();
    SAY(connect_to(a, port_of(l)));
    expect_local(a);
    int s = FD(accept(l, NULL, NULL));
    SEND(a, "again", 0);
    RECV(s, 10, 0);
}

CASE(connect_unspec_fresh, "AF_UNSPEC on fresh and listening sockets")
{
    int c = socket(AF_INET, SOCK_STREAM, 0), l = listener(), port = port_of(l);
    struct sockaddr_in none = {.sin_family = AF_UNSPEC};
    SAY(connect(c, SA(none), sizeof none));
    MASK(c);
    SAY(connect(l, SA(none), sizeof none));
    int d = socket(AF_INET, SOCK_STREAM, 0);
    SAY(connect_to(d, port));
    SAY(accept(l, NULL, NULL));
}

CASE(unconnected_calls, "every call on a socket that was never connected")
{
    int c = socket(AF_INET, SOCK_STREAM, 0);
    char buffer[8];
    MASK(c);
    RECV(c, 8, 0);
    SAY(read(c, buffer, 8));
    SAY(read(c, buffer, 0));
    RECV(c, 8, MSG_PEEK | MSG_DONTWAIT);
    SEND(c, "x", 0);
    SAY(write(c, "x", 1));
    SAY(write(c, "", 0));
    SEND(c, "x", MSG_NOSIGNAL);
    SAY(shutdown(c, SHUT_RD));
    SAY(shutdown(c, SHUT_RDWR));
    SAY(peer_port_of(c));
    SAY(accept(c, NULL, NULL));
    ERROR(c);
    SAY(xioctl(c, FIONREAD));
    MASK(c);
    SAY(listen(c, 1));
    MASK(c);
}

CASE(connect_self, "a socket connected to itself gets its own bytes")
{
    int c = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in any = at4("127.0.0.1", 0);
    bind(c, SA(any), sizeof any);
    SAY(connect_to(c, port_of(c)));
    say("peer is itself: %s", port_of(c) == peer_port_of(c) ? "yes" : "no");
    SEND(c, "echo", 0);
    MASK(c);
    RECV(c, 10, 0);
    SAY(shutdown(c, SHUT_WR));
    RECV(c, 10, 0);
}

CASE(connect_many, "sixty connections to one listener: distinct ports, accepted in order")
{
    backlog = 100;
    int l = listener(), port = port_of(l), fds[60], distinct = 0, in_order = 0;
    for (int i = 0; i < 60; i++) {
        fds[i] = dial(port);
        char mark = (char)('A' + i);
        send(fds[i], &mark, 1, 0);
    }
    settle();
    for (int i = 0; i < 60; i++) {
        int b = accept(l, NULL, NULL);
        char mark = 0;
        recv(b, &mark, 1, 0);
        in_order += mark == (char)('A' + i) && peer_port_of(b) == port_of(fds[i]);
        int same = 0;
        for (int j = 0; j < i; j++) same += port_of(fds[i]) == port_of(fds[j]);
        distinct += same == 0;
    }
    say("in order %d, distinct %d", in_order, distinct);
    MASK(l);
}

CASE(connect_reuse_cycle, "two hundred connections one after another leave nothing behind")
{
    int l = listener(), port = port_of(l), good = 0, first_fd = -1, same_fd = 0;
    for (int i = 0; i < 200; i++) {
        int c = dial(port), b = accept(l, NULL, NULL);
        if (first_fd < 0) first_fd = c;
        same_fd += c == first_fd;
        char mark = (char)i, got = 0;
        good += send(c, &mark, 1, 0) == 1 && recv(b, &got, 1, 0) == 1 && got == mark;
        close(c);
        good += recv(b, &got, 1, 0) == 0;
        close(b);
    }
    say("good %d, same descriptor %d", good, same_fd);
    MASK(l);
}

DUO_HERE(connect_both_ways,
         "each process listens, and is the other's client: the second way round is as local as the first")
{
    int l = listener(), far = xsocket(AF_INET, SOCK_STREAM);
    SAY(xconnect(far, "127.0.0.1", port_of(l)));
    int b = FD(accept(l, NULL, NULL)), fl = xsocket(AF_INET, SOCK_STREAM);
    SAY(xbind(fl, "127.0.0.1", 0));
    SAY(xlisten(fl, 5));
    int c = dial(xport(fl)), fb = FD(xaccept(fl));
    expect_local(b);
    SEND(c, "there", 0);
    RECV(fb, 10, 0);
    SEND(far, "and back", 0);
    RECV(b, 10, 0);
}
