/* Numbers that come, go, are copied and used again. */
#include "check.h"

#include <linux/close_range.h>

static int sockets[2];
static char byte;

static void still_works(int a, int b)
{
    CHECK(write(a, "p", 1) == 1 && read(b, &byte, 1) == 1 && byte == 'p');
    CHECK(write(b, "q", 1) == 1 && read(a, &byte, 1) == 1 && byte == 'q');
}

static int status_of(pid_t pid)
{
    int status;
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void copies(void)
{
    pair(sockets);
    int copy = dup(sockets[0]);
    still_works(copy, sockets[1]);
    CHECK(close(sockets[0]) == 0);
    still_works(copy, sockets[1]);
    CHECK(dup2(copy, 77) == 77 && dup2(77, 77) == 77 && close(copy) == 0);
    still_works(77, sockets[1]);
    CHECK(dup3(77, 78, O_CLOEXEC) == 78 && fcntl(78, F_GETFD) == FD_CLOEXEC && close(77) == 0);
    FAILS(EINVAL, dup3(78, 78, 0));
    int high = fcntl(78, F_DUPFD, 90), exec = fcntl(78, F_DUPFD_CLOEXEC, 95);
    CHECK(high >= 90 && exec >= 95 && close(78) == 0);
    still_works(high, sockets[1]);
    CHECK(close(high) == 0);
    still_works(exec, sockets[1]);
    CHECK(close(exec) == 0);
    CHECK(read(sockets[1], &byte, 1) == 0); /* the last copy is gone */
    FAILS(EBADF, dup(78));
    FAILS(EBADF, dup2(78, sockets[1]));
    CHECK(fcntl(sockets[1], F_GETFD) == 0);
}

/* A socket that something else is put upon. */
static void overwritten(void)
{
    pair(sockets);
    int null = open("/dev/zero", O_RDONLY);
    CHECK(dup2(null, sockets[0]) == sockets[0]);
    CHECK(read(sockets[1], &byte, 1) == 0);
    byte = 'x';
    CHECK(read(sockets[0], &byte, 1) == 1 && byte == 0);
    int again[2];
    pair(again);
    CHECK(dup2(again[0], null) == null && close(again[0]) == 0);
    still_works(null, again[1]);
}

/* Its number, taken by something else afterwards. */
static void recycled(void)
{
    pair(sockets);
    CHECK(open("/dev/null", O_RDONLY) < sockets[0]); /* the lowest free number is the one that is closed next */
    int number = sockets[0], pipes[2];
    close(sockets[0]);
    CHECK(open("/dev/zero", O_RDONLY) == number);
    byte = 'x';
    CHECK(read(number, &byte, 1) == 1 && byte == 0);
    close(number);
    CHECK(pipe(pipes) == 0 && pipes[0] == number);
    CHECK(write(pipes[1], "m", 1) == 1 && read(number, &byte, 1) == 1 && byte == 'm');
    close(number);
    CHECK(socket(AF_INET, SOCK_DGRAM, 0) == number);
    FAILS(ENOTCONN, getpeername(number, (struct sockaddr *)&(struct sockaddr_in){ 0 }, &(socklen_t){ 16 }));
    FAILS(EOPNOTSUPP, listen(number, 1));
}

/* A copy of a socket that has not done anything yet is the same socket afterwards. */
static void copied_before_use(void)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof at;
    int door = socket(AF_INET, SOCK_STREAM, 0), copy = dup(door), client = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(bind(door, (struct sockaddr *)&at, sizeof at) == 0 && listen(copy, 5) == 0);
    CHECK(getsockname(copy, (struct sockaddr *)&at, &length) == 0);
    CHECK(dup2(client, 60) == 60 && connect(client, (struct sockaddr *)&at, sizeof at) == 0);
    int accepted = accept(copy, NULL, NULL);
    CHECK(accepted >= 0);
    still_works(60, accepted);
    CHECK(close(client) == 0);
    still_works(60, accepted);
}

static void watched_before_use(void)
{
    struct sockaddr_in at;
    int door = listener(&at), epfd = epoll_create1(0), client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct epoll_event event = { .events = EPOLLOUT, .data.u64 = 5 };
    CHECK(epoll_ctl(epfd, EPOLL_CTL_ADD, client, &event) == 0);
    CHECK(connect(client, (struct sockaddr *)&at, sizeof at) == 0 || errno == EINPROGRESS);
    int accepted = accept(door, NULL, NULL);
    CHECK(epoll_wait(epfd, &event, 1, 2000) == 1 && event.data.u64 == 5 && (event.events & EPOLLOUT));
    fcntl(client, F_SETFL, 0);
    still_works(client, accepted);
}

/* Options and flags set before the socket's first use count. */
static void configured_before_use(void)
{
    struct sockaddr_in at;
    int door = listener(&at), client = socket(AF_INET, SOCK_STREAM, 0), value;
    struct timeval tenth = { .tv_usec = 100000 };
    CHECK(setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &tenth, sizeof tenth) == 0);
    CHECK(connect(client, (struct sockaddr *)&at, sizeof at) == 0);
    double began = now_s();
    FAILS(EAGAIN, recv(client, &byte, 1, 0));
    CHECK(now_s() - began > 0.08 && now_s() - began < 1);
    CHECK(fcntl(door, F_SETFL, O_NONBLOCK) == 0 && close(accept(door, NULL, NULL)) == 0);
    FAILS(EAGAIN, accept(door, NULL, NULL));
    int one = 1, quick = socket(AF_INET, SOCK_STREAM, 0);
    socklen_t length = sizeof value;
    CHECK(setsockopt(quick, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0 && fcntl(quick, F_SETFL, O_NONBLOCK) == 0);
    CHECK(connect(quick, (struct sockaddr *)&at, sizeof at) == 0 || errno == EINPROGRESS);
    CHECK(getsockopt(quick, IPPROTO_TCP, TCP_NODELAY, &value, &length) == 0 && value == 1);
    FAILS(EAGAIN, recv(quick, &byte, 1, 0));
}

static void close_in_loop(void)
{
    pair(sockets);
    pid_t pid = fork();
    if (pid == 0) {
        for (int fd = 3; fd < 70000; fd++) close(fd);
        pair(sockets);
        still_works(sockets[0], sockets[1]);
        _exit(0);
    }
    CHECK(status_of(pid) == 0);
    still_works(sockets[0], sockets[1]);
    for (int fd = 3; fd < 70000; fd++)
        if (fd != sockets[0] && fd != sockets[1]) close(fd);
    still_works(sockets[0], sockets[1]);
    pair(sockets);
    still_works(sockets[0], sockets[1]);
}

static void close_ranges(void)
{
    for (int way = 0; way < 4; way++) {
        int old[2];
        pair(sockets);
        pair(old);
        CHECK(dup2(sockets[0], 50) == 50 && dup2(sockets[1], 51) == 51);
        CHECK(close(sockets[0]) == 0 && close(sockets[1]) == 0);
        if (way == 0) CHECK(close_range(52, ~0u, 0) == 0 && close_range(3, 49, 0) == 0);
        if (way == 1) CHECK(syscall(SYS_close_range, 52, ~0u, 0) == 0);
        if (way == 2) CHECK(close_range(3, 49, CLOSE_RANGE_UNSHARE) == 0);
        if (way == 3) closefrom(52);
        still_works(50, 51);
        if (way % 2 == 0) FAILS(EBADF, write(old[0], "x", 1));
        CHECK(close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) == 0 && fcntl(50, F_GETFD) == FD_CLOEXEC);
        still_works(50, 51);
        closefrom(3);
        FAILS(EBADF, read(50, &byte, 1));
        pair(sockets);
        still_works(sockets[0], sockets[1]);
    }
    FAILS(EINVAL, close_range(5, 3, 0));
    FAILS(EINVAL, close_range(3, 5, 64));
}

/* Every number is taken once: none belongs to somebody whom it must not be taken from, or the library says so. */
static void copy_onto_all(void)
{
    pair(sockets);
    int limit = (int)sysconf(_SC_OPEN_MAX), zero = open("/dev/zero", O_RDONLY);
    if (limit > 70000) limit = 70000;
    for (int fd = 10; fd < limit; fd++) CHECK(dup2(zero, fd) == fd || (errno == EBUSY && getenv("LD_PRELOAD") != NULL));
    for (int fd = 10; fd < limit; fd++) close(fd);
    pair(sockets);
    still_works(sockets[0], sockets[1]);
}

static void bad_numbers(void)
{
    pair(sockets);
    for (int i = 0; i < 4; i++) {
        int bad = (int[]){ -1, 1000000, 1 << 30, INT32_MIN }[i];
        FAILS(EBADF, read(bad, &byte, 1));
        FAILS(EBADF, write(bad, "x", 1));
        FAILS(EBADF, recv(bad, &byte, 1, 0));
        FAILS(EBADF, close(bad));
        FAILS(EBADF, listen(bad, 1));
        FAILS(EBADF, fcntl(bad, F_GETFL));
        FAILS(EBADF, dup(bad));
        FAILS(EBADF, epoll_ctl(bad, EPOLL_CTL_ADD, sockets[0], &(struct epoll_event){ 0 }));
        struct pollfd fds[2] = { { .fd = bad, .events = POLLIN }, { .fd = sockets[0], .events = POLLOUT } };
        CHECK(poll(fds, 2, 0) == (bad < 0 ? 1 : 2) && fds[0].revents == (bad < 0 ? 0 : POLLNVAL));
    }
    FAILS(ENOTSOCK, recv(0, &byte, 1, 0));
}

/* pidfd_getfd() gives the connection, or says that it may not: never a socket that is connected to nobody. */
static void reached_for(void)
{
    pair(sockets);
    int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    CHECK(pidfd >= 0);
    for (int i = 0; i < 2; i++) {
        int got = (int)syscall(SYS_pidfd_getfd, pidfd, sockets[i], 0);
        CHECK(got >= 0 || errno == EPERM);
        if (got < 0) continue;
        CHECK(write(got, "x", 1) == 1 && read(sockets[1 - i], &byte, 1) == 1);
        close(got);
    }
    FAILS(EBADF, syscall(SYS_pidfd_getfd, pidfd, 999, 0));
    FAILS(EBADF, syscall(SYS_pidfd_getfd, 999, sockets[0], 0));
    int ends[2];
    CHECK(pipe(ends) == 0);
    int copy = (int)syscall(SYS_pidfd_getfd, pidfd, ends[1], 0);
    CHECK(copy >= 0 && write(copy, "y", 1) == 1 && read(ends[0], &byte, 1) == 1 && byte == 'y');
}

TESTS({ "reached-for", reached_for }, { "copies", copies }, { "overwritten", overwritten }, { "recycled", recycled },
      { "copied-before-use", copied_before_use }, { "watched-before-use", watched_before_use },
      { "configured-before-use", configured_before_use }, { "close-in-loop", close_in_loop },
      { "close-ranges", close_ranges }, { "copy-onto-all", copy_onto_all }, { "bad-numbers", bad_numbers })
