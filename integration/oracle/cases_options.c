// Socket options: values before and after, in each state of a socket; wrong lengths, levels and values.
#include "oracle.h"

struct option {
    const char *text;
    int level, name;
};
#define OPTION(level, name) {#name, level, name}

static void get(const char *who, int fd, const struct option *o)
{
    int value = -12345;
    socklen_t length = sizeof value;
    int r = getsockopt(fd, o->level, o->name, &value, &length);
    if (r) say("%s %s: %s", who, o->text, errno_name(errno));
    else say("%s %s: %d, length %u", who, o->text, value, length);
}

static void set(const char *who, int fd, const struct option *o, int value)
{
    int r = setsockopt(fd, o->level, o->name, &value, sizeof value);
    say("%s set %s %d: %s", who, o->text, value, r ? errno_name(errno) : "0");
}

static const struct option plain[] = {
    OPTION(SOL_SOCKET, SO_TYPE), OPTION(SOL_SOCKET, SO_DOMAIN), OPTION(SOL_SOCKET, SO_PROTOCOL),
    OPTION(SOL_SOCKET, SO_ACCEPTCONN), OPTION(SOL_SOCKET, SO_ERROR), OPTION(SOL_SOCKET, SO_KEEPALIVE),
    OPTION(SOL_SOCKET, SO_REUSEADDR), OPTION(SOL_SOCKET, SO_REUSEPORT), OPTION(SOL_SOCKET, SO_OOBINLINE),
    OPTION(SOL_SOCKET, SO_PRIORITY), OPTION(SOL_SOCKET, SO_RCVLOWAT), OPTION(SOL_SOCKET, SO_SNDLOWAT),
    OPTION(SOL_SOCKET, SO_BROADCAST), OPTION(SOL_SOCKET, SO_DONTROUTE), OPTION(SOL_SOCKET, SO_TIMESTAMP),
    OPTION(SOL_SOCKET, SO_MARK), OPTION(SOL_SOCKET, SO_BUSY_POLL), OPTION(SOL_SOCKET, SO_ZEROCOPY),
    OPTION(SOL_SOCKET, SO_PASSCRED), OPTION(SOL_SOCKET, SO_DEBUG), OPTION(SOL_SOCKET, SO_NO_CHECK),
    OPTION(SOL_SOCKET, SO_RXQ_OVFL), OPTION(SOL_SOCKET, SO_LOCK_FILTER), OPTION(SOL_SOCKET, SO_INCOMING_NAPI_ID)};
static const struct option tcp[] = {
    OPTION(IPPROTO_TCP, TCP_NODELAY), OPTION(IPPROTO_TCP, TCP_CORK), OPTION(IPPROTO_TCP, TCP_KEEPIDLE),
    OPTION(IPPROTO_TCP, TCP_KEEPINTVL), OPTION(IPPROTO_TCP, TCP_KEEPCNT), OPTION(IPPROTO_TCP, TCP_SYNCNT),
    OPTION(IPPROTO_TCP, TCP_LINGER2), OPTION(IPPROTO_TCP, TCP_DEFER_ACCEPT), OPTION(IPPROTO_TCP, TCP_USER_TIMEOUT),
    OPTION(IPPROTO_TCP, TCP_FASTOPEN), OPTION(IPPROTO_TCP, TCP_NOTSENT_LOWAT), OPTION(IPPROTO_TCP, TCP_THIN_DUPACK),
    OPTION(IPPROTO_TCP, TCP_FASTOPEN_CONNECT), OPTION(IPPROTO_TCP, TCP_REPAIR), OPTION(IPPROTO_TCP, TCP_SAVE_SYN),
    OPTION(IPPROTO_TCP, TCP_INQ)};
static const struct option ip[] = {
    OPTION(IPPROTO_IP, IP_TOS), OPTION(IPPROTO_IP, IP_TTL), OPTION(IPPROTO_IP, IP_RECVTOS),
    OPTION(IPPROTO_IP, IP_RECVERR), OPTION(IPPROTO_IP, IP_MTU_DISCOVER), OPTION(IPPROTO_IP, IP_FREEBIND),
    OPTION(IPPROTO_IP, IP_TRANSPARENT), OPTION(IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT), OPTION(IPPROTO_IP, IP_MINTTL),
    OPTION(IPPROTO_IP, IP_PKTINFO), OPTION(IPPROTO_IP, IP_HDRINCL)};
#define EACH(table, o) for (const struct option *o = table; o < table + sizeof table / sizeof *table; o++)

static void in_states(const struct option *first, int count)
{
    int fresh = socket(AF_INET, SOCK_STREAM, 0), l = listener(), c = dial(port_of(l)), b = accept(l, NULL, NULL);
    for (const struct option *o = first; o < first + count; o++) {
        get("fresh", fresh, o);
        get("listening", l, o);
        get("connected", c, o);
        get("accepted", b, o);
    }
}

static void set_states(const struct option *first, int count, int value)
{
    int fresh = socket(AF_INET, SOCK_STREAM, 0), l = listener(), c = dial(port_of(l)), b = accept(l, NULL, NULL);
    for (const struct option *o = first; o < first + count; o++) {
        int fds[] = {fresh, l, c, b};
        static const char *names[] = {"fresh", "listening", "connected", "accepted"};
        for (int i = 0; i < 4; i++) {
            set(names[i], fds[i], o, value);
            get(names[i], fds[i], o);
        }
    }
}
#define COUNT(table) (int)(sizeof table / sizeof *table)

CASE(options_socket_initial, "SOL_SOCKET options as they start, in four states") { in_states(plain, COUNT(plain)); }
CASE(options_tcp_initial, "IPPROTO_TCP options as they start, in four states") { in_states(tcp, COUNT(tcp)); }
CASE(options_ip_initial, "IPPROTO_IP options as they start, in four states") { in_states(ip, COUNT(ip)); }

static const struct option settable[] = {
    OPTION(SOL_SOCKET, SO_KEEPALIVE), OPTION(SOL_SOCKET, SO_REUSEADDR), OPTION(SOL_SOCKET, SO_REUSEPORT),
    OPTION(SOL_SOCKET, SO_OOBINLINE), OPTION(SOL_SOCKET, SO_PRIORITY), OPTION(SOL_SOCKET, SO_BROADCAST),
    OPTION(SOL_SOCKET, SO_DONTROUTE), OPTION(SOL_SOCKET, SO_TIMESTAMP)};
CASE(options_socket_set, "SOL_SOCKET options set to 1") { set_states(settable, COUNT(settable), 1); }

CASE(options_socket_set_odd, "SOL_SOCKET booleans set to 5 and -1 read back as 1, set to 0 as 0")
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    for (int i = 0; i < COUNT(settable); i++) {
        set("fresh", fd, &settable[i], 5);
        get("fresh", fd, &settable[i]);
        set("fresh", fd, &settable[i], -1);
        get("fresh", fd, &settable[i]);
        set("fresh", fd, &settable[i], 0);
        get("fresh", fd, &settable[i]);
    }
}

CASE(options_read_only, "options that cannot be set")
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    for (int i = 0; i < 5; i++) set("fresh", fd, &plain[i], 1);
    struct tcp_info info = {0};
    SAY(setsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, sizeof info));
    SAY(setsockopt(fd, SOL_SOCKET, SO_PEERCRED, &info, 12));
}

static const struct option tcp_settable[] = {
    OPTION(IPPROTO_TCP, TCP_NODELAY), OPTION(IPPROTO_TCP, TCP_CORK), OPTION(IPPROTO_TCP, TCP_KEEPIDLE),
    OPTION(IPPROTO_TCP, TCP_KEEPINTVL), OPTION(IPPROTO_TCP, TCP_KEEPCNT), OPTION(IPPROTO_TCP, TCP_SYNCNT),
    OPTION(IPPROTO_TCP, TCP_USER_TIMEOUT), OPTION(IPPROTO_TCP, TCP_NOTSENT_LOWAT), OPTION(IPPROTO_TCP, TCP_LINGER2)};
CASE(options_tcp_set, "IPPROTO_TCP options set to 7") { set_states(tcp_settable, COUNT(tcp_settable), 7); }

CASE(options_tcp_limits, "IPPROTO_TCP options out of range")
{
    static const int values[] = {0, -1, 127, 128, 255, 32767, 32768, 1 << 30};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    EACH(tcp_settable, o)
        for (int i = 0; i < 8; i++) {
            set("fresh", fd, o, values[i]);
            get("fresh", fd, o);
        }
}

CASE(options_ip_set, "IP_TOS and IP_TTL and others set in four states")
{
    set_states(ip, 2, 16);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    static const int values[] = {0, 3, 255, 256, -1};
    for (int j = 0; j < 9; j++)
        for (int i = 0; i < 5; i++) {
            set("fresh", fd, &ip[j], values[i]);
            get("fresh", fd, &ip[j]);
        }
}

PAIR(options_nodelay_bytes, "TCP_NODELAY with a one-byte value, and what comes back")
{
    char one = 1, zero = 0;
    int value = -1;
    socklen_t length = 4;
    SAY(setsockopt(a, IPPROTO_TCP, TCP_NODELAY, &one, 1));
    SAY(setsockopt(a, IPPROTO_TCP, TCP_NODELAY, &zero, 0));
    value = 9;
    SAY(setsockopt(a, IPPROTO_TCP, TCP_NODELAY, &value, 4));
    SAY(getsockopt(a, IPPROTO_TCP, TCP_NODELAY, &value, &length));
    say("%d length %u", value, length);
    SETOPT(b, IPPROTO_TCP, TCP_NODELAY, 1);
    GETOPT(b, IPPROTO_TCP, TCP_NODELAY);
}

PAIR(options_lengths, "lengths too short, too long, negative, zero; bad pointers")
{
    char room[64];
    (void)b;
    for (int length = 0; length <= 12; length += 2) {
        memset(room, 0xee, sizeof room);
        socklen_t given = (socklen_t)length;
        int r = getsockopt(a, SOL_SOCKET, SO_KEEPALIVE, room, &given);
        say("get SO_KEEPALIVE %d: %s, length %u, %s", length, r ? errno_name(errno) : "0", given, data_text(room, 12));
        given = (socklen_t)length;
        memset(room, 0xee, sizeof room);
        r = getsockopt(a, IPPROTO_TCP, TCP_NODELAY, room, &given);
        say("get TCP_NODELAY %d: %s, length %u, %s", length, r ? errno_name(errno) : "0", given, data_text(room, 12));
        given = (socklen_t)length;
        memset(room, 0xee, sizeof room);
        r = getsockopt(a, IPPROTO_IP, IP_TTL, room, &given);
        say("get IP_TTL %d: %s, length %u, %s", length, r ? errno_name(errno) : "0", given, data_text(room, 12));
        memset(room, 0, sizeof room);
        r = setsockopt(a, SOL_SOCKET, SO_KEEPALIVE, room, length);
        say("set SO_KEEPALIVE %d: %s", length, r ? errno_name(errno) : "0");
        r = setsockopt(a, IPPROTO_IP, IP_TOS, room, length);
        say("set IP_TOS %d: %s", length, r ? errno_name(errno) : "0");
    }
    socklen_t length = (socklen_t)-1;
    SAY(getsockopt(a, SOL_SOCKET, SO_KEEPALIVE, room, &length));
    SAY(getsockopt(a, IPPROTO_TCP, TCP_NODELAY, room, &length));
    length = 4;
    SAY(getsockopt(a, SOL_SOCKET, SO_KEEPALIVE, (void *)8, &length));
    SAY(getsockopt(a, SOL_SOCKET, SO_KEEPALIVE, room, (socklen_t *)8));
    SAY(getsockopt(a, SOL_SOCKET, SO_KEEPALIVE, room, NULL));
    SAY(setsockopt(a, SOL_SOCKET, SO_KEEPALIVE, NULL, 4));
    SAY(setsockopt(a, SOL_SOCKET, SO_KEEPALIVE, (void *)8, 4));
    SAY(setsockopt(a, SOL_SOCKET, SO_KEEPALIVE, room, (socklen_t)-4));
    SAY(setsockopt(a, IPPROTO_TCP, TCP_NODELAY, (void *)8, 4));
}

PAIR(options_wrong_levels, "levels and names that do not exist")
{
    int value = 1;
    socklen_t length = sizeof value;
    (void)b;
    static const int levels[] = {SOL_SOCKET, IPPROTO_TCP, IPPROTO_IP, IPPROTO_IPV6, IPPROTO_UDP, 4711, -1};
    for (int i = 0; i < 7; i++) {
        SAY(getsockopt(a, levels[i], 20000, &value, &length));
        SAY(setsockopt(a, levels[i], 20000, &value, sizeof value));
        SAY(getsockopt(a, levels[i], -1, &value, &length));
    }
    SAY(getsockopt(a, IPPROTO_IPV6, IPV6_V6ONLY, &value, &length));
    SAY(setsockopt(a, IPPROTO_IPV6, IPV6_V6ONLY, &value, sizeof value));
}

CASE(options_congestion, "TCP_CONGESTION: the name, set to what is there and to what is not")
{
    int a, b;
    local_pair(&a, &b);
    char name[32] = {0};
    socklen_t length = sizeof name;
    SAY(getsockopt(a, IPPROTO_TCP, TCP_CONGESTION, name, &length));
    say("%s length %u", name, length);
    SAY(setsockopt(a, IPPROTO_TCP, TCP_CONGESTION, "reno", 4));
    length = sizeof name;
    SAY(getsockopt(a, IPPROTO_TCP, TCP_CONGESTION, name, &length));
    say("%s length %u", name, length);
    SAY(setsockopt(a, IPPROTO_TCP, TCP_CONGESTION, "nonesuch", 8));
    SAY(setsockopt(a, IPPROTO_TCP, TCP_CONGESTION, "", 0));
    length = 3;
    memset(name, '.', 8);
    SAY(getsockopt(a, IPPROTO_TCP, TCP_CONGESTION, name, &length));
    say("%.6s length %u", name, length);
}

CASE(options_maxseg, "TCP_MAXSEG before a connection, and its limits")
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    GETOPT(fd, IPPROTO_TCP, TCP_MAXSEG);
    SETOPT(fd, IPPROTO_TCP, TCP_MAXSEG, 1000);
    GETOPT(fd, IPPROTO_TCP, TCP_MAXSEG);
    SETOPT(fd, IPPROTO_TCP, TCP_MAXSEG, 10);
    SETOPT(fd, IPPROTO_TCP, TCP_MAXSEG, 100000);
    SETOPT(fd, IPPROTO_TCP, TCP_MAXSEG, 0);
    int a, b;
    local_pair(&a, &b);
    say("connected: sensible: %s", xgetopt(a, IPPROTO_TCP, TCP_MAXSEG) > 500 ? "yes" : "no");
}

CASE(options_tcp_info, "TCP_INFO: state and length, short buffers")
{
    int a, b;
    local_pair(&a, &b);
    struct tcp_info info;
    memset(&info, 0xee, sizeof info);
    socklen_t length = sizeof info;
    SAY(getsockopt(a, IPPROTO_TCP, TCP_INFO, &info, &length));
    say("length all: %s, state %d, ca %d, retransmits %d", length == sizeof info ? "yes" : "no", info.tcpi_state,
        info.tcpi_ca_state, info.tcpi_retransmits);
    length = 1;
    SAY(getsockopt(a, IPPROTO_TCP, TCP_INFO, &info, &length));
    say("length %u", length);
    length = 0;
    SAY(getsockopt(a, IPPROTO_TCP, TCP_INFO, &info, &length));
    say("length %u", length);
    SEND(a, "x", 0);
    RECV(b, 1, 0);
    length = sizeof info;
    SAY(getsockopt(a, IPPROTO_TCP, TCP_INFO, &info, &length));
    say("unacked settled or not: %s", info.tcpi_unacked <= 1 ? "yes" : "no");
}

CASE(options_defer_accept, "TCP_DEFER_ACCEPT: rounded value; connections with data come in")
{
    int l = listener();
    SETOPT(l, IPPROTO_TCP, TCP_DEFER_ACCEPT, 1);
    GETOPT(l, IPPROTO_TCP, TCP_DEFER_ACCEPT);
    SETOPT(l, IPPROTO_TCP, TCP_DEFER_ACCEPT, 10);
    GETOPT(l, IPPROTO_TCP, TCP_DEFER_ACCEPT);
    int c = socket(AF_INET, SOCK_STREAM, 0);
    SAY(connect_to(c, port_of(l)));
    SEND(c, "data", 0);
    AWAIT(l, POLLIN);
    int b = FD(accept(l, NULL, NULL));
    RECV(b, 10, 0);
}

CASE(options_defer_accept_waits, "TCP_DEFER_ACCEPT: no accept until there is data")
{
    int l = listener();
    SETOPT(l, IPPROTO_TCP, TCP_DEFER_ACCEPT, 5);
    int c = socket(AF_INET, SOCK_STREAM, 0);
    SAY(connect_to(c, port_of(l)));
    say("before data: %s", poll_text(xpoll(l, POLLIN, 50)));
    SEND(c, "now", 0);
    AWAIT(l, POLLIN);
    int b = FD(accept(l, NULL, NULL));
    RECV(b, 10, 0);
}

PAIR(options_quickack, "TCP_QUICKACK can be set either way")
{
    SETOPT(a, IPPROTO_TCP, TCP_QUICKACK, 1);
    GETOPT(a, IPPROTO_TCP, TCP_QUICKACK);
    SETOPT(a, IPPROTO_TCP, TCP_QUICKACK, 0);
    SETOPT(b, IPPROTO_TCP, TCP_QUICKACK, 1);
    SEND(a, "x", 0);
    RECV(b, 1, 0);
}

CASE(options_inherit_connect, "options set before connect hold afterwards")
{
    int l = listener(), c = socket(AF_INET, SOCK_STREAM, 0);
    SETOPT(c, IPPROTO_TCP, TCP_NODELAY, 1);
    SETOPT(c, SOL_SOCKET, SO_KEEPALIVE, 1);
    SETOPT(c, SOL_SOCKET, SO_SNDBUF, 30000);
    SETOPT(c, SOL_SOCKET, SO_RCVBUF, 40000);
    SETOPT(c, IPPROTO_IP, IP_TOS, 0x10);
    set_linger(c, 1, 3);
    SAY(connect_to(c, port_of(l)));
    expect_local(c);
    GETOPT(c, IPPROTO_TCP, TCP_NODELAY);
    GETOPT(c, SOL_SOCKET, SO_KEEPALIVE);
    GETOPT(c, SOL_SOCKET, SO_SNDBUF);
    GETOPT(c, SOL_SOCKET, SO_RCVBUF);
    GETOPT(c, IPPROTO_IP, IP_TOS);
    struct linger linger;
    socklen_t length = sizeof linger;
    SAY(getsockopt(c, SOL_SOCKET, SO_LINGER, &linger, &length));
    say("linger %d %d", linger.l_onoff, linger.l_linger);
}

PAIR(options_after_end, "options on a connection that has ended")
{
    SAY(shutdown(a, SHUT_WR));
    SAY(xclose(b));
    AWAIT(a, POLLIN);
    SETOPT(a, IPPROTO_TCP, TCP_NODELAY, 1);
    GETOPT(a, IPPROTO_TCP, TCP_NODELAY);
    SETOPT(a, SOL_SOCKET, SO_KEEPALIVE, 1);
    GETOPT(a, SOL_SOCKET, SO_TYPE);
    ERROR(a);
}

CASE(options_keepalive_idle, "TCP_KEEPIDLE and friends read back per socket")
{
    int a, b;
    local_pair(&a, &b);
    SETOPT(a, SOL_SOCKET, SO_KEEPALIVE, 1);
    SETOPT(a, IPPROTO_TCP, TCP_KEEPIDLE, 11);
    SETOPT(a, IPPROTO_TCP, TCP_KEEPINTVL, 12);
    SETOPT(a, IPPROTO_TCP, TCP_KEEPCNT, 13);
    GETOPT(a, IPPROTO_TCP, TCP_KEEPIDLE);
    GETOPT(a, IPPROTO_TCP, TCP_KEEPINTVL);
    GETOPT(a, IPPROTO_TCP, TCP_KEEPCNT);
    GETOPT(b, IPPROTO_TCP, TCP_KEEPIDLE);
    SEND(a, "alive", 0);
    RECV(b, 10, 0);
}
