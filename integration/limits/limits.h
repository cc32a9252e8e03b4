// What the programs of this folder share: they say what they see, and give up where a limit is not meant to be met.
#ifndef LIMITS_H
#define LIMITS_H
#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define SA(address) ((struct sockaddr *)&(address))

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    line[length++] = '\n';
    if (write(1, line, (size_t)length) != length) _exit(3);
}

static const char *name(int error) { return error == 0 ? "0" : strerrorname_np(error); }

static _Noreturn void give_up(const char *what)
{
    say("%s: %s", what, name(errno));
    exit(1);
}

static long need(long result, const char *what)
{
    if (result < 0) give_up(what);
    return result;
}

static struct sockaddr_in at(const char *ip, int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, ip, &address.sin_addr);
    return address;
}

static int listen_at(const char *ip, int port)
{
    int fd = (int)need(socket(AF_INET, SOCK_STREAM, 0), "socket"), on = 1;
    struct sockaddr_in address = at(ip, port);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    need(bind(fd, SA(address), sizeof address), "bind");
    need(listen(fd, 4096), "listen");
    return fd;
}

static int port_of(int fd)
{
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    need(getsockname(fd, SA(address), &length), "getsockname");
    return ntohs(address.sin_port);
}

static int dial(const char *ip, int port)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = at(ip, port);
    if (fd >= 0 && connect(fd, SA(address), sizeof address) < 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static void allow_descriptors(unsigned long count)
{
    struct rlimit had;
    if (getrlimit(RLIMIT_NOFILE, &had) == 0 && had.rlim_cur >= count) return; // under valgrind none can be raised
    struct rlimit limit = {count, count};
    need(setrlimit(RLIMIT_NOFILE, &limit), "setrlimit");
}

#endif
