/* Making, naming and configuring sockets. */
#include "shim.h"

#include <netinet/in.h>

#define TRY(call)                                                                                                      \
    do {                                                                                                               \
        struct shim_thread *s = &shim_self;                                                                            \
        long r_ = MANAGED(s, call);                                                                                    \
        if (likely(r_ != ACCEL_PASS)) return (int)shim_give(r_);                                                       \
    } while (0)
#define TRY_WAIT(call)                                                                                                 \
    do {                                                                                                               \
        struct shim_thread *s = &shim_self;                                                                            \
        long r_ = MANAGED_WAIT(s, &shim_plain_sleep, call);                                                            \
        if (likely(r_ != ACCEL_PASS)) return (int)shim_give(r_);                                                       \
    } while (0)

/* An eligible socket is only noted here: it joins, and starts the runtime, when the program first does something with
 * it. O_NONBLOCK is on the kernel's socket, where managed code reads it. */
WRAP_IF(domain != AF_INET && domain != AF_INET6, int, socket, (int domain, int type, int protocol),
        (domain, type, protocol))
{
    int fd = REAL(socket)(domain, type, protocol);
    if (fd < 0 || shim_self.t.inside != 0) return fd;
    if (shim_eligible(domain, type, protocol)) shim_pending_add(fd);
    return fd;
}

WRAP_IF(shim_entry(fd) == 0 && !shim_is_pending(fd), int, bind, (int fd, const struct sockaddr *addr, socklen_t len),
     (fd, addr, len))
{
    if (shim_is_pending(fd)) shim_pending_register(fd);
    if (NOT_OURS(fd)) return REAL(bind)(fd, addr, len);
    TRY(accel_bind(&s->t, fd, addr, len));
    return REAL(bind)(fd, addr, len);
}

WRAP_IF(shim_entry(fd) == 0 && !shim_is_pending(fd), int, listen, (int fd, int backlog),
     (fd, backlog))
{
    if (shim_is_pending(fd)) shim_pending_register(fd);
    if (NOT_OURS(fd)) return REAL(listen)(fd, backlog);
    TRY(accel_listen(&s->t, fd, backlog));
    return REAL(listen)(fd, backlog);
}

WRAP_IF(shim_entry(fd) == 0 && !shim_is_pending(fd), int, connect, (int fd, const struct sockaddr *addr, socklen_t len),
     (fd, addr, len))
{
    if (shim_is_pending(fd)) shim_pending_register(fd);
    if (NOT_OURS(fd)) return REAL(connect)(fd, addr, len);
    TRY_WAIT(accel_connect(&s->t, fd, addr, len));
    return REAL(connect)(fd, addr, len);
}
ALIAS(__connect, connect)

/* A call of the kernel's, again and again where it would have waited but for those who share the listener. */
#define ACCEPT(call)                                                                                                   \
    ({                                                                                                                 \
        int64_t deadline_ = 0;                                                                                         \
        int made_;                                                                                                     \
        shim_self.seen = 0;                                                                                            \
        do made_ = (call);                                                                                             \
        while (unlikely(shim_lent != 0) && made_ < 0 && errno == EAGAIN && shim_lent_wait(fd, &deadline_));            \
        made_;                                                                                                         \
    })

WRAP_IF(shim_entry(fd) == 0 && shim_lent == 0, int, accept, (int fd, struct sockaddr *addr, socklen_t *len),
        (fd, addr, len))
{
    if (NOT_OURS(fd)) return ACCEPT(REAL(accept)(fd, addr, len));
    TRY_WAIT(accel_accept(&s->t, fd, addr, len, 0));
    return REAL(accept)(fd, addr, len);
}

WRAP_IF(shim_entry(fd) == 0 && shim_lent == 0, int, accept4,
        (int fd, struct sockaddr *addr, socklen_t *len, int flags), (fd, addr, len, flags))
{
    if (NOT_OURS(fd)) return ACCEPT(REAL(accept4)(fd, addr, len, flags));
    if (flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) return (int)shim_give(-EINVAL);
    TRY_WAIT(accel_accept(&s->t, fd, addr, len, flags));
    return REAL(accept4)(fd, addr, len, flags);
}

WRAP(int, shutdown, (int fd, int how), (fd, how), fd)
{
    if (NOT_OURS(fd)) return REAL(shutdown)(fd, how);
    TRY(accel_shutdown(&s->t, fd, how));
    return REAL(shutdown)(fd, how);
}

WRAP(int, getsockname, (int fd, struct sockaddr *addr, socklen_t *len), (fd, addr, len), fd)
{
    if (NOT_OURS(fd)) return REAL(getsockname)(fd, addr, len);
    TRY(accel_getsockname(&s->t, fd, addr, len));
    return REAL(getsockname)(fd, addr, len);
}

WRAP(int, getpeername, (int fd, struct sockaddr *addr, socklen_t *len), (fd, addr, len), fd)
{
    if (NOT_OURS(fd)) return REAL(getpeername)(fd, addr, len);
    TRY(accel_getpeername(&s->t, fd, addr, len));
    return REAL(getpeername)(fd, addr, len);
}

WRAP(int, getsockopt, (int fd, int level, int name, void *value, socklen_t *len), (fd, level, name, value, len), fd)
{
    if (NOT_OURS(fd)) return REAL(getsockopt)(fd, level, name, value, len);
    TRY(accel_getsockopt(&s->t, fd, level, name, value, len));
    return REAL(getsockopt)(fd, level, name, value, len);
}

WRAP_IF(shim_entry(fd) == 0 && !shim_is_pending(fd), int, setsockopt,
        (int fd, int level, int name, const void *value, socklen_t len), (fd, level, name, value, len))
{
    if (shim_is_pending(fd)) shim_pending_register(fd); /* managed code must see what is set */
    if (NOT_OURS(fd)) return REAL(setsockopt)(fd, level, name, value, len);
    TRY(accel_setsockopt(&s->t, fd, level, name, value, len));
    return REAL(setsockopt)(fd, level, name, value, len);
}
