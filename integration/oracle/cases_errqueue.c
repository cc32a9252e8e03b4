// What comes beside the data: notices of MSG_ZEROCOPY in the error queue, time stamps; and options that move a socket.
#include "oracle.h"

#include <linux/errqueue.h>
#include <linux/net_tstamp.h>
#include <linux/sockios.h>
#ifndef SO_EE_CODE_ZEROCOPY_COPIED
#define SO_EE_CODE_ZEROCOPY_COPIED 1
#endif

// One notice: which sends, as a kernel that copied or not would say it.
static int notice(int fd, uint32_t *low, uint32_t *high)
{
    union { char room[256]; struct cmsghdr align; } control;
    char data[16];
    struct iovec iov = {data, sizeof data};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.room,
        .msg_controllen = sizeof control.room};
    ssize_t r = recvmsg(fd, &message, MSG_ERRQUEUE);
    if (r < 0) return errno;
    if (r != 0) say("a notice with %zd bytes", r);
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    if (!c) return say("a notice without control data"), 0;
    struct sock_extended_err error;
    memcpy(&error, CMSG_DATA(c), sizeof error);
    *low = error.ee_info;
    *high = error.ee_data;
    // How many sends a notice tells of is the network's affair: the first is enough.
    if (*low == 0)
        say("notice: level %d, type %d, errno %u, origin %u, flags %s%s", c->cmsg_level, c->cmsg_type, error.ee_errno,
            error.ee_origin, message.msg_flags & MSG_ERRQUEUE ? "ERRQUEUE" : "",
            message.msg_flags & MSG_CTRUNC ? "|CTRUNC" : "");
    return 0;
}

// All of the sends so far, in as many notices as it takes.
static void notices(int fd, uint32_t next, uint32_t sends)
{
    for (int tries = 0; next < sends && tries < 200; tries++) {
        uint32_t low = 0, high = 0;
        struct pollfd poll_fd = {fd, 0, 0};
        if (poll(&poll_fd, 1, 1000) != 1 || !(poll_fd.revents & POLLERR)) {
            say("no POLLERR");
            return;
        }
        int error = notice(fd, &low, &high);
        if (error) {
            say("%s", errno_name(error));
            return;
        }
        if (low != next) say("gap: %u", low);
        next = high + 1;
    }
    say("told of %u sends", next);
}

static void take_all(int fd, long total)
{
    long taken = 0;
    for (long got = 1; taken < total && got > 0; taken += got) got = xrecv(fd, bytes, sizeof bytes, 0);
    say("taken: %s", taken == total ? "all" : "not all");
}

PAIR(zerocopy_notices, "MSG_ZEROCOPY: each send is told of in the error queue")
{
    static char block[20000];
    uint32_t low, high;
    SETOPT(a, SOL_SOCKET, SO_ZEROCOPY, 1);
    GETOPT(a, SOL_SOCKET, SO_ZEROCOPY);
    say("empty: %s", errno_name(notice(a, &low, &high)));
    for (int i = 0; i < 3; i++) SAY(send(a, block, sizeof block, MSG_ZEROCOPY));
    take_all(b, 3 * sizeof block);
    notices(a, 0, 3);
    say("empty: %s", errno_name(notice(a, &low, &high)));
    say("writable, no error: %s", poll_text(xpoll(a, POLLOUT, 0)));
    ERROR(a);
    SAY(send(a, block, 100, MSG_ZEROCOPY));
    notices(a, 3, 4);
    SEND(b, "back", 0);
    RECV(a, 10, 0);
}

PAIR(zerocopy_off, "MSG_ZEROCOPY without SO_ZEROCOPY is an ordinary send")
{
    uint32_t low, high;
    SEND(a, "plain", MSG_ZEROCOPY);
    AWAIT(b, POLLIN);
    RECV(b, 10, 0);
    nap(20);
    say("empty: %s", errno_name(notice(a, &low, &high)));
    say("%s", poll_text(xpoll(a, POLLOUT, 0)));
    SETOPT(a, SOL_SOCKET, SO_ZEROCOPY, 2);
    SETOPT(a, SOL_SOCKET, SO_ZEROCOPY, -1);
}

PAIR(zerocopy_epoll, "EPOLLERR for a notice")
{
    int ep = epoll_create1(0);
    SAY(ep_add(ep, a, EPOLLIN | EPOLLET, 1));
    SETOPT(a, SOL_SOCKET, SO_ZEROCOPY, 1);
    SEND(a, "z", MSG_ZEROCOPY);
    AWAIT(b, POLLIN);
    RECV(b, 10, 0);
    EPOLL(ep, 4, 1000);
    notices(a, 0, 1);
}

// Sends until there is no room, of which the last fails; how many did not.
static uint32_t send_all(int fd, long *total)
{
    static char block[50000];
    uint32_t sends = 0;
    for (long sent; (sent = send(fd, block, sizeof block, MSG_ZEROCOPY | MSG_DONTWAIT)) > 0; sends++) *total += sent;
    return sends;
}

PAIR(zerocopy_full, "a send that finds no room is not told of, one that sent a part is")
{
    SETOPT(a, SOL_SOCKET, SO_ZEROCOPY, 1);
    expect_local(a);
    long total = 0;
    uint32_t sends = send_all(a, &total);
    take_all(b, total);
    uint32_t next = 0, low = 0, high = 0;
    for (int tries = 0; next < sends && tries < 300; tries++) {
        if (xpoll(a, 0, 1000) & POLLERR && notice(a, &low, &high) == 0) next = high + 1;
    }
    say("all told of: %s", next == sends ? "yes" : "no");
    say("empty: %s", errno_name(notice(a, &low, &high)));
}

PAIR(zerocopy_room, "a notice in too little room, without room, and by recv()")
{
    SETOPT(a, SOL_SOCKET, SO_ZEROCOPY, 1);
    for (int room = 0; room <= 40; room += 20) {
        union { char bytes[64]; struct cmsghdr align; } control = {.bytes = {0}};
        struct msghdr message = {.msg_control = room ? control.bytes : NULL, .msg_controllen = (size_t)room};
        SEND(a, "z", MSG_ZEROCOPY);
        RECV(b, 1, 0);
        say("%s", poll_text(xpoll(a, 0, 1000)));
        SAY(recvmsg(a, &message, MSG_ERRQUEUE));
        say("room %d: length %zu, of it %zu, flags %x", room, message.msg_controllen,
            room ? (size_t)control.align.cmsg_len : 0, message.msg_flags);
    }
    SEND(a, "z", MSG_ZEROCOPY);
    RECV(b, 1, 0);
    say("%s", poll_text(xpoll(a, 0, 1000)));
    RECV(a, 10, MSG_ERRQUEUE);
    RECV(a, 10, MSG_ERRQUEUE);
}

CASE(zerocopy_accepted, "a connection that was accepted has SO_ZEROCOPY from its listener")
{
    for (int six = 0; six < 2; six++) {
        uint32_t low, high;
        int l = six ? listener6("::1", 0) : listener();
        SETOPT(l, SOL_SOCKET, SO_ZEROCOPY, 1);
        int c = six ? socket(AF_INET6, SOCK_STREAM, 0) : dial(port_of(l));
        struct sockaddr_in6 to = at6("::1", port_of(l));
        if (six) SAY(connect(c, SA(to), sizeof to));
        int b = FD(accept(l, NULL, NULL));
        GETOPT(b, SOL_SOCKET, SO_ZEROCOPY);
        SETOPT(b, SOL_SOCKET, SO_ZEROCOPY, 3);
        SEND(b, "z", MSG_ZEROCOPY);
        RECV(c, 10, 0);
        notices(b, 0, 1);
        SETOPT(b, SOL_SOCKET, SO_ZEROCOPY, 0);
        SEND(b, "z", MSG_ZEROCOPY);
        RECV(c, 10, 0);
        nap(20);
        say("empty: %s", errno_name(notice(b, &low, &high)));
    }
}

// ---- time stamps of streams

static void stamped(int fd)
{
    union { char room[512]; struct cmsghdr align; } control;
    char data[16];
    struct iovec iov = {data, sizeof data};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.room,
        .msg_controllen = sizeof control.room};
    SAY(recvmsg(fd, &message, 0));
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
        long when = 0;
        if (c->cmsg_len >= CMSG_LEN(sizeof when)) memcpy(&when, CMSG_DATA(c), sizeof when);
        say("level %d, type %d, length %zu, %s", c->cmsg_level, c->cmsg_type, c->cmsg_len,
            when == 0 || labs(when - (long)time(NULL)) < 5 ? "now" : "another time");
    }
}

#define STAMPS(name, option, value)                                                                                    \
    PAIR(name, #option " on a stream: recvmsg tells when the data came")                                               \
    {                                                                                                                  \
        SETOPT(a, SOL_SOCKET, option, value);                                                                          \
        SEND(b, "x", 0);                                                                                               \
        AWAIT(a, POLLIN);                                                                                              \
        stamped(a);                                                                                                    \
        SETOPT(a, SOL_SOCKET, option, 0);                                                                              \
        SEND(b, "y", 0);                                                                                               \
        AWAIT(a, POLLIN);                                                                                              \
        stamped(a);                                                                                                    \
    }
STAMPS(stamps_micros, SO_TIMESTAMP, 1)
STAMPS(stamps_nanos, SO_TIMESTAMPNS, 1)
STAMPS(stamps_software, SO_TIMESTAMPING, SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE)

// ---- sockets that an option sends to the kernel

static void foreign(int level, int option, const char *address)
{
    int l = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in far = at4(address, 0);
    SAY(bind(l, SA(far), sizeof far));
    SETOPT(l, level, option, 1);
    SAY(bind(l, SA(far), sizeof far));
    SAY(listen(l, 4));
    say("%s", poll_text(xpoll(l, POLLIN, 0)));
}
CASE(foreign_transparent, "IP_TRANSPARENT: a listener at an address of another host")
{
    foreign(IPPROTO_IP, IP_TRANSPARENT, "203.0.113.5");
}
CASE(foreign_free, "IP_FREEBIND: a listener at an address that is not there yet")
{
    foreign(IPPROTO_IP, IP_FREEBIND, "203.0.113.6");
}

CASE(option_device_lo, "SO_BINDTODEVICE on both ends")
{
    int l = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0);
    char name[16] = "";
    socklen_t length = sizeof name;
    SAY(setsockopt(l, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3));
    struct sockaddr_in at = at4("127.0.0.1", 0);
    SAY(bind(l, SA(at), sizeof at));
    SAY(listen(l, 4));
    SAY(setsockopt(c, SOL_SOCKET, SO_BINDTODEVICE, "lo", 2));
    at.sin_port = htons(port_of(l));
    SAY(connect(c, SA(at), sizeof at));
    int b = FD(accept(l, NULL, NULL));
    SAY(getsockopt(b, SOL_SOCKET, SO_BINDTODEVICE, name, &length));
    say("\"%s\" length %u", name, length);
    SEND(c, "x", 0);
    RECV(b, 1, 0);
}

PAIR(option_mark_live, "SO_MARK on a live connection")
{
    SEND(b, "waits", 0);
    AWAIT(a, POLLIN);
    SETOPT(a, SOL_SOCKET, SO_MARK, 7);
    GETOPT(a, SOL_SOCKET, SO_MARK);
    SEND(a, "there", 0);
    RECV(a, 10, 0);
    AWAIT(b, POLLIN);
    RECV(b, 10, 0);
    SAY(xshutdown(b, SHUT_WR));
    AWAIT(a, POLLIN);
    RECV(a, 10, 0);
}

PAIR(option_no_tls, "TCP_ULP: no tls, and the connection goes on")
{
    SAY(setsockopt(a, IPPROTO_TCP, TCP_ULP, "tls", 3));
    SAY(setsockopt(a, IPPROTO_TCP, TCP_ULP, "nonesuch", 8));
    SEND(a, "plain", 0);
    AWAIT(b, POLLIN);
    RECV(b, 10, 0);
}

DUO(option_fastopen_listener, "TCP_FASTOPEN on a listener; clients connect as ever")
{
    int l = listener(), c = xsocket(AF_INET, SOCK_STREAM);
    SETOPT(l, IPPROTO_TCP, TCP_FASTOPEN, 5);
    GETOPT(l, IPPROTO_TCP, TCP_FASTOPEN);
    say("connect %s", errno_name(xconnect(c, near_ip, port_of(l)) ? errno : 0));
    AWAIT(l, POLLIN);
    int b = FD(accept(l, NULL, NULL));
    SEND(c, "x", 0);
    AWAIT(b, POLLIN);
    RECV(b, 1, 0);
}

DUO(option_fastopen_connect, "TCP_FASTOPEN_CONNECT: connect, then the first write")
{
    int l = xsocket(AF_INET, SOCK_STREAM), c = socket(AF_INET, SOCK_STREAM, 0);
    say("bind %s", errno_name(xbind(l, far_ip, 0) ? errno : 0));
    say("listen %s", errno_name(xlisten(l, 4) ? errno : 0));
    SETOPT(c, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1);
    struct sockaddr_in to = at4(far_ip, xport(l));
    SAY(connect(c, SA(to), sizeof to));
    SEND(c, "first", 0);
    int b = xaccept(l);
    AWAIT(b, POLLIN);
    RECV(b, 10, 0);
}
