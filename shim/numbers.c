/* syscall(): the same calls by number. A number that is no row of ours goes straight to the kernel. */
#include "shim.h"

#include <fcntl.h>
#include <unistd.h>

#define AS(type, x) ((type)(x))

/* A bit for each number that has a case below, so that the others cost nothing. */
#define BIT(word, nr) ((nr) / 64 == (word) ? 1ull << ((nr) % 64) : 0)
#define CASES(w) \
    BIT(w, SYS_socket) | BIT(w, SYS_bind) | BIT(w, SYS_listen) | BIT(w, SYS_connect) | BIT(w, SYS_accept) | \
    BIT(w, SYS_accept4) | BIT(w, SYS_shutdown) | BIT(w, SYS_getsockname) | BIT(w, SYS_getpeername) | \
    BIT(w, SYS_getsockopt) | BIT(w, SYS_setsockopt) | BIT(w, SYS_read) | BIT(w, SYS_readv) | \
    BIT(w, SYS_recvfrom) | BIT(w, SYS_recvmsg) | BIT(w, SYS_recvmmsg) | BIT(w, SYS_write) | BIT(w, SYS_writev) | \
    BIT(w, SYS_sendto) | BIT(w, SYS_sendmsg) | BIT(w, SYS_sendmmsg) | BIT(w, SYS_sendfile) | \
    BIT(w, SYS_splice) | BIT(w, SYS_poll) | BIT(w, SYS_ppoll) | BIT(w, SYS_select) | BIT(w, SYS_pselect6) | \
    BIT(w, SYS_epoll_create) | BIT(w, SYS_epoll_create1) | \
    BIT(w, SYS_epoll_ctl) | BIT(w, SYS_epoll_wait) | BIT(w, SYS_epoll_pwait) | BIT(w, SYS_epoll_pwait2) | \
    BIT(w, SYS_close) | BIT(w, SYS_close_range) | BIT(w, SYS_dup) | BIT(w, SYS_dup2) | BIT(w, SYS_dup3) | \
    BIT(w, SYS_fcntl) | BIT(w, SYS_ioctl) | BIT(w, SYS_fork) | BIT(w, SYS_execve) | BIT(w, SYS_execveat) | \
    BIT(w, SYS_exit_group) | BIT(w, SYS_clone) | BIT(w, SYS_clone3) | \
    BIT(w, SYS_prctl) | BIT(w, SYS_seccomp) | BIT(w, SYS_io_uring_setup) | \
    BIT(w, SYS_pidfd_getfd)
static const uint64_t cases[] = { CASES(0), CASES(1), CASES(2), CASES(3), CASES(4), CASES(5), CASES(6) };

static inline bool has_case(long nr)
{
    return (unsigned long)nr < 64 * sizeof cases / sizeof *cases && cases[nr / 64] >> (nr % 64) & 1;
}

WRAP_IF(!has_case(nr), long, syscall, (long nr, long a, long b, long c, long d, long e, long f),
        (nr, a, b, c, d, e, f))
{
    switch (nr) {
    case SYS_socket: return wrap_socket((int)a, (int)b, (int)c);
    case SYS_bind: return wrap_bind((int)a, AS(void *, b), (socklen_t)c);
    case SYS_listen: return wrap_listen((int)a, (int)b);
    case SYS_connect: return wrap_connect((int)a, AS(void *, b), (socklen_t)c);
    case SYS_accept: return wrap_accept((int)a, AS(void *, b), AS(socklen_t *, c));
    case SYS_accept4: return wrap_accept4((int)a, AS(void *, b), AS(socklen_t *, c), (int)d);
    case SYS_shutdown: return wrap_shutdown((int)a, (int)b);
    case SYS_getsockname: return wrap_getsockname((int)a, AS(void *, b), AS(socklen_t *, c));
    case SYS_getpeername: return wrap_getpeername((int)a, AS(void *, b), AS(socklen_t *, c));
    case SYS_getsockopt: return wrap_getsockopt((int)a, (int)b, (int)c, AS(void *, d), AS(socklen_t *, e));
    case SYS_setsockopt: return wrap_setsockopt((int)a, (int)b, (int)c, AS(void *, d), (socklen_t)e);
    case SYS_read: return wrap_read((int)a, AS(void *, b), (size_t)c);
    case SYS_readv: return wrap_readv((int)a, AS(void *, b), (int)c);
    case SYS_recvfrom:
        return wrap_recvfrom((int)a, AS(void *, b), (size_t)c, (int)d, AS(void *, e), AS(socklen_t *, f));
    case SYS_recvmsg: return wrap_recvmsg((int)a, AS(void *, b), (int)c);
    case SYS_recvmmsg: return wrap_recvmmsg((int)a, AS(void *, b), (unsigned)c, (int)d, AS(void *, e));
    case SYS_write: return wrap_write((int)a, AS(void *, b), (size_t)c);
    case SYS_writev: return wrap_writev((int)a, AS(void *, b), (int)c);
    case SYS_sendto: return wrap_sendto((int)a, AS(void *, b), (size_t)c, (int)d, AS(void *, e), (socklen_t)f);
    case SYS_sendmsg: return wrap_sendmsg((int)a, AS(void *, b), (int)c);
    case SYS_sendmmsg: return wrap_sendmmsg((int)a, AS(void *, b), (unsigned)c, (int)d);
    case SYS_sendfile: return wrap_sendfile((int)a, (int)b, AS(int64_t *, c), (size_t)d);
    case SYS_splice:
        return wrap_splice((int)a, AS(int64_t *, b), (int)c, AS(int64_t *, d), (size_t)e, (unsigned)f);
    case SYS_poll: return wrap_poll(AS(void *, a), (nfds_t)b, (int)c);
    case SYS_ppoll: return wrap_ppoll(AS(void *, a), (nfds_t)b, AS(void *, c), AS(void *, d));
    case SYS_select: return wrap_select((int)a, AS(void *, b), AS(void *, c), AS(void *, d), AS(void *, e));
    case SYS_pselect6: { /* the sixth argument is a pointer to the mask and its size */
        void *const *masked = AS(void *const *, f);
        return wrap_pselect((int)a, AS(void *, b), AS(void *, c), AS(void *, d), AS(void *, e),
                            masked == NULL ? NULL : masked[0]);
    }
    case SYS_epoll_create: return wrap_epoll_create((int)a);
    case SYS_epoll_create1: return wrap_epoll_create1((int)a);
    case SYS_epoll_ctl: return wrap_epoll_ctl((int)a, (int)b, (int)c, AS(void *, d));
    case SYS_epoll_wait: return wrap_epoll_wait((int)a, AS(void *, b), (int)c, (int)d);
    case SYS_epoll_pwait: return wrap_epoll_pwait((int)a, AS(void *, b), (int)c, (int)d, AS(void *, e));
    case SYS_epoll_pwait2: return wrap_epoll_pwait2((int)a, AS(void *, b), (int)c, AS(void *, d), AS(void *, e));
    case SYS_close: return wrap_close((int)a);
    case SYS_close_range: return wrap_close_range((unsigned)a, (unsigned)b, (int)c);
    case SYS_dup: return wrap_dup((int)a);
    case SYS_dup2: return wrap_dup2((int)a, (int)b);
    case SYS_dup3: return wrap_dup3((int)a, (int)b, (int)c);
    case SYS_pidfd_getfd: return wrap_pidfd_getfd((int)a, (int)b, (unsigned)c);
    case SYS_fcntl: return wrap_fcntl((int)a, (int)b, c);
    case SYS_ioctl: return wrap_ioctl((int)a, (unsigned long)b, AS(void *, c));
    case SYS_fork: return wrap__Fork(); /* a raw fork runs no atfork handlers either */
    case SYS_clone:
    case SYS_clone3: return shim_clone_by_number(nr, a, b, c, d, e, f);
    case SYS_execve: return wrap_execve(AS(const char *, a), AS(char *const *, b), AS(char *const *, c));
    case SYS_execveat:
        return wrap_execveat((int)a, AS(const char *, b), AS(char *const *, c), AS(char *const *, d), (int)e);
    case SYS_prctl: return wrap_prctl((int)a, b, c, d, e);
    case SYS_io_uring_setup: shim_before_ring(); break;
    case SYS_seccomp: shim_before_seccomp(a); break;
    case SYS_exit_group: shim_exit(); break;
    default: break;
    }
    return REAL(syscall)(nr, a, b, c, d, e, f);
}
