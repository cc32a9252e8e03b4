/* Descriptors come and go: whatever changes a number's meaning keeps the table right. Kind 15, the library's own
 * descriptors, survives a program that closes all it can name. */
#include "shim.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sockios.h>
#include <unistd.h>

enum { ENTRY_NONE = 0 };

/* Internal descriptors are hidden from the program, not from ourselves. */
static bool is_hidden(uint32_t entry)
{
    return unlikely(shim_kind(entry) == ACCEL_KIND_INTERNAL) && shim_self.t.inside == 0;
}

WRAP_IF(shim_entry(fd) == 0 && !shim_is_pending(fd), int, close, (int fd), (fd))
{
    shim_pending_drop(fd);
    uint32_t entry = shim_entry(fd);
    if (likely(entry == ENTRY_NONE) || shim_self.t.inside != 0) return REAL(close)(fd);
    if (is_hidden(entry)) return (int)shim_give(-EBADF);
    struct shim_thread *s = &shim_self;
    MANAGED(s, accel_close(&s->t, fd)); /* before the number is free for another thread */
    return REAL(close)(fd);
}
ALIAS(__close, close)

/* --- ranges --------------------------------------------------------------------------------------------------- */

/* Entries of the range forgotten; returns how far it goes without meeting a hidden descriptor. */
static unsigned forget_up_to_hidden(struct shim_thread *s, unsigned first, unsigned last, bool closing)
{
    unsigned limit = accel_process.fd_limit;
    for (unsigned fd = first; fd <= last && fd < limit; fd++) {
        uint32_t entry = shim_entry((int)fd);
        if (likely(entry == ENTRY_NONE)) continue;
        if (shim_kind(entry) == ACCEL_KIND_INTERNAL) return fd;
        if (closing) MANAGED(s, accel_close(&s->t, (int)fd));
    }
    return last + 1; /* 0 for the last number there is: the caller knows */
}

static void drop_pending(unsigned first, unsigned last)
{
    for (unsigned fd = first; fd <= last && fd < SHIM_PENDING_LIMIT; fd++) {
        if (fd % 64 == 0 && shim_pending[fd / 64] == 0) fd += 63;
        else shim_pending_drop((int)fd);
    }
}

/* close_range() in pieces, around the hidden ones. */
static long close_pieces(unsigned first, unsigned last, unsigned flags)
{
    struct shim_thread *s = &shim_self;
    bool closing = (flags & CLOSE_RANGE_CLOEXEC) == 0;
    for (;;) {
        unsigned stop = forget_up_to_hidden(s, first, last, closing);
        if (stop != first) {
            long r = RAW(SYS_close_range, first, stop - 1, flags);
            if (r < 0) return r;
        }
        if (stop == last + 1 || stop == last) return 0;
        first = stop + 1;
    }
}

int wrap_close_range(unsigned first, unsigned last, int flags)
{
    if (first <= last && (flags & CLOSE_RANGE_CLOEXEC) == 0) drop_pending(first, last);
    bool plain = accel_process.fd_limit == 0 || shim_self.t.inside != 0 || first > last ||
                 ((unsigned)flags & ~(CLOSE_RANGE_CLOEXEC | CLOSE_RANGE_UNSHARE)) != 0;
    if (plain) return REAL(close_range)(first, last, flags);
    return (int)shim_give(close_pieces(first, last, (unsigned)flags));
}

void wrap_closefrom(int first)
{
    if (first < 0) first = 0;
    drop_pending((unsigned)first, ~0u);
    if (accel_process.fd_limit == 0 || shim_self.t.inside != 0) {
        REAL(closefrom)(first);
        return;
    }
    if (close_pieces((unsigned)first, ~0u, 0) == 0) return;
    long end = sysconf(_SC_OPEN_MAX); /* a kernel without close_range: one by one, as libc does from /proc */
    for (int fd = first; fd < end; fd++) wrap_close(fd);
}

/* --- copies --------------------------------------------------------------------------------------------------- */

/* By the system call NR. Where a number is ours, managed code makes the copy: see Numbers.cs. */
static int copy(int nr, int oldfd, long second, long third)
{
    struct shim_thread *s = &shim_self;
    int saved = errno;
    bool replaces = nr == SYS_dup2 || nr == SYS_dup3;
    bool plain = s->t.inside != 0 || (shim_entry(oldfd) | (replaces ? shim_entry((int)second) : 0)) == ENTRY_NONE;
    long newfd = plain ? RAW(nr, oldfd, second, third) : MANAGED(s, accel_dup(&s->t, nr, oldfd, second, third));
    if (newfd < 0 || newfd == oldfd || s->t.inside != 0) return (int)shim_give(newfd);
    shim_pending_drop((int)newfd);
    if (newfd <= STDERR_FILENO && shim_kind(shim_entry((int)newfd)) == ACCEL_KIND_SOCKET)
        shim_standard_stream((int)newfd);
    errno = saved;
    return (int)newfd;
}

/* Before a copy: a socket that may become ours must be ours under both numbers, or under none. */
static void before_copy(int *fd)
{
    if (shim_is_pending(*fd)) shim_pending_register(*fd);
    if (is_hidden(shim_entry(*fd))) *fd = -1;
}

/* No care is needed: neither number means anything to us. */
static inline bool plain_copy(int fd, int wanted)
{
    return (shim_entry(fd) | shim_entry(wanted)) == 0 && !shim_is_pending(fd) && !shim_is_pending(wanted);
}

static inline bool makes_copy(int cmd) { return cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC; }

WRAP_IF(shim_entry(fd) == 0 && !shim_is_pending(fd), int, dup, (int fd), (fd))
{
    if (shim_entry(fd) == ENTRY_NONE && !shim_is_pending(fd)) return REAL(dup)(fd);
    before_copy(&fd);
    return copy(SYS_dup, fd, 0, 0);
}

WRAP_IF(plain_copy(fd, wanted), int, dup2, (int fd, int wanted), (fd, wanted))
{
    if (plain_copy(fd, wanted)) return REAL(dup2)(fd, wanted);
    before_copy(&fd);
    if (is_hidden(shim_entry(wanted))) return (int)shim_give(-EBUSY);
    return copy(SYS_dup2, fd, wanted, 0);
}
ALIAS(__dup2, dup2)

WRAP_IF(plain_copy(fd, wanted), int, dup3, (int fd, int wanted, int flags), (fd, wanted, flags))
{
    if (plain_copy(fd, wanted)) return REAL(dup3)(fd, wanted, flags);
    before_copy(&fd);
    if (is_hidden(shim_entry(wanted))) return (int)shim_give(-EBUSY);
    return copy(SYS_dup3, fd, wanted, flags);
}

/* Who wants signals of a socket: managed code must see it, also of one that is nothing yet. */
static inline bool asks_for_signals(int cmd, long arg)
{
    return cmd == F_SETOWN || cmd == F_SETSIG || cmd == F_SETOWN_EX || (cmd == F_SETFL && (arg & O_ASYNC));
}

/* O_NONBLOCK of a listener that is lent is the program's alone: the kernel's stays. */
static int lent_fcntl(int (*real)(int, int, long), int fd, int cmd, long arg)
{
    int *blocks;
    if ((cmd != F_GETFL && cmd != F_SETFL) || !shim_lent_flags(fd, &blocks)) return real(fd, cmd, arg);
    int r = real(fd, cmd, cmd == F_SETFL ? arg | O_NONBLOCK : arg);
    if (r < 0) return r;
    if (cmd == F_SETFL) *blocks = (arg & O_NONBLOCK) == 0;
    else if (*blocks) r &= ~O_NONBLOCK;
    return r;
}

static bool lent_ioctl(int fd, unsigned long request, const void *arg)
{
    int *blocks;
    if (request != FIONBIO || shim_is_bad(arg) || !shim_lent_flags(fd, &blocks)) return false;
    *blocks = *(const int *)arg == 0;
    return true;
}

static int shim_fcntl(int (*real)(int, int, long), int fd, int cmd, long arg)
{
    if (unlikely(shim_lent != 0)) return lent_fcntl(real, fd, cmd, arg);
    if (unlikely(makes_copy(cmd))) {
        before_copy(&fd);
        return copy(SYS_fcntl, fd, cmd, arg);
    }
    if (shim_is_pending(fd) && asks_for_signals(cmd, arg)) shim_pending_register(fd);
    if (NOT_OURS(fd)) return real(fd, cmd, arg);
    struct shim_thread *s = &shim_self;
    long r = MANAGED(s, accel_fcntl(&s->t, fd, cmd, arg));
    return r == ACCEL_PASS ? real(fd, cmd, arg) : (int)shim_give(r);
}

WRAP_IF(shim_entry(fd) == 0 && !makes_copy(cmd) && !shim_is_pending(fd) && shim_lent == 0, int, fcntl,
        (int fd, int cmd, long arg), (fd, cmd, arg))
{
    return shim_fcntl(REAL(fcntl), fd, cmd, arg);
}
ALIAS(__fcntl, fcntl)

WRAP_IF(shim_entry(fd) == 0 && !makes_copy(cmd) && !shim_is_pending(fd) && shim_lent == 0, int, fcntl64,
        (int fd, int cmd, long arg), (fd, cmd, arg))
{
    return shim_fcntl(REAL(fcntl64), fd, cmd, arg);
}

WRAP_IF(shim_entry(fd) == 0 && !shim_is_pending(fd) && shim_lent == 0, int, ioctl,
        (int fd, unsigned long request, void *arg), (fd, request, arg))
{
    if (unlikely(shim_lent != 0) && lent_ioctl(fd, request, arg)) return 0;
    if (shim_is_pending(fd) && (request == FIOASYNC || request == FIOSETOWN || request == SIOCSPGRP))
        shim_pending_register(fd);
    if (NOT_OURS(fd)) return REAL(ioctl)(fd, request, arg);
    struct shim_thread *s = &shim_self;
    long r = MANAGED(s, accel_ioctl(&s->t, fd, request, arg));
    return r == ACCEL_PASS ? REAL(ioctl)(fd, request, arg) : (int)shim_give(r);
}
