/* Calls on descriptors that are not ours, many times each, in a function of its own: what the wrapper adds to libc's
 * call is counted in instructions (CostTests.cs). The kernel's share does not count. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { TIMES = 10000 };

static int file, unix_socket, set;
static char buffer[8];

#define MEASURE(name, call)                                                                                            \
    __attribute__((noinline)) void measure_##name(void)                                                                \
    {                                                                                                                  \
        for (int i = 0; i < TIMES; i++)                                                                                \
            (void)!(call);                                                                                             \
    }

static struct iovec vector = { buffer, sizeof buffer };
static struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };
static struct epoll_event event;
static struct pollfd one;
static struct timespec none;

MEASURE(read, read(file, buffer, sizeof buffer))
MEASURE(write, write(file, buffer, sizeof buffer))
MEASURE(readv, readv(file, &vector, 1))
MEASURE(writev, writev(file, &vector, 1))
MEASURE(recv, recv(unix_socket, buffer, sizeof buffer, MSG_DONTWAIT))
MEASURE(send, send(unix_socket, buffer, 0, MSG_DONTWAIT))
MEASURE(recvmsg, recvmsg(unix_socket, &message, MSG_DONTWAIT))
MEASURE(fcntl, fcntl(file, F_GETFL))
MEASURE(ioctl, ioctl(file, FIONREAD, buffer))
MEASURE(getsockname, getsockname(unix_socket, (struct sockaddr *)buffer, (socklen_t[]){ 0 }))
MEASURE(poll, poll(&one, 1, 0))
MEASURE(ppoll, ppoll(&one, 1, &none, NULL))
MEASURE(epoll_wait, epoll_wait(set, &event, 1, 0))
MEASURE(epoll_ctl, epoll_ctl(set, EPOLL_CTL_ADD, file, &event))
MEASURE(close, close(-1))
MEASURE(dup2, dup2(file, file))

int main(void)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) return 1;
    file = open("/dev/null", O_RDWR);
    unix_socket = pair[0];
    set = epoll_create1(0);
    one.fd = pair[0];
    one.events = POLLIN;
    measure_read();
    measure_write();
    measure_readv();
    measure_writev();
    measure_recv();
    measure_send();
    measure_recvmsg();
    measure_fcntl();
    measure_ioctl();
    measure_getsockname();
    measure_poll();
    measure_ppoll();
    measure_epoll_wait();
    measure_epoll_ctl();
    measure_close();
    measure_dup2();
    return 0;
}
