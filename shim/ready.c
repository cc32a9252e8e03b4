/* Waiting for readiness: poll, select and epoll in all their forms. Only a call that names one of our descriptors
 * leaves the kernel's path. */
#include "shim.h"

#include <sys/mman.h>
#include <sys/time.h>

enum { NS_PER_S = 1000000000, POLL_MAX = 1 << 20 };

static int64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static int64_t ms_to_ns(int ms) { return ms < 0 ? -1 : (int64_t)ms * 1000000; }

/* Nanoseconds; -1: for ever; -2: not a valid time. A time beyond 100 years is one hundred years. */
static int64_t timespec_ns(const struct timespec *time)
{
    const int64_t century_s = 100ll * 366 * 86400;
    if (time == NULL) return -1;
    if (time->tv_sec < 0 || time->tv_nsec < 0 || time->tv_nsec >= NS_PER_S) return -2;
    return (time->tv_sec > century_s ? century_s : time->tv_sec) * NS_PER_S + time->tv_nsec;
}

static bool is_ours(int fd)
{
    unsigned kind = shim_kind(shim_entry(fd));
    return kind == ACCEL_KIND_SOCKET || kind == ACCEL_KIND_EPOLL;
}

/* --- poll ----------------------------------------------------------------------------------------------------- */

/* Whether any of them has an entry at all. */
static inline bool any_named(const struct pollfd *fds, nfds_t n)
{
    if (accel_process.fd_limit == 0 || n > POLL_MAX || shim_is_bad(fds)) return false;
    for (nfds_t i = 0; i < n; i++)
        if (unlikely(shim_entry(fds[i].fd) != 0)) return true;
    return false;
}

static bool any_ours(const struct pollfd *fds, nfds_t n)
{
    if (n > POLL_MAX || shim_is_bad(fds) || shim_self.t.inside != 0) return false;
    for (nfds_t i = 0; i < n; i++)
        if (is_ours(fds[i].fd)) return true;
    return false;
}

static long poll_ours(struct pollfd *fds, nfds_t n, int64_t timeout_ns, const sigset_t *mask)
{
    struct shim_thread *s = &shim_self;
    struct sleep how = { .mask = mask };
    if (!shim_scratch(s, n + 8)) return -ENOMEM;
    return MANAGED_WAIT(s, &how, accel_poll(&s->t, fds, n, timeout_ns));
}

WRAP_IF(!any_named(fds, n), int, poll, (struct pollfd *fds, nfds_t n, int timeout_ms), (fds, n, timeout_ms))
{
    if (!any_ours(fds, n)) return REAL(poll)(fds, n, timeout_ms);
    return (int)shim_give(poll_ours(fds, n, ms_to_ns(timeout_ms), NULL));
}
ALIAS(__poll, poll)

WRAP_IF(!any_named(fds, n), int, __poll_chk,
        (struct pollfd *fds, nfds_t n, int timeout_ms, size_t room), (fds, n, timeout_ms, room))
{
    if (room / sizeof *fds < n || !any_ours(fds, n)) return REAL(__poll_chk)(fds, n, timeout_ms, room);
    return wrap_poll(fds, n, timeout_ms);
}

WRAP_IF(!any_named(fds, n), int, ppoll,
        (struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask), (fds, n, timeout, mask))
{
    int64_t ns = timespec_ns(timeout);
    if (ns == -2 || !any_ours(fds, n)) return REAL(ppoll)(fds, n, timeout, mask);
    return (int)shim_give(poll_ours(fds, n, ns, mask));
}

WRAP_IF(!any_named(fds, n), int, __ppoll_chk,
        (struct pollfd *fds, nfds_t n, const struct timespec *t, const sigset_t *mask, size_t room),
        (fds, n, t, mask, room))
{
    if (room / sizeof *fds < n || !any_ours(fds, n)) return REAL(__ppoll_chk)(fds, n, t, mask, room);
    return wrap_ppoll(fds, n, t, mask);
}

/* --- select --------------------------------------------------------------------------------------------------- */

/* Sets are arrays of words of any length: programs select above FD_SETSIZE with sets they allocate themselves. */
enum { SET_BITS = 8 * sizeof(long), SELECT_ON_STACK = 1024 };
/* As the kernel's select: which poll events make a bit of which set. */
enum {
    IN_EVENTS = POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR,
    OUT_EVENTS = POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR,
    EXCEPT_EVENTS = POLLPRI,
};
struct sets {
    unsigned long *in, *out, *except;
    int n;
};

static inline unsigned long word(const unsigned long *set, int i) { return set == NULL ? 0 : set[i]; }
static bool in_set(const unsigned long *set, int fd)
{
    return set != NULL && (set[fd / SET_BITS] >> (fd % SET_BITS) & 1);
}

static unsigned long named(const struct sets *sets, int i)
{
    unsigned long all = word(sets->in, i) | word(sets->out, i) | word(sets->except, i);
    int above = sets->n - i * SET_BITS;
    return above < SET_BITS ? all & ((1ul << above) - 1) : all;
}

/* How many descriptors the sets name, and whether one is ours. */
static size_t count_named(const struct sets *sets, bool *ours)
{
    size_t count = 0;
    for (int i = 0; i * SET_BITS < sets->n; i++) {
        for (unsigned long left = named(sets, i); left != 0; left &= left - 1) {
            count++;
            if (is_ours(i * SET_BITS + __builtin_ctzl(left))) *ours = true;
        }
    }
    return count;
}

static void fill_pollfds(const struct sets *sets, struct pollfd *fds)
{
    for (int i = 0; i * SET_BITS < sets->n; i++) {
        for (unsigned long left = named(sets, i); left != 0; left &= left - 1) {
            int fd = i * SET_BITS + __builtin_ctzl(left);
            int events = (in_set(sets->in, fd) ? POLLIN | POLLRDNORM | POLLRDBAND : 0) |
                         (in_set(sets->out, fd) ? POLLOUT | POLLWRNORM | POLLWRBAND : 0) |
                         (in_set(sets->except, fd) ? POLLPRI : 0);
            *fds++ = (struct pollfd){ .fd = fd, .events = (short)events };
        }
    }
}

/* Bit of FD kept only if it was asked for and happened; 1 if so. */
static int keep_bit(unsigned long *set, int fd, bool happened)
{
    if (!in_set(set, fd)) return 0;
    if (happened) return 1;
    set[fd / SET_BITS] &= ~(1ul << (fd % SET_BITS));
    return 0;
}

static long results_to_sets(struct sets *sets, const struct pollfd *fds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (fds[i].revents & POLLNVAL) return -EBADF;
    long bits = 0;
    for (size_t i = 0; i < count; i++) {
        bits += keep_bit(sets->in, fds[i].fd, fds[i].revents & IN_EVENTS);
        bits += keep_bit(sets->out, fds[i].fd, fds[i].revents & OUT_EVENTS);
        bits += keep_bit(sets->except, fds[i].fd, fds[i].revents & EXCEPT_EVENTS);
    }
    return bits;
}

/* The kernel finds a closed descriptor before it waits. */
static bool any_closed(const struct pollfd *fds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (shim_entry(fds[i].fd) == 0 && RAW(SYS_fcntl, fds[i].fd, 1 /* F_GETFD */) == -EBADF) return true;
    return false;
}

static long select_ours(struct sets *sets, size_t count, int64_t timeout_ns, const sigset_t *mask)
{
    struct pollfd on_stack[SELECT_ON_STACK], *fds = on_stack;
    size_t bytes = count * sizeof *fds;
    if (count > SELECT_ON_STACK) {
        long at = RAW(SYS_mmap, 0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at < 0 && at > -4096) return -ENOMEM;
        fds = (struct pollfd *)at;
    }
    fill_pollfds(sets, fds);
    long r = any_closed(fds, count) ? -EBADF : poll_ours(fds, count, timeout_ns, mask);
    if (r >= 0) r = results_to_sets(sets, fds, count);
    if (fds != on_stack) RAW(SYS_munmap, fds, bytes);
    return r;
}

/* How many descriptors the sets name; 0: none of them is ours, or the kernel is to refuse the call. */
static size_t count_ours(const struct sets *sets, int64_t timeout_ns)
{
    bool ours = false;
    if (accel_process.fd_limit == 0 || sets->n <= 0 || timeout_ns == -2 || shim_self.t.inside != 0) return 0;
    size_t count = count_named(sets, &ours);
    return ours ? count : 0;
}

/* Whether any number in the sets has an entry at all. */
static inline bool any_in_sets(int n, const fd_set *in, const fd_set *out, const fd_set *except)
{
    if (accel_process.fd_limit == 0) return false;
    for (int i = 0; i * SET_BITS < n; i++) {
        unsigned long all = word((const void *)in, i) | word((const void *)out, i) | word((const void *)except, i);
        for (; all != 0; all &= all - 1)
            if (unlikely(shim_entry(i * SET_BITS + __builtin_ctzl(all)) != 0)) return true;
    }
    return false;
}

WRAP_IF(!any_in_sets(n, in, out, except), int, select,
        (int n, fd_set *in, fd_set *out, fd_set *except, struct timeval *timeout), (n, in, out, except, timeout))
{
    struct sets sets = { .in = (void *)in, .out = (void *)out, .except = (void *)except, .n = n };
    struct timespec time = { 0 };
    if (timeout != NULL) { /* microseconds beyond a second are carried, as the kernel does */
        time.tv_sec = timeout->tv_usec < 0 ? -1 : timeout->tv_sec + timeout->tv_usec / 1000000;
        time.tv_nsec = timeout->tv_usec % 1000000 * 1000;
    }
    int64_t ns = timespec_ns(timeout == NULL ? NULL : &time);
    size_t count = count_ours(&sets, ns);
    if (count == 0) return REAL(select)(n, in, out, except, timeout);

    int64_t began = timeout == NULL ? 0 : monotonic_ns();
    long r = select_ours(&sets, count, ns, NULL);
    if (timeout != NULL && r != -EBADF) { /* Linux alone tells what is left */
        int64_t left = ns - (monotonic_ns() - began);
        if (left < 0) left = 0;
        *timeout = (struct timeval){ .tv_sec = left / NS_PER_S, .tv_usec = left % NS_PER_S / 1000 };
    }
    return (int)shim_give(r);
}
ALIAS(__select, select)

WRAP_IF(!any_in_sets(n, in, out, except), int, pselect,
        (int n, fd_set *in, fd_set *out, fd_set *except, const struct timespec *t, const sigset_t *mask),
        (n, in, out, except, t, mask))
{
    struct sets sets = { .in = (void *)in, .out = (void *)out, .except = (void *)except, .n = n };
    int64_t ns = timespec_ns(t);
    size_t count = count_ours(&sets, ns);
    if (count == 0) return REAL(pselect)(n, in, out, except, t, mask);
    return (int)shim_give(select_ours(&sets, count, ns, mask));
}

/* --- epoll ---------------------------------------------------------------------------------------------------- */

/* Numbers that the kernel gave for sets, and those of the sets that one was put into. Never taken back: only hints. */
enum { SETS_LIMIT = 1 << 20 };
static uint64_t sets[SETS_LIMIT / 64], nests[SETS_LIMIT / 64];

static bool is_set(int fd) { return (unsigned)fd < SETS_LIMIT && unlikely(sets[fd / 64] >> (fd % 64) & 1); }

static int note_set(int fd)
{
    if ((unsigned)fd < SETS_LIMIT) __atomic_fetch_or(&sets[fd / 64], 1ull << (fd % 64), __ATOMIC_RELAXED);
    return fd;
}

int wrap_epoll_create(int size) { return note_set(REAL(epoll_create)(size)); }
int wrap_epoll_create1(int flags) { return note_set(REAL(epoll_create1)(flags)); }

/* A set goes into the set EPFD, and may become ours when the kernel has it there. */
static void note_nest(int epfd)
{
    if ((unsigned)epfd >= SETS_LIMIT) return;
    __atomic_fetch_or(&nests[epfd / 64], 1ull << (epfd % 64), __ATOMIC_RELAXED);
    accel_process.nests = nests;
    uint32_t words = (uint32_t)epfd / 64 + 1, had = __atomic_load_n(&accel_process.nest_words, __ATOMIC_RELAXED);
    while (had < words && !__atomic_compare_exchange_n(&accel_process.nest_words, &had, words, true, __ATOMIC_RELEASE,
                                                       __ATOMIC_RELAXED)) {}
}

static int kernel_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
    int r = REAL(epoll_ctl)(epfd, op, fd, event);
    bool is_nest = r == 0 && op == EPOLL_CTL_ADD && is_set(fd) && is_ours(fd) && shim_self.t.inside == 0;
    /* Another thread gave the set its first socket meanwhile, and may have looked in vain for where it is. */
    if (unlikely(is_nest) && REAL(epoll_ctl)(epfd, EPOLL_CTL_DEL, fd, event) == 0)
        return wrap_epoll_ctl(epfd, op, fd, event);
    return r;
}

WRAP_IF((shim_entry(epfd) | shim_entry(fd)) == 0 && !shim_is_pending(fd) &&
            (op != EPOLL_CTL_ADD || !is_set(fd)), int, epoll_ctl,
        (int epfd, int op, int fd, struct epoll_event *event), (epfd, op, fd, event))
{
    if (shim_is_pending(fd)) shim_pending_register(fd);
    if (op == EPOLL_CTL_ADD && is_set(fd)) note_nest(epfd);
    if (likely((shim_entry(epfd) | shim_entry(fd)) == 0)) return kernel_ctl(epfd, op, fd, event);
    bool set_ours = !NOT_OUR(ACCEL_KIND_EPOLL, epfd), fd_ours = !NOT_OUR(ACCEL_KIND_SOCKET, fd);
    if (!set_ours && !fd_ours && (shim_self.t.inside != 0 || !is_ours(fd))) {
        return kernel_ctl(epfd, op, fd, event);
    }
    struct shim_thread *s = &shim_self;
    long r = MANAGED(s, accel_epoll_ctl(&s->t, epfd, op, fd, event));
    return r == ACCEL_PASS ? kernel_ctl(epfd, op, fd, event) : (int)shim_give(r);
}

/* ACCEL_PASS: the set is the kernel's. */
static long epoll_ours(int epfd, struct epoll_event *events, int max, int64_t timeout_ns, const sigset_t *mask)
{
    struct shim_thread *s = &shim_self;
    struct sleep how = { .mask = mask, .events = events, .max_events = max };
    return MANAGED_WAIT(s, &how, accel_epoll_wait(&s->t, epfd, events, max, timeout_ns));
}

/* The set became ours while the kernel waited for this thread: what it reported goes through managed code. */
static int settle(int epfd, struct epoll_event *events, int max, int64_t ns, const sigset_t *mask, int reported)
{
    if (likely(reported <= 0) || NOT_OUR(ACCEL_KIND_EPOLL, epfd)) return reported;
    struct shim_thread *s = &shim_self;
    struct sleep how = { .mask = mask, .events = events, .max_events = max };
    return (int)shim_give(MANAGED_WAIT_FROM(s, &how, 1, reported, accel_epoll_wait(&s->t, epfd, events, max, ns)));
}

static int kernel_wait(int epfd, struct epoll_event *events, int max, int timeout_ms)
{
    return settle(epfd, events, max, ms_to_ns(timeout_ms), NULL, REAL(epoll_wait)(epfd, events, max, timeout_ms));
}

/* Only a wait that does not sleep can leave by a jump: a set may become ours while its waiter sleeps. */
WRAP_IF(shim_entry(epfd) == 0 && timeout_ms == 0, int, epoll_wait,
        (int epfd, struct epoll_event *events, int max, int timeout_ms), (epfd, events, max, timeout_ms))
{
    if (NOT_OUR(ACCEL_KIND_EPOLL, epfd)) return kernel_wait(epfd, events, max, timeout_ms);
    long r = epoll_ours(epfd, events, max, ms_to_ns(timeout_ms), NULL);
    return r == ACCEL_PASS ? REAL(epoll_wait)(epfd, events, max, timeout_ms) : (int)shim_give(r);
}

static int kernel_pwait(int epfd, struct epoll_event *events, int max, int timeout_ms, const sigset_t *mask)
{
    int n = REAL(epoll_pwait)(epfd, events, max, timeout_ms, mask);
    return settle(epfd, events, max, ms_to_ns(timeout_ms), mask, n);
}

WRAP_IF(shim_entry(epfd) == 0 && timeout_ms == 0, int, epoll_pwait,
        (int epfd, struct epoll_event *events, int max, int timeout_ms, const sigset_t *mask),
        (epfd, events, max, timeout_ms, mask))
{
    if (NOT_OUR(ACCEL_KIND_EPOLL, epfd)) return kernel_pwait(epfd, events, max, timeout_ms, mask);
    long r = epoll_ours(epfd, events, max, ms_to_ns(timeout_ms), mask);
    return r == ACCEL_PASS ? REAL(epoll_pwait)(epfd, events, max, timeout_ms, mask) : (int)shim_give(r);
}

static int kernel_pwait2(int epfd, struct epoll_event *evs, int max, const struct timespec *t, const sigset_t *mask)
{
    return settle(epfd, evs, max, timespec_ns(t), mask, REAL(epoll_pwait2)(epfd, evs, max, t, mask));
}

int wrap_epoll_pwait2(int epfd, struct epoll_event *evs, int max, const struct timespec *t, const sigset_t *mask)
{
    if (NOT_OUR(ACCEL_KIND_EPOLL, epfd)) return kernel_pwait2(epfd, evs, max, t, mask);
    int64_t ns = timespec_ns(t);
    if (ns == -2) return (int)shim_give(-EINVAL);
    long r = epoll_ours(epfd, evs, max, ns, mask);
    return r == ACCEL_PASS ? REAL(epoll_pwait2)(epfd, evs, max, t, mask) : (int)shim_give(r);
}
