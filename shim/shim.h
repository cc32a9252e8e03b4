/* Inside of the preload object's C side: what its files share. Nothing of this is seen outside libaccel.so. */
#ifndef ACCEL_SHIM_H
#define ACCEL_SHIM_H

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <termios.h>
#include <time.h>

#include "abi.h"
#include "managed.h"

#ifndef __x86_64__
#error "the shim knows x86-64 only"
#endif

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define BARRIER() __asm__ volatile("" ::: "memory")

/* An address that cannot be one. What is unmapped elsewhere faults in the program, as in libc's functions that copy. */
static inline bool shim_is_bad(const void *p) { return (uintptr_t)p < 4096; }

typedef void (*sighandler_t)(int);

/* The wrappers carry a C name of their own and get libc's by an assembler label, so that no libc header can object. */
#define CALL(ret, name, params) ret wrap_##name params __asm__(#name) __attribute__((visibility("default")));
#include "calls.def"
#undef CALL

/* A second exported name for a wrapper of the same file. */
#define ALIAS(name, of) extern __typeof__(wrap_##name) wrap_##name __attribute__((alias(#of)));

/* libc's own functions, and liburing's, found one by one at their first use without calling anything (real.c). */
struct accel_real {
#define CALL(ret, name, params) ret(*name) params;
#include "calls.def"
#undef CALL
};
extern struct accel_real accel_real;
void accel_resolve(size_t index);
#define REAL(name)                                                                                                    \
    (likely(accel_real.name != NULL)                                                                                   \
         ? accel_real.name                                                                                             \
         : (accel_resolve(offsetof(struct accel_real, name) / sizeof(void *)), accel_real.name))

enum { SEEN_RESTART = 1, SEEN_INTERRUPT = 2 };

/* A signal is held back once at a time, so this is how many different real-time ones can be at once in good order. */
enum { SHIM_HELD_MAX = 6 };

struct shim_thread {
    struct accel_thread t;
    uint32_t ready;           /* shim_prepare_thread ran for this thread in this process */
    uint32_t seen;            /* SEEN_*: handlers that ran since the current call began */
    struct sleeper *armed;    /* asleep, or about to: a handler must end the sleep, and keep the call's state safe */
    uint32_t async;           /* asleep with asynchronous cancellation */
    int fork_slot;            /* between fork's two halves: the child's slot + 1 */
    const struct accel_step *fork_steps; /* or what it does first if it has none */
    uint64_t deferred;        /* kernel signal set: held back while inside */
    uint32_t held_count;      /* real-time signals held back, oldest first */
    siginfo_t held[SHIM_HELD_MAX];
    struct timespec timeout;  /* the sleep's; a handler zeroes it, so that none is slept through */
};

/* A call in its sleep; lies on its stack. While a handler runs over it, what belongs to it is kept in here. */
struct sleeper {
    struct shim_thread *s;
    bool interrupted;          /* a handler ran since it was armed */
    bool put_aside;            /* one is running now */
    struct accel_wait wait;
    struct scratch *scratch;
    int cancel_type;
};
extern __thread struct shim_thread shim_self;
extern struct accel_process accel_process;

/* What a sleep of one kind of call looks like. */
struct sleep {
    const sigset_t *mask;       /* in force while asleep; NULL: the thread's own */
    struct epoll_event *events; /* EPOLL: where the kernel's events go */
    int max_events;
    bool restartable;           /* false: any handler ends the call with EINTR (poll, select, epoll) */
};
extern const struct sleep shim_plain_sleep;

/* start.c */
bool shim_start(void);
bool shim_started(void);
bool shim_eligible(int domain, int type, int protocol);
void shim_pending_add(int fd);
void shim_pending_drop_slow(int fd);
bool shim_pending_register(int fd);
void shim_pending_register_datagram(int fd);
void shim_pending_forget_all(void);
void shim_wait_for_start(void);
void shim_start_in_child(void);
void shim_never_start(void);
void shim_prepare_thread(struct shim_thread *s);
void shim_log(const char *format, ...) __attribute__((format(printf, 1, 2)));
const char *shim_getenv(const char *name);

/* progress.c */
long shim_start_progress(void);

/* wait.c */
bool shim_wait(struct shim_thread *s, const struct sleep *how, long *result);
bool shim_scratch(struct shim_thread *s, size_t fds);
void shim_put_aside(struct sleeper *sleeper);
void shim_take_back(struct sleeper *sleeper);
void shim_release_scratch(void *thread);
void shim_sigpipe(struct shim_thread *s);

/* signals.c */
void shim_run_deferred(struct shim_thread *s);
uint64_t shim_block_signals(void);
void shim_restore_mask(uint64_t mask);
void shim_keep_dispositions(void);
void shim_put_back_dispositions(void);

/* process.c */
extern bool shim_left; /* the process has given up its sockets: it is about to end */
void shim_exit(void);
void shim_fork_child(void);
int shim_high_descriptor(int fd);
long shim_clone_by_number(long nr, long a, long b, long c, long d, long e, long f);
pid_t shim_fork_for_vfork(void) __asm__("shim_fork_for_vfork");

/* without.c */
extern unsigned shim_lent; /* listeners that are not quite what they look like; 0 but in a child without the stack */
void shim_go_without(void);
bool shim_lent_wait(int fd, int64_t *deadline);
bool shim_lent_flags(int fd, int **blocks);

/* exec.c */
size_t shim_environment_room(char *const *environment);
char *const *shim_fill_environment(const char **to, char *const *from, const char *note);
void shim_spawn_in_path(const char *file, char *const argv[], char *const envp[]);

/* stdio.c */
void shim_standard_stream(int fd);
void shim_inherit_streams(void);

/* rights.c */
bool shim_has_rights(const struct msghdr *msg);
ssize_t shim_send_rights(int fd, const struct msghdr *msg, int flags);
void shim_take_rights(const struct msghdr *msg, int flags);

/* image.c */
struct shim_image {
    int dir;
    const char *path;
    int flags;     /* AT_EMPTY_PATH: dir itself */
    bool by_shell; /* what is no program is a script of /bin/sh */
};
enum shim_verdict { SHIM_FAILS, SHIM_OTHER, SHIM_OURS };
enum shim_verdict shim_judge_image(const struct shim_image *image, char *const *environment);
void shim_remember_library(void);
/* confine.c */
extern bool shim_confined; /* a seccomp filter has been set */
bool shim_is_locked_up(void);
void shim_before_seccomp(long operation);

/* uring.c */
extern bool shim_ringed; /* the process uses io_uring */
void shim_before_ring(void);

/* fdtable.c */

static inline long shim_raw(long nr, long a, long b, long c, long d, long e, long f)
{
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}
#define RAW6(nr, a, b, c, d, e, f, ...) \
    shim_raw(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define RAW(...) RAW6(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)

/* A result of managed code or of a raw system call, as libc would give it. */
static inline long shim_give(long result)
{
    if (unlikely(result < 0)) {
        errno = (int)-result;
        return -1;
    }
    return result;
}

static inline uint32_t shim_entry(int fd)
{
    if ((unsigned)fd >= __atomic_load_n(&accel_process.fd_limit, __ATOMIC_ACQUIRE)) return 0;
    return __atomic_load_n(&accel_process.fdmap[fd], __ATOMIC_RELAXED);
}

static inline unsigned shim_kind(uint32_t entry) { return entry >> 24; } /* a tracked entry's is above 127 */

/* One of the library's own descriptors does not exist for the program: its number becomes one that gives EBADF.
 * Managed code and the runtime, whose own libc calls come by here too, see all descriptors as they are. */
static inline bool shim_claim(int *fd, uint32_t entry, unsigned kind)
{
    if (unlikely(shim_self.t.inside != 0)) return false;
    if (likely(shim_kind(entry) == kind)) return true;
    if (shim_kind(entry) == ACCEL_KIND_INTERNAL) *fd = -1;
    return false;
}
#define NOT_OUR(kind, fd)                                                                                              \
    ({                                                                                                                 \
        uint32_t entry_ = shim_entry(fd);                                                                              \
        likely(entry_ == 0) || !shim_claim(&(fd), entry_, kind);                                                       \
    })
#define NOT_OURS(fd) NOT_OUR(ACCEL_KIND_SOCKET, fd)

/* There are sockets of ours in this process, which may be in a message. */
static inline bool shim_may_carry(void) { return unlikely(accel_process.fd_limit != 0); }

/* Sockets that may become ours, but are nothing yet: made by socket(), not yet bound, listening or connecting. The
 * runtime starts when the first of them does. A bit may be stale (a close inside libc), so it is only a hint. */
enum { SHIM_PENDING_LIMIT = 1 << 20 };
extern uint64_t shim_pending[SHIM_PENDING_LIMIT / 64];
static inline bool shim_is_pending(int fd)
{
    return (unsigned)fd < SHIM_PENDING_LIMIT && unlikely(shim_pending[fd / 64] >> (fd % 64) & 1);
}
static inline void shim_pending_drop(int fd)
{
    if (shim_is_pending(fd)) shim_pending_drop_slow(fd);
}

/* A wrapper is two functions. The first is the whole cost of what is not ours: it has no frame and leaves by a jump,
 * to libc if PLAIN holds and libc's function is known, else to the second, whose body follows the macro. */
#define WRAP_IF(plain, ret, name, params, args)                                                                        \
    static __attribute__((noinline)) ret slow_##name params;                                                           \
    ret wrap_##name params                                                                                             \
    {                                                                                                                  \
        if (likely(plain) && likely(accel_real.name != NULL)) return accel_real.name args;                             \
        return slow_##name args;                                                                                       \
    }                                                                                                                  \
    static ret slow_##name params
#define WRAP(ret, name, params, args, fd) WRAP_IF(shim_entry(fd) == 0, ret, name, params, args)

static inline void shim_leave(struct shim_thread *s)
{
    BARRIER();
    s->t.inside--;
    BARRIER();
}
static inline void shim_enter(struct shim_thread *s)
{
    if (unlikely(s->ready == 0)) shim_prepare_thread(s);
    s->t.inside++;
    BARRIER();
}

/* A managed call that never sleeps. */
#define MANAGED(s, call)                                                                                               \
    ({                                                                                                                 \
        shim_enter(s);                                                                                                 \
        long result_ = (call);                                                                                         \
        shim_leave(s);                                                                                                 \
        if (unlikely((s)->t.pending != 0)) shim_run_deferred(s);                                                       \
        result_;                                                                                                       \
    })

/* A managed call that may ask to sleep: it is made again after each sleep. From the first word of its state to the last
 * the thread is inside, or a sleeper is armed: a handler's own calls use the same words. */
#define MANAGED_WAIT(s, how, call) MANAGED_WAIT_FROM(s, how, 0, 0, call)

/* The same for a call that slept before it was ours. */
#define MANAGED_WAIT_FROM(s, how, first_phase, slept, call)                                                            \
    ({                                                                                                                 \
        long result_;                                                                                                  \
        shim_enter(s);                                                                                                 \
        (s)->seen = 0;                                                                                                 \
        (s)->t.wait.phase = (first_phase);                                                                             \
        (s)->t.wait.result = (slept);                                                                                  \
        (s)->t.wait.done = 0;                                                                                          \
        __builtin_memset((s)->t.wait.state, 0, sizeof (s)->t.wait.state);                                              \
        do result_ = (call);                                                                                           \
        while (unlikely(result_ == ACCEL_WAIT) && shim_wait(s, how, &result_));                                        \
        shim_leave(s);                                                                                                 \
        if (unlikely(result_ == ACCEL_PASS) && shim_left) result_ = -EBADF;                                            \
        if (unlikely((s)->t.pending != 0)) shim_run_deferred(s);                                                       \
        result_;                                                                                                       \
    })

#endif
