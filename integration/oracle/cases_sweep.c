// Every option number of every level, known or not, read and set on sockets of each kind in each state: value, length
// and errno. What this machine's headers do not name yet is asked for all the same.
#include "oracle.h"

#define NAMES 128
static const struct level {
    const char *text;
    int number, names;
} levels[] = {{"SOL_SOCKET", SOL_SOCKET, 96}, {"IPPROTO_TCP", IPPROTO_TCP, 56}, {"IPPROTO_IP", IPPROTO_IP, 72},
    {"IPPROTO_IPV6", IPPROTO_IPV6, 96}, {"IPPROTO_UDP", IPPROTO_UDP, 112}};
enum { SOCKET, TCP, IP, IPV6, UDP };

// Values that differ from run to run on the kernel itself: only length and errno are compared. The kernel's buffers
// grow by themselves, and what was measured is measured again.
static bool varies(int level, int name)
{
    static const int of_socket[] = {SO_SNDBUF, SO_RCVBUF, SO_INCOMING_CPU, SO_COOKIE, SO_MEMINFO, SO_INCOMING_NAPI_ID,
        SO_PEERNAME, 71 /* SO_NETNS_COOKIE */, SO_MAX_PACING_RATE};
    static const int of_tcp[] = {TCP_INFO, TCP_TIMESTAMP, TCP_CC_INFO, TCP_MAXSEG, TCP_WINDOW_CLAMP, TCP_QUICKACK};
    for (size_t i = 0; level == SOL_SOCKET && i < sizeof of_socket / sizeof *of_socket; i++)
        if (of_socket[i] == name) return true;
    for (size_t i = 0; level == IPPROTO_TCP && i < sizeof of_tcp / sizeof *of_tcp; i++)
        if (of_tcp[i] == name) return true;
    return (level == IPPROTO_IP && (name == IP_PKTOPTIONS || name == 52 /* IP_PROTOCOL: the port */)) ||
        (level == IPPROTO_IPV6 && name == IPV6_PATHMTU);
}

static const char *got(int fd, const struct level *l, int name, socklen_t room)
{
    static char text[512];
    char value[64];
    socklen_t length = room;
    memset(value, 0xee, sizeof value);
    int r = getsockopt(fd, l->number, name, value, &length);
    if (r)
        snprintf(text, sizeof text, "%s, length %u", errno_name(errno), length);
    else
        snprintf(text, sizeof text, "length %u%s%s", length, varies(l->number, name) ? "" : " ",
            varies(l->number, name) ? "" : data_text(value, length <= room ? length : room));
    return text;
}

// The multicast values of an accepted socket are those of its SYN (src/DEVIATIONS.md), and IPV6_V6ONLY of a connection
// is a case of its own, ipv6_options.
static bool left_out(const char *who, int level, int name)
{
    bool accepted = !strncmp(who, "accepted", 8);
    if (level == IPPROTO_IPV6 && name == IPV6_V6ONLY) return accepted || !strncmp(who, "connected", 9);
    return accepted && ((level == IPPROTO_IP && name == IP_MULTICAST_TTL) ||
        (level == IPPROTO_IPV6 && (name == IPV6_MULTICAST_HOPS || name == IPV6_MULTICAST_IF)));
}

// A line for each option that a level has, and one for all that it has not.
static void read_all(const char *who, int fd, const struct level *l)
{
    int unknown = 0;
    for (int name = 0; name < l->names; name++) {
        if (left_out(who, l->number, name)) continue;
        const char *text = got(fd, l, name, 4);
        bool none = strstr(text, "ENOPROTOOPT") != NULL;
        unknown += none;
        if (!none) say("%s %s %d: %s", who, l->text, name, text);
        if (!none) say("   of 16: %s", got(fd, l, name, 16));
    }
    say("%s %s: %d unknown", who, l->text, unknown);
}

// ---- states

struct state {
    const char *text;
    int (*make)(int *other);
};

static int fresh4(int *other) { return *other = -1, socket(AF_INET, SOCK_STREAM, 0); }
static int fresh6(int *other) { return *other = -1, socket(AF_INET6, SOCK_STREAM, 0); }
static int listening4(int *other) { return *other = -1, listener(); }
static int listening6(int *other) { return *other = -1, listener6("::1", 1); }
static int connected4(int *other)
{
    int a;
    local_pair(&a, other);
    return a;
}
static int accepted4(int *other)
{
    int b;
    local_pair(other, &b);
    return b;
}
static int connected6(int *other)
{
    int a;
    local_pair6(&a, other);
    return a;
}
static int accepted6(int *other)
{
    int b;
    local_pair6(other, &b);
    return b;
}
static int udp4(int *other) { return *other = -1, socket(AF_INET, SOCK_DGRAM, 0); }
static int udp6(int *other) { return *other = -1, socket(AF_INET6, SOCK_DGRAM, 0); }
static int udp_connected4(int *other)
{
    *other = dgram_at("127.0.0.1");
    int a = dgram_at("127.0.0.1");
    struct sockaddr_in to = at4("127.0.0.1", port_of(*other));
    if (connect(a, SA(to), sizeof to)) say("udp: %s", errno_name(errno));
    return a;
}

static void read_states(const struct state *states, int count)
{
    for (int i = 0; i < count; i++) {
        int other, fd = states[i].make(&other);
        for (int l = SOCKET; l <= UDP; l++) read_all(states[i].text, fd, &levels[l]);
        close(fd);
        if (other >= 0) close(other);
    }
}

// Set on a socket of its own, then read; a connection has to carry bytes afterwards, and no call may hang.
static void set_one(const struct state *s, const struct level *l, int name, int value, socklen_t size)
{
    int other, fd = s->make(&other);
    char room[16] = {0};
    memcpy(room, &value, sizeof value);
    int r = setsockopt(fd, l->number, name, room, size);
    int error = errno;
    if (r == 0 || error != ENOPROTOOPT)
        say("%s set %s %d to %d of %u: %s; %s", s->text, l->text, name, value, size, r ? errno_name(error) : "0",
            got(fd, l, name, 4));
    close(fd);
    if (other >= 0) close(other);
}

static void set_all(const struct state *s, int level, const int *values, int count)
{
    const struct level *l = &levels[level];
    for (int name = 0; name < l->names; name++) {
        if (left_out(s->text, l->number, name)) continue;
        for (int i = 0; i < count; i++) set_one(s, l, name, values[i], sizeof values[i]);
        set_one(s, l, name, 1, 1);
        set_one(s, l, name, 0, 0);
        set_one(s, l, name, 1, 8);
    }
}

#define ALL(state) state, sizeof state / sizeof *state
static const struct state tcp_states[] = {{"fresh", fresh4}, {"listening", listening4}, {"connected", connected4},
    {"accepted", accepted4}};
static const struct state tcp6_states[] = {{"fresh6", fresh6}, {"listening6", listening6}, {"connected6", connected6},
    {"accepted6", accepted6}};
static const struct state udp_states[] = {{"udp", udp4}, {"udp6", udp6}, {"udp connected", udp_connected4}};
static const int values[] = {1, 0, 2, -1, 1 << 20};
static const int some_values[] = {1, 0};

CASE(sweep_get_tcp, "every option read, TCP over IPv4") { read_states(ALL(tcp_states)); }
CASE(sweep_get_tcp6, "every option read, TCP over IPv6") { read_states(ALL(tcp6_states)); }
CASE(sweep_get_udp, "every option read, UDP") { read_states(ALL(udp_states)); }

#define SWEEP(name, state, level, values, what)                                                                        \
    CASE(name, "every option of " what) { set_all(&state, level, values, sizeof values / sizeof *values); }
SWEEP(sweep_set_fresh_socket, tcp_states[0], SOCKET, values, "SOL_SOCKET set on a fresh socket")
SWEEP(sweep_set_fresh_tcp, tcp_states[0], TCP, values, "IPPROTO_TCP set on a fresh socket")
SWEEP(sweep_set_fresh_ip, tcp_states[0], IP, values, "IPPROTO_IP set on a fresh socket")
SWEEP(sweep_set_fresh_ip6, tcp6_states[0], IPV6, values, "IPPROTO_IPV6 set on a fresh socket")
SWEEP(sweep_set_listening_socket, tcp_states[1], SOCKET, some_values, "SOL_SOCKET set on a listener")
SWEEP(sweep_set_listening_tcp, tcp_states[1], TCP, some_values, "IPPROTO_TCP set on a listener")
SWEEP(sweep_set_listening_ip, tcp_states[1], IP, some_values, "IPPROTO_IP set on a listener")
SWEEP(sweep_set_listening_ip6, tcp6_states[1], IPV6, some_values, "IPPROTO_IPV6 set on a listener")
SWEEP(sweep_set_connected_socket, tcp_states[2], SOCKET, some_values, "SOL_SOCKET set on a connection")
SWEEP(sweep_set_connected_tcp, tcp_states[2], TCP, some_values, "IPPROTO_TCP set on a connection")
SWEEP(sweep_set_connected_ip, tcp_states[2], IP, some_values, "IPPROTO_IP set on a connection")
SWEEP(sweep_set_connected_ip6, tcp6_states[2], IPV6, some_values, "IPPROTO_IPV6 set on a connection")
SWEEP(sweep_set_accepted_socket, tcp_states[3], SOCKET, some_values, "SOL_SOCKET set on an accepted connection")
SWEEP(sweep_set_accepted_tcp, tcp_states[3], TCP, some_values, "IPPROTO_TCP set on an accepted connection")
SWEEP(sweep_set_accepted_ip, tcp_states[3], IP, some_values, "IPPROTO_IP set on an accepted connection")
SWEEP(sweep_set_accepted_ip6, tcp6_states[3], IPV6, some_values, "IPPROTO_IPV6 set on an accepted connection")
SWEEP(sweep_set_udp_socket, udp_states[0], SOCKET, values, "SOL_SOCKET set on a UDP socket")
SWEEP(sweep_set_udp_udp, udp_states[0], UDP, values, "IPPROTO_UDP set on a UDP socket")
SWEEP(sweep_set_udp_ip, udp_states[2], IP, values, "IPPROTO_IP set on a connected UDP socket")
SWEEP(sweep_set_udp_ip6, udp_states[1], IPV6, values, "IPPROTO_IPV6 set on a UDP socket")

// Both ends of a connection on every path, each option switched on: the connection is not to be harmed, wherever it is
// afterwards. (Repair mode, filters and the like take part: what they do on the kernel they do here.)
static void keeps_working(int a, int b, const struct level *l, int from, int to)
{
    int one = 1, zero = 0;
    char byte = 0;
    for (int name = from; name < to && name < l->names; name++) {
        if (l->number == SOL_SOCKET && (name == SO_LINGER || name == SO_RCVTIMEO || name == SO_SNDTIMEO)) continue;
        int r = setsockopt(a, l->number, name, &one, sizeof one), error = errno;
        if (r == 0) setsockopt(a, l->number, name, &zero, sizeof zero);
        long sent = send(a, "x", 1, MSG_NOSIGNAL), came = xrecv(b, &byte, 1, MSG_WAITALL);
        long back = xsend(b, "y", 1, MSG_NOSIGNAL), here = recv(a, &byte, 1, MSG_WAITALL);
        if (r == 0 || error != ENOPROTOOPT)
            say("%s %d: %s, %ld %ld %ld %ld", l->text, name, r ? errno_name(error) : "0", sent, came, back, here);
    }
}

PAIR(sweep_pair_socket, "each option of SOL_SOCKET on and off: the connection works") {
    keeps_working(a, b, &levels[SOCKET], 0, NAMES);
}
PAIR(sweep_pair_tcp, "each option of IPPROTO_TCP on and off: the connection works") {
    keeps_working(a, b, &levels[TCP], 0, NAMES);
}
PAIR(sweep_pair_ip, "each option of IPPROTO_IP on and off: the connection works") {
    keeps_working(a, b, &levels[IP], 0, NAMES);
}
