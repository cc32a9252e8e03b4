// What intercepted calls cost on descriptors that are none of Accel's: files, pipes, unix sockets.
//   passthrough      prints "NAME NANOSECONDS" for each call: the least of many short batches
// Run with and without the preload; the difference is the preload's own cost. The least and no average, because the
// question is what the instructions in between cost and not what else the machine did meanwhile.
#include "load.h"
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/uio.h>

static int zero, null, pair[2], epfd;
static char buffer[64];

static void call_read(void) { if (read(zero, buffer, 8) != 8) fail("read"); }
static void call_write(void) { if (write(null, buffer, 8) != 8) fail("write"); }
static void call_readv(void)
{
    struct iovec v = { buffer, 8 };
    if (readv(zero, &v, 1) != 8) fail("readv");
}
static void call_recv(void) { if (recv(pair[0], buffer, 8, MSG_DONTWAIT) >= 0) fail("recv"); }
static void call_fcntl(void) { if (fcntl(zero, F_GETFD) < 0) fail("fcntl"); }
static void call_poll(void)
{
    struct pollfd p = { .fd = pair[0], .events = POLLIN };
    if (poll(&p, 1, 0) != 0) fail("poll");
}
static void call_epoll_wait(void)
{
    struct epoll_event e;
    if (epoll_wait(epfd, &e, 1, 0) != 0) fail("epoll_wait");
}
static void call_getsockopt(void)
{
    int value;
    socklen_t size = sizeof value;
    if (getsockopt(pair[0], SOL_SOCKET, SO_TYPE, &value, &size) < 0) fail("getsockopt");
}
static void call_dup_close(void)
{
    int fd = dup(zero);
    if (fd < 0 || close(fd) < 0) fail("dup, close");
}

static const struct {
    const char *name;
    void (*once)(void);
} calls[] = {
    { "read", call_read }, { "write", call_write }, { "readv", call_readv }, { "recv", call_recv },
    { "fcntl", call_fcntl },
    { "poll", call_poll }, { "epoll_wait", call_epoll_wait }, { "getsockopt", call_getsockopt },
    { "dup+close", call_dup_close },
};

int main(void)
{
    enum { BATCHES = 400, EACH = 500 };
    struct epoll_event e = { .events = EPOLLIN };
    if ((zero = open("/dev/zero", O_RDONLY)) < 0 || (null = open("/dev/null", O_WRONLY)) < 0) fail("open");
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0) fail("socketpair");
    if ((epfd = epoll_create1(0)) < 0 || epoll_ctl(epfd, EPOLL_CTL_ADD, pair[0], &e) < 0) fail("epoll");
    for (size_t c = 0; c < sizeof calls / sizeof *calls; c++) {
        double least = 1e9;
        for (int b = 0; b < BATCHES; b++) {
            uint64_t start = nanoseconds();
            for (int i = 0; i < EACH; i++) calls[c].once();
            double each = (double)(nanoseconds() - start) / EACH;
            if (each < least) least = each;
        }
        printf("%s %.2f\n", calls[c].name, least);
    }
    return 0;
}
