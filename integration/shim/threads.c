/* Threads: cancelled in a sleeping call, starting the runtime at once, coming and going. */
#include "check.h"

static int sockets[2], epfd;
static struct sockaddr_in at;
static volatile int cleaned;
static char byte;

static void clean(void *argument)
{
    (void)argument;
    cleaned++;
}

enum way { RECV, READ, RECVMSG, ACCEPT, POLL, SELECT, EPOLL, SEND, WAYS };

static void sleep_in(enum way way)
{
    struct iovec iov = { &byte, 1 };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
    struct pollfd fds = { .fd = sockets[0], .events = POLLIN };
    struct epoll_event event;
    fd_set set;
    FD_ZERO(&set);
    FD_SET(sockets[0], &set);
    if (way == RECV) recv(sockets[0], &byte, 1, 0);
    if (way == READ) read(sockets[0], &byte, 1);
    if (way == RECVMSG) recvmsg(sockets[0], &msg, 0);
    if (way == ACCEPT) accept(epfd, NULL, NULL);
    if (way == POLL) poll(&fds, 1, -1);
    if (way == SELECT) select(sockets[0] + 1, &set, NULL, NULL, NULL);
    if (way == EPOLL) epoll_wait(epfd, &event, 1, -1);
    if (way == SEND) {
        static char much[1 << 20];
        for (;;) write(sockets[0], much, sizeof much);
    }
}

static void *sleeper(void *argument)
{
    pthread_cleanup_push(clean, NULL);
    sleep_in((enum way)(intptr_t)argument);
    pthread_cleanup_pop(0);
    return NULL;
}

static void cancel_in(enum way way, int before_ms)
{
    pthread_t thread;
    void *result;
    int expected = cleaned + 1;
    CHECK(pthread_create(&thread, NULL, sleeper, (void *)(intptr_t)way) == 0);
    sleep_ms(before_ms);
    CHECK(pthread_cancel(thread) == 0 && pthread_join(thread, &result) == 0);
    CHECK(result == PTHREAD_CANCELED && cleaned == expected);
}

static void cancelled_asleep(void)
{
    for (int way = 0; way < WAYS; way++) {
        for (int i = 0; i < 3; i++) {
            struct epoll_event event = { .events = EPOLLIN };
            pair(sockets);
            epfd = way == ACCEPT ? listener(&at) : epoll_create1(0);
            if (way == EPOLL) CHECK(epoll_ctl(epfd, EPOLL_CTL_ADD, sockets[0], &event) == 0);
            cancel_in((enum way)way, i == 0 ? 0 : 30);
            if (way != SEND) {
                CHECK(write(sockets[1], "x", 1) == 1 && read(sockets[0], &byte, 1) == 1 && byte == 'x');
                CHECK(write(sockets[0], "y", 1) == 1 && read(sockets[1], &byte, 1) == 1 && byte == 'y');
            }
            close(sockets[0]);
            close(sockets[1]);
            close(epfd);
        }
    }
}

static void *not_cancellable(void *argument)
{
    int state;
    (void)argument;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    CHECK(recv(sockets[0], &byte, 1, 0) == 1 && byte == 'x');
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &state);
    return NULL;
}

static void cancellation_disabled(void)
{
    pthread_t thread;
    void *result;
    pair(sockets);
    CHECK(pthread_create(&thread, NULL, not_cancellable, NULL) == 0);
    sleep_ms(30);
    pthread_cancel(thread);
    sleep_ms(30);
    CHECK(write(sockets[1], "x", 1) == 1 && pthread_join(thread, &result) == 0 && result == NULL);
}

static pthread_barrier_t barrier;
static void *begin_together(void *argument)
{
    int own[2];
    (void)argument;
    pthread_barrier_wait(&barrier);
    pair(own);
    for (int i = 0; i < 100; i++) {
        char c = 0;
        CHECK(write(own[0], "s", 1) == 1 && read(own[1], &c, 1) == 1 && c == 's');
    }
    close(own[0]);
    close(own[1]);
    return NULL;
}

/* The very first sockets of the process, by many threads in the same moment. */
static void first_sockets_at_once(void)
{
    pthread_t threads[16];
    pthread_barrier_init(&barrier, NULL, 16);
    for (int i = 0; i < 16; i++) CHECK(pthread_create(&threads[i], NULL, begin_together, NULL) == 0);
    for (int i = 0; i < 16; i++) pthread_join(threads[i], NULL);
}

static void *poll_once(void *argument)
{
    struct pollfd fds[3] = { { .fd = sockets[0], .events = POLLOUT }, { .fd = sockets[1], .events = POLLIN } };
    (void)argument;
    CHECK(poll(fds, 2, 0) == 1 && fds[0].revents == POLLOUT);
    return NULL;
}

static long resident_pages(void)
{
    long size, resident;
    FILE *f = fopen("/proc/self/statm", "r");
    CHECK(f != NULL && fscanf(f, "%ld %ld", &size, &resident) == 2);
    fclose(f);
    return size;
}

/* Threads that poll and go leave no memory behind. */
static void short_lived_threads(void)
{
    long before = 0;
    pair(sockets);
    for (int i = 0; i < 600; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, poll_once, NULL) == 0 && pthread_join(thread, NULL) == 0);
        if (i == 100) before = resident_pages();
    }
    CHECK(resident_pages() - before < 300);
}

static void *small_stack(void *argument)
{
    begin_together(argument);
    return NULL;
}

static void threads_with_small_stacks(void)
{
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_barrier_init(&barrier, NULL, 1);
    pair(sockets);
    pthread_attr_init(&attributes);
    CHECK(pthread_attr_setstacksize(&attributes, 64 << 10) == 0);
    CHECK(pthread_create(&thread, &attributes, small_stack, NULL) == 0 && pthread_join(thread, NULL) == 0);
}

/* Before main: sockets in a constructor, beside constructors of libraries. */
static int early[2];
__attribute__((constructor)) static void before_main(void)
{
    const char *wanted = getenv("CHECK_EARLY");
    if (wanted != NULL) pair(early);
}

static void sockets_in_constructor(void)
{
    pid_t pid = fork();
    int status;
    if (pid == 0) {
        setenv("CHECK_EARLY", "1", 1);
        execl("/proc/self/exe", "threads", "constructed", (char *)NULL);
        _exit(99);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

static void constructed(void)
{
    if (early[0] == 0) return;
    CHECK(write(early[0], "c", 1) == 1 && read(early[1], &byte, 1) == 1 && byte == 'c');
}

static void start_here(int sig)
{
    (void)sig;
    pair(sockets);
    cleaned = 1;
}

/* The first socket of the process in a signal handler. */
static void first_socket_in_handler(void)
{
    signal(SIGALRM, start_here);
    alarm(1);
    while (!cleaned) pause();
    CHECK(write(sockets[0], "h", 1) == 1 && read(sockets[1], &byte, 1) == 1 && byte == 'h');
}

TESTS({ "cancelled-asleep", cancelled_asleep }, { "cancellation-disabled", cancellation_disabled },
      { "first-sockets-at-once", first_sockets_at_once }, { "short-lived-threads", short_lived_threads },
      { "threads-with-small-stacks", threads_with_small_stacks }, { "sockets-in-constructor", sockets_in_constructor },
      { "constructed", constructed }, { "first-socket-in-handler", first_socket_in_handler })
