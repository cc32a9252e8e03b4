/* io_uring. What a program asks of the kernel through a ring no wrapper sees, so a process that makes one has no
 * sockets of ours: those that it has are handed over while they live, and those that it makes later stay on the kernel.
 * Seen are syscall(), and a liburing that is loaded as a library; a program that makes the system call in its own name
 * (Go, or liburing linked into it) is not. */
#include "shim.h"

bool shim_ringed;

void shim_before_ring(void)
{
    struct shim_thread *s = &shim_self;
    if (s->t.inside != 0) return;
    bool first = !__atomic_exchange_n(&shim_ringed, true, __ATOMIC_ACQ_REL);
    shim_pending_forget_all();
    shim_wait_for_start();
    /* Each time: a listener whose clients were still to be accepted then may be free to go now. */
    if (!shim_started() || accel_process.fd_limit == 0) return;
    int saved = errno;
    long r = MANAGED(s, accel_ring(&s->t));
    if (first) shim_log("io_uring: %ld sockets stay in the stack, all others are the kernel's", r);
    errno = saved;
}

int wrap_io_uring_setup(unsigned entries, void *params)
{
    shim_before_ring();
    return REAL(io_uring_setup)(entries, params);
}

int wrap_io_uring_queue_init(unsigned entries, void *ring, unsigned flags)
{
    shim_before_ring();
    return REAL(io_uring_queue_init)(entries, ring, flags);
}

int wrap_io_uring_queue_init_params(unsigned entries, void *ring, void *params)
{
    shim_before_ring();
    return REAL(io_uring_queue_init_params)(entries, ring, params);
}

int wrap_io_uring_queue_init_mem(unsigned entries, void *ring, void *params, void *memory, size_t size)
{
    shim_before_ring();
    return REAL(io_uring_queue_init_mem)(entries, ring, params, memory, size);
}
