// UDP: epoll, poll, select, many messages at once, buffers, threads, processes.
#include "oracle.h"

#define IN(text) SAY_AS("b sends " #text, xsendto(b, near_ip, port_of(a), text, strlen(text)))
#define HEAR(fd)                                                                                                     \
    ({                                                                                                               \
        AWAIT(fd, POLLIN);                                                                                           \
        expect_ring(fd);                                                                                             \
    })

static int join(int a, int b)
{
    struct sockaddr_in to = at4(far_ip, xport(b));
    return connect(a, SA(to), sizeof to);
}

DGRAM(udp_masks, "poll and epoll of a socket in each state")
{
    int fresh = socket(AF_INET, SOCK_DGRAM, 0), ep = epoll_create1(0);
    MASK(fresh);
    MASK(a);
    SAY(ep_add(ep, a, EPOLLIN | EPOLLOUT | EPOLLRDHUP, 7));
    EPOLL(ep, 5, 0);
    IN("x");
    HEAR(a);
    MASK(a);
    EPOLL(ep, 5, 0);
    RECV(a, 10, 0);
    EPOLL(ep, 5, 0);
    SAY(xclose(b));
    MASK(a);
}

DGRAM(udp_edge, "edge-triggered: each datagram is an event, what is left is none")
{
    int ep = epoll_create1(0);
    SAY(ep_add(ep, a, EPOLLIN | EPOLLET, 1));
    EPOLL(ep, 5, 0);
    IN("one");
    EPOLL(ep, 5, 1000);
    expect_ring(a);
    EPOLL(ep, 5, 0);
    IN("two");
    EPOLL(ep, 5, 1000);
    EPOLL(ep, 5, 0);
    RECV(a, 10, 0);
    EPOLL(ep, 5, 0);
    SAY(ep_mod(ep, a, EPOLLIN | EPOLLET, 2));
    EPOLL(ep, 5, 0);
    EPOLL(ep, 5, 0);
}

DGRAM(udp_edge_out, "EPOLLOUT of an edge-triggered socket comes once")
{
    int ep = epoll_create1(0);
    SAY(ep_add(ep, a, EPOLLIN | EPOLLOUT | EPOLLET, 1));
    EPOLL(ep, 5, 0);
    EPOLL(ep, 5, 0);
    IN("x");
    EPOLL(ep, 5, 1000);
    RECV(a, 10, 0);
    EPOLL(ep, 5, 0);
}

DGRAM(udp_oneshot, "EPOLLONESHOT with datagrams left")
{
    int ep = epoll_create1(0);
    SAY(ep_add(ep, a, EPOLLIN | EPOLLONESHOT, 1));
    IN("one");
    IN("two");
    EPOLL(ep, 5, 1000);
    EPOLL(ep, 5, 0);
    RECV(a, 10, 0);
    EPOLL(ep, 5, 0);
    SAY(ep_mod(ep, a, EPOLLIN | EPOLLONESHOT, 2));
    EPOLL(ep, 5, 1000);
    RECV(a, 10, 0);
    SAY(ep_mod(ep, a, EPOLLIN | EPOLLONESHOT, 3));
    EPOLL(ep, 5, 0);
}

DGRAM(udp_epoll_wakes, "a waiting epoll is woken; a nested one too")
{
    int ep = epoll_create1(0), outer = epoll_create1(0);
    SAY(ep_add(ep, a, EPOLLIN, 1));
    SAY(ep_add(outer, ep, EPOLLIN, 2));
    SAY_AS("connect b", xconnect(b, near_ip, port_of(a)));
    later_send(40, b, "wake");
    EPOLL(outer, 5, 3000);
    join_later();
    EPOLL(ep, 5, 0);
    RECV(a, 10, 0);
    EPOLL(outer, 5, 0);
    SAY(ep_mod(ep, a, EPOLLIN, 3));
    EPOLL(ep, 5, 30);
}

DGRAM(udp_with_others, "one epoll over UDP, TCP, pipe and eventfd")
{
    int ep = epoll_create1(0), ends[2], event = eventfd(0, 0), l = listener();
    if (pipe(ends)) return;
    SAY(ep_add(ep, a, EPOLLIN, 1));
    SAY(ep_add(ep, ends[0], EPOLLIN, 2));
    SAY(ep_add(ep, event, EPOLLIN, 3));
    SAY(ep_add(ep, l, EPOLLIN, 4));
    EPOLL(ep, 8, 0);
    IN("x");
    EPOLL(ep, 8, 1000);
    SAY(write(ends[1], "y", 1));
    EPOLL(ep, 1, 1000);
    RECV(a, 10, 0);
    EPOLL(ep, 8, 1000);
    SAY(epoll_ctl(ep, EPOLL_CTL_DEL, ends[0], NULL));
    SAY(eventfd_write(event, 1));
    EPOLL(ep, 8, 1000);
}

DGRAM(udp_select, "select says what poll says")
{
    fd_set in, out;
    for (int turn = 0; turn < 2; turn++) {
        struct timeval time = {0, 20000};
        FD_ZERO(&in);
        FD_SET(a, &in);
        out = in;
        say("select %d: in %d out %d", select(a + 1, &in, NULL, NULL, &time), FD_ISSET(a, &in), FD_ISSET(a, &out));
        if (turn == 0) IN("x");
    }
    HEAR(a);
    FD_ZERO(&out);
    FD_SET(a, &out);
    say("select for room: %d", select(a + 1, NULL, &out, NULL, NULL));
}

static void show_many(struct mmsghdr *messages, int count)
{
    for (int i = 0; i < count; i++)
        say("  %u: %s flags %x", i, data_text(messages[i].msg_hdr.msg_iov->iov_base, messages[i].msg_len),
            messages[i].msg_hdr.msg_flags);
}

DGRAM(udp_recvmmsg, "recvmmsg takes what there is, up to its count")
{
    char room[4][6];
    struct iovec iov[4];
    struct mmsghdr messages[4] = {0};
    for (int i = 0; i < 4; i++) {
        iov[i] = (struct iovec){room[i], sizeof room[i]};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
    }
    SAY(recvmmsg(a, messages, 4, MSG_DONTWAIT, NULL));
    IN("one");
    IN("two, too long");
    IN("three");
    HEAR(a);
    int n = SAY(recvmmsg(a, messages, 4, MSG_DONTWAIT, NULL));
    show_many(messages, n);
    IN("four");
    IN("five");
    HEAR(a);
    n = SAY(recvmmsg(a, messages, 1, 0, NULL));
    show_many(messages, n);
    n = SAY(recvmmsg(a, messages, 4, MSG_WAITFORONE, NULL));
    show_many(messages, n);
    struct timespec time = {0, 50000000};
    IN("six");
    HEAR(a);
    SAY(recvmmsg(a, messages, 0, 0, NULL));
    n = SAY(recvmmsg(a, messages, 1, 0, &time));
    show_many(messages, n);
    time.tv_nsec = 2000000000;
    SAY(recvmmsg(a, messages, 1, 0, &time));
}

DGRAM(udp_sendmmsg, "sendmmsg sends all, or up to the first that cannot be sent")
{
    struct sockaddr_in to = at4(far_ip, xport(b)), bad = at4(far_ip, 0);
    struct iovec iov[4] = {{"a", 1}, {"bc", 2}, {"", 0}, {"def", 3}};
    struct mmsghdr messages[4] = {0};
    for (int i = 0; i < 4; i++)
        messages[i].msg_hdr =
            (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1, .msg_name = &to, .msg_namelen = sizeof to};
    SAY(sendmmsg(a, messages, 4, 0));
    for (int i = 0; i < 4; i++) say("  length %u", messages[i].msg_len);
    for (int i = 0; i < 4; i++) {
        AWAIT(b, POLLIN);
        RECV(b, 10, 0);
    }
    messages[1].msg_hdr.msg_name = &bad;
    SAY(sendmmsg(a, messages, 4, 0));
    AWAIT(b, POLLIN);
    RECV(b, 10, 0);
    SAY(sendmmsg(a, messages + 1, 3, 0));
    SAY(sendmmsg(a, messages, 0, 0));
    RECV(b, 10, MSG_DONTWAIT);
}

DGRAM(udp_vectors, "a datagram from and into several pieces")
{
    struct iovec out[3] = {{"ab", 2}, {"", 0}, {"cdefg", 5}};
    char x[3], y[3], z[9];
    struct iovec in[3] = {{x, 3}, {y, 3}, {z, 9}};
    SAY(join(a, b));
    SAY(writev(a, out, 3));
    AWAIT(b, POLLIN);
    RECV(b, 20, 0);
    IN("0123456789");
    HEAR(a);
    SAY(readv(a, in, 3));
    say("%.3s %.3s %.4s", x, y, z);
    IN("0123456789");
    HEAR(a);
    SAY(readv(a, in, 2));
    say("%.3s %.3s", x, y);
    RECV(a, 20, MSG_DONTWAIT);
}

DGRAM(udp_overflow, "a full receive buffer drops, and what is there stays in order")
{
    static char block[1000];
    int small = 4000;
    SAY(setsockopt(a, SOL_SOCKET, SO_RCVBUF, &small, sizeof small));
    SETOPT(a, SOL_SOCKET, SO_RXQ_OVFL, 1);
    for (int i = 0; i < 60; i++) {
        block[0] = (char)i;
        xsendto(b, near_ip, port_of(a), block, sizeof block);
    }
    nap(50);
    int got = 0, last = -1, ordered = 1;
    while (recv(a, bytes, sizeof block, MSG_DONTWAIT) > 0) {
        ordered &= bytes[0] > last;
        last = bytes[0];
        got++;
    }
    say("some %d, not all %d, in order %d", got > 0, got < 60, ordered);
    xsendto(b, near_ip, port_of(a), "after", 5);
    HEAR(a);
    char control[64];
    struct iovec iov = {bytes, 100};
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    DATA(recvmsg(a, &message, 0), bytes);
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    say("drops told: %s", c && c->cmsg_type == SO_RXQ_OVFL && *(uint32_t *)CMSG_DATA(c) > 0 ? "yes" : "no");
}

DGRAM(udp_options, "what options of a UDP socket read")
{
    static const struct { const char *text; int level, name; } options[] = {
        {"SO_TYPE", SOL_SOCKET, SO_TYPE}, {"SO_PROTOCOL", SOL_SOCKET, SO_PROTOCOL},
        {"SO_DOMAIN", SOL_SOCKET, SO_DOMAIN},
        {"SO_ERROR", SOL_SOCKET, SO_ERROR}, {"SO_ACCEPTCONN", SOL_SOCKET, SO_ACCEPTCONN},
        {"SO_BROADCAST", SOL_SOCKET, SO_BROADCAST}, {"SO_RCVLOWAT", SOL_SOCKET, SO_RCVLOWAT},
        {"IP_TTL", IPPROTO_IP, IP_TTL}, {"IP_TOS", IPPROTO_IP, IP_TOS}, {"IP_PKTINFO", IPPROTO_IP, IP_PKTINFO},
        {"IP_MTU", IPPROTO_IP, IP_MTU}, {"IP_MTU_DISCOVER", IPPROTO_IP, IP_MTU_DISCOVER},
        {"TCP_NODELAY", IPPROTO_TCP, TCP_NODELAY}, {"UDP_CORK", IPPROTO_UDP, 1}, {"UDP_SEGMENT", IPPROTO_UDP, 103},
        {"IP_MULTICAST_TTL", IPPROTO_IP, IP_MULTICAST_TTL}, {"IP_MULTICAST_LOOP", IPPROTO_IP, IP_MULTICAST_LOOP}};
    for (int turn = 0; turn < 2; turn++) {
        for (size_t i = 0; i < sizeof options / sizeof *options; i++)
            say("%s = %ld", options[i].text, xgetopt(a, options[i].level, options[i].name));
        if (turn == 0) SAY(join(a, b));
    }
}

DGRAM(udp_dup, "copies of a descriptor share the queue and the peer")
{
    int c = FD(dup(a));
    IN("one");
    IN("two");
    HEAR(a);
    RECV(c, 10, 0);
    RECV(a, 10, 0);
    SAY(join(c, b));
    SAY(send(a, "through", 7, 0));
    AWAIT(b, POLLIN);
    RECV(b, 10, 0);
    SAY(close(a));
    SAY_AS("b sends", xsendto(b, near_ip, port_of(c), "three", 5));
    HEAR(c);
    RECV(c, 10, 0);
    SAY(recv(a, bytes, 1, 0));
}

DGRAM(udp_fork, "parent and child share a socket")
{
    struct barrier step = barrier_make();
    pid_t child = spawn();
    if (child == 0) {
        barrier_wait_parent(&step);
        AWAIT(a, POLLIN);
        RECV(a, 10, 0);
        struct sockaddr_in to = at4(far_ip, xport(b));
        SAY(sendto(a, "from child", 10, 0, SA(to), sizeof to));
        _exit(0);
    }
    IN("for the child");
    barrier_tell_child(&step);
    reap(child);
    AWAIT(b, POLLIN);
    RECV(b, 20, 0);
    IN("for the parent");
    HEAR(a);
    RECV(a, 20, 0);
}

static int shared;
static int64_t woken[4];
static void read_one(void *which)
{
    char byte[8];
    woken[(intptr_t)which] = recv(shared, byte, sizeof byte, 0);
}

DGRAM(udp_readers, "each of several blocked readers gets a datagram")
{
    shared = a;
    for (intptr_t i = 0; i < 4; i++) later_call(0, read_one, (void *)i);
    nap(30);
    for (int i = 0; i < 4; i++) xsendto(b, near_ip, port_of(a), "123", 3);
    join_later();
    say("%ld %ld %ld %ld", woken[0], woken[1], woken[2], woken[3]);
    RECV(a, 10, MSG_DONTWAIT);
}

DGRAM(udp_sendfile, "sendfile into a UDP socket")
{
    FILE *file = tmpfile();
    fputs("twelve bytes", file);
    fflush(file);
    off_t at = 0;
    SAY(sendfile(a, fileno(file), &at, 12));
    SAY(join(a, b));
    at = 0;
    SAY(sendfile(a, fileno(file), &at, 12));
    AWAIT(b, POLLIN);
    RECV(b, 20, 0);
}

DGRAM(udp_burst, "two hundred datagrams each way, echoed")
{
    SAY(join(a, b));
    SAY_AS("connect b", xconnect(b, near_ip, port_of(a)));
    int good = 0;
    for (int i = 0; i < 200; i++) {
        char text[16];
        int n = snprintf(text, sizeof text, "number %d", i);
        send(a, text, n, 0);
        xpoll(b, POLLIN, 1000);
        long r = xrecv(b, bytes, 100, MSG_DONTWAIT);
        if (r > 0) xsend(b, bytes, r, 0);
        if (i == 100) HEAR(a);
        if (xpoll(a, POLLIN, 1000) != POLLIN) break;
        good += recv(a, bytes, 100, 0) == n && !memcmp(bytes, text, n);
    }
    say("%d came back", good);
}
