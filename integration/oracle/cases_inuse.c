// Descriptors that change while they are in use: dup, dup2, fcntl, close and shutdown under a call that waits.
#include "oracle.h"

// What the other threads saw, which is said when they have ended: the transcript has one order.
static char told[4][200];
static int told_count;
#define TELL(...) snprintf(told[__atomic_fetch_add(&told_count, 1, __ATOMIC_RELAXED)], sizeof told[0], __VA_ARGS__)

static void join_told(void)
{
    join_later();
    for (int i = 0; i < told_count; i++) say("%s", told[i]);
    told_count = 0;
}

static int fd_;
static void read_it(void *unused)
{
    (void)unused;
    char block[16];
    long r = recv(fd_, block, sizeof block, 0);
    TELL("recv there: %s", r < 0 ? errno_name(errno) : data_text(block, r));
}

static void poll_it(void *unused)
{
    (void)unused;
    struct pollfd entry = {fd_, POLLIN, 0};
    int r = poll(&entry, 1, 2000);
    TELL("poll there: %d %s", r, poll_text(entry.revents));
}

static void write_it(void *unused)
{
    (void)unused;
    static char block[4 << 20];
    long r = send(fd_, block, sizeof block, MSG_NOSIGNAL);
    TELL("send there: %s", r < 0 ? errno_name(errno) : r == sizeof block ? "all" : "a part");
}

PAIR(inuse_shutdown_rd_reader, "SHUT_RD under a reader")
{
    fd_ = a;
    later_call(0, read_it, NULL);
    nap(30);
    SAY(shutdown(a, SHUT_RD));
    join_told();
    (void)b;
}

PAIR(inuse_shutdown_wr_reader, "SHUT_WR under a reader does not wake it; data does")
{
    fd_ = a;
    later_call(0, read_it, NULL);
    nap(30);
    SAY(shutdown(a, SHUT_WR));
    nap(30);
    SEND(b, "data", 0);
    join_told();
}

PAIR(inuse_shutdown_wr_writer, "SHUT_WR under a blocked writer")
{
    fd_ = a;
    later_call(0, write_it, NULL);
    nap(100);
    SAY(shutdown(a, SHUT_WR));
    join_told();
    (void)b;
}

PAIR(inuse_reset_writer, "a reset under a blocked writer")
{
    fd_ = a;
    later_call(0, write_it, NULL);
    nap(100);
    SAY(xlinger(b, 1, 0));
    SAY(xclose(b));
    join_told();
    SAY(send(a, "x", 1, MSG_NOSIGNAL));
}

PAIR(inuse_reset_reader, "a reset under a reader")
{
    fd_ = a;
    later_call(0, read_it, NULL);
    nap(30);
    SAY(xlinger(b, 1, 0));
    SAY(xclose(b));
    join_told();
    RECV(a, 1, 0);
}

PAIR(inuse_shutdown_poller, "shutdown under a poller")
{
    fd_ = a;
    later_call(0, poll_it, NULL);
    nap(30);
    SAY(shutdown(a, SHUT_RD));
    join_told();
    (void)b;
}

PAIR(inuse_close_reader_then_data, "close() under a reader: it goes on, and gets what comes")
{
    fd_ = a;
    later_call(0, read_it, NULL);
    nap(30);
    SAY(close(a));
    nap(20);
    SEND(b, "still", 0);
    join_told();
}

PAIR(inuse_close_poller, "close() under a poller: data wakes it all the same")
{
    fd_ = a;
    int c = dup(a);
    later_call(0, poll_it, NULL);
    nap(30);
    SAY(close(a));
    SEND(b, "x", 0);
    join_told();
    RECV(c, 1, 0);
}

PAIR(inuse_dup2_reader, "dup2() over a number under a reader: the reader stays with the old socket")
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) return;
    fd_ = a;
    later_call(0, read_it, NULL);
    nap(30);
    SAY(dup2(pair[0], a) == a);
    SAY(write(pair[1], "new", 3));
    nap(20);
    SEND(b, "old", 0);
    join_told();
    DATA(read(a, bytes, 10), bytes);
}

PAIR(inuse_dup_two_readers, "two numbers of one socket, a reader on each")
{
    fd_ = a;
    later_call(0, read_it, NULL);
    nap(20);
    fd_ = dup(a);
    later_call(0, read_it, NULL);
    nap(20);
    SAY(xclose(b));
    join_told();
}

PAIR(inuse_dup_close_keeps, "closing one of two numbers ends nothing")
{
    int c = dup(a), d = fcntl(a, F_DUPFD, 100), e = fcntl(a, F_DUPFD_CLOEXEC, 100);
    say("numbers %d %d, close-on-exec %d %d", d >= 100, e > d, fcntl(d, F_GETFD), fcntl(e, F_GETFD));
    SAY(close(a));
    SAY(close(c));
    SEND(d, "alive", 0);
    AWAIT(b, POLLIN);
    RECV(b, 10, 0);
    SAY(close(d));
    MASK(b);
    SAY(close(e));
    AWAIT(b, POLLIN);
    RECV(b, 10, 0);
}

PAIR(inuse_dup3_rules, "dup3: the same number, unknown flags, bad numbers")
{
    SAY(dup3(a, a, 0));
    SAY(dup3(a, 200, O_NONBLOCK));
    SAY(dup3(a, 200, O_CLOEXEC));
    say("close-on-exec %d", fcntl(200, F_GETFD));
    SAY(dup2(a, -1));
    SAY(dup2(a, 1 << 30));
    SAY(dup2(-1, a));
    SEND(200, "through", 0);
    AWAIT(b, POLLIN);
    RECV(b, 10, 0);
}

PAIR(inuse_flags_shared, "O_NONBLOCK belongs to the socket, FD_CLOEXEC to the number")
{
    int c = dup(a);
    SAY(fcntl(a, F_SETFL, O_NONBLOCK));
    say("%x %x", fcntl(a, F_GETFL), fcntl(c, F_GETFL));
    RECV(c, 1, 0);
    SAY(fcntl(a, F_SETFD, FD_CLOEXEC));
    say("%x %x", fcntl(a, F_GETFD), fcntl(c, F_GETFD));
    int off = 0;
    SAY(ioctl(c, FIONBIO, &off));
    say("%x", fcntl(a, F_GETFL));
    SAY(ioctl(a, FIOCLEX));
    SAY(ioctl(a, FIONCLEX));
    say("%x", fcntl(a, F_GETFD));
    (void)b;
}

PAIR(inuse_nonblock_under_reader, "O_NONBLOCK set under a reader leaves that read waiting")
{
    fd_ = a;
    later_call(0, read_it, NULL);
    nap(30);
    SAY(fcntl(a, F_SETFL, O_NONBLOCK));
    nap(30);
    SEND(b, "late", 0);
    join_told();
    RECV(a, 1, 0);
}

PAIR(inuse_fcntl_others, "fcntl commands on a socket")
{
    SAY(fcntl(a, F_GETOWN));
    SAY(fcntl(a, F_SETOWN, getpid()));
    say("owner is me %d", fcntl(a, F_GETOWN) == getpid());
    SAY(fcntl(a, F_GETSIG));
    SAY(fcntl(a, F_GETPIPE_SZ));
    SAY(fcntl(a, F_GETLEASE));
    SAY(fcntl(a, F_ADD_SEALS, 0));
    SAY(fcntl(a, 12345));
    struct flock lock = {.l_type = F_RDLCK};
    SAY(fcntl(a, F_SETLK, &lock));
    (void)b;
}

PAIR(inuse_timeout_under_reader, "SO_RCVTIMEO set under a reader is for the next one")
{
    fd_ = a;
    later_call(0, read_it, NULL);
    nap(30);
    struct timeval time = {0, 30000};
    SAY(setsockopt(a, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time));
    nap(80);
    SEND(b, "late", 0);
    join_told();
    TIMED(recv(a, bytes, 1, 0), 30);
}

PAIR(inuse_lowat_under_reader, "data that is less than SO_RCVLOWAT, and a reader")
{
    SETOPT(a, SOL_SOCKET, SO_RCVLOWAT, 4);
    fd_ = a;
    later_call(0, read_it, NULL);
    nap(20);
    SEND(b, "ab", 0);
    nap(30);
    SEND(b, "cd", 0);
    join_told();
}

PAIR(inuse_peek_and_read, "a peeker and a reader wait for the same bytes")
{
    fd_ = a;
    later_send(40, b, "shared");
    TIMED(DATA(recv(a, bytes, 10, MSG_PEEK), bytes), 40);
    join_later();
    read_it(NULL);
    join_told();
}

PAIR(inuse_fork_then_close, "the child's number keeps the connection when the parent closes")
{
    struct barrier step = barrier_make();
    pid_t child = spawn();
    if (child == 0) {
        barrier_wait_parent(&step);
        bool sent = send(a, "child", 5, 0) == 5;
        _exit(sent && shutdown(a, SHUT_WR) == 0 ? 0 : 1);
    }
    SAY(close(a));
    MASK(b);
    barrier_tell_child(&step);
    AWAIT(b, POLLIN);
    RECV(b, 10, 0);
    reap(child);
    AWAIT(b, POLLRDHUP);
    RECV(b, 10, 0);
}

PAIR(inuse_fork_both_read, "parent and child read from one stream in turns")
{
    struct barrier step = barrier_make();
    pid_t child = spawn();
    if (child == 0) {
        barrier_wait_parent(&step);
        RECV(a, 2, 0);
        barrier_tell_parent(&step);
        _exit(0);
    }
    SEND(b, "aabbcc", 0);
    AWAIT(a, POLLIN);
    RECV(a, 2, 0);
    barrier_tell_child(&step);
    barrier_wait_child(&step);
    RECV(a, 2, 0);
    reap(child);
    SAY(xclose(b));
    AWAIT(a, POLLIN);
    RECV(a, 2, 0);
}

PAIR(inuse_close_with_data_coming, "close() while the peer sends: it hears of it")
{
    later_pump(0, b, 5, 4 << 20);
    nap(50);
    SAY(close(a));
    say("the pump: %s", join_later() < 0 ? "ended early" : "done");
}

PAIR(inuse_numbers_reused, "a number that is closed and used again belongs to the new socket alone")
{
    int ep = epoll_create1(0);
    SAY(ep_add(ep, a, EPOLLIN, 1));
    SAY(close(a));
    int c = socket(AF_INET, SOCK_STREAM, 0);
    say("same number %d", c == a);
    SAY(ep_mod(ep, c, EPOLLIN, 2));
    EPOLL(ep, 4, 0);
    SAY(recv(c, bytes, 1, 0));
    AWAIT(b, POLLIN);
    RECV(b, 1, 0);
}
