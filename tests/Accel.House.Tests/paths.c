/* What the calls of accelerated programs cost over the local path: paths WHAT TIMES. Both ends are here, so that
 * nothing waits; each measure_WHAT is for callgrind's --toggle-collect. Without arguments the names. */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SMALL = 64, LARGE = 16384 };

static int listener, client, server, set;
static struct sockaddr_in address = { .sin_family = AF_INET };
static char bytes[LARGE];

static void need(int ok, const char *what)
{
    if (ok) return;
    perror(what);
    exit(1);
}

static void pass(int size)
{
    need(send(client, bytes, size, 0) == size, "send");
    need(recv(server, bytes, size, 0) == size, "recv");
}

#define MEASURED static void __attribute__((noinline))

MEASURED measure_message(void) { pass(SMALL); }

MEASURED measure_bulk(void) { pass(LARGE); }

MEASURED measure_epoll(void)
{
    struct epoll_event event;
    need(send(client, bytes, SMALL, 0) == SMALL, "send");
    need(epoll_wait(set, &event, 1, -1) == 1, "epoll_wait");
    need(recv(server, bytes, SMALL, 0) == SMALL, "recv");
}

MEASURED measure_poll(void)
{
    struct pollfd asked = { .fd = server, .events = POLLIN };
    need(send(client, bytes, SMALL, 0) == SMALL, "send");
    need(poll(&asked, 1, -1) == 1, "poll");
    need(recv(server, bytes, SMALL, 0) == SMALL, "recv");
}

MEASURED measure_epollctl(void)
{
    struct epoll_event event = { .events = EPOLLIN };
    need(epoll_ctl(set, EPOLL_CTL_DEL, server, NULL) == 0, "EPOLL_CTL_DEL");
    need(epoll_ctl(set, EPOLL_CTL_ADD, server, &event) == 0, "EPOLL_CTL_ADD");
}

MEASURED measure_connection(void)
{
    int one = socket(AF_INET, SOCK_STREAM, 0);
    need(connect(one, (struct sockaddr *)&address, sizeof address) == 0, "connect");
    int other = accept(listener, NULL, NULL);
    need(other >= 0, "accept");
    close(one);
    close(other);
}

MEASURED measure_dup(void)
{
    int copy = dup(client);
    need(copy >= 0, "dup");
    close(copy);
}

static const struct {
    const char *name;
    void (*run)(void);
} paths[] = { { "message", measure_message },   { "bulk", measure_bulk },
              { "epoll", measure_epoll },       { "poll", measure_poll },
              { "epollctl", measure_epollctl }, { "connection", measure_connection },
              { "dup", measure_dup } };

static void set_up(void)
{
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    need(bind(listener, (struct sockaddr *)&address, size) == 0, "bind");
    need(listen(listener, 16) == 0, "listen");
    need(getsockname(listener, (struct sockaddr *)&address, &size) == 0, "getsockname");
    client = socket(AF_INET, SOCK_STREAM, 0);
    need(connect(client, (struct sockaddr *)&address, size) == 0, "connect");
    server = accept(listener, NULL, NULL);
    need(server >= 0, "accept");
    set = epoll_create1(0);
    struct epoll_event event = { .events = EPOLLIN };
    need(epoll_ctl(set, EPOLL_CTL_ADD, server, &event) == 0, "EPOLL_CTL_ADD");
}

int main(int argc, char **argv)
{
    for (unsigned i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        if (argc < 3)
            puts(paths[i].name);
        else if (strcmp(argv[1], paths[i].name) == 0) {
            set_up();
            for (int times = atoi(argv[2]); times > 0; times--) paths[i].run();
            return 0;
        }
    }
    return argc < 3 ? 0 : 2;
}
