/* What the C side and the managed side of libaccel.so know about each other: shared structures and return values.
 * Mirrored by src/Accel.Posix/Abi.cs; a test compiles _Static_asserts over both. */
#ifndef ACCEL_ABI_H
#define ACCEL_ABI_H

#include <poll.h>
#include <stdint.h>

#define ACCEL_WAIT (-4096) /* sleep as thread->wait says, then call again with the same arguments and wait.phase = 1 */
#define ACCEL_PASS (-4097) /* not ours after all: call libc */

enum { ACCEL_SLEEP_POLL = 1, ACCEL_SLEEP_EPOLL = 2 };

/* wait.state[5]: bits that managed code sets for the C side. */
#define ACCEL_NEVER_RESTART 1u /* a timeout is set on the socket: a handler ends the call even under SA_RESTART */

/* An entry of the descriptor table: 0 is "not ours"; ACCEL_TRACKED marks a socket on the kernel path, whose close, dup
 * and fork managed code still wants to see; else kind << 24 | index. */
#define ACCEL_TRACKED 0x80000000u
enum { ACCEL_KIND_SOCKET = 1, ACCEL_KIND_EPOLL = 2, ACCEL_KIND_INTERNAL = 15 };

/* Between the process slots' notes of their pids. */
enum { ACCEL_SLOT_BYTES = 128 };

/* own[7] is the address of a word in which this bit says that the thread has ended. */
#define ACCEL_ABANDONED 0x80000000u

/* Something that a fork child does that has no part in the stack; zeros end the list. */
struct accel_step {
    int64_t what; /* ACCEL_STEP_* */
    int64_t a;
    int64_t b;
    int64_t c;
    int64_t d;
};
enum {
    ACCEL_STEP_UNMAP = 1, /* munmap(a, b) */
    ACCEL_STEP_PUT,       /* dup3(a, b, c): what was made for the child gets its number */
    ACCEL_STEP_COPY,      /* the same: a second number */
    ACCEL_STEP_MEMBER,    /* epoll_ctl(a, EPOLL_CTL_ADD, b) with events c and data d */
    ACCEL_STEP_LENT,      /* a is a listener that others ask without waiting; b: for the program it blocks */
    ACCEL_STEP_CLOSE,     /* close(a): the library's own */
};

/* One call's progress. C zeroes phase, done and state before a call's first entry. */
struct accel_wait {
    uint32_t phase;     /* 0: first entry of this call, 1: after a sleep */
    uint32_t kind;      /* ACCEL_SLEEP_*: how to sleep; managed writes it together with ACCEL_WAIT */
    int64_t deadline;   /* CLOCK_MONOTONIC ns until which to sleep, -1: for ever; managed writes it */
    struct pollfd *fds; /* POLL: what to ppoll() on: small[] or in the thread's scratch; managed writes it */
    uint32_t nfds;
    int32_t epfd;     /* EPOLL: real epoll descriptor to wait on, straight into the caller's events */
    int64_t result;   /* C writes: what the sleep returned: count of ready ones, 0 at the deadline, or -errno */
    uint64_t done;    /* managed: bytes moved so far by this call */
    uint64_t state[6]; /* managed's own */
    struct pollfd small[8];
};

/* One per thread, in initial-exec TLS. */
struct accel_thread {
    volatile uint32_t inside;  /* > 0: the thread is in managed code, signal handlers are deferred */
    volatile uint32_t pending; /* != 0: a deferred signal waits; managed leaves its spin loops and returns ACCEL_WAIT */
    int32_t tid;               /* kernel thread id; C keeps it right after fork */
    uint32_t scratch_fds;      /* capacity of scratch */
    struct pollfd *scratch;    /* C-owned; in accel_poll at least nfds + 8 entries */
    uint64_t own[11];          /* managed's own state of this thread: zero at birth and in a fork child */
    struct accel_wait wait;
};

/* One per process, known to both sides. */
struct accel_process {
    uint32_t *fdmap;       /* this process's descriptor table, in the shared region; indexed by fd */
    uint32_t fd_limit;     /* entries in fdmap; 0 until the runtime has started: every fd is "not ours" */
    uint32_t slot;         /* this process's slot in the region */
    uint8_t *fdmap_base;   /* the fdmap of slot s is at fdmap_base + s * fdmap_stride */
    uint64_t fdmap_stride;
    int32_t pid;
    uint32_t adopted;      /* 0 in a fork child until accel_adopt ran */
    uint32_t internal_min; /* every descriptor of the library's own is at least this */
    uint32_t strict;       /* ACCEL_STRICT=1 */
    long (*syscall)(long nr, long a, long b, long c, long d, long e, long f); /* raw: -errno, no cancellation */
    uint64_t (*ticks)(void); /* time stamp counter */
    uint32_t (*cpu)(void);   /* number of the CPU that the caller runs on */
    long (*start_progress)(void); /* makes the thread that runs accel_progress, once per process: 0 or -errno */
    int32_t inherited;     /* > 0: the stack of the image that called exec(), by its region's descriptor */
    uint32_t pids_before;  /* the pid of slot s is noted at fdmap_base - pids_before + s * ACCEL_SLOT_BYTES */
    int32_t numbers;       /* managed code's lock: see Numbers.cs; a fork child's is free */
    uint32_t nest_words;   /* of the next; 0: no set of the program's was ever put into another that was not ours */
    uint64_t *nests;       /* a bit for each number of a set into which one was put: a hint, see EpollNests.cs */
};

_Static_assert(sizeof(struct accel_step) == 40, "Abi.cs mirrors this");
_Static_assert(sizeof(struct accel_wait) == 160, "Abi.cs mirrors this");
_Static_assert(sizeof(struct accel_thread) == 272, "Abi.cs mirrors this");
_Static_assert(sizeof(struct accel_process) == 104, "Abi.cs mirrors this");

#endif
