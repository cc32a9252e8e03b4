/* io_uring: sockets of a process that makes a ring are the kernel's, also those that it had before. */
#include "check.h"

#include <linux/io_uring.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <sys/mman.h>

struct ring {
    int fd;
    struct io_uring_params params;
    char *submissions, *completions;
    struct io_uring_sqe *entries;
};

static unsigned *word(char *base, unsigned offset) { return (unsigned *)(base + offset); }

/* False: this kernel has no io_uring, or it may not be used here. */
static bool ring_made(struct ring *r)
{
    memset(r, 0, sizeof *r);
    r->fd = (int)syscall(SYS_io_uring_setup, 8, &r->params);
    if (r->fd < 0) return false;
    int prot = PROT_READ | PROT_WRITE;
    size_t sq = r->params.sq_off.array + r->params.sq_entries * sizeof(unsigned);
    size_t cq = r->params.cq_off.cqes + r->params.cq_entries * sizeof(struct io_uring_cqe);
    r->submissions = mmap(NULL, sq, prot, MAP_SHARED, r->fd, IORING_OFF_SQ_RING);
    r->completions = mmap(NULL, cq, prot, MAP_SHARED, r->fd, IORING_OFF_CQ_RING);
    r->entries = mmap(NULL, r->params.sq_entries * sizeof(struct io_uring_sqe), prot, MAP_SHARED, r->fd,
        IORING_OFF_SQES);
    CHECK(r->submissions != MAP_FAILED && r->completions != MAP_FAILED && (void *)r->entries != MAP_FAILED);
    return true;
}

/* One operation, waited for. */
static int through(struct ring *r, int operation, int fd, void *data, unsigned length)
{
    unsigned *tail = word(r->submissions, r->params.sq_off.tail);
    unsigned mask = *word(r->submissions, r->params.sq_off.ring_mask);
    unsigned at = *tail & mask;
    r->entries[at] = (struct io_uring_sqe){ .opcode = (unsigned char)operation, .fd = fd, .addr = (uintptr_t)data,
        .len = length };
    word(r->submissions, r->params.sq_off.array)[at] = at;
    __atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
    CHECK(syscall(SYS_io_uring_enter, r->fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) == 1);
    unsigned *head = word(r->completions, r->params.cq_off.head);
    CHECK(__atomic_load_n(word(r->completions, r->params.cq_off.tail), __ATOMIC_ACQUIRE) != *head);
    struct io_uring_cqe *events = (struct io_uring_cqe *)(r->completions + r->params.cq_off.cqes);
    int result = events[*head & *word(r->completions, r->params.cq_off.ring_mask)].res;
    __atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
    return result;
}

/* Asked past the preload: the kernel knows a peer. */
static bool kernel_has(int fd)
{
    struct sockaddr_storage name;
    socklen_t length = sizeof name;
    long result;
    register long none __asm__("r10") = 0;
    __asm__ volatile("syscall" : "=a"(result) : "a"((long)SYS_getpeername), "D"((long)fd), "S"(&name), "d"(&length),
        "r"(none) : "rcx", "r11", "memory");
    return result == 0;
}

static int connected(int listener)
{
    struct sockaddr_in name;
    socklen_t length = sizeof name;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(getsockname(listener, (struct sockaddr *)&name, &length) == 0);
    CHECK(connect(fd, (struct sockaddr *)&name, length) == 0);
    return fd;
}

static int listening(void)
{
    struct sockaddr_in name = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(bind(fd, (struct sockaddr *)&name, sizeof name) == 0 && listen(fd, 8) == 0);
    return fd;
}

/* Bytes that were on their way when the ring came, and both directions afterwards. */
static void carries(struct ring *r, int a, int b, const char *waiting)
{
    char text[64] = "";
    if (*waiting != 0) {
        CHECK(through(r, IORING_OP_RECV, b, text, sizeof text) == (int)strlen(waiting));
        CHECK(strcmp(text, waiting) == 0);
    }
    CHECK(through(r, IORING_OP_SEND, a, "by ring", 7) == 7);
    CHECK(through(r, IORING_OP_RECV, b, text, 7) == 7 && memcmp(text, "by ring", 7) == 0);
    CHECK(write(b, "by call", 7) == 7);
    CHECK(through(r, IORING_OP_READ, a, text, 7) == 7 && memcmp(text, "by call", 7) == 0);
}

static void later_sockets(void)
{
    struct ring r;
    if (!ring_made(&r)) return;
    int l = listening(), a = connected(l), b = accept(l, NULL, NULL);
    CHECK(kernel_has(a) && kernel_has(b));
    carries(&r, a, b, "");
}

static void live_sockets(void)
{
    struct ring r;
    int l = listening(), a = connected(l), b = accept(l, NULL, NULL), fresh = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(write(a, "waiting", 7) == 7);
    if (!ring_made(&r)) return;
    carries(&r, a, b, "waiting");
    CHECK(kernel_has(a) && kernel_has(b));

    /* The listener that was, by the ring and by the call. */
    int c = connected(l), d = through(&r, IORING_OP_ACCEPT, l, NULL, 0);
    CHECK(d >= 0);
    carries(&r, c, d, "");
    int e = connected(l), f = accept(l, NULL, NULL);
    carries(&r, e, f, "");
    struct sockaddr_in name;
    socklen_t length = sizeof name;
    CHECK(getsockname(l, (struct sockaddr *)&name, &length) == 0);
    CHECK(connect(fresh, (struct sockaddr *)&name, length) == 0);
    carries(&r, fresh, accept(l, NULL, NULL), "");
}

/* A client that waits to be accepted when the ring comes is not lost. */
static void queued_client(void)
{
    struct ring r;
    int l = listening(), a = connected(l);
    CHECK(write(a, "early", 5) == 5);
    if (!ring_made(&r)) return;
    int b = accept(l, NULL, NULL);
    carries(&r, a, b, "early");
    CHECK(kernel_has(a) && kernel_has(b));
}

/* The other end in another process, which knows nothing of a ring. */
static void other_process(void)
{
    struct ring r;
    int l = listening();
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        char text[16];
        int a = connected(l);
        for (int i = 0; i < 3; i++) {
            ssize_t n = read(a, text, sizeof text);
            CHECK(n == 4 && write(a, text, (size_t)n) == n);
        }
        CHECK(read(a, text, sizeof text) == 0);
        _exit(0);
    }
    char text[16];
    int b = accept(l, NULL, NULL);
    close(l);
    CHECK(write(b, "one.", 4) == 4 && read(b, text, 16) == 4);
    bool has_ring = ring_made(&r);
    for (int i = 0; i < 2; i++) {
        sleep_ms(30);
        if (has_ring) {
            CHECK(through(&r, IORING_OP_SEND, b, "more", 4) == 4);
            CHECK(through(&r, IORING_OP_RECV, b, text, 16) == 4);
        } else {
            CHECK(write(b, "more", 4) == 4 && read(b, text, 16) == 4);
        }
    }
    close(b);
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TESTS({ "later_sockets", later_sockets }, { "live_sockets", live_sockets }, { "queued_client", queued_client },
      { "other_process", other_process })
