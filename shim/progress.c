/* The one thread of the library's own: it moves the managed stack on while the program computes. A process that uses no
 * accelerated network interface never has it. */
#include "shim.h"

#include <pthread.h>
#include <sys/prctl.h>

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg);

enum { STACK_BYTES = 1 << 20 };

/* Returns only when managed code has nothing left to do for this process. Signals are the program's threads' affair. */
static void *progress(void *unused)
{
    struct shim_thread *s = &shim_self;
    uint64_t libc_own = 3ull << 31; /* signals 32 and 33: setuid() waits until each thread has taken one */
    (void)unused;
    RAW(SYS_rt_sigprocmask, SIG_UNBLOCK, &libc_own, NULL, sizeof libc_own);
    prctl(PR_SET_NAME, "accel", 0, 0, 0);
    MANAGED_WAIT(s, &shim_plain_sleep, accel_progress(&s->t));
    return NULL;
}

/* Once per process: fork leaves the thread behind, and a child that needs one makes its own. */
long shim_start_progress(void)
{
    static int32_t running;
    pthread_attr_t attr;
    pthread_t thread;
    int32_t pid = accel_process.pid;
    if (__atomic_exchange_n(&running, pid, __ATOMIC_ACQ_REL) == pid) return 0;
    uint64_t mask = shim_block_signals();
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    int error = __real_pthread_create(&thread, &attr, progress, NULL);
    pthread_attr_destroy(&attr);
    shim_restore_mask(mask);
    shim_log("progress thread: %d", error);
    return -error;
}
