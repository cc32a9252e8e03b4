/* Signal handlers. Managed code cannot be entered from a handler that interrupted managed code, and a handler that
 * leaves by longjmp must leave nothing half done. So the program's handler stands behind a trampoline: while its thread
 * is in managed code the signal is put back into the kernel's hands, blocked, and the way out unblocks it. The kernel
 * then delivers it again by its own rules: masks, SA_NODEFER, SA_ONSTACK, order and siginfo need no imitation.
 * SIGSEGV and its like are not touched: they cannot wait. */
#include "shim.h"

#include <pthread.h>
#include <ucontext.h>

enum { KERNEL_SIGSET_BYTES = 8, SIGNALS = 65, FIRST_REALTIME = 34 };

struct kernel_action {
    void (*handler)(int);
    unsigned long flags;
    void *restorer;
    uint64_t mask;
};
typedef void (*info_handler)(int, siginfo_t *, void *);

/* The program's handlers. Only read for a signal whose disposition in the kernel is the trampoline. */
static struct {
    void *handler;
    int flags;
} table[SIGNALS];

static uint64_t bit(int sig) { return 1ull << (sig - 1); }

static bool deferrable(int sig)
{
    const uint64_t never = bit(SIGSEGV) | bit(SIGBUS) | bit(SIGFPE) | bit(SIGILL) | bit(SIGTRAP) | bit(SIGABRT) |
                           bit(SIGSYS) | bit(SIGKILL) | bit(SIGSTOP);
    return sig > 0 && sig < SIGNALS && (bit(sig) & never) == 0;
}

static void trampoline(int sig, siginfo_t *info, void *context);

/* Real-time signals have an order. One that is put back would stand behind those that came meanwhile; so its siginfo
 * is kept, and a marker takes its place in the kernel's queue. Each delivery that finds one kept gives out the oldest
 * and keeps its own instead, until the marker, which has none, closes the gap. */
static bool is_marker(const siginfo_t *info)
{
    return info->si_code == SI_QUEUE && info->si_value.sival_ptr == &table;
}

static bool keep(struct shim_thread *s, const siginfo_t *info)
{
    if (s->held_count == SHIM_HELD_MAX) return false;
    s->held[s->held_count++] = *info;
    return true;
}

static void take_oldest(struct shim_thread *s, int sig, siginfo_t *info)
{
    for (uint32_t i = 0; i < s->held_count; i++) {
        if (s->held[i].si_signo != sig) continue;
        *info = s->held[i];
        s->held_count--;
        __builtin_memmove(&s->held[i], &s->held[i + 1], (s->held_count - i) * sizeof *info);
        return;
    }
}

static void queue(struct shim_thread *s, int sig, siginfo_t *info)
{
    if (sig >= FIRST_REALTIME && (is_marker(info) || keep(s, info))) {
        siginfo_t marker = { .si_signo = sig, .si_code = SI_QUEUE };
        marker.si_value.sival_ptr = &table;
        if (RAW(SYS_rt_tgsigqueueinfo, accel_process.pid, s->t.tid, sig, &marker) == 0) return;
        if (!is_marker(info)) s->held_count--;
    }
    if (RAW(SYS_rt_tgsigqueueinfo, accel_process.pid, s->t.tid, sig, info) < 0) /* the kernel's queue is full */
        RAW(SYS_tgkill, accel_process.pid, s->t.tid, sig);
}

static void hold_back(struct shim_thread *s, int sig, siginfo_t *info, ucontext_t *context, int flags)
{
    uint64_t set = bit(sig);
    if (flags & SA_RESETHAND) { /* the kernel has just reset it; the real delivery will again */
        struct kernel_action now;
        RAW(SYS_rt_sigaction, sig, NULL, &now, KERNEL_SIGSET_BYTES);
        now.handler = (void (*)(int))(void *)trampoline;
        RAW(SYS_rt_sigaction, sig, &now, NULL, KERNEL_SIGSET_BYTES);
    }
    if (flags & SA_NODEFER) RAW(SYS_rt_sigprocmask, SIG_BLOCK, &set, NULL, KERNEL_SIGSET_BYTES);
    *(uint64_t *)&context->uc_sigmask |= set;
    s->deferred |= set;
    s->t.pending = 1;
    queue(s, sig, info);
}

/* On the way out of managed code. A handler may longjmp from here: all is clear before the first one runs. */
void shim_run_deferred(struct shim_thread *s)
{
    if (s->t.inside != 0) return;
    uint64_t set = s->deferred;
    s->deferred = 0;
    s->t.pending = 0;
    BARRIER();
    RAW(SYS_rt_sigprocmask, SIG_UNBLOCK, &set, NULL, KERNEL_SIGSET_BYTES);
}

/* Runs the program's handler over a call that sleeps. The handler may make calls of its own, sleep in them, or never
 * come back; so nothing of the sleeping call is on the thread while it runs. */
static void run_over_sleep(struct shim_thread *s, info_handler handler, int sig, siginfo_t *info, void *context)
{
    struct sleeper *sleeper = s->armed;
    bool async = s->async != 0;
    s->armed = NULL;
    s->async = 0;
    shim_put_aside(sleeper);
    if (async) pthread_setcanceltype(sleeper->cancel_type, NULL);
    handler(sig, info, context);
    if (async) pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    shim_take_back(sleeper);
    s->timeout = (struct timespec){ 0 };
    sleeper->interrupted = true;
    s->async = async;
    s->armed = sleeper;
}

static void trampoline(int sig, siginfo_t *info, void *context)
{
    struct shim_thread *s = &shim_self;
    info_handler handler = (info_handler)__atomic_load_n(&table[sig].handler, __ATOMIC_RELAXED);
    int flags = __atomic_load_n(&table[sig].flags, __ATOMIC_RELAXED);
    if (s->t.inside != 0) {
        hold_back(s, sig, info, context, flags);
        return;
    }
    siginfo_t oldest;
    if (unlikely(s->held_count != 0) && sig >= FIRST_REALTIME && (is_marker(info) || keep(s, info))) {
        oldest = *info;
        info = &oldest;
        take_oldest(s, sig, info);
    }
    uint32_t seen = s->seen;
    if (s->armed != NULL) run_over_sleep(s, handler, sig, info, context);
    else handler(sig, info, context); /* one that takes a single argument finds it where it looks */
    s->seen = seen | (flags & SA_RESTART ? SEEN_RESTART : SEEN_INTERRUPT);
}

/* --- what the program sees ------------------------------------------------------------------------------------ */

static bool is_handler(const struct sigaction *act)
{
    return act->sa_handler != SIG_DFL && act->sa_handler != SIG_IGN;
}

int wrap_sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
    if (!deferrable(sig) || shim_self.t.inside != 0) return REAL(sigaction)(sig, act, old);

    void *old_handler = __atomic_load_n(&table[sig].handler, __ATOMIC_RELAXED);
    int old_flags = __atomic_load_n(&table[sig].flags, __ATOMIC_RELAXED);
    struct sigaction ours;
    if (act != NULL && is_handler(act)) {
        ours = *act;
        ours.sa_sigaction = trampoline;
        ours.sa_flags |= SA_SIGINFO;
        __atomic_store_n(&table[sig].handler, (void *)act->sa_sigaction, __ATOMIC_RELAXED);
        __atomic_store_n(&table[sig].flags, act->sa_flags, __ATOMIC_RELAXED);
        act = &ours;
    }
    struct sigaction kernel;
    int r = REAL(sigaction)(sig, act, &kernel);
    if (r != 0 || old == NULL) return r;
    if (kernel.sa_sigaction == trampoline) {
        kernel.sa_sigaction = (info_handler)old_handler;
        if ((old_flags & SA_SIGINFO) == 0) kernel.sa_flags &= ~SA_SIGINFO;
    }
    *old = kernel;
    return 0;
}
ALIAS(__sigaction, sigaction)

static uint64_t interrupting; /* signals that siginterrupt() made interrupt calls: signal() honours it */

static sighandler_t set_handler(int sig, sighandler_t handler, int flags, bool block_itself)
{
    struct sigaction act = { .sa_handler = handler, .sa_flags = flags }, old;
    if (handler == SIG_ERR || sig < 1 || sig >= SIGNALS) {
        errno = EINVAL;
        return SIG_ERR;
    }
    sigemptyset(&act.sa_mask);
    if (block_itself) sigaddset(&act.sa_mask, sig);
    return wrap_sigaction(sig, &act, &old) == 0 ? old.sa_handler : SIG_ERR;
}

sighandler_t wrap_signal(int sig, sighandler_t handler)
{
    bool interrupts = sig > 0 && sig < SIGNALS && (interrupting & bit(sig));
    return set_handler(sig, handler, interrupts ? 0 : SA_RESTART, true);
}
ALIAS(bsd_signal, signal)
ALIAS(ssignal, signal)

sighandler_t wrap_sysv_signal(int sig, sighandler_t handler)
{
    const int sa_interrupt = 0x20000000; /* meaningless to the kernel, but what libc sets and sigaction() reports */
    return set_handler(sig, handler, SA_RESETHAND | SA_NODEFER | sa_interrupt, false);
}
ALIAS(__sysv_signal, sysv_signal)

int wrap_siginterrupt(int sig, int interrupt)
{
    struct sigaction act;
    if (wrap_sigaction(sig, NULL, &act) != 0) return -1;
    if (interrupt) {
        __atomic_fetch_or(&interrupting, bit(sig), __ATOMIC_RELAXED);
        act.sa_flags &= ~SA_RESTART;
    } else {
        __atomic_fetch_and(&interrupting, ~bit(sig), __ATOMIC_RELAXED);
        act.sa_flags |= SA_RESTART;
    }
    return wrap_sigaction(sig, &act, NULL);
}

sighandler_t wrap_sigset(int sig, sighandler_t handler)
{
    sigset_t set, before;
    sigemptyset(&set);
    if (handler == SIG_ERR || sigaddset(&set, sig) != 0) {
        errno = EINVAL;
        return SIG_ERR;
    }
    struct sigaction old;
    if (handler == SIG_HOLD) {
        if (sigprocmask(SIG_BLOCK, &set, &before) != 0) return SIG_ERR;
        if (sigismember(&before, sig)) return SIG_HOLD;
        return wrap_sigaction(sig, NULL, &old) == 0 ? old.sa_handler : SIG_ERR;
    }
    sighandler_t was = set_handler(sig, handler, 0, false);
    if (was == SIG_ERR || sigprocmask(SIG_UNBLOCK, &set, &before) != 0) return SIG_ERR;
    return sigismember(&before, sig) ? SIG_HOLD : was;
}

/* --- around the start of the runtime -------------------------------------------------------------------------- */

uint64_t shim_block_signals(void)
{
    uint64_t all = ~0ull, before = 0;
    RAW(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, KERNEL_SIGSET_BYTES);
    return before;
}

void shim_restore_mask(uint64_t mask)
{
    RAW(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, KERNEL_SIGSET_BYTES);
}

static struct kernel_action kept[SIGNALS];

void shim_keep_dispositions(void)
{
    for (int sig = 1; sig < SIGNALS; sig++) RAW(SYS_rt_sigaction, sig, NULL, &kept[sig], KERNEL_SIGSET_BYTES);
}

/* The program's dispositions again: whatever the start-up of managed code made of them. */
void shim_put_back_dispositions(void)
{
    for (int sig = 1; sig < SIGNALS; sig++) {
        struct kernel_action now;
        if (RAW(SYS_rt_sigaction, sig, NULL, &now, KERNEL_SIGSET_BYTES) < 0) continue;
        if (now.handler == kept[sig].handler && now.flags == kept[sig].flags) continue;
        shim_log("start: the runtime changed signal %d", sig);
        RAW(SYS_rt_sigaction, sig, &kept[sig], NULL, KERNEL_SIGSET_BYTES);
    }
}
