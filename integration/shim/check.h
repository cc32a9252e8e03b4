/* Small frame of the shim's tests: a program is a list of cases; without an argument it prints their names, with one it
 * runs that case and exits 0 if it held. Every case must hold on the kernel too: that is what makes it a true one. */
#ifndef CHECK_H
#define CHECK_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno);                          \
            _exit(1);                                                                                                  \
        }                                                                                                              \
    } while (0)
/* The call fails, with this errno. */
#define FAILS(error, call)                                                                                             \
    do {                                                                                                               \
        errno = 0;                                                                                                     \
        long r_ = (long)(call);                                                                                        \
        if (r_ != -1 || errno != (error)) {                                                                            \
            fprintf(stderr, "%s:%d: %s gave %ld, errno %d, not %s\n", __FILE__, __LINE__, #call, r_, errno, #error);   \
            _exit(1);                                                                                                  \
        }                                                                                                              \
    } while (0)

struct test {
    const char *name;
    void (*run)(void);
};
#define TESTS(...)                                                                                                     \
    int main(int argc, char **argv)                                                                                    \
    {                                                                                                                  \
        static const struct test tests[] = { __VA_ARGS__ };                                                            \
        for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {                                                    \
            if (argc < 2) puts(tests[i].name);                                                                         \
            else if (strcmp(argv[1], tests[i].name) == 0) return tests[i].run(), 0;                                    \
        }                                                                                                              \
        return argc < 2 ? 0 : 2;                                                                                       \
    }

static inline double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static inline void sleep_ms(int ms)
{
    struct timespec t = { ms / 1000, ms % 1000 * 1000000L };
    while (nanosleep(&t, &t) != 0) continue;
}

static inline int listener(struct sockaddr_in *at)
{
    socklen_t length = sizeof *at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    *at = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)at, sizeof *at) == 0 && listen(fd, 64) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)at, &length) == 0);
    return fd;
}

/* A connected pair of TCP sockets. */
static inline void pair(int fds[2])
{
    struct sockaddr_in at;
    int door = listener(&at);
    fds[0] = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(connect(fds[0], (struct sockaddr *)&at, sizeof at) == 0);
    fds[1] = accept(door, NULL, NULL);
    CHECK(fds[1] >= 0);
    close(door);
}

/* A thread that does something to FD after a while. */
struct later {
    int ms, fd;
    pthread_t target;
    int sig;
    const char *text;
    pthread_t thread;
};

/* Looks at *L only before it does anything: whoever waits for that then returns, and *L with it. */
static inline void *later_run(void *argument)
{
    const struct later *l = argument;
    int ms = l->ms, fd = l->fd, sig = l->sig;
    pthread_t target = l->target;
    const char *text = l->text;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    sleep_ms(ms);
    if (sig != 0) pthread_kill(target, sig);
    if (sig != 0 && text != NULL) sleep_ms(ms);
    if (text != NULL) CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    return NULL;
}

static inline void later(struct later *l)
{
    l->target = pthread_self();
    CHECK(pthread_create(&l->thread, NULL, later_run, l) == 0);
}

#endif
