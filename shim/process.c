/* Processes come and go: fork in all its forms, exec, exit. A child that touches no socket runs no managed code. */
#include "shim.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* --- fork ----------------------------------------------------------------------------------------------------- */

struct forking {
    uint64_t mask;
    bool accelerated;
    int refused; /* errno, when the child can neither have a slot nor go without */
};

/* Signals wait from here to the end in both processes: a handler in a half made child would use its parent's table. */
static void before_fork(struct forking *f)
{
    struct shim_thread *s = &shim_self;
    *f = (struct forking){ 0 };
    if (s->t.inside != 0) return;
    shim_wait_for_start();
    if (!shim_started() || accel_process.fd_limit == 0) return;
    f->mask = shim_block_signals();
    long slot = MANAGED(s, accel_fork_prepare(&s->t));
    if (slot == ACCEL_PASS) {
        shim_pending_forget_all(); /* what is nothing yet is the kernel's in both */
        s->fork_steps = accel_fork_steps();
    } else if (slot < 0) {
        f->refused = (int)-slot;
        shim_restore_mask(f->mask);
        return;
    }
    f->accelerated = true;
    s->fork_slot = s->fork_steps != NULL ? 0 : (int)slot + 1;
}

/* In the child: who is in the slot, in case the parent is killed before it can say so. Where that was so long ago that
 * the slot was taken back, the process goes on without the stack. */
static void note_pid(int32_t pid)
{
    uint8_t *at = accel_process.fdmap_base - accel_process.pids_before + accel_process.slot * ACCEL_SLOT_BYTES;
    int32_t noted = 0;
    __atomic_compare_exchange_n((int32_t *)at, &noted, pid, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    if (noted < 0) accel_process.fd_limit = 0;
}

/* In the child, as early as possible: by pthread_atfork, or on return from fork where there was no atfork (_Fork).
 * What its memory says about the process is still the parent's. */
void shim_fork_child(void)
{
    struct shim_thread *s = &shim_self;
    int32_t pid = (int32_t)RAW(SYS_getpid, 0);
    bool expected = s->fork_slot != 0 || s->fork_steps != NULL;
    if (pid == accel_process.pid && !expected) return; /* in a new PID namespace numbers may meet */
    accel_process.pid = pid;
    s->t.tid = (int32_t)RAW(SYS_gettid, 0);
    s->ready = 0;
    shim_pending_forget_all();
    shim_start_in_child();
    if (s->fork_steps != NULL) shim_go_without();
    if (s->fork_slot == 0) return;
    accel_process.slot = (uint32_t)s->fork_slot - 1;
    accel_process.fdmap = (uint32_t *)(accel_process.fdmap_base + accel_process.slot * accel_process.fdmap_stride);
    accel_process.adopted = 0;
    accel_process.numbers = 0;
    note_pid(pid);
    __builtin_memset(s->t.own, 0, sizeof s->t.own);
    s->t.inside = s->t.pending = 0;
    s->deferred = 0;
    s->held_count = 0;
    s->fork_slot = 0;
}

static pid_t after_fork(const struct forking *f, pid_t pid)
{
    struct shim_thread *s = &shim_self;
    int saved = errno;
    if (pid == 0) {
        shim_fork_child();
    } else if (f->accelerated) {
        int slot = s->fork_slot - 1; /* -1: the child goes without */
        s->fork_slot = 0;
        s->fork_steps = NULL;
        MANAGED(s, accel_fork_done(&s->t, slot, pid));
    }
    if (f->accelerated) shim_restore_mask(f->mask);
    errno = saved;
    return pid;
}

#define FORK(call)                                                                                                     \
    ({                                                                                                                 \
        struct forking f_;                                                                                             \
        before_fork(&f_);                                                                                              \
        f_.refused ? (pid_t)shim_give(-f_.refused) : after_fork(&f_, call);                                            \
    })

pid_t wrap_fork(void) { return FORK(REAL(fork)()); }
ALIAS(__fork, fork)

pid_t wrap__Fork(void) { return FORK(REAL(_Fork)()); }

int wrap_forkpty(int *master, char *name, const struct termios *term, const struct winsize *size)
{
    return FORK(REAL(forkpty)(master, name, term, size));
}

/* --- clone ---------------------------------------------------------------------------------------------------- */

struct clone_child {
    int (*fn)(void *);
    void *arg;
    const struct forking *f;
};

static int run_clone_child(void *argument)
{
    const struct clone_child *child = argument;
    after_fork(child->f, 0);
    return child->fn(child->arg);
}

/* With a memory of its own the child is a fork on another stack. With a shared one it is a thread, or about to exec. */
int wrap_clone(int (*fn)(void *), void *stack, int flags, void *arg, void *ptid, void *tls, void *ctid)
{
    if ((flags & CLONE_VM) || !shim_started() || fn == NULL || stack == NULL)
        return REAL(clone)(fn, stack, flags, arg, ptid, tls, ctid);
    struct forking f;
    before_fork(&f);
    if (f.refused) return (int)shim_give(-f.refused);
    struct clone_child child = { .fn = fn, .arg = arg, .f = &f };
    return after_fork(&f, REAL(clone)(run_clone_child, stack, flags, &child, ptid, tls, ctid));
}
ALIAS(__clone, clone)

/* By number: on the caller's stack, or else, as a thread, not ours to look at. */
long shim_clone_by_number(long nr, long a, long b, long c, long d, long e, long f)
{
    const uint64_t *args = (const uint64_t *)a; /* clone3: flags first, the stack's address sixth */
    uint64_t flags = nr == SYS_clone ? (uint64_t)a : args == NULL ? CLONE_VM : args[0];
    uint64_t stack = nr == SYS_clone ? (uint64_t)b : args == NULL ? 0 : args[5];
    if ((flags & CLONE_VM) || stack != 0) return REAL(syscall)(nr, a, b, c, d, e, f);
    return FORK((pid_t)REAL(syscall)(nr, a, b, c, d, e, f));
}

/* --- daemon --------------------------------------------------------------------------------------------------- */

/* libc's own forks and exits inside, which nobody would see. */
int wrap_daemon(int nochdir, int noclose)
{
    pid_t pid = wrap_fork();
    if (pid < 0) return -1;
    if (pid > 0) wrap__exit(0);
    if (setsid() < 0) return -1;
    if (!nochdir && chdir("/") != 0) return -1;
    if (noclose) return 0;
    int null = open("/dev/null", O_RDWR);
    struct stat st;
    if (null < 0) return -1;
    if (fstat(null, &st) != 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3)) {
        wrap_close(null);
        errno = ENODEV;
        return -1;
    }
    for (int fd = 0; fd < 3; fd++) wrap_dup2(null, fd);
    if (null > 2) wrap_close(null);
    return 0;
}

/* --- vfork ---------------------------------------------------------------------------------------------------- */

/* Before the runtime has started vfork is libc's own, reached by a jump so that it finds its caller's return address
 * and no frame of ours. Afterwards the child must not share the table with its parent, so it is a fork, and the parent
 * waits at a pipe until the child has called exec or is gone, as vfork promises. */
__asm__(".pushsection .text\n"
        ".globl vfork\n"
        ".type vfork, @function\n"
        ".globl __vfork\n"
        ".type __vfork, @function\n"
        "vfork:\n"
        "__vfork:\n"
        "    .cfi_startproc\n"
        "    endbr64\n"
        "    movl accel_process+8(%rip), %eax\n"
        "    testl %eax, %eax\n"
        "    jne shim_fork_for_vfork\n"
        "    movq accel_real_vfork(%rip), %rax\n"
        "    testq %rax, %rax\n"
        "    je 1f\n"
        "    jmp *%rax\n"
        "1:  subq $8, %rsp\n"
        "    .cfi_adjust_cfa_offset 8\n"
        "    call accel_find_vfork\n"
        "    addq $8, %rsp\n"
        "    .cfi_adjust_cfa_offset -8\n"
        "    jmp *%rax\n"
        "    .cfi_endproc\n"
        ".size vfork, .-vfork\n"
        ".size __vfork, .-__vfork\n"
        ".popsection\n");
_Static_assert(offsetof(struct accel_process, fd_limit) == 8, "vfork reads it");

void *accel_real_vfork;
void *accel_find_vfork(void);
void *accel_find_vfork(void) { return accel_real_vfork = (void *)REAL(vfork); }

static int vfork_pipe = -1; /* in the child: the end that its exec or exit closes */

int shim_high_descriptor(int fd)
{
    long high = RAW(SYS_fcntl, fd, F_DUPFD_CLOEXEC, accel_process.internal_min);
    if (high < 0) return fd;
    RAW(SYS_close, fd);
    return (int)high;
}

pid_t shim_fork_for_vfork(void)
{
    int ends[2];
    bool waits = RAW(SYS_pipe2, ends, O_CLOEXEC) == 0;
    if (waits)
        for (int i = 0; i < 2; i++) ends[i] = shim_high_descriptor(ends[i]);
    pid_t pid = wrap_fork();
    if (pid == 0) {
        if (vfork_pipe >= 0) RAW(SYS_close, vfork_pipe); /* a vfork child's child does not hold its grandparent */
        vfork_pipe = waits ? ends[1] : -1;
        if (waits) RAW(SYS_close, ends[0]);
        return 0;
    }
    if (waits) {
        char nothing;
        RAW(SYS_close, ends[1]);
        while (pid > 0 && RAW(SYS_read, ends[0], &nothing, 1) == -EINTR) continue;
        RAW(SYS_close, ends[0]);
    }
    return pid;
}

/* --- exit ----------------------------------------------------------------------------------------------------- */

bool shim_left;

/* Other threads may still be in the middle of things, and must neither crash nor die of SIGPIPE, which would be the
 * status of the whole process. So before the sockets go, their numbers turn into ones that do not exist; and for a
 * thread that is just looking at the old table, there is nothing behind them that could raise a signal. A process with
 * a seccomp filter does without the latter: it may not be allowed to. */
static void turn_away(void)
{
    uint32_t limit = accel_process.fd_limit;
    size_t bytes = limit * sizeof(uint32_t);
    __atomic_store_n(&shim_left, true, __ATOMIC_RELEASE);
    long null = shim_confined ? -1 : RAW(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC);
    long at = RAW(SYS_mmap, 0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at < 0 && at > -4096) return;
    uint32_t *old = accel_process.fdmap, *nobody = (uint32_t *)at;
    for (uint32_t fd = 0; fd < limit; fd++)
        if (old[fd] != 0) nobody[fd] = (uint32_t)ACCEL_KIND_INTERNAL << 24;
    __atomic_store_n(&accel_process.fdmap, nobody, __ATOMIC_RELEASE);
    for (uint32_t fd = 0; null >= 0 && fd < limit; fd++)
        if (shim_kind(old[fd]) == ACCEL_KIND_SOCKET) RAW(SYS_dup3, null, fd, O_CLOEXEC);
}

/* Gives up what the process holds; once. A child that adopted nothing has nothing to give up. */
void shim_exit(void)
{
    static uint32_t left;
    struct shim_thread *s = &shim_self;
    if (!shim_started() || accel_process.adopted == 0 || s->t.inside != 0) return;
    if ((int32_t)RAW(SYS_getpid, 0) != accel_process.pid) return;
    uint32_t pid = (uint32_t)accel_process.pid; /* no flag: a child forked on the way out has a way out of its own */
    if (__atomic_exchange_n(&left, pid, __ATOMIC_ACQ_REL) == pid) return;
    turn_away();
    MANAGED_WAIT(s, &shim_plain_sleep, accel_exit(&s->t));
    shim_log("exit");
}

void wrap__exit(int status)
{
    shim_exit();
    REAL(_exit)(status);
}
ALIAS(_Exit, _exit)
