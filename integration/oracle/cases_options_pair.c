// Socket options of both ends of a connection, on every path: what they read, what setting them does and gives back.
#include "oracle.h"

struct option {
    const char *text;
    int level, name, value;
};
#define OPTION(level, name, value) {#name, level, name, value}
#define EACH(table, o) for (const struct option *o = table; o < table + sizeof table / sizeof *table; o++)

static const struct option plain[] = {
    OPTION(SOL_SOCKET, SO_TYPE, 1), OPTION(SOL_SOCKET, SO_DOMAIN, 1), OPTION(SOL_SOCKET, SO_PROTOCOL, 1),
    OPTION(SOL_SOCKET, SO_ACCEPTCONN, 1), OPTION(SOL_SOCKET, SO_ERROR, 1), OPTION(SOL_SOCKET, SO_KEEPALIVE, 1),
    OPTION(SOL_SOCKET, SO_OOBINLINE, 1), OPTION(SOL_SOCKET, SO_PRIORITY, 3), OPTION(SOL_SOCKET, SO_RCVLOWAT, 7),
    OPTION(SOL_SOCKET, SO_SNDLOWAT, 7), OPTION(SOL_SOCKET, SO_BROADCAST, 1), OPTION(SOL_SOCKET, SO_TIMESTAMP, 1),
    OPTION(SOL_SOCKET, SO_PASSCRED, 1), OPTION(SOL_SOCKET, SO_NO_CHECK, 1), OPTION(SOL_SOCKET, SO_RXQ_OVFL, 1),
    OPTION(SOL_SOCKET, SO_LOCK_FILTER, 1), OPTION(SOL_SOCKET, SO_REUSEADDR, 1),
    OPTION(SOL_SOCKET, SO_MARK, 0), OPTION(SOL_SOCKET, SO_MAX_PACING_RATE, 100000000)};
static const struct option tcp[] = {
    OPTION(IPPROTO_TCP, TCP_NODELAY, 1), OPTION(IPPROTO_TCP, TCP_CORK, 1), OPTION(IPPROTO_TCP, TCP_KEEPIDLE, 50),
    OPTION(IPPROTO_TCP, TCP_KEEPINTVL, 60), OPTION(IPPROTO_TCP, TCP_KEEPCNT, 4), OPTION(IPPROTO_TCP, TCP_SYNCNT, 4),
    OPTION(IPPROTO_TCP, TCP_LINGER2, 30), OPTION(IPPROTO_TCP, TCP_DEFER_ACCEPT, 5),
    OPTION(IPPROTO_TCP, TCP_USER_TIMEOUT, 30000), OPTION(IPPROTO_TCP, TCP_NOTSENT_LOWAT, 20000),
    OPTION(IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, 1), OPTION(IPPROTO_TCP, TCP_INQ, 1),
    OPTION(IPPROTO_TCP, TCP_TX_DELAY, 0), OPTION(IPPROTO_TCP, 999, 1)};
static const struct option ip[] = {
    OPTION(IPPROTO_IP, IP_TOS, 0x10), OPTION(IPPROTO_IP, IP_TTL, 70), OPTION(IPPROTO_IP, IP_RECVTOS, 1),
    OPTION(IPPROTO_IP, IP_RECVTTL, 1), OPTION(IPPROTO_IP, IP_RECVERR, 1), OPTION(IPPROTO_IP, IP_MTU_DISCOVER, 2),
    OPTION(IPPROTO_IP, IP_FREEBIND, 1), OPTION(IPPROTO_IP, IP_MINTTL, 0), OPTION(IPPROTO_IP, IP_PKTINFO, 1),
    OPTION(IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1),
    OPTION(IPPROTO_IP, 999, 1)};

static void show(int fd, const struct option *o)
{
    int value = -12345;
    socklen_t length = sizeof value;
    int r = getsockopt(fd, o->level, o->name, &value, &length);
    if (r) say("%s: %s", o->text, errno_name(errno));
    else say("%s: %d, length %u", o->text, value, length);
}

static void change(int fd, const struct option *o)
{
    int r = setsockopt(fd, o->level, o->name, &o->value, sizeof o->value);
    say("set %s to %d: %s", o->text, o->value, r ? errno_name(errno) : "0");
    show(fd, o);
}

static void still_works(int a, int b)
{
    SEND(a, "on", 0);
    AWAIT(b, POLLIN);
    RECV(b, 10, 0);
    SEND(b, "and on", 0);
    if (xgetopt(a, SOL_SOCKET, SO_RCVLOWAT) > 1) SETOPT(a, SOL_SOCKET, SO_RCVLOWAT, 1);
    AWAIT(a, POLLIN);
    RECV(a, 10, 0);
}

PAIR(pair_plain_read, "SOL_SOCKET options of a connection")
{
    EACH(plain, o) show(a, o);
    still_works(a, b);
}

PAIR(pair_plain_set, "setting each of SOL_SOCKET")
{
    EACH(plain, o) change(a, o);
    SETOPT(a, SOL_SOCKET, SO_RCVLOWAT, 1);
    still_works(a, b);
}

PAIR(pair_tcp_read, "IPPROTO_TCP options of a connection")
{
    EACH(tcp, o) show(a, o);
    still_works(a, b);
}

PAIR(pair_tcp_set, "setting each of IPPROTO_TCP")
{
    EACH(tcp, o) change(a, o);
    SETOPT(a, IPPROTO_TCP, TCP_CORK, 0);
    still_works(a, b);
}

PAIR(pair_ip_read, "IPPROTO_IP options of a connection")
{
    EACH(ip, o) show(a, o);
    still_works(a, b);
}

PAIR(pair_ip_set, "setting each of IPPROTO_IP")
{
    EACH(ip, o) change(a, o);
    still_works(a, b);
}

PAIR(pair_congestion, "TCP_CONGESTION: names that are there and that are not")
{
    static const char *names[] = {"reno", "cubic", "no-such-thing", ""};
    char name[64];
    for (int i = 0; i < 4; i++) {
        int r = setsockopt(a, IPPROTO_TCP, TCP_CONGESTION, names[i], strlen(names[i]));
        say("set \"%s\": %s", names[i], r ? errno_name(errno) : "0");
        memset(name, 0, sizeof name);
        socklen_t length = sizeof name;
        r = getsockopt(a, IPPROTO_TCP, TCP_CONGESTION, name, &length);
        say("%d \"%s\", length %u", r, name, length);
        length = 3;
        r = getsockopt(a, IPPROTO_TCP, TCP_CONGESTION, name, &length);
        say("%d, length %u", r, length);
    }
    still_works(a, b);
}

PAIR(pair_quickack, "TCP_QUICKACK on, off and by itself")
{
    SETOPT(a, IPPROTO_TCP, TCP_QUICKACK, 0);
    GETOPT(a, IPPROTO_TCP, TCP_QUICKACK);
    SETOPT(a, IPPROTO_TCP, TCP_QUICKACK, 1);
    GETOPT(a, IPPROTO_TCP, TCP_QUICKACK);
    still_works(a, b);
}

PAIR(pair_buffers, "SO_SNDBUF and SO_RCVBUF: doubled, bounded below")
{
    static const int sizes[] = {1, 1000, 10000, 100000};
    for (int i = 0; i < 4; i++) {
        SAY(xsetopt(a, SOL_SOCKET, SO_SNDBUF, sizes[i]));
        GETOPT(a, SOL_SOCKET, SO_SNDBUF);
        SAY(xsetopt(a, SOL_SOCKET, SO_RCVBUF, sizes[i]));
        GETOPT(a, SOL_SOCKET, SO_RCVBUF);
    }
    still_works(a, b);
}

PAIR(pair_linger, "SO_LINGER: read, set, with odd values and lengths")
{
    static const struct linger values[] = {{1, 5}, {7, 0}, {0, 9}, {1, 100000}};
    for (int i = 0; i < 4; i++) {
        struct linger got = {-1, -1};
        socklen_t length = sizeof got;
        SAY(setsockopt(a, SOL_SOCKET, SO_LINGER, &values[i], sizeof values[i]));
        int r = getsockopt(a, SOL_SOCKET, SO_LINGER, &got, &length);
        say("%d: on %d seconds %d length %u", r, got.l_onoff, got.l_linger, length);
    }
    int one = 1;
    SAY(setsockopt(a, SOL_SOCKET, SO_LINGER, &one, sizeof one));
    SAY(setsockopt(a, SOL_SOCKET, SO_LINGER, &values[2], sizeof values[2]));
    still_works(a, b);
}

PAIR(pair_lengths, "options with lengths that do not fit")
{
    int value = 1;
    char byte = 1;
    for (socklen_t length = 0; length <= 5; length++) {
        socklen_t room = length;
        int r = setsockopt(a, IPPROTO_TCP, TCP_NODELAY, &value, length);
        say("set %u: %s", length, r ? errno_name(errno) : "0");
        r = getsockopt(a, IPPROTO_TCP, TCP_NODELAY, &value, &room);
        say("get %u: %s, length %u", length, r ? errno_name(errno) : "0", room);
        value = 1;
    }
    SAY(setsockopt(a, IPPROTO_IP, IP_TOS, &byte, 1));
    SAY(setsockopt(a, IPPROTO_IP, IP_TTL, &byte, 1));
    SAY(setsockopt(a, SOL_SOCKET, SO_KEEPALIVE, &byte, 1));
    SAY(setsockopt(a, 12345, 1, &value, sizeof value));
    SAY(setsockopt(a, IPPROTO_UDP, 1, &value, sizeof value));
    SAY(setsockopt(a, IPPROTO_IPV6, IPV6_V6ONLY, &value, sizeof value));
    still_works(a, b);
}

PAIR(pair_after_reset, "options of a connection that was reset")
{
    SAY(xlinger(b, 1, 0));
    SAY(xclose(b));
    ENDED(a);
    EACH(tcp, o) show(a, o);
    GETOPT(a, SOL_SOCKET, SO_ERROR);
    GETOPT(a, SOL_SOCKET, SO_ERROR);
    SETOPT(a, IPPROTO_TCP, TCP_NODELAY, 1);
    SETOPT(a, SOL_SOCKET, SO_KEEPALIVE, 1);
}

PAIR(pair_ulp, "TCP_ULP and TCP_REPAIR are for those who may")
{
    SAY(setsockopt(a, IPPROTO_TCP, TCP_ULP, "nothing", 7));
    SAY(setsockopt(a, IPPROTO_TCP, TCP_ULP, "", 0));
    char name[16] = "";
    socklen_t length = sizeof name;
    SAY(getsockopt(a, IPPROTO_TCP, TCP_ULP, name, &length));
    say("length %u", length);
    still_works(a, b);
}

PAIR(pair_cookie, "SO_COOKIE, SO_INCOMING_CPU, SO_MEMINFO, SO_PEERCRED, SO_PEERNAME are answered")
{
    uint64_t cookie = 0, again = 0;
    socklen_t length = sizeof cookie;
    SAY(getsockopt(a, SOL_SOCKET, SO_COOKIE, &cookie, &length));
    SAY(getsockopt(a, SOL_SOCKET, SO_COOKIE, &again, &length));
    say("set %d, the same %d", cookie != 0, cookie == again);
    uint32_t memory[16];
    length = sizeof memory;
    SAY(getsockopt(a, SOL_SOCKET, SO_MEMINFO, memory, &length));
    struct { int pid, uid, gid; } credentials = {1, 1, 1};
    length = sizeof credentials;
    SAY(getsockopt(a, SOL_SOCKET, SO_PEERCRED, &credentials, &length));
    say("%d %d %d", credentials.pid, credentials.uid, credentials.gid);
    struct sockaddr_in name = {0};
    length = sizeof name;
    SAY(getsockopt(a, SOL_SOCKET, SO_PEERNAME, &name, &length));
    say("peer %d", ntohs(name.sin_port) == peer_port_of(a) && peer_port_of(a) > 0);
    still_works(a, b);
}

PAIR(pair_ioctls, "ioctls of a connection")
{
    static const struct { const char *text; unsigned long request; } requests[] = {
        {"FIONREAD", FIONREAD}, {"TIOCOUTQ", TIOCOUTQ}, {"SIOCATMARK", SIOCATMARK}, {"SIOCOUTQNSD", 0x894B},
        {"FIOGETOWN", FIOGETOWN}, {"SIOCGPGRP", SIOCGPGRP}, {"TCGETS", 0x5401}, {"TIOCGWINSZ", 0x5413},
        {"FIOQSIZE", 0x5460}, {"unknown", 0x12345}};
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        char room[256] = {0};
        int r = ioctl(a, requests[i].request, room);
        say("%s: %s %d", requests[i].text, r < 0 ? errno_name(errno) : "ok", *(int *)room);
    }
    SEND(b, "four", 0);
    AWAIT(a, POLLIN);
    say("FIONREAD %ld", xioctl(a, FIONREAD));
    RECV(a, 1, 0);
    say("FIONREAD %ld", xioctl(a, FIONREAD));
    SAY(xclose(b));
    AWAIT(a, POLLRDHUP);
    say("FIONREAD %ld", xioctl(a, FIONREAD));
}

PAIR(pair_names, "getsockname and getpeername through a connection's life, with all kinds of rooms")
{
    struct sockaddr_storage s;
    for (socklen_t room = 0; room <= 32; room += 8) {
        socklen_t length = room;
        memset(&s, 0, sizeof s);
        say("getsockname %u: %d, length %u family %d", room, getsockname(a, SA(s), &length), length, s.ss_family);
        length = room;
        memset(&s, 0, sizeof s);
        say("getpeername %u: %d, length %u family %d", room, getpeername(a, SA(s), &length), length, s.ss_family);
    }
    int port = peer_port_of(a);
    SAY(xshutdown(b, SHUT_WR));
    AWAIT(a, POLLRDHUP);
    say("half closed: %d", peer_port_of(a) == port);
    SAY(shutdown(a, SHUT_WR));
    nap(20);
    say("closed: %s", peer_port_of(a) == port ? "kept" : errno_name(errno));
    say("own: %d", port_of(a) > 0);
}

PAIR(pair_user_timeout, "TCP_USER_TIMEOUT with bad values, and data that is acknowledged in time")
{
    SETOPT(a, IPPROTO_TCP, TCP_USER_TIMEOUT, -1);
    SETOPT(a, IPPROTO_TCP, TCP_USER_TIMEOUT, 1000);
    GETOPT(a, IPPROTO_TCP, TCP_USER_TIMEOUT);
    still_works(a, b);
    nap(1200);
    still_works(a, b);
}

PAIR(pair_notsent_lowat, "TCP_NOTSENT_LOWAT and a writer that is polled")
{
    SETOPT(a, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 16384);
    MASK(a);
    still_works(a, b);
    nonblock(a);
    say("filled %d", fill(a) > 0);
    say("drained %d", xrecv(b, bytes, 1000, MSG_WAITALL) == 1000);
}
