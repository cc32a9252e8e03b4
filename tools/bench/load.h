// What the load programs share: a clock that costs little, sockets on the address in LOAD_ADDRESS (default: loopback),
// and errors that end the program with a line.
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

static inline struct sockaddr_in load_address(int port)
{
    const char *text = getenv("LOAD_ADDRESS");
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    if (inet_pton(AF_INET, text == NULL ? "127.0.0.1" : text, &a.sin_addr) != 1) fail("LOAD_ADDRESS");
    return a;
}

// A socket that clients reach; says "port N" on standard output, which is what the harness waits for.
static inline int open_server(int type, int backlog)
{
    struct sockaddr_in a = load_address(0);
    socklen_t len = sizeof a;
    int one = 1, s = socket(AF_INET, type, 0);
    if (s < 0) fail("socket");
    if (setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0) fail("SO_REUSEADDR");
    if (bind(s, (struct sockaddr *)&a, sizeof a) < 0) fail("bind");
    if (type == SOCK_STREAM && listen(s, backlog) < 0) fail("listen");
    if (getsockname(s, (struct sockaddr *)&a, &len) < 0) fail("getsockname");
    printf("port %d\n", ntohs(a.sin_port));
    fflush(stdout);
    return s;
}

static inline int open_client(int type, int port)
{
    struct sockaddr_in a = load_address(port);
    int s = socket(AF_INET, type, 0);
    if (s < 0) fail("socket");
    if (connect(s, (struct sockaddr *)&a, sizeof a) < 0) fail("connect");
    return s;
}

static inline void no_delay(int s)
{
    int one = 1;
    if (setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0) fail("TCP_NODELAY");
}
