// Times: SO_RCVTIMEO and SO_SNDTIMEO with every call that waits, polls with times, and what interrupts them.
#include "oracle.h"

static void limit(int fd, int name, int ms)
{
    struct timeval time = {ms / 1000, ms % 1000 * 1000};
    if (setsockopt(fd, SOL_SOCKET, name, &time, sizeof time)) say("limit: %s", errno_name(errno));
}

PAIR(limit_each_reader, "SO_RCVTIMEO ends read, readv, recv, recvmsg, recvmmsg, splice")
{
    limit(a, SO_RCVTIMEO, 40);
    struct iovec iov = {bytes, 10};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    struct mmsghdr many = {.msg_hdr = message};
    int ends[2];
    if (pipe(ends)) return;
    TIMED(read(a, bytes, 10), 40);
    TIMED(readv(a, &iov, 1), 40);
    TIMED(recv(a, bytes, 10, MSG_PEEK), 40);
    TIMED(recvmsg(a, &message, 0), 40);
    TIMED(recvmmsg(a, &many, 1, 0, NULL), 40);
    TIMED(splice(a, NULL, ends[1], NULL, 10, 0), 40);
    (void)b;
}

PAIR(limit_part, "SO_RCVTIMEO with MSG_WAITALL gives the part that came")
{
    limit(a, SO_RCVTIMEO, 60);
    SEND(b, "part", 0);
    TIMED(DATA(recv(a, bytes, 10, MSG_WAITALL), bytes), 60);
    TIMED(recv(a, bytes, 10, MSG_WAITALL), 60);
}

PAIR(limit_lowat, "SO_RCVTIMEO with SO_RCVLOWAT gives what there is")
{
    limit(a, SO_RCVTIMEO, 60);
    SETOPT(a, SOL_SOCKET, SO_RCVLOWAT, 10);
    SEND(b, "few", 0);
    TIMED(DATA(recv(a, bytes, 100, 0), bytes), 60);
    TIMED(recv(a, bytes, 100, 0), 60);
}

PAIR(limit_extended, "each arrival does not begin the time anew")
{
    limit(a, SO_RCVTIMEO, 150);
    later_send(50, b, "a");
    later_send(100, b, "b");
    TIMED(DATA(recv(a, bytes, 10, MSG_WAITALL), bytes), 150);
    join_later();
}

PAIR(limit_signal, "a signal with SA_RESTART: a socket with a time limit gives EINTR")
{
    limit(a, SO_RCVTIMEO, 2000);
    catch_signal(SIGALRM, SA_RESTART);
    alarm_in(40);
    TIMED(recv(a, bytes, 10, 0), 40);
    say("handled %d", caught[SIGALRM]);
    (void)b;
}

PAIR(limit_writer, "SO_SNDTIMEO ends a writer whose peer does not read, with what went")
{
    limit(a, SO_SNDTIMEO, 80);
    static char block[8 << 20];
    long first = send(a, block, sizeof block, MSG_NOSIGNAL);
    say("a part: %d", first > 0 && first < (long)sizeof block);
    fill(a);
    TIMED(send(a, block, 100, MSG_NOSIGNAL), 80);
    (void)b;
}

PAIR(limit_zero_means_none, "a time of zero is none")
{
    limit(a, SO_RCVTIMEO, 50);
    limit(a, SO_RCVTIMEO, 0);
    later_send(90, b, "late");
    TIMED(DATA(recv(a, bytes, 10, 0), bytes), 90);
    join_later();
}

PAIR(limit_poll_signal, "poll, select and epoll_wait are interrupted whatever SA_RESTART says")
{
    struct pollfd entry = {a, POLLIN, 0};
    int ep = epoll_create1(0);
    SAY(ep_add(ep, a, EPOLLIN, 1));
    catch_signal(SIGALRM, SA_RESTART);
    alarm_in(40);
    TIMED(poll(&entry, 1, 2000), 40);
    alarm_in(40);
    struct epoll_event event;
    TIMED(epoll_wait(ep, &event, 1, 2000), 40);
    alarm_in(40);
    fd_set set;
    struct timeval time = {2, 0};
    FD_ZERO(&set);
    FD_SET(a, &set);
    TIMED(select(a + 1, &set, NULL, NULL, &time), 40);
    say("time left %d, handled %d", time.tv_sec == 1, caught[SIGALRM]);
    (void)b;
}

PAIR(limit_select_left, "select leaves the time that remains")
{
    fd_set set;
    struct timeval time = {3, 0};
    later_send(60, b, "x");
    FD_ZERO(&set);
    FD_SET(a, &set);
    say("%d", select(a + 1, &set, NULL, NULL, &time));
    join_later();
    say("remains %d", time.tv_sec == 2 && time.tv_usec > 0);
}

PAIR(limit_both, "SO_RCVTIMEO and SO_SNDTIMEO are two times")
{
    limit(a, SO_RCVTIMEO, 40);
    limit(a, SO_SNDTIMEO, 3000);
    TIMED(recv(a, bytes, 10, 0), 40);
    SEND(a, "x", 0);
    AWAIT(b, POLLIN);
    RECV(b, 10, 0);
}
