// Sockets as the cases want them: addresses, listeners, connected pairs, full pipes.
#include "oracle.h"

int backlog = 16;
const char *near_ip = "127.0.0.1", *far_ip = "127.0.0.1", *near_ip6 = "::1", *far_ip6 = "::1";

bool across_wire(void) { return strcmp(near_ip, far_ip) != 0; }

struct sockaddr_in at4(const char *ip, int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, ip, &a.sin_addr);
    return a;
}

struct sockaddr_in6 at6(const char *ip, int port)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    inet_pton(AF_INET6, ip, &a.sin6_addr);
    return a;
}

static int need(int fd, const char *what)
{
    if (fd < 0) say("%s: %s", what, errno_name(errno));
    return fd;
}

int listener(void)
{
    int fd = need(socket(AF_INET, SOCK_STREAM, 0), "listener: socket");
    struct sockaddr_in any = at4(near_ip, 0);
    need(bind(fd, SA(any), sizeof any), "listener: bind");
    need(listen(fd, backlog), "listener: listen");
    return fd;
}

int listener6(const char *ip, int only6)
{
    int fd = need(socket(AF_INET6, SOCK_STREAM, 0), "listener: socket");
    struct sockaddr_in6 any = at6(ip, 0);
    need(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only6, sizeof only6), "listener: v6only");
    need(bind(fd, SA(any), sizeof any), "listener: bind");
    need(listen(fd, backlog), "listener: listen");
    return fd;
}

static int port_in(const struct sockaddr_storage *s)
{
    return ntohs(s->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)s)->sin6_port
        : s->ss_family == AF_INET ? ((const struct sockaddr_in *)s)->sin_port : 0);
}

int port_of(int fd)
{
    struct sockaddr_storage s = {0};
    socklen_t length = sizeof s;
    return getsockname(fd, SA(s), &length) ? -1 : port_in(&s);
}

int peer_port_of(int fd)
{
    struct sockaddr_storage s = {0};
    socklen_t length = sizeof s;
    return getpeername(fd, SA(s), &length) ? -1 : port_in(&s);
}

int connect_to(int fd, int port)
{
    struct sockaddr_in to = at4(near_ip, port);
    return connect(fd, SA(to), sizeof to);
}

int dial(int port)
{
    int fd = need(socket(AF_INET, SOCK_STREAM, 0), "dial: socket");
    if (need(connect_to(fd, port), "dial: connect") == 0) expect_local(fd);
    return fd;
}

int closed_port(int *holder)
{
    *holder = need(socket(AF_INET, SOCK_STREAM, 0), "closed_port: socket");
    struct sockaddr_in any = at4(near_ip, 0);
    need(bind(*holder, SA(any), sizeof any), "closed_port: bind");
    return port_of(*holder);
}

void local_pair(int *a, int *b)
{
    int l = listener();
    *a = dial(port_of(l));
    *b = need(accept(l, NULL, NULL), "pair: accept");
    close(l);
    settle();
}

void local_pair6(int *a, int *b)
{
    int l = listener6("::1", 1);
    struct sockaddr_in6 to = at6("::1", port_of(l));
    *a = need(socket(AF_INET6, SOCK_STREAM, 0), "pair: socket");
    if (need(connect(*a, SA(to), sizeof to), "pair: connect") == 0) expect_local(*a);
    *b = need(accept(l, NULL, NULL), "pair: accept");
    close(l);
    settle();
}

int dgram_at(const char *ip)
{
    int fd = need(socket(AF_INET, SOCK_DGRAM, 0), "dgram: socket");
    struct sockaddr_in any = at4(ip, 0);
    need(bind(fd, SA(any), sizeof any), "dgram: bind");
    return fd;
}

// Not through libc, which the preload would answer: the kernel knows no peer of a connection in shared memory.
static bool kernel_connected(int fd)
{
    struct sockaddr_storage name;
    socklen_t length = sizeof name;
    register long flags __asm__("r10") = 0;
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(52L), "D"((long)fd), "S"(&name), "d"(&length), "r"(flags)
        : "rcx", "r11", "memory");
    return result == 0;
}

void expect_local(int fd)
{
    if (fd & REMOTE) return;
    __atomic_fetch_add(&connections, 1, __ATOMIC_RELAXED);
    if (!kernel_connected(fd)) __atomic_fetch_add(&local_connections, 1, __ATOMIC_RELAXED);
}

void expect_ring(int fd)
{
    if (!across_wire() || xpoll(fd, POLLIN, 0) != POLLIN) return;
    char byte;
    long result;
    register long flags __asm__("r10") = MSG_PEEK | MSG_DONTWAIT;
    register long from __asm__("r8") = 0, length __asm__("r9") = 0;
    __asm__ volatile("syscall" : "=a"(result) : "a"(45L), "D"((long)fd), "S"(&byte), "d"(1L), "r"(flags), "r"(from),
        "r"(length) : "rcx", "r11", "memory");
    __atomic_fetch_add(&connections, 1, __ATOMIC_RELAXED);
    if (result == -EAGAIN) __atomic_fetch_add(&local_connections, 1, __ATOMIC_RELAXED);
}

void nonblock(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }

const char *address_text(const void *address, socklen_t length, int port_hint)
{
    static __thread char text[4][128];
    static __thread int turn;
    char *out = text[turn = (turn + 1) % 4], ip[64] = "?";
    const struct sockaddr_storage *s = address;
    if (s->ss_family == AF_INET) inet_ntop(AF_INET, &((const struct sockaddr_in *)s)->sin_addr, ip, sizeof ip);
    else if (s->ss_family == AF_INET6) inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)s)->sin6_addr, ip, sizeof ip);
    int port = port_in(s);
    snprintf(out, sizeof text[0], "family %d %s port %s, length %u", s->ss_family, ip,
        port == 0 ? "0" : port == port_hint ? "as expected" : "other", length);
    return out;
}

void set_linger(int fd, int on, int seconds)
{
    struct linger linger = {on, seconds};
    need(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), "linger");
}

long fill(int fd)
{
    static char block[16384];
    long total = 0;
    // Buffers grow while they fill: only a second EAGAIN after a rest is really full. Across a wire the rest is one in
    // which delayed ACKs come, and the last bytes of a window go, which senders hold back.
    int rest = across_wire() ? 250 : 2;
    for (int quiet = 0; quiet < 3; ) {
        ssize_t r = send(fd, block, sizeof block, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (r > 0) {
            total += r;
            quiet = 0;
        } else if (r < 0 && errno == EAGAIN) {
            quiet++;
            nap(rest);
        } else {
            say("fill: %s", errno_name(errno));
            break;
        }
    }
    return total;
}

long drain(int fd)
{
    static char block[65536];
    long total = 0;
    for (int quiet = 0; quiet < 3; ) {
        ssize_t r = recv(fd, block, sizeof block, MSG_DONTWAIT);
        if (r > 0) {
            total += r;
            quiet = 0;
        } else if (r == 0) {
            break;
        } else if (errno == EAGAIN) {
            quiet++;
            nap(2);
        } else {
            say("drain: %s", errno_name(errno));
            break;
        }
    }
    return total;
}

int ep_add(int ep, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event event = {.events = events, .data.u64 = data};
    return epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event);
}

int ep_mod(int ep, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event event = {.events = events, .data.u64 = data};
    return epoll_ctl(ep, EPOLL_CTL_MOD, fd, &event);
}
