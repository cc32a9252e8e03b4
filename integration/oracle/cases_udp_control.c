// UDP: control data, ICMP errors, error queues, IPv6 sockets.
#include "oracle.h"
#include <linux/errqueue.h>

#define IN(text) SAY_AS("b sends " #text, xsendto(b, near_ip, port_of(a), text, strlen(text)))
#define HEAR(fd)                                                                                                     \
    ({                                                                                                               \
        AWAIT(fd, POLLIN);                                                                                           \
        expect_ring(fd);                                                                                             \
    })

static int join(int a, int port)
{
    struct sockaddr_in to = at4(far_ip, port);
    return connect(a, SA(to), sizeof to);
}

static void show_control(struct msghdr *message)
{
    char ip[64], ip2[64];
    say("flags %x", message->msg_flags);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        void *data = CMSG_DATA(c);
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo *info = data;
            say("  IP_PKTINFO to %s, own %s, interface %s", inet_ntop(AF_INET, &info->ipi_addr, ip, sizeof ip),
                inet_ntop(AF_INET, &info->ipi_spec_dst, ip2, sizeof ip2), info->ipi_ifindex ? "told" : "0");
        } else if (c->cmsg_level == SOL_SOCKET && (c->cmsg_type == SO_TIMESTAMP || c->cmsg_type == SO_TIMESTAMPNS)) {
            say("  time stamp %d, %zu bytes, %s", c->cmsg_type, c->cmsg_len - CMSG_LEN(0), *(long *)data ? "set" : "0");
        } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) {
            struct sock_extended_err *e = data;
            struct sockaddr_in *offender = (struct sockaddr_in *)SO_EE_OFFENDER(e);
            say("  IP_RECVERR %s origin %u type %u code %u info %u, offender family %u %s",
                errno_name((int)e->ee_errno), e->ee_origin, e->ee_type, e->ee_code, e->ee_info,
                offender->sin_family,
                offender->sin_family == AF_INET ? inet_ntop(AF_INET, &offender->sin_addr, ip, sizeof ip) : "");
        } else {
            say("  level %d type %d, %zu bytes, %d", c->cmsg_level, c->cmsg_type, c->cmsg_len - CMSG_LEN(0),
                c->cmsg_len >= CMSG_LEN(4) ? *(int *)data : *(unsigned char *)data);
        }
    }
}

static void receive(int fd, size_t room, int flags)
{
    char control[512] = {0};
    struct sockaddr_storage from = {0};
    struct iovec iov = {bytes, 100};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = room,
        .msg_name = &from, .msg_namelen = sizeof from};
    errno = 0;
    long r = recvmsg(fd, &message, flags);
    if (r < 0) {
        say("recvmsg: %s", errno_name(errno));
        return;
    }
    say("recvmsg: %s, name of %u bytes", data_text(bytes, r), message.msg_namelen);
    show_control(&message);
}

DGRAM(udp_pktinfo, "IP_PKTINFO says where a datagram was sent to")
{
    int w = dgram_at("0.0.0.0");
    SETOPT(w, IPPROTO_IP, IP_PKTINFO, 1);
    SAY_AS("b sends", xsendto(b, near_ip, port_of(w), "info", 4));
    HEAR(w);
    receive(w, 512, 0);
    SETOPT(w, IPPROTO_IP, IP_PKTINFO, 0);
    SAY_AS("b sends", xsendto(b, near_ip, port_of(w), "none", 4));
    HEAR(w);
    receive(w, 512, 0);
    (void)a;
}

DGRAM(udp_ttl_tos, "IP_RECVTTL and IP_RECVTOS show what the sender set")
{
    SETOPT(a, IPPROTO_IP, IP_RECVTTL, 1);
    SETOPT(a, IPPROTO_IP, IP_RECVTOS, 1);
    IN("plain");
    HEAR(a);
    receive(a, 512, 0);
    SETOPT(b, IPPROTO_IP, IP_TTL, 33);
    SETOPT(b, IPPROTO_IP, IP_TOS, 0x48);
    IN("coloured");
    HEAR(a);
    receive(a, 512, 0);
}

DGRAM(udp_ttl_tos_out, "IP_TTL and IP_TOS of this end are as set")
{
    SETOPT(a, IPPROTO_IP, IP_TTL, 7);
    SETOPT(a, IPPROTO_IP, IP_TOS, 0x20);
    GETOPT(a, IPPROTO_IP, IP_TTL);
    GETOPT(a, IPPROTO_IP, IP_TOS);
    SETOPT(a, IPPROTO_IP, IP_TTL, 0);
    SETOPT(a, IPPROTO_IP, IP_TTL, 256);
    struct sockaddr_in to = at4(far_ip, xport(b));
    SAY(sendto(a, "x", 1, 0, SA(to), sizeof to));
    AWAIT(b, POLLIN);
    RECV(b, 10, 0);
}

DGRAM(udp_control_cut, "control data without room is cut, and said so")
{
    SETOPT(a, IPPROTO_IP, IP_PKTINFO, 1);
    SETOPT(a, IPPROTO_IP, IP_RECVTTL, 1);
    for (size_t room = 0; room <= 56; room += 8) {
        xsendto(b, near_ip, port_of(a), "cut", 3);
        xpoll(a, POLLIN, 1000);
        if (room == 0) expect_ring(a);
        say("room for %zu", room);
        receive(a, room, 0);
    }
}

DGRAM(udp_timestamp, "SO_TIMESTAMP and SO_TIMESTAMPNS")
{
    SETOPT(a, SOL_SOCKET, SO_TIMESTAMP, 1);
    IN("micro");
    HEAR(a);
    receive(a, 512, 0);
    SETOPT(a, SOL_SOCKET, SO_TIMESTAMPNS, 1);
    IN("nano");
    HEAR(a);
    receive(a, 512, 0);
    SETOPT(a, SOL_SOCKET, SO_TIMESTAMPNS, 0);
    IN("none");
    HEAR(a);
    receive(a, 512, 0);
}

DGRAM(udp_control_order, "all kinds of control data at once, in order")
{
    SETOPT(a, SOL_SOCKET, SO_TIMESTAMP, 1);
    SETOPT(a, IPPROTO_IP, IP_PKTINFO, 1);
    SETOPT(a, IPPROTO_IP, IP_RECVTTL, 1);
    SETOPT(a, IPPROTO_IP, IP_RECVTOS, 1);
    SETOPT(a, SOL_SOCKET, SO_RXQ_OVFL, 1);
    IN("all");
    HEAR(a);
    receive(a, 512, MSG_PEEK);
    receive(a, 512, 0);
}

static long send_with(int fd, struct sockaddr_in to, int level, int type, const void *data, size_t length)
{
    char control[64] = {0};
    struct iovec iov = {"with", 4};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
        .msg_controllen = CMSG_SPACE(length), .msg_name = &to, .msg_namelen = sizeof to};
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    *c = (struct cmsghdr){.cmsg_level = level, .cmsg_type = type, .cmsg_len = CMSG_LEN(length)};
    memcpy(CMSG_DATA(c), data, length);
    return sendmsg(fd, &message, 0);
}

DGRAM(udp_send_control, "sendmsg with IP_PKTINFO, IP_TTL, IP_TOS, and with nonsense")
{
    struct sockaddr_in to = at4(far_ip, xport(b));
    struct in_pktinfo info = {.ipi_spec_dst = at4(near_ip, 0).sin_addr}, foreign = {.ipi_ifindex = 12345};
    int ttl = 9, tos = 0x10, wrong = 300;
    SAY(send_with(a, to, IPPROTO_IP, IP_PKTINFO, &info, sizeof info));
    AWAIT(b, POLLIN);
    RECV(b, 10, 0);
    SAY(send_with(a, to, IPPROTO_IP, IP_TTL, &ttl, sizeof ttl));
    AWAIT(b, POLLIN);
    RECV(b, 10, 0);
    SAY(send_with(a, to, IPPROTO_IP, IP_TOS, &tos, sizeof tos));
    AWAIT(b, POLLIN);
    RECV(b, 10, 0);
    SAY(send_with(a, to, IPPROTO_IP, IP_TTL, &wrong, sizeof wrong));
    SAY(send_with(a, to, IPPROTO_IP, IP_PKTINFO, &foreign, sizeof foreign));
    SAY(send_with(a, to, IPPROTO_IP, 99, &ttl, sizeof ttl));
    SAY(send_with(a, to, SOL_SOCKET, 99, &ttl, sizeof ttl));
    SAY(send_with(a, to, IPPROTO_TCP, 1, &ttl, sizeof ttl));
    RECV(b, 10, MSG_DONTWAIT);
}

// A port of the far host that answers with port unreachable.
static int deaf_port(void)
{
    int fd = xsocket(AF_INET, SOCK_DGRAM);
    xbind(fd, far_ip, 0);
    int port = xport(fd);
    xclose(fd);
    return port;
}

DGRAM(udp_refused_recv, "port unreachable: the next receive fails once")
{
    SAY(join(a, deaf_port()));
    SAY(send(a, "hello?", 6, 0));
    AWAIT(a, POLLIN);
    MASK(a);
    RECV(a, 10, 0);
    MASK(a);
    RECV(a, 10, MSG_DONTWAIT);
    (void)b;
}

DGRAM(udp_refused_send, "port unreachable: the next send fails once")
{
    SAY(join(a, deaf_port()));
    SAY(send(a, "one", 3, 0));
    AWAIT(a, POLLIN);
    SAY(send(a, "two", 3, 0));
    SAY(send(a, "three", 5, 0));
    AWAIT(a, POLLIN);
    ERROR(a);
    ERROR(a);
    MASK(a);
    (void)b;
}

DGRAM(udp_refused_blocked, "port unreachable wakes a blocked reader and an epoll")
{
    int ep = epoll_create1(0);
    SAY(ep_add(ep, a, EPOLLIN, 1));
    SAY(join(a, deaf_port()));
    SAY(send(a, "one", 3, 0));
    EPOLL(ep, 5, 2000);
    TIMED(recv(a, bytes, 10, 0), 0);
    EPOLL(ep, 5, 0);
    (void)b;
}

DGRAM(udp_refused_unconnected, "an unconnected socket hears nothing of port unreachable")
{
    struct sockaddr_in to = at4(far_ip, deaf_port());
    SAY(sendto(a, "hello?", 6, 0, SA(to), sizeof to));
    nap(50);
    MASK(a);
    ERROR(a);
    IN("life goes on");
    HEAR(a);
    RECV(a, 20, 0);
}

DGRAM(udp_errqueue, "IP_RECVERR keeps errors with the datagram that caused them")
{
    SETOPT(a, IPPROTO_IP, IP_RECVERR, 1);
    receive(a, 512, MSG_ERRQUEUE);
    struct sockaddr_in to = at4(far_ip, deaf_port());
    SAY(sendto(a, "lost", 4, 0, SA(to), sizeof to));
    AWAIT(a, POLLIN);
    MASK(a);
    receive(a, 512, MSG_ERRQUEUE);
    MASK(a);
    receive(a, 512, MSG_ERRQUEUE);
    RECV(a, 10, MSG_DONTWAIT);
    ERROR(a);
    (void)b;
}

DGRAM(udp_errqueue_connected, "IP_RECVERR of a connected socket: error first, then the queue")
{
    SETOPT(a, IPPROTO_IP, IP_RECVERR, 1);
    SAY(join(a, deaf_port()));
    SAY(send(a, "lost", 4, 0));
    AWAIT(a, POLLIN);
    RECV(a, 10, MSG_DONTWAIT);
    receive(a, 512, MSG_ERRQUEUE);
    SAY(send(a, "lost too", 8, 0));
    AWAIT(a, POLLIN);
    receive(a, 512, MSG_ERRQUEUE);
    SAY(send(a, "and this", 8, 0));
    nap(30);
    SETOPT(a, IPPROTO_IP, IP_RECVERR, 0);
    receive(a, 512, MSG_ERRQUEUE);
    (void)b;
}

DGRAM(udp_too_big, "with IP_PMTUDISC_DO nothing is cut up")
{
    static char big[3000];
    SETOPT(a, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO);
    struct sockaddr_in to = at4(far_ip, xport(b));
    SAY(sendto(a, big, 3000, 0, SA(to), sizeof to));
    SAY(sendto(a, big, 1000, 0, SA(to), sizeof to));
    AWAIT(b, POLLIN);
    SAY(xrecv(b, bytes, 5000, 0));
    SAY(join(a, xport(b)));
    GETOPT(a, IPPROTO_IP, IP_MTU);
    SETOPT(a, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
    SAY(send(a, big, 3000, 0));
    AWAIT(b, POLLIN);
    SAY(xrecv(b, bytes, 5000, 0));
}

DGRAM(udp6_mapped, "an IPv6 socket speaks to IPv4 under mapped names")
{
    int six = socket(AF_INET6, SOCK_DGRAM, 0);
    char text[80];
    struct sockaddr_in6 any = at6("::", 0), to, from;
    socklen_t length = sizeof from;
    SAY(bind(six, SA(any), sizeof any));
    snprintf(text, sizeof text, "::ffff:%s", far_ip);
    to = at6(text, xport(b));
    SAY(sendto(six, "mapped", 6, 0, SA(to), sizeof to));
    AWAIT(b, POLLIN);
    RECV(b, 20, 0);
    SAY_AS("b sends", xsendto(b, near_ip, port_of(six), "back", 4));
    HEAR(six);
    DATA(recvfrom(six, bytes, 100, 0, SA(from), &length), bytes);
    say("from: %s", address_text(&from, length, xport(b)));
    struct sockaddr_in four = at4(far_ip, xport(b));
    SAY(sendto(six, "plain name", 10, 0, SA(four), sizeof four));
    SAY(connect(six, SA(to), sizeof to));
    SAY(send(six, "connected", 9, 0));
    AWAIT(b, POLLIN);
    RECV(b, 20, 0);
    SETOPT(six, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    (void)a;
}

DGRAM(udp6_only, "an IPv6 socket that is not for IPv4 as well")
{
    int six = socket(AF_INET6, SOCK_DGRAM, 0), four = socket(AF_INET, SOCK_DGRAM, 0);
    SETOPT(six, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    struct sockaddr_in6 any = at6("::", 0);
    SAY(bind(six, SA(any), sizeof any));
    struct sockaddr_in any4 = at4("0.0.0.0", port_of(six));
    SAY(bind(four, SA(any4), sizeof any4));
    SAY_AS("b sends", xsendto(b, near_ip, port_of(six), "to the four", 11));
    HEAR(four);
    RECV(four, 20, 0);
    RECV(six, 20, MSG_DONTWAIT);
    (void)a;
}

DGRAM(udp_name_rooms, "recvfrom with short, no and null names")
{
    struct sockaddr_in from;
    for (int i = 0; i < 4; i++) IN("x");
    HEAR(a);
    socklen_t length = 3;
    memset(&from, 0, sizeof from);
    SAY(recvfrom(a, bytes, 10, 0, SA(from), &length));
    say("length %u family %d", length, from.sin_family);
    length = 0;
    SAY(recvfrom(a, bytes, 10, 0, SA(from), &length));
    say("length %u", length);
    length = 77;
    SAY(recvfrom(a, bytes, 10, 0, NULL, &length));
    SAY(recvfrom(a, bytes, 10, 0, SA(from), NULL));
    RECV(a, 10, MSG_DONTWAIT);
}
