// bind and listen: addresses in use, wrong calls, restart on the same port.
#include "oracle.h"

static int bound(const char *ip, int port, int reuse)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (reuse) xsetopt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    struct sockaddr_in at = at4(ip, port);
    int r = bind(fd, SA(at), sizeof at);
    say("bind %s %s%s: %s", ip, port ? "that port" : "any port", reuse ? " reuse" : "", r ? errno_name(errno) : "0");
    return fd;
}

static void try_listen(int fd) { say("listen: %s", listen(fd, 2) ? errno_name(errno) : "0"); }

CASE(bind_in_use, "two sockets on one address: EADDRINUSE")
{
    int a = bound("127.0.0.1", 0, 0), port = port_of(a);
    bound("127.0.0.1", port, 0);
    bound("0.0.0.0", port, 0);
    bound("127.0.0.2", port, 0);
    SAY(close(a));
    int b = bound("127.0.0.1", port, 0);
    try_listen(b);
    bound("127.0.0.1", port, 1);
}

CASE(bind_reuseaddr, "SO_REUSEADDR: both may bind, only one may listen")
{
    int a = bound("127.0.0.1", 0, 1), port = port_of(a);
    int b = bound("127.0.0.1", port, 1);
    try_listen(a);
    try_listen(b);
    bound("127.0.0.1", port, 1);
    SAY(close(a));
    try_listen(b);
    int c = dial(port), s = FD(accept(b, NULL, NULL));
    SEND(c, "second listener", 0);
    RECV(s, 100, 0);
}

CASE(bind_reuseaddr_late, "listener without the option blocks others although they have it")
{
    int a = bound("127.0.0.1", 0, 0), port = port_of(a);
    try_listen(a);
    bound("127.0.0.1", port, 1);
    bound("0.0.0.0", port, 1);
}

CASE(bind_twice, "binding again: EINVAL")
{
    int a = bound("127.0.0.1", 0, 0);
    struct sockaddr_in any = at4("127.0.0.1", 0), same = at4("127.0.0.1", port_of(a));
    SAY(bind(a, SA(any), sizeof any));
    SAY(bind(a, SA(same), sizeof same));
    try_listen(a);
    SAY(bind(a, SA(any), sizeof any));
    int x, y;
    local_pair(&x, &y);
    SAY(bind(x, SA(any), sizeof any));
    SAY(bind(y, SA(any), sizeof any));
}

CASE(bind_not_local, "an address that is not ours: EADDRNOTAVAIL")
{
    bound("203.0.113.7", 0, 0);
    bound("8.8.8.8", 1, 1);
    int six = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 at = at6("2001:db8::77", 0);
    SAY(bind(six, SA(at), sizeof at));
    say("no port given: %d", port_of(six));
}

CASE(bind_bad_arguments, "wrong family, length, address, descriptor")
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = at4("127.0.0.1", 0);
    struct sockaddr_in6 six = at6("::1", 0);
    SAY(bind(fd, SA(at), sizeof at - 1));
    SAY(bind(fd, SA(at), 0));
    SAY(bind(fd, SA(at), 2));
    SAY(bind(fd, SA(at), 200));
    SAY(bind(fd, (struct sockaddr *)8, sizeof at));
    SAY(bind(fd, SA(six), sizeof six));
    at.sin_family = AF_UNIX;
    SAY(bind(fd, SA(at), sizeof at));
    SAY(bind(-1, SA(at), sizeof at));
    at.sin_family = AF_UNSPEC;
    SAY(bind(fd, SA(at), sizeof at));
    at = at4("0.0.0.0", 0);
    at.sin_family = AF_UNSPEC;
    SAY(bind(fd, SA(at), sizeof at));
    say("port given: %s", port_of(fd) > 0 ? "yes" : "no");
}

CASE(listen_unbound, "listen without bind picks a port on the wildcard")
{
    int l = socket(AF_INET, SOCK_STREAM, 0);
    SAY(listen(l, 3));
    struct sockaddr_in s = {0};
    socklen_t length = sizeof s;
    getsockname(l, SA(s), &length);
    say("%s", address_text(&s, length, port_of(l)));
    int c = dial(port_of(l)), b = FD(accept(l, NULL, NULL));
    SEND(b, "hi", 0);
    RECV(c, 10, 0);
}

CASE(listen_twice, "listen again only changes the backlog")
{
    int l = listener(), port = port_of(l);
    int c = dial(port);
    SAY(listen(l, 50));
    SAY(listen(l, 0));
    SAY(listen(l, -1));
    say("same port: %s", port == port_of(l) ? "yes" : "no");
    MASK(l);
    int b = FD(accept(l, NULL, NULL));
    SEND(c, "kept", 0);
    RECV(b, 10, 0);
}

PAIR(listen_connected, "listen on a connected socket: EINVAL, and nothing happens to it")
{
    SAY(listen(a, 1));
    SAY(xlisten(b, 1));
    SEND(a, "fine", 0);
    RECV(b, 10, 0);
}

CASE(listen_bad, "listen on what cannot")
{
    SAY(listen(-1, 1));
    SAY(listen(1000, 1));
    int p[2];
    SAY(pipe(p));
    SAY(listen(p[0], 1));
    int u = socket(AF_INET, SOCK_DGRAM, 0);
    SAY(listen(u, 1));
}

CASE(listener_calls, "data calls on a listening socket")
{
    int l = listener();
    RECV(l, 10, 0);
    SEND(l, "x", 0);
    SAY(read(l, bytes, 1));
    SAY(write(l, "x", 1));
    SAY(peer_port_of(l));
    MASK(l);
    ERROR(l);
    SAY(xioctl(l, FIONREAD));
    SAY(xioctl(l, TIOCOUTQ));
    SAY(xioctl(l, SIOCATMARK));
    GETOPT(l, SOL_SOCKET, SO_ACCEPTCONN);
}

CASE(listener_shutdown, "shutdown of a listener: refuses, reads as hung up, can listen again")
{
    int l = listener(), port = port_of(l);
    SAY(shutdown(l, SHUT_WR));
    MASK(l);
    int c = dial(port);
    MASK(l);
    SAY(close(accept(l, NULL, NULL)));
    SAY(close(c));
    SAY(shutdown(l, SHUT_RD));
    MASK(l);
    SAY(accept(l, NULL, NULL));
    int d = socket(AF_INET, SOCK_STREAM, 0);
    SAY(connect_to(d, port));
    GETOPT(l, SOL_SOCKET, SO_ACCEPTCONN);
    SAY(listen(l, 3));
    say("same port: %s", port == port_of(l) ? "yes" : "no");
    SAY(connect_to(d, port_of(l)));
    MASK(l);
    SAY(accept(l, NULL, NULL) >= 0);
}

CASE(restart_same_port, "a server that closed its connections restarts on the port with SO_REUSEADDR")
{
    int l = bound("127.0.0.1", 0, 1), port = port_of(l);
    try_listen(l);
    int c = dial(port), b = accept(l, NULL, NULL);
    SEND(b, "one", 0);
    RECV(c, 10, 0);
    SAY(close(b));
    RECV(c, 10, 0);
    SAY(close(c));
    SAY(close(l));
    int again = bound("127.0.0.1", port, 1);
    try_listen(again);
    c = dial(port);
    b = FD(accept(again, NULL, NULL));
    SEND(b, "two", 0);
    RECV(c, 10, 0);
}

CASE(restart_with_live_connection, "the listener restarts while an old connection goes on")
{
    int l = bound("127.0.0.1", 0, 1), port = port_of(l);
    try_listen(l);
    int c = dial(port), b = accept(l, NULL, NULL);
    SAY(close(l));
    int again = bound("127.0.0.1", port, 1);
    try_listen(again);
    int d = dial(port), e = FD(accept(again, NULL, NULL));
    SEND(c, "old", 0);
    RECV(b, 10, 0);
    SEND(d, "new", 0);
    RECV(e, 10, 0);
}

CASE(restart_after_leaving, "the same where the client's end went to the kernel after the server had closed")
{
    int l = bound("127.0.0.1", 0, 1), port = port_of(l);
    try_listen(l);
    int c = dial(port), s = FD(accept(l, NULL, NULL));
    SAY(close(l));
    SAY(close(s));
    AWAIT(c, POLLIN);
    SETOPT(c, SOL_SOCKET, SO_MARK, 7);
    RECV(c, 1, 0);
    SAY(close(c));
    try_listen(bound("127.0.0.1", port, 1));
}

CASE(restart_without_reuse, "a live connection keeps its port from those who do not say SO_REUSEADDR")
{
    int l = bound("127.0.0.1", 0, 1), port = port_of(l);
    try_listen(l);
    int c = dial(port), b = accept(l, NULL, NULL);
    SAY(close(l));
    bound("127.0.0.1", port, 0);
    SEND(c, "old", 0);
    RECV(b, 10, 0);
}

CASE(restart_after_kill, "a killed server's port can be taken again at once")
{
    struct barrier step = barrier_make();
    int port = 0, *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t child = spawn();
    if (child == 0) {
        int l = bound("127.0.0.1", 0, 1);
        try_listen(l);
        *shared = port_of(l);
        barrier_tell_parent(&step);
        int b = accept(l, NULL, NULL);
        send(b, "from the first", 14, 0);
        pause();
    }
    barrier_wait_child(&step);
    port = *shared;
    int c = dial(port);
    RECV(c, 100, 0);
    kill(child, SIGKILL);
    reap(child);
    AWAIT(c, POLLIN);
    RECV(c, 100, 0);
    close(c);
    int again = bound("127.0.0.1", port, 1);
    try_listen(again);
    c = dial(port);
    int b = FD(accept(again, NULL, NULL));
    SEND(b, "from the second", 0);
    RECV(c, 100, 0);
}

CASE(reuseport_two, "SO_REUSEPORT: two listeners on one port share the clients")
{
    int l[2], port = 0, total = 0;
    for (int i = 0; i < 2; i++) {
        l[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        SETOPT(l[i], SOL_SOCKET, SO_REUSEPORT, 1);
        struct sockaddr_in at = at4("127.0.0.1", port);
        SAY(bind(l[i], SA(at), sizeof at));
        SAY(listen(l[i], 64));
        port = port_of(l[i]);
    }
    int plain = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = at4("127.0.0.1", port);
    SAY(bind(plain, SA(at), sizeof at));
    for (int i = 0; i < 20; i++) dial(port);
    settle();
    for (int i = 0; i < 2; i++)
        while (accept(l[i], NULL, NULL) >= 0) total++;
    say("accepted in all: %d", total);
    SAY(close(l[0]));
    int c = socket(AF_INET, SOCK_STREAM, 0);
    SAY(connect_to(c, port));
    int b = FD(accept(l[1], NULL, NULL));
    SEND(c, "to the one left", 0);
    RECV(b, 100, 0);
}

// Not dial(): where stacks share a port the kernel deals the clients out.
static void knock(int count, int port)
{
    for (int i = 0; i < count; i++) {
        int c = socket(AF_INET, SOCK_STREAM, 0);
        if (connect_to(c, port)) say("connect: %s", errno_name(errno));
    }
    settle();
}

static int accept_all(int l)
{
    int total = 0;
    while (xpoll(l, POLLIN, 0) & POLLIN && xaccept(l) >= 0) total++;
    return total;
}

DUO_HERE(reuseport_shares, "SO_REUSEPORT in two processes: each gets clients, and the one left gets all")
{
    int near = socket(AF_INET, SOCK_STREAM, 0), far = xsocket(AF_INET, SOCK_STREAM);
    SETOPT(near, SOL_SOCKET, SO_REUSEPORT, 1);
    SETOPT(far, SOL_SOCKET, SO_REUSEPORT, 1);
    struct sockaddr_in at = at4("127.0.0.1", 0);
    SAY(bind(near, SA(at), sizeof at));
    SAY(listen(near, 64));
    int port = port_of(near);
    say("bind there: %d", xbind(far, "127.0.0.1", port));
    SAY(xlisten(far, 64));
    knock(40, port);
    int here = accept_all(near), there = accept_all(far);
    say("here %s, there %s, in all %d", here ? "some" : "none", there ? "some" : "none", here + there);
    SAY(close(near));
    knock(10, port);
    say("there %d", accept_all(far));
}

CASE(socket_kinds, "which sockets can be made")
{
    SAY(close(socket(AF_INET, SOCK_STREAM, IPPROTO_TCP)));
    SAY(close(socket(AF_INET6, SOCK_STREAM, IPPROTO_TCP)));
    SAY(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP));
    SAY(socket(AF_INET, SOCK_STREAM, 9999));
    SAY(socket(AF_INET, 99, 0));
    SAY(socket(99, SOCK_STREAM, 0));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    say("nonblock %d, cloexec %d", !!(fcntl(fd, F_GETFL) & O_NONBLOCK), fcntl(fd, F_GETFD));
    say("F_GETFL without it: %#x", fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    int lowest = socket(AF_INET, SOCK_STREAM, 0), middle = socket(AF_INET, SOCK_STREAM, 0);
    close(lowest);
    int again = socket(AF_INET, SOCK_STREAM, 0);
    say("lowest free number is used: %s", again == lowest && middle == lowest + 1 ? "yes" : "no");
}
