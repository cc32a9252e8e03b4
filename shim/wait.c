/* Sleeping on behalf of managed code, and what a signal handler or a cancellation does to a call that sleeps. */
#include "shim.h"

#include <linux/time_types.h>
#include <pthread.h>
#include <sys/mman.h>

const struct sleep shim_plain_sleep = { .restartable = true };

/* --- scratch: the poll array of a thread --------------------------------------------------------------------- */

/* Lies before the pollfds; mapped, not malloc'ed, since a handler may be the first to need it. */
struct scratch {
    size_t bytes;
    uint32_t fds;
    uint32_t unused[13];
};
_Static_assert(sizeof(struct scratch) == 64, "keeps the pollfds aligned");
enum { SCRATCH_MIN_BYTES = 4096 };

static struct scratch *header(struct pollfd *fds) { return (struct scratch *)fds - 1; }

static void unmap(struct scratch *scratch) { RAW(SYS_munmap, scratch, scratch->bytes); }

static void set_scratch(struct shim_thread *s, struct scratch *scratch)
{
    s->t.scratch = scratch == NULL ? NULL : (struct pollfd *)(scratch + 1);
    s->t.scratch_fds = scratch == NULL ? 0 : scratch->fds;
}

/* Room for at least FDS pollfds; false: no memory. What was in it is gone. */
bool shim_scratch(struct shim_thread *s, size_t fds)
{
    if (likely(fds <= s->t.scratch_fds)) return true;
    size_t bytes = SCRATCH_MIN_BYTES;
    while (bytes < sizeof(struct scratch) + fds * sizeof(struct pollfd)) bytes *= 2;
    long at = RAW(SYS_mmap, 0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at < 0 && at > -4096) return false;
    struct scratch *scratch = (struct scratch *)at;
    scratch->bytes = bytes;
    scratch->fds = (uint32_t)((bytes - sizeof *scratch) / sizeof(struct pollfd));
    if (s->t.scratch != NULL) unmap(header(s->t.scratch));
    set_scratch(s, scratch);
    return true;
}

/* At thread exit. What the thread slept on is left to the next one: own[7] is where to say so, if it ever slept. */
void shim_release_scratch(void *thread)
{
    struct shim_thread *s = thread;
    if (s->t.own[7] != 0) __atomic_fetch_or((uint32_t *)s->t.own[7], ACCEL_ABANDONED, __ATOMIC_RELEASE);
    __builtin_memset(s->t.own, 0, sizeof s->t.own);
    if (s->t.scratch != NULL) unmap(header(s->t.scratch));
    set_scratch(s, NULL);
}

/* A handler is about to run over a sleeping call, and may make calls of its own: what is the call's makes room. */
void shim_put_aside(struct sleeper *sleeper)
{
    struct shim_thread *s = sleeper->s;
    sleeper->wait = s->t.wait;
    sleeper->scratch = s->t.scratch == NULL ? NULL : header(s->t.scratch);
    set_scratch(s, NULL);
    sleeper->put_aside = true;
}

void shim_take_back(struct sleeper *sleeper)
{
    struct shim_thread *s = sleeper->s;
    if (s->t.scratch != NULL && sleeper->scratch != NULL) unmap(header(s->t.scratch));
    if (sleeper->scratch != NULL) set_scratch(s, sleeper->scratch);
    s->t.wait = sleeper->wait;
    sleeper->put_aside = false;
}

/* --- the sleep ------------------------------------------------------------------------------------------------ */

/* glibc's older interface, declared by none of its headers. It links plain frames, and runs them not only when a thread
 * is cancelled but also when longjmp, out of a handler, leaves them behind; the macro of pthread.h does not. */
void _pthread_cleanup_push(struct _pthread_cleanup_buffer *buffer, void (*routine)(void *), void *arg);
void _pthread_cleanup_pop(struct _pthread_cleanup_buffer *buffer, int execute);

enum { KERNEL_SIGSET_BYTES = 8, FOREVER_S = 1 << 30 };

static void set_timeout(struct shim_thread *s, int64_t deadline)
{
    struct timespec now;
    if (deadline < 0) { /* never NULL: a handler must be able to cut it short */
        s->timeout = (struct timespec){ .tv_sec = FOREVER_S };
        return;
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t left = deadline - (now.tv_sec * 1000000000 + now.tv_nsec);
    if (left < 0) left = 0;
    s->timeout = (struct timespec){ .tv_sec = left / 1000000000, .tv_nsec = left % 1000000000 };
}

static long epoll_sleep(struct shim_thread *s, const struct accel_wait *w, const struct sleep *how)
{
    static bool no_pwait2; /* older kernel, or a filter that does not know the call */
    if (!no_pwait2) {
        long r = RAW(SYS_epoll_pwait2, w->epfd, how->events, how->max_events, &s->timeout, how->mask,
                     KERNEL_SIGSET_BYTES);
        if (r != -ENOSYS && r != -EPERM) return r;
        no_pwait2 = true;
    }
    int64_t ms = s->timeout.tv_sec * 1000 + (s->timeout.tv_nsec + 999999) / 1000000;
    int timeout = w->deadline < 0 && s->timeout.tv_sec != 0 ? -1 : ms > INT32_MAX ? INT32_MAX : (int)ms;
    return RAW(SYS_epoll_pwait, w->epfd, how->events, how->max_events, timeout, how->mask, KERNEL_SIGSET_BYTES);
}

static bool must_return(const struct shim_thread *s, const struct sleep *how)
{
    if (likely(s->seen == 0)) return false;
    return !how->restartable || (s->seen & SEEN_INTERRUPT) || (s->t.wait.state[5] & ACCEL_NEVER_RESTART);
}

/* The thread is cancelled in its sleep, or a handler leaves it by longjmp: managed code forgets the call. */
static void abandoned(void *argument)
{
    struct sleeper *sleeper = argument;
    struct shim_thread *s = sleeper->s;
    s->armed = NULL;
    s->async = 0;
    if (sleeper->put_aside) shim_take_back(sleeper);
    MANAGED(s, accel_abort(&s->t));
}

/* From arming on a handler zeroes the timeout, so a signal between the look at `seen` and the system call is not slept
 * through. Cancellation strikes only here: managed frames are never unwound. */
static long kernel_sleep(struct sleeper *sleeper, const struct sleep *how)
{
    struct shim_thread *s = sleeper->s;
    struct accel_wait *w = &s->t.wait;
    long r;
    set_timeout(s, w->deadline);
    BARRIER();
    if (sleeper->interrupted) return -EINTR; /* by one that set_timeout() would otherwise have undone */
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &sleeper->cancel_type);
    s->async = 1;
    BARRIER();
    if (w->kind == ACCEL_SLEEP_EPOLL) r = epoll_sleep(s, w, how);
    else r = RAW(SYS_ppoll, w->fds, w->nfds, &s->timeout, how->mask, KERNEL_SIGSET_BYTES);
    BARRIER();
    s->async = 0;
    pthread_setcanceltype(sleeper->cancel_type, NULL);
    return r == 0 && sleeper->interrupted ? -EINTR : r;
}

/* After ACCEL_WAIT. True: call managed code again; false: *result is the call's. Comes and goes with the thread inside:
 * in between, a handler finds the sleeper armed before it can run, and until it can no more. */
bool shim_wait(struct shim_thread *s, const struct sleep *how, long *result)
{
    struct sleeper sleeper = { .s = s };
    struct _pthread_cleanup_buffer cleanup;
    long r = -EINTR;
    _pthread_cleanup_push(&cleanup, abandoned, &sleeper);
    s->armed = &sleeper;
    shim_leave(s);
    if (s->t.pending != 0) shim_run_deferred(s);
    if (!must_return(s, how) && !sleeper.interrupted) r = kernel_sleep(&sleeper, how);
    shim_enter(s);
    s->armed = NULL;
    _pthread_cleanup_pop(&cleanup, 0);

    bool ends = r <= 0 && must_return(s, how);
    if (r == -EINTR && !how->restartable) ends = true; /* a handler we do not know of, or a stop: as in the kernel */
    if (ends) {
        *result = accel_abort(&s->t);
        return false;
    }
    s->t.wait.result = r;
    s->t.wait.phase = 1;
    return true;
}

/* What the kernel does to a thread that writes to a closed stream. */
void shim_sigpipe(struct shim_thread *s)
{
    siginfo_t info;
    if (shim_left) return;
    __builtin_memset(&info, 0, sizeof info);
    info.si_signo = SIGPIPE;
    info.si_code = SI_USER;
    info.si_pid = accel_process.pid;
    info.si_uid = (uid_t)RAW(SYS_getuid, 0);
    RAW(SYS_rt_tgsigqueueinfo, accel_process.pid, s->t.tid, SIGPIPE, &info);
}
