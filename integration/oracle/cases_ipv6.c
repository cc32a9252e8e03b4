// IPv6: ::1, mapped IPv4 clients, V6ONLY, names and options.
#include "oracle.h"

static void names6(const char *who, int fd, int own, int peer)
{
    struct sockaddr_storage s = {0};
    socklen_t length = sizeof s;
    int r = getsockname(fd, SA(s), &length);
    say("%s sockname: %s", who, r ? errno_name(errno) : address_text(&s, length, own));
    length = sizeof s;
    r = getpeername(fd, SA(s), &length);
    say("%s peername: %s", who, r ? errno_name(errno) : address_text(&s, length, peer));
}

CASE(ipv6_pair, "::1 to ::1: names, data, end")
{
    int a, b;
    local_pair6(&a, &b);
    names6("client", a, port_of(a), port_of(b));
    names6("server", b, port_of(b), port_of(a));
    SEND(a, "six", 0);
    MASK(b);
    RECV(b, 10, 0);
    SEND(b, "answer", 0);
    RECV(a, 10, 0);
    SAY(shutdown(a, SHUT_WR));
    AWAIT(b, POLLIN);
    RECV(b, 10, 0);
    SAY(close(b));
    AWAIT(a, POLLIN);
    MASK(a);
    RECV(a, 10, 0);
}

CASE(ipv6_listener_takes_v4, "a listener on :: takes IPv4 clients under mapped names")
{
    int l = listener6("::", 0), port = port_of(l);
    int c = dial(port);
    struct sockaddr_storage s = {0};
    socklen_t length = sizeof s;
    int b = FD(accept(l, SA(s), &length));
    say("accepted from %s", address_text(&s, length, port_of(c)));
    names6("client", c, port_of(c), port);
    names6("server", b, port, port_of(c));
    SEND(c, "four to six", 0);
    RECV(b, 100, 0);
    GETOPT(b, SOL_SOCKET, SO_DOMAIN);
    GETOPT(c, SOL_SOCKET, SO_DOMAIN);
    int d = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 to = at6("::1", port);
    SAY(connect(d, SA(to), sizeof to));
    expect_local(d);
    length = sizeof s;
    int e = FD(accept(l, SA(s), &length));
    say("accepted from %s", address_text(&s, length, port_of(d)));
    SEND(e, "six to six", 0);
    RECV(d, 100, 0);
}

CASE(ipv6_mapped_client, "an IPv6 socket connects to an IPv4 listener by its mapped address")
{
    int l = listener(), port = port_of(l), c = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 to = at6("::ffff:127.0.0.1", port);
    SAY(connect(c, SA(to), sizeof to));
    expect_local(c);
    struct sockaddr_storage s = {0};
    socklen_t length = sizeof s;
    int b = FD(accept(l, SA(s), &length));
    say("accepted from %s", address_text(&s, length, port_of(c)));
    names6("client", c, port_of(c), port);
    names6("server", b, port, port_of(c));
    SEND(c, "mapped", 0);
    RECV(b, 100, 0);
}

CASE(ipv6_mapped_both, "mapped listener, mapped and plain clients")
{
    int l = listener6("::ffff:127.0.0.1", 0), port = port_of(l);
    names6("listener", l, port, 0);
    int c = dial(port), b = FD(accept(l, NULL, NULL));
    names6("server", b, port, port_of(c));
    SEND(c, "x", 0);
    RECV(b, 1, 0);
    int d = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 to = at6("::1", port), mapped = at6("::ffff:127.0.0.1", port);
    SAY(connect(d, SA(to), sizeof to));
    SAY(connect(d, SA(mapped), sizeof mapped));
    b = FD(accept(l, NULL, NULL));
    SEND(d, "y", 0);
    RECV(b, 1, 0);
}

CASE(ipv6_only, "V6ONLY refuses IPv4 clients, and leaves the IPv4 port free")
{
    int l, port, c = socket(AF_INET, SOCK_STREAM, 0), four = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at;
    // A port that nobody else happens to use on IPv4.
    for (int i = 0; i < 20; i++) {
        l = listener6("::", 1);
        port = port_of(l);
        at = at4("0.0.0.0", port);
        if (bind(four, SA(at), sizeof at) == 0) break;
    }
    GETOPT(l, IPPROTO_IPV6, IPV6_V6ONLY);
    SAY(connect_to(c, port));
    SAY(listen(four, 4));
    SAY(connect_to(c, port));
    MASK(four);
    MASK(l);
    int b = FD(accept(four, NULL, NULL));
    SEND(c, "to the other one", 0);
    RECV(b, 100, 0);
}

CASE(ipv6_not_only_takes_port, "without V6ONLY the IPv4 port is taken")
{
    int l = listener6("::", 0), port = port_of(l), four = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = at4("0.0.0.0", port), loop = at4("127.0.0.1", port);
    SAY(bind(four, SA(at), sizeof at));
    SAY(bind(four, SA(loop), sizeof loop));
    SETOPT(l, IPPROTO_IPV6, IPV6_V6ONLY, 1);
}

CASE(ipv6_only_option, "IPV6_V6ONLY: before bind, after bind, on IPv4 sockets")
{
    int fd = socket(AF_INET6, SOCK_STREAM, 0), four = socket(AF_INET, SOCK_STREAM, 0);
    GETOPT(fd, IPPROTO_IPV6, IPV6_V6ONLY);
    SETOPT(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    GETOPT(fd, IPPROTO_IPV6, IPV6_V6ONLY);
    struct sockaddr_in6 mapped = at6("::ffff:127.0.0.1", 0), own = at6("::1", 0);
    SAY(bind(fd, SA(mapped), sizeof mapped));
    SAY(connect(fd, SA(mapped), sizeof mapped));
    SAY(bind(fd, SA(own), sizeof own));
    SETOPT(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    SETOPT(four, IPPROTO_IPV6, IPV6_V6ONLY, 1);
}

CASE(ipv6_refused, "::1 without a listener, and wrong families and lengths")
{
    int holder, port = closed_port(&holder), c = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 to = at6("::1", port);
    SAY(connect(c, SA(to), sizeof to));
    SAY(connect(c, SA(to), 24));
    SAY(connect(c, SA(to), 23));
    SAY(connect(c, SA(to), 16));
    struct sockaddr_in four = at4("127.0.0.1", port);
    SAY(connect(c, SA(four), sizeof four));
    SAY(bind(c, SA(four), sizeof four));
    SAY(bind(c, SA(to), 20));
}

CASE(ipv6_any_connect, "connecting to :: reaches ::1")
{
    int l = listener6("::", 1), c = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 to = at6("::", port_of(l));
    SAY(connect(c, SA(to), sizeof to));
    expect_local(c);
    int b = FD(accept(l, NULL, NULL));
    names6("client", c, port_of(c), port_of(l));
    names6("server", b, port_of(l), port_of(c));
    SEND(c, "x", 0);
    RECV(b, 1, 0);
}

CASE(ipv6_options, "IPPROTO_IPV6 options in four states, and IPPROTO_IP on IPv6 sockets")
{
    static const struct { const char *text; int name, value; } options[] = {
        {"IPV6_V6ONLY", IPV6_V6ONLY, 1}, {"IPV6_TCLASS", IPV6_TCLASS, 32}, {"IPV6_UNICAST_HOPS", IPV6_UNICAST_HOPS, 9},
        {"IPV6_RECVPKTINFO", IPV6_RECVPKTINFO, 1}, {"IPV6_RECVTCLASS", IPV6_RECVTCLASS, 1},
        {"IPV6_MTU_DISCOVER", IPV6_MTU_DISCOVER, 1}, {"IPV6_DONTFRAG", IPV6_DONTFRAG, 1},
        {"IPV6_RECVERR", IPV6_RECVERR, 1}};
    int l = listener6("::1", 1), c = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 to = at6("::1", port_of(l));
    SAY(connect(c, SA(to), sizeof to));
    expect_local(c);
    int fds[] = {socket(AF_INET6, SOCK_STREAM, 0), l, c, accept(l, NULL, NULL)};
    static const char *names[] = {"fresh", "listening", "connected", "accepted"};
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < 4; j++) {
            int value = -9, set;
            socklen_t length = sizeof value;
            int r = getsockopt(fds[j], IPPROTO_IPV6, options[i].name, &value, &length);
            say("%s %s: %s %d", names[j], options[i].text, r ? errno_name(errno) : "0", value);
            set = setsockopt(fds[j], IPPROTO_IPV6, options[i].name, &options[i].value, sizeof(int));
            say("  set: %s", set ? errno_name(errno) : "0");
            r = getsockopt(fds[j], IPPROTO_IPV6, options[i].name, &value, &length);
            say("  now: %s %d", r ? errno_name(errno) : "0", value);
        }
    GETOPT(c, IPPROTO_IP, IP_TTL);
    SETOPT(c, IPPROTO_IP, IP_TOS, 16);
    GETOPT(c, IPPROTO_IP, IP_TOS);
}

CASE(ipv6_unspec, "AF_UNSPEC undoes an IPv6 connection")
{
    int a, b;
    local_pair6(&a, &b);
    struct sockaddr_in6 none = {.sin6_family = AF_UNSPEC};
    SAY(connect(a, SA(none), sizeof none));
    AWAIT(b, POLLIN);
    RECV(b, 1, 0);
    MASK(a);
    names6("undone", a, 0, 0);
}

CASE(ipv6_scope_and_flow, "scope and flow fields of the names are zero")
{
    int a, b;
    local_pair6(&a, &b);
    struct sockaddr_in6 s;
    memset(&s, 0xee, sizeof s);
    socklen_t length = sizeof s;
    SAY(getpeername(b, SA(s), &length));
    say("scope %u flow %u", s.sin6_scope_id, s.sin6_flowinfo);
    memset(&s, 0xee, sizeof s);
    length = sizeof s;
    SAY(getsockname(a, SA(s), &length));
    say("scope %u flow %u", s.sin6_scope_id, s.sin6_flowinfo);
    length = 10;
    SAY(getsockname(a, SA(s), &length));
    say("length %u", length);
}

CASE(ipv6_reset, "reset, linger and SIGPIPE over ::1")
{
    int a, b;
    local_pair6(&a, &b);
    SEND(a, "never read", 0);
    SAY(close(b));
    AWAIT(a, POLLHUP);
    MASK(a);
    RECV(a, 10, 0);
    SEND(a, "x", 0);
    local_pair6(&a, &b);
    set_linger(a, 1, 0);
    SAY(close(a));
    AWAIT(b, POLLHUP);
    RECV(b, 10, 0);
}

CASE(ipv6_bulk, "2 MB each way over ::1")
{
    int a, b;
    local_pair6(&a, &b);
    later_pump(0, a, 1, 2 << 20);
    later_pump(0, b, 2, 2 << 20);
    later_sink(0, b, 1, 2 << 20);
    SAY(xsink(a, 2, 2 << 20));
    SAY(join_later());
}

CASE(own_address, "a non-loopback address of this host, if it has one, else 127.0.0.9")
{
    struct sockaddr_in probe = at4("198.51.100.1", 9), s = {0};
    socklen_t length = sizeof s;
    int u = socket(AF_INET, SOCK_DGRAM, 0);
    if (connect(u, SA(probe), sizeof probe) || getsockname(u, SA(s), &length)) s = at4("127.0.0.9", 0);
    s.sin_port = 0;
    int l = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0);
    SAY(bind(l, SA(s), sizeof s));
    SAY(listen(l, 3));
    struct sockaddr_in to = s;
    to.sin_port = htons((uint16_t)port_of(l));
    SAY(connect(c, SA(to), sizeof to));
    expect_local(c);
    int b = FD(accept(l, NULL, NULL));
    struct sockaddr_in name = {0};
    length = sizeof name;
    SAY(getpeername(b, SA(name), &length));
    say("the client's address is the listener's: %d", name.sin_addr.s_addr == s.sin_addr.s_addr);
    SEND(c, "own", 0);
    RECV(b, 10, 0);
    SAY(close(c));
    AWAIT(b, POLLIN);
}
