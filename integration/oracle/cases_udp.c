// UDP: datagrams, names, connect, blocking, readiness.
#include "oracle.h"

#define TO(fd) at4(far_ip, xport(fd))
// To b from a, to a from b; each arrives before the next step.
#define OUT(text) SAY_AS("a sends " #text, to_b(a, b, text, strlen(text)))
#define IN(text) SAY_AS("b sends " #text, xsendto(b, near_ip, port_of(a), text, strlen(text)))
#define HEAR(fd)                                                                                                     \
    ({                                                                                                               \
        AWAIT(fd, POLLIN);                                                                                           \
        if (!(fd & REMOTE)) expect_ring(fd);                                                                         \
    })

static long to_b(int a, int b, const char *text, size_t length)
{
    struct sockaddr_in to = TO(b);
    return sendto(a, text, length, 0, SA(to), sizeof to);
}

static int join(int a, int b)
{
    struct sockaddr_in to = TO(b);
    return connect(a, SA(to), sizeof to);
}

static int part(int a)
{
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    return connect(a, &none, sizeof none);
}

static void names(int fd, int own, int peer)
{
    struct sockaddr_storage s;
    socklen_t length = sizeof s;
    int r = getsockname(fd, SA(s), &length);
    say("sockname: %s", r ? errno_name(errno) : address_text(&s, length, own));
    length = sizeof s;
    r = getpeername(fd, SA(s), &length);
    say("peername: %s", r ? errno_name(errno) : address_text(&s, length, peer));
}

DGRAM(udp_exchange, "datagrams both ways, with the sender's name")
{
    struct sockaddr_storage from;
    socklen_t length = sizeof from;
    OUT("there");
    HEAR(b);
    RECV(b, 100, 0);
    IN("and back");
    HEAR(a);
    DATA(recvfrom(a, bytes, 100, 0, SA(from), &length), bytes);
    say("from: %s", address_text(&from, length, xport(b)));
    RECV(a, 100, MSG_DONTWAIT);
}

DGRAM(udp_zero_length, "a datagram of no bytes is readable and reads as 0")
{
    IN("");
    HEAR(a);
    say("FIONREAD %ld", xioctl(a, FIONREAD));
    RECV(a, 100, 0);
    RECV(a, 100, MSG_DONTWAIT);
    OUT("");
    HEAR(b);
    RECV(b, 100, 0);
    SAY(write(a, "", 0));
}

DGRAM(udp_read_zero, "reading no bytes takes a datagram")
{
    IN("first");
    IN("second");
    HEAR(a);
    SAY(recv(a, bytes, 0, 0));
    RECV(a, 100, 0);
    RECV(a, 100, MSG_DONTWAIT);
}

DGRAM(udp_boundaries, "each datagram is one read, whatever the room")
{
    IN("one");
    IN("two and more");
    IN("three");
    HEAR(a);
    RECV(a, 100, 0);
    RECV(a, 3, 0);
    RECV(a, 100, 0);
    RECV(a, 100, MSG_DONTWAIT);
}

DGRAM(udp_trunc, "MSG_TRUNC asks for the whole length, and says that something was cut")
{
    IN("0123456789");
    IN("0123456789");
    IN("0123456789");
    HEAR(a);
    SAY(recv(a, bytes, 4, MSG_TRUNC));
    struct iovec iov = {bytes, 4};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    DATA(recvmsg(a, &message, 0), bytes);
    say("flags %x", message.msg_flags);
    iov.iov_len = 10;
    DATA(recvmsg(a, &message, MSG_TRUNC), bytes);
    say("flags %x", message.msg_flags);
}

DGRAM(udp_peek, "MSG_PEEK leaves the datagram")
{
    IN("look");
    IN("next");
    HEAR(a);
    RECV(a, 100, MSG_PEEK);
    RECV(a, 2, MSG_PEEK);
    SAY(recv(a, bytes, 2, MSG_PEEK | MSG_TRUNC));
    RECV(a, 100, 0);
    RECV(a, 100, MSG_PEEK | MSG_DONTWAIT);
    RECV(a, 100, 0);
    RECV(a, 100, MSG_PEEK | MSG_DONTWAIT);
}

DGRAM(udp_fionread, "FIONREAD is the size of the next datagram")
{
    say("%ld", xioctl(a, FIONREAD));
    IN("four");
    IN("eleven more");
    HEAR(a);
    say("%ld", xioctl(a, FIONREAD));
    RECV(a, 100, 0);
    say("%ld", xioctl(a, FIONREAD));
    RECV(a, 1, 0);
    say("%ld", xioctl(a, FIONREAD));
    OUT("away");
    HEAR(b);
    say("out %ld", xioctl(a, TIOCOUTQ));
}

DGRAM(udp_connect_names, "connect() of an unbound socket chooses its own name")
{
    int c = socket(AF_INET, SOCK_DGRAM, 0);
    names(c, 0, 0);
    SAY(join(c, b));
    names(c, port_of(c), xport(b));
    SAY(part(c));
    names(c, port_of(c), 0);
    SAY(join(a, b));
    names(a, port_of(a), xport(b));
    SAY(part(a));
    names(a, port_of(a), 0);
    SAY(part(a));
}

DGRAM(udp_connected, "a connected socket needs no name, and hears its peer alone")
{
    int other = xsocket(AF_INET, SOCK_DGRAM);
    SAY(xbind(other, far_ip, 0));
    SAY(join(a, b));
    SAY(send(a, "by send", 7, 0));
    SAY(write(a, "by write", 8));
    HEAR(b);
    RECV(b, 100, 0);
    HEAR(b);
    RECV(b, 100, 0);
    SAY(xsendto(other, near_ip, port_of(a), "stranger", 8));
    nap(30);
    MASK(a);
    IN("peer");
    HEAR(a);
    RECV(a, 100, 0);
    RECV(a, 100, MSG_DONTWAIT);
    SAY(part(a));
    say("the port, which the kernel chose at bind(): %s", port_of(a) ? "kept" : "given back");
}

DGRAM(udp_before_connect, "what came before connect() stays, whoever sent it")
{
    int other = xsocket(AF_INET, SOCK_DGRAM);
    SAY(xbind(other, far_ip, 0));
    SAY(xsendto(other, near_ip, port_of(a), "early", 5));
    HEAR(a);
    SAY(join(a, b));
    RECV(a, 100, MSG_DONTWAIT);
    IN("late");
    HEAR(a);
    RECV(a, 100, 0);
}

DGRAM(udp_send_elsewhere, "a connected socket may send to another; connect() again changes the peer")
{
    int other = xsocket(AF_INET, SOCK_DGRAM);
    SAY(xbind(other, far_ip, 0));
    SAY(join(a, b));
    SAY_AS("to the other", to_b(a, other, "aside", 5));
    HEAR(other);
    RECV(other, 100, 0);
    SAY(join(a, other));
    SAY(send(a, "again", 5, 0));
    HEAR(other);
    RECV(other, 100, 0);
    IN("no longer");
    nap(20);
    RECV(a, 100, MSG_DONTWAIT);
}

DGRAM(udp_no_destination, "sending without a destination, or to a bad one")
{
    struct sockaddr_in to = TO(b);
    SAY(send(a, "x", 1, 0));
    SAY(write(a, "x", 1));
    SAY(sendto(a, "x", 1, 0, SA(to), 3));
    to.sin_family = AF_INET6;
    SAY(sendto(a, "x", 1, 0, SA(to), sizeof to));
    to.sin_family = AF_UNSPEC;
    SAY(sendto(a, "x", 1, 0, SA(to), sizeof to));
    to = at4(far_ip, 0);
    SAY(sendto(a, "x", 1, 0, SA(to), sizeof to));
    to = at4("255.255.255.255", 9);
    SAY(sendto(a, "x", 1, 0, SA(to), sizeof to));
    SAY(connect(a, SA(to), sizeof to));
    HEAR(b);
    RECV(b, 10, MSG_DONTWAIT);
}

DGRAM(udp_autobind, "sending binds; a second bind is refused")
{
    int c = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in at = at4(near_ip, 0);
    SAY_AS("send", to_b(c, b, "hello", 5));
    say("port %s", port_of(c) > 0 ? "chosen" : "none");
    names(c, port_of(c), 0);
    SAY(bind(c, SA(at), sizeof at));
    HEAR(b);
    RECV(b, 10, 0);
    SAY(xsendto(b, near_ip, port_of(c), "back", 4));
    HEAR(c);
    RECV(c, 10, 0);
    (void)a;
}

DGRAM(udp_bind_rules, "ports in use, shared, and free again")
{
    struct sockaddr_in at = at4(near_ip, port_of(a)), any = at4("0.0.0.0", port_of(a));
    int c = socket(AF_INET, SOCK_DGRAM, 0), d = socket(AF_INET, SOCK_DGRAM, 0), on = 1;
    SAY(bind(c, SA(at), sizeof at));
    SAY(bind(c, SA(any), sizeof any));
    SAY(setsockopt(c, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    SAY(bind(c, SA(at), sizeof at));
    SAY(setsockopt(a, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    SAY(bind(c, SA(any), sizeof any));
    IN("to the special one");
    HEAR(a);
    RECV(a, 100, 0);
    SAY(close(a));
    SAY(bind(d, SA(at), sizeof at));
    SAY(close(c));
    SAY(bind(d, SA(at), sizeof at));
    struct sockaddr_in foreign = at4("192.0.2.1", 0);
    int e = socket(AF_INET, SOCK_DGRAM, 0);
    SAY(bind(e, SA(foreign), sizeof foreign));
}

DGRAM(udp_reuseport, "SO_REUSEPORT: one of the group gets each datagram")
{
    int l[2], on = 1;
    struct sockaddr_in at = at4(near_ip, 0);
    for (int i = 0; i < 2; i++) {
        l[i] = socket(AF_INET, SOCK_DGRAM, 0);
        SAY(setsockopt(l[i], SOL_SOCKET, SO_REUSEPORT, &on, sizeof on));
        SAY(bind(l[i], SA(at), sizeof at));
        at.sin_port = htons(port_of(l[0]));
    }
    int got = 0;
    for (int i = 0; i < 40; i++) {
        int c = xsocket(AF_INET, SOCK_DGRAM);
        xsendto(c, near_ip, port_of(l[0]), "x", 1);
        xclose(c);
    }
    nap(50);
    for (int i = 0; i < 2; i++)
        while (recv(l[i], bytes, 10, MSG_DONTWAIT) > 0) got++;
    say("in all %d", got);
    SAY(close(l[0]));
    SAY(xsendto(b, near_ip, port_of(l[1]), "left", 4));
    HEAR(l[1]);
    RECV(l[1], 10, 0);
    (void)a;
}

DGRAM(udp_wildcard, "a wildcard socket hears all addresses, and answers from the one it was spoken to")
{
    int w = dgram_at("0.0.0.0");
    SAY(xsendto(b, near_ip, port_of(w), "whoever", 7));
    HEAR(w);
    struct sockaddr_in from;
    socklen_t length = sizeof from;
    DATA(recvfrom(w, bytes, 100, 0, SA(from), &length), bytes);
    SAY(sendto(w, "answer", 6, 0, SA(from), length));
    HEAR(b);
    RECV(b, 100, 0);
    SAY(connect(w, SA(from), length));
    names(w, port_of(w), xport(b));
    SAY(part(w));
    names(w, port_of(w), 0);
    (void)a;
}

DGRAM(udp_large, "the largest datagram, and one byte more")
{
    static char big[65508];
    memset(big, 'u', sizeof big);
    SAY_AS("65508 bytes", to_b(a, b, big, 65508));
    SAY_AS("65507 bytes", to_b(a, b, big, 65507));
    HEAR(b);
    SAY(xrecv(b, bytes, sizeof bytes, 0));
    SAY_AS("2000 bytes", to_b(a, b, big, 2000));
    HEAR(b);
    SAY(xrecv(b, bytes, sizeof bytes, 0));
    SAY_AS("back", xsendto(b, near_ip, port_of(a), big, 9000));
    AWAIT(a, POLLIN);
    SAY(xrecv(a, bytes, sizeof bytes, 0));
}

DGRAM(udp_mtu_edge, "datagrams around the size of one frame")
{
    static char big[1600];
    memset(big, 'e', sizeof big);
    for (int n = 1471; n <= 1474; n++) {
        say("out %ld", to_b(a, b, big, n));
        xpoll(b, POLLIN, 2000);
        say("there %ld", xrecv(b, bytes, sizeof bytes, MSG_DONTWAIT));
        say("in %ld", xsendto(b, near_ip, port_of(a), big, n));
        xpoll(a, POLLIN, 2000);
        say("here %ld", xrecv(a, bytes, sizeof bytes, MSG_DONTWAIT));
    }
}

DGRAM(udp_shutdown, "shutdown of unconnected and connected sockets")
{
    SAY(shutdown(a, SHUT_RD));
    MASK(a);
    SAY(join(a, b));
    SAY(shutdown(a, SHUT_WR));
    MASK(a);
    SAY(send(a, "x", 1, 0));
    IN("still heard");
    HEAR(a);
    RECV(a, 100, 0);
    SAY(shutdown(a, SHUT_RD));
    MASK(a);
    RECV(a, 100, 0);
    SAY(shutdown(a, 77));
}

DGRAM(udp_shutdown_wakes, "shutdown wakes a blocked reader")
{
    SAY(join(a, b));
    later_shutdown(40, a, SHUT_RDWR);
    TIMED(recv(a, bytes, 10, 0), 40);
    join_later();
    MASK(a);
}

DGRAM(udp_blocked_reader, "a blocked reader is woken by a datagram, or by its time")
{
    SAY_AS("connect b", xconnect(b, near_ip, port_of(a)));
    later_send(40, b, "wake");
    TIMED(DATA(recv(a, bytes, 100, 0), bytes), 40);
    join_later();
    struct timeval time = {0, 50000};
    SAY(setsockopt(a, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time));
    TIMED(recv(a, bytes, 100, 0), 50);
    nonblock(a);
    TIMED(recv(a, bytes, 100, 0), 0);
}

DGRAM(udp_flags, "flags that mean nothing, or are refused")
{
    struct sockaddr_in to = TO(b);
    SAY(sendto(a, "oob", 3, MSG_OOB, SA(to), sizeof to));
    SAY(sendto(a, "confirm", 7, MSG_CONFIRM, SA(to), sizeof to));
    HEAR(b);
    RECV(b, 100, 0);
    SAY(sendto(a, "eor", 3, MSG_EOR | MSG_NOSIGNAL, SA(to), sizeof to));
    HEAR(b);
    RECV(b, 100, 0);
    IN("all");
    HEAR(a);
    RECV(a, 100, MSG_WAITALL);
    IN("oob?");
    HEAR(a);
    RECV(a, 100, MSG_OOB);
    RECV(a, 100, MSG_DONTWAIT);
    SAY(listen(a, 5));
    SAY(accept(a, NULL, NULL));
}

DGRAM(udp_more, "MSG_MORE and UDP_CORK gather one datagram")
{
    struct sockaddr_in to = TO(b);
    SAY(sendto(a, "one ", 4, MSG_MORE, SA(to), sizeof to));
    SAY(sendto(a, "two ", 4, MSG_MORE, SA(to), sizeof to));
    nap(20);
    RECV(b, 100, MSG_DONTWAIT);
    SAY(sendto(a, "three", 5, 0, SA(to), sizeof to));
    HEAR(b);
    RECV(b, 100, 0);
    SAY(join(a, b));
    SETOPT(a, IPPROTO_UDP, 1, 1);
    SAY(send(a, "four ", 5, 0));
    SAY(send(a, "five", 4, 0));
    nap(20);
    RECV(b, 100, MSG_DONTWAIT);
    SETOPT(a, IPPROTO_UDP, 1, 0);
    HEAR(b);
    RECV(b, 100, 0);
}

DGRAM(udp_segment, "UDP_SEGMENT cuts one send into datagrams")
{
    SAY(join(a, b));
    SETOPT(a, IPPROTO_UDP, 103, 4);
    SAY(send(a, "1111222233", 10, 0));
    for (int i = 0; i < 3; i++) {
        HEAR(b);
        RECV(b, 100, 0);
    }
    RECV(b, 100, MSG_DONTWAIT);
    SETOPT(a, IPPROTO_UDP, 103, 0);
    SAY(send(a, "whole again", 11, 0));
    HEAR(b);
    RECV(b, 100, 0);
}
