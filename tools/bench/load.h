// What the load programs share: a clock that costs little, loopback sockets, and errors that end the program with a
// line.
#pragma once

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static inline void fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static inline uint64_t nanoseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

// A round trip through shared memory takes as long as three or four clock_gettime() calls, so round trips are timed in
// ticks of the time stamp counter and turned into nanoseconds at the end.
static inline uint64_t ticks(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#else
    return nanoseconds();
#endif
}

// A listening socket on 127.0.0.1; says "port N" on standard output, which is what the harness waits for.
static inline int listen_on_loopback(int backlog)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof a;
    int one = 1, s = socket(AF_INET, SOCK_STREAM, 0);
    if (s < 0) fail("socket");
    if (setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0) fail("SO_REUSEADDR");
    if (bind(s, (struct sockaddr *)&a, sizeof a) < 0) fail("bind");
    if (listen(s, backlog) < 0) fail("listen");
    if (getsockname(s, (struct sockaddr *)&a, &len) < 0) fail("getsockname");
    printf("port %d\n", ntohs(a.sin_port));
    fflush(stdout);
    return s;
}

static inline int connect_to_loopback(int port)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
    };
    int s = socket(AF_INET, SOCK_STREAM, 0);
    if (s < 0) fail("socket");
    if (connect(s, (struct sockaddr *)&a, sizeof a) < 0) fail("connect");
    return s;
}

static inline void no_delay(int s)
{
    int one = 1;
    if (setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0) fail("TCP_NODELAY");
}
