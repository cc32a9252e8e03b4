/* A fork child that the stack has no place for. From its first moment on the library does nothing to it; what it has
 * of the library is closed, its epoll sets are its own, and everything else is the kernel's already. One thing is left:
 * its listeners are asked without waiting by the processes of the stack, so the kernel has O_NONBLOCK for all. */
#include "shim.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

unsigned shim_lent;

/* By the socket, since a program may copy and close numbers. */
enum { LENT_MAX = 1024 };
static struct { ino_t inode; int blocks; } lent[LENT_MAX];

static void note_lent(int fd, bool blocks)
{
    struct stat st;
    if (shim_lent == LENT_MAX || fstat(fd, &st) != 0) return;
    for (unsigned i = 0; i < shim_lent; i++)
        if (lent[i].inode == st.st_ino) return;
    lent[shim_lent].inode = st.st_ino;
    lent[shim_lent++].blocks = blocks;
}

static void take(const struct accel_step *step)
{
    struct epoll_event event = { .events = (uint32_t)step->c, .data.u64 = (uint64_t)step->d };
    switch (step->what) {
    case ACCEL_STEP_UNMAP: RAW(SYS_munmap, step->a, step->b); break;
    case ACCEL_STEP_PUT:
    case ACCEL_STEP_COPY: RAW(SYS_dup3, step->a, step->b, step->c); break;
    case ACCEL_STEP_MEMBER: RAW(SYS_epoll_ctl, step->a, EPOLL_CTL_ADD, step->b, &event); break;
    case ACCEL_STEP_LENT: note_lent((int)step->a, step->b != 0); break;
    case ACCEL_STEP_CLOSE: RAW(SYS_close, step->a); break;
    default: break;
    }
}

/* In the child, as early as possible. */
void shim_go_without(void)
{
    struct shim_thread *s = &shim_self;
    accel_process.fd_limit = 0;
    accel_process.adopted = 0;
    shim_never_start();
    for (const struct accel_step *step = s->fork_steps; step->what != 0; step++) take(step);
    s->fork_steps = NULL;
    __builtin_memset(s->t.own, 0, sizeof s->t.own);
    s->t.inside = s->t.pending = 0;
    s->deferred = 0;
    s->held_count = 0;
}

/* A listener that is lent: whether it blocks, as the program knows it. */
bool shim_lent_flags(int fd, int **blocks)
{
    struct stat st;
    int saved = errno;
    bool found = fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
    errno = saved;
    for (unsigned i = 0; found && i < shim_lent; i++)
        if (lent[i].inode == st.st_ino) {
            *blocks = &lent[i].blocks;
            return true;
        }
    return false;
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000 + now.tv_nsec;
}

/* SO_RCVTIMEO; -1: for ever. */
static int64_t time_of(int fd)
{
    struct timeval limit;
    socklen_t length = sizeof limit;
    if (RAW(SYS_getsockopt, fd, SOL_SOCKET, SO_RCVTIMEO, &limit, &length) < 0) return -1;
    int64_t ns = limit.tv_sec * 1000000000 + limit.tv_usec * 1000;
    return ns == 0 ? -1 : now_ns() + ns;
}

/* accept() found nothing, where it waits as far as the program knows. *DEADLINE is 0 at first. True: look again; false:
 * errno says why not. Signals come in between the look at what came and the sleep, or they end it. */
bool shim_lent_wait(int fd, int64_t *deadline)
{
    struct shim_thread *s = &shim_self;
    int *blocks;
    if (!shim_lent_flags(fd, &blocks) || !*blocks) return false;
    if (*deadline == 0) *deadline = time_of(fd);
    bool timed = *deadline >= 0;
    int64_t left = timed ? *deadline - now_ns() : 0;
    if (left < 0) {
        errno = EAGAIN;
        return false;
    }
    struct timespec timeout = { .tv_sec = left / 1000000000, .tv_nsec = left % 1000000000 };
    struct pollfd p = { .fd = fd, .events = POLLIN };
    sigset_t mask;
    uint64_t before = shim_block_signals();
    sigemptyset(&mask);
    __builtin_memcpy(&mask, &before, sizeof before);
    bool interrupted = (s->seen & SEEN_INTERRUPT) != 0 || (timed && s->seen != 0);
    int r = interrupted ? -1 : REAL(ppoll)(&p, 1, timed ? &timeout : NULL, &mask);
    int error = interrupted ? EINTR : errno;
    shim_restore_mask(before);
    if (r >= 0 || (error == EINTR && !timed && s->seen != 0 && (s->seen & SEEN_INTERRUPT) == 0)) return true;
    errno = error;
    return false;
}
