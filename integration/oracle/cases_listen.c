// Listeners: backlogs, listening again, shutdown, accept4, addresses that are shared, with clients from elsewhere.
#include "oracle.h"

static int client(int port)
{
    int c = xsocket(AF_INET, SOCK_STREAM);
    if (xconnect(c, near_ip, port)) say("client: %s", errno_name(errno));
    return c;
}

// Connections that are there without waiting.
static int take_all(int l)
{
    int count = 0, fd;
    nonblock(l);
    while ((fd = accept(l, NULL, NULL)) >= 0) {
        count++;
        close(fd);
    }
    return count;
}

DUO(listen_again_larger, "listen() again with a larger backlog lets more in")
{
    int l = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = at4(near_ip, 0);
    SAY(bind(l, SA(at), sizeof at));
    SAY(listen(l, 0));
    client(port_of(l));
    SAY(listen(l, 10));
    for (int i = 0; i < 5; i++) client(port_of(l));
    nap(20);
    say("in all %d", take_all(l));
}

DUO(listen_again_smaller, "listen() again with a smaller backlog keeps who is in")
{
    int l = listener();
    for (int i = 0; i < 5; i++) client(port_of(l));
    nap(20);
    SAY(listen(l, 1));
    nap(20);
    say("in all %d", take_all(l));
}

DUO(listen_overflow, "a full backlog: the client waits, and gets in when there is room")
{
    int l = socket(AF_INET, SOCK_STREAM, 0), c[3];
    struct sockaddr_in at = at4(near_ip, 0);
    SAY(bind(l, SA(at), sizeof at));
    SAY(listen(l, 1));
    for (int i = 0; i < 3; i++) {
        c[i] = xsocket(AF_INET, SOCK_STREAM);
        xnonblock(c[i]);
        xconnect(c[i], near_ip, port_of(l));
        if (i < 2)
            xpoll(c[i], POLLOUT, 3000);
        nap(20);
    }
    say("the third: %s", poll_text(xpoll(c[2], POLLOUT, 0)));
    FD(accept(l, NULL, NULL));
    say("the third: %s", poll_text(xpoll(c[2], POLLOUT, 4000)));
    FD(accept(l, NULL, NULL));
    FD(accept(l, NULL, NULL));
    SEND(c[2], "got in", 0);
}

DUO(listen_close_resets, "closing a listener resets who waits in it")
{
    int l = listener(), c = client(port_of(l)), d = client(port_of(l));
    SEND(d, "unheard", 0);
    SAY(close(l));
    ENDED(c);
    ENDED(d);
    RECV(c, 1, 0);
    RECV(d, 1, 0);
    int e = xsocket(AF_INET, SOCK_STREAM);
    SAY(xconnect(e, near_ip, xport(c) ? 1 : 1));
}

DUO(listen_shutdown_wr, "shutdown(SHUT_WR) of a listener means nothing")
{
    int l = listener();
    SAY(shutdown(l, SHUT_WR));
    MASK(l);
    client(port_of(l));
    FD(accept(l, NULL, NULL));
}

DUO(listen_shutdown_rd, "shutdown(SHUT_RD) ends a listener; listen() begins anew")
{
    int l = listener(), c = client(port_of(l));
    SAY(shutdown(l, SHUT_RD));
    MASK(l);
    ENDED(c);
    SAY(accept(l, NULL, NULL));
    SAY(listen(l, 5));
    client(port_of(l));
    FD(accept(l, NULL, NULL));
}

DUO(listen_accept4_flags, "accept4 sets what it is asked to, and nothing else")
{
    static const int flags[] = {0, SOCK_NONBLOCK, SOCK_CLOEXEC, SOCK_NONBLOCK | SOCK_CLOEXEC, 4, O_APPEND};
    int l = listener();
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        if (i < 4) client(port_of(l));
        int s = accept4(l, NULL, NULL, flags[i]);
        if (s < 0) say("%x: %s", flags[i], errno_name(errno));
        else say("%x: F_GETFL %x F_GETFD %x", flags[i], fcntl(s, F_GETFL), fcntl(s, F_GETFD));
    }
}

DUO(listen_nonblock_not_inherited, "O_NONBLOCK and O_ASYNC of a listener are not the connection's")
{
    int l = listener();
    nonblock(l);
    client(port_of(l));
    AWAIT(l, POLLIN);
    int s = FD(accept(l, NULL, NULL));
    say("F_GETFL %x", fcntl(s, F_GETFL));
    SAY(accept(l, NULL, NULL));
}

DUO(listen_name_rooms, "accept with short, no and null names")
{
    int l = listener();
    struct sockaddr_in name;
    for (socklen_t room = 0; room <= 32; room += 8) {
        socklen_t length = room;
        char space[64];
        client(port_of(l));
        int s = accept(l, (struct sockaddr *)space, &length);
        say("%u: %s, length %u", room, s < 0 ? errno_name(errno) : "ok", length);
    }
    socklen_t negative = (socklen_t)-1;
    client(port_of(l));
    int s = accept(l, SA(name), &negative);
    say("negative: %s", s < 0 ? errno_name(errno) : "ok");
    nonblock(l);
    SAY(accept(l, SA(name), &negative) >= 0);
}

DUO(listen_many_clients, "forty clients, each accepted once, none lost")
{
    backlog = 64;
    int l = listener();
    for (int i = 0; i < 40; i++) client(port_of(l));
    nap(30);
    say("in all %d", take_all(l));
    MASK(l);
}

DUO(listen_two_clients_order, "two listeners, the clients of each")
{
    int l = listener(), m = listener(), ep = epoll_create1(0);
    SAY(ep_add(ep, l, EPOLLIN, 1));
    SAY(ep_add(ep, m, EPOLLIN, 2));
    client(port_of(m));
    EPOLL(ep, 4, 1000);
    client(port_of(l));
    AWAIT(l, POLLIN);
    say("both %d", epoll_wait(ep, (struct epoll_event[4]){0}, 4, 0));
    say("%d %d", take_all(l), take_all(m));
}

DUO(listen_dup, "a copy of a listener goes on listening when the first is closed")
{
    int l = listener(), m = dup(l), port = port_of(l);
    SAY(close(l));
    client(port);
    int s = FD(accept(m, NULL, NULL));
    SAY(close(m));
    int c = xsocket(AF_INET, SOCK_STREAM);
    SAY(xconnect(c, near_ip, port));
    say("own port: %d", port_of(s) == port);
}

DUO(listen_restart, "a listener that is closed and opened on the same port with SO_REUSEADDR")
{
    int l = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    struct sockaddr_in at = at4(near_ip, 0);
    SAY(setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    SAY(bind(l, SA(at), sizeof at));
    SAY(listen(l, 5));
    at.sin_port = htons(port_of(l));
    int c = client(port_of(l)), s = FD(accept(l, NULL, NULL));
    SAY(close(l));
    int m = socket(AF_INET, SOCK_STREAM, 0);
    SAY(setsockopt(m, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    SAY(bind(m, SA(at), sizeof at));
    SAY(listen(m, 5));
    SEND(c, "old", 0);
    RECV(s, 10, 0);
    int d = client(port_of(m)), s2 = FD(accept(m, NULL, NULL));
    SEND(d, "new", 0);
    RECV(s2, 10, 0);
}

DUO(listen_reuseaddr_live, "a second listener on a port that listens, with SO_REUSEADDR on both")
{
    int l = listener(), m = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    struct sockaddr_in at = at4(near_ip, port_of(l)), any = at4("0.0.0.0", port_of(l));
    SAY(setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    SAY(setsockopt(m, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    SAY(bind(m, SA(at), sizeof at));
    SAY(bind(m, SA(any), sizeof any));
    client(port_of(l));
    FD(accept(l, NULL, NULL));
}

DUO(listen_bound_only, "a bound socket that does not listen refuses")
{
    int l = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = at4(near_ip, 0);
    SAY(bind(l, SA(at), sizeof at));
    int c = xsocket(AF_INET, SOCK_STREAM);
    SAY(xconnect(c, near_ip, port_of(l)));
    SAY(listen(l, 5));
    SAY(xconnect(c, near_ip, port_of(l)));
    FD(accept(l, NULL, NULL));
}

DUO(listen_unbound_port, "listen() without bind() listens on a port of the kernel's choice")
{
    int l = socket(AF_INET, SOCK_STREAM, 0);
    SAY(listen(l, 5));
    say("port %d", port_of(l) > 0);
    client(port_of(l));
    int s = FD(accept(l, NULL, NULL));
    struct sockaddr_in name = {0};
    socklen_t length = sizeof name;
    getsockname(s, SA(name), &length);
    say("%s", address_text(&name, length, port_of(l)));
}

static int accepting, accepted;
static void accept_it(void *unused)
{
    (void)unused;
    accepted = accept(accepting, NULL, NULL) < 0 ? errno : 0;
}

DUO(listen_thread_waits, "a thread in accept() gets the client")
{
    accepting = listener();
    later_call(0, accept_it, NULL);
    nap(30);
    client(port_of(accepting));
    join_later();
    say("accept there: %s", errno_name(accepted));
}

DUO(listen_thread_shutdown, "shutdown() ends accept() in another thread")
{
    accepting = listener();
    later_call(0, accept_it, NULL);
    nap(30);
    SAY(shutdown(accepting, SHUT_RDWR));
    join_later();
    say("accept there: %s", errno_name(accepted));
}

DUO(listen_rcvtimeo, "SO_RCVTIMEO of a listener, and of what it accepts")
{
    int l = listener();
    struct timeval time = {0, 60000}, got = {0};
    SAY(setsockopt(l, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time));
    TIMED(accept(l, NULL, NULL), 60);
    client(port_of(l));
    int s = FD(accept(l, NULL, NULL));
    socklen_t length = sizeof got;
    SAY(getsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &got, &length));
    say("accepted: %ld.%06ld", (long)got.tv_sec, (long)got.tv_usec);
}

DUO(listen_options_inherited, "what an accepted socket has from its listener")
{
    static const struct { const char *text; int level, name, value; } options[] = {
        {"TCP_NODELAY", IPPROTO_TCP, TCP_NODELAY, 1}, {"SO_KEEPALIVE", SOL_SOCKET, SO_KEEPALIVE, 1},
        {"SO_OOBINLINE", SOL_SOCKET, SO_OOBINLINE, 1}, {"SO_RCVLOWAT", SOL_SOCKET, SO_RCVLOWAT, 3},
        {"TCP_KEEPIDLE", IPPROTO_TCP, TCP_KEEPIDLE, 99}, {"TCP_USER_TIMEOUT", IPPROTO_TCP, TCP_USER_TIMEOUT, 5000},
        {"IP_TOS", IPPROTO_IP, IP_TOS, 0x20}, {"IP_TTL", IPPROTO_IP, IP_TTL, 99},
        {"TCP_LINGER2", IPPROTO_TCP, TCP_LINGER2, 17}, {"TCP_SYNCNT", IPPROTO_TCP, TCP_SYNCNT, 3}};
    int l = listener();
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        xsetopt(l, options[i].level, options[i].name, options[i].value);
    client(port_of(l));
    int s = FD(accept(l, NULL, NULL));
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        say("%s = %ld", options[i].text, xgetopt(s, options[i].level, options[i].name));
}

DUO(listen_calls, "calls that a listener refuses")
{
    int l = listener(), ends[2];
    if (pipe(ends)) return;
    SAY(send(l, "x", 1, MSG_NOSIGNAL));
    SAY(recv(l, bytes, 1, 0));
    SAY(write(l, "x", 1));
    SAY(read(l, bytes, 1));
    SAY(splice(l, NULL, ends[1], NULL, 1, 0));
    SAY(xioctl(l, FIONREAD));
    SAY(xioctl(l, TIOCOUTQ));
    SAY(xioctl(l, SIOCATMARK));
    SAY(peer_port_of(l));
    struct sockaddr_in at = at4(near_ip, 0);
    SAY(bind(l, SA(at), sizeof at));
    SAY(connect(l, SA(at), sizeof at));
    client(port_of(l));
    FD(accept(l, NULL, NULL));
}

DUO(listen_fork_accepts, "a child accepts from its parent's listener")
{
    int l = listener();
    pid_t child = spawn();
    if (child == 0) {
        int s = accept(l, NULL, NULL);
        _exit(s >= 0 && send(s, "from child", 10, 0) == 10 ? 0 : 1);
    }
    int c = client(port_of(l));
    AWAIT(c, POLLIN);
    RECV(c, 20, 0);
    reap(child);
    RECV(c, 20, 0);
    int d = client(port_of(l)), s = FD(accept(l, NULL, NULL));
    SEND(s, "from parent", 0);
    RECV(d, 20, 0);
}
