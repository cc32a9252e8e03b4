// Time limits and low-water marks: SO_RCVTIMEO, SO_SNDTIMEO, SO_RCVLOWAT.
#include "oracle.h"

static int set_time(int fd, int name, long seconds, long us)
{
    struct timeval time = {seconds, us};
    return setsockopt(fd, SOL_SOCKET, name, &time, sizeof time);
}

static void show_time(int fd, int name)
{
    struct timeval time = {-1, -1};
    socklen_t length = sizeof time;
    int r = getsockopt(fd, SOL_SOCKET, name, &time, &length);
    say("%s: %d, %ld s %s, length %u", name == SO_RCVTIMEO ? "SO_RCVTIMEO" : "SO_SNDTIMEO", r, (long)time.tv_sec,
        time.tv_usec == 0 ? "0 us" : "and some us", length);
}

PAIR(receive_timeout, "SO_RCVTIMEO: EAGAIN after the time, data within it, again and again")
{
    SAY(set_time(a, SO_RCVTIMEO, 0, 60000));
    TIMED(recv(a, bytes, 10, 0), 60);
    TIMED(read(a, bytes, 10), 60);
    later_send(20, b, "in time");
    DATA(recv(a, bytes, 10, 0), bytes);
    join_later();
    struct iovec iov = {bytes, 10};
    TIMED(readv(a, &iov, 1), 60);
    SAY(set_time(a, SO_RCVTIMEO, 0, 0));
    later_send(100, b, "unlimited");
    TIMED(recv(a, bytes, 10, 0), 100);
    join_later();
    SEND(a, "x", 0);
    SAY(xclose(b));
}

PAIR(send_timeout, "SO_SNDTIMEO: part of it, then EAGAIN after the time")
{
    SAY(set_time(a, SO_SNDTIMEO, 0, 60000));
    say("filled %s", fill(a) > 0 ? "yes" : "no");
    TIMED(send(a, bytes, sizeof bytes, 0), 60);
    fill(a);
    TIMED(write(a, bytes, sizeof bytes), 60);
    (void)b;
}

PAIR(send_timeout_partial, "a big blocking send with SO_SNDTIMEO ends with a part")
{
    static char big[32 << 20];
    SAY(set_time(a, SO_SNDTIMEO, 0, 80000));
    long r = send(a, big, sizeof big, 0);
    say("part of it: %s", r > 0 && r < (long)sizeof big ? "yes" : "no");
    (void)b;
}

PAIR(timeout_get, "what the time options give back, and bad values")
{
    show_time(a, SO_RCVTIMEO);
    show_time(a, SO_SNDTIMEO);
    SAY(set_time(a, SO_RCVTIMEO, 3, 0));
    SAY(set_time(a, SO_SNDTIMEO, 4, 500000));
    show_time(a, SO_RCVTIMEO);
    show_time(a, SO_SNDTIMEO);
    SAY(set_time(a, SO_RCVTIMEO, 1, 1000000));
    SAY(set_time(a, SO_RCVTIMEO, 1, -1));
    show_time(a, SO_RCVTIMEO);
    SAY(set_time(a, SO_RCVTIMEO, -1, 0));
    show_time(a, SO_RCVTIMEO);
    int value = 1;
    SAY(setsockopt(a, SOL_SOCKET, SO_RCVTIMEO, &value, sizeof value));
    (void)b;
}

PAIR(negative_timeout, "a negative SO_RCVTIMEO does not wait at all")
{
    SAY(set_time(a, SO_RCVTIMEO, -1, 0));
    TIMED(recv(a, bytes, 1, 0), 0);
    SEND(b, "x", 0);
    RECV(a, 1, 0);
}

PAIR(timeout_nonblocking, "time options do not matter to a non-blocking socket")
{
    SAY(set_time(a, SO_RCVTIMEO, 5, 0));
    nonblock(a);
    TIMED(recv(a, bytes, 1, 0), 0);
    TIMED(recv(a, bytes, 1, MSG_WAITALL), 0);
    SAY(fcntl(a, F_SETFL, 0));
    TIMED(recv(a, bytes, 1, MSG_DONTWAIT), 0);
    (void)b;
}

PAIR(timeout_poll, "SO_RCVTIMEO does not matter to poll")
{
    SAY(set_time(a, SO_RCVTIMEO, 0, 10000));
    struct pollfd wait = {a, POLLIN, 0};
    TIMED(poll(&wait, 1, 80), 80);
    (void)b;
}

CASE(connect_timeout_option, "SO_SNDTIMEO bounds a connect into a full backlog")
{
    backlog = 0;
    int l = listener(), port = port_of(l);
    dial(port);
    int c = socket(AF_INET, SOCK_STREAM, 0);
    SAY(set_time(c, SO_SNDTIMEO, 0, 80000));
    TIMED(connect_to(c, port), 80);
    SAY(connect_to(c, port) == 0 ? 0 : -1);
}

PAIR(lowat_poll, "SO_RCVLOWAT: poll and epoll say readable only from that many bytes")
{
    int ep = epoll_create1(0);
    SETOPT(a, SOL_SOCKET, SO_RCVLOWAT, 5);
    GETOPT(a, SOL_SOCKET, SO_RCVLOWAT);
    SAY(ep_add(ep, a, EPOLLIN, 1));
    SEND(b, "abc", 0);
    MASK(a);
    EPOLL(ep, 4, 0);
    SEND(b, "de", 0);
    MASK(a);
    EPOLL(ep, 4, 0);
    RECV(a, 1, 0);
    MASK(a);
    EPOLL(ep, 4, 0);
    RECV(a, 2, MSG_DONTWAIT);
    SAY(xclose(b));
    AWAIT(a, POLLIN);
    MASK(a);
    EPOLL(ep, 4, 0);
}

PAIR(lowat_recv, "SO_RCVLOWAT: a blocking recv waits for that many, or for what it asked")
{
    SETOPT(a, SOL_SOCKET, SO_RCVLOWAT, 5);
    SEND(b, "abc", 0);
    later_send(40, b, "defghi");
    TIMED(DATA(recv(a, bytes, 100, 0), bytes), 40);
    join_later();
    SEND(b, "xyz", 0);
    TIMED(DATA(recv(a, bytes, 2, 0), bytes), 0);
    TIMED(DATA(recv(a, bytes, 100, MSG_DONTWAIT), bytes), 0);
    SEND(b, "end", 0);
    later_shutdown(40, b, SHUT_WR);
    TIMED(DATA(recv(a, bytes, 100, 0), bytes), 40);
    join_later();
}

PAIR(lowat_change_makes_ready, "lowering SO_RCVLOWAT makes waiting data readable")
{
    SETOPT(a, SOL_SOCKET, SO_RCVLOWAT, 10);
    SEND(b, "abc", 0);
    MASK(a);
    SETOPT(a, SOL_SOCKET, SO_RCVLOWAT, 0);
    GETOPT(a, SOL_SOCKET, SO_RCVLOWAT);
    MASK(a);
    SETOPT(a, SOL_SOCKET, SO_RCVLOWAT, -1);
    say("negative is as large as can be: %s", xgetopt(a, SOL_SOCKET, SO_RCVLOWAT) > 100000 ? "yes" : "no");
    RECV(a, 10, MSG_DONTWAIT);
}

PAIR(lowat_send, "SO_SNDLOWAT cannot be changed")
{
    GETOPT(a, SOL_SOCKET, SO_SNDLOWAT);
    SETOPT(a, SOL_SOCKET, SO_SNDLOWAT, 5);
    GETOPT(a, SOL_SOCKET, SO_SNDLOWAT);
    (void)b;
}
