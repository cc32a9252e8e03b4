/* Bytes in and out. Every wrapper has one shape: not ours, call libc; ours, call managed code; managed code passes,
 * call libc after all. */
#include "shim.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

enum { COUNT_MAX = 1024 };        /* the kernel's UIO_MAXIOV */
enum { COUNT_BYTES = 0x7FFFF000 }; /* and its MAX_RW_COUNT */
enum { BATCH = 0x40000 };          /* MSG_BATCH: another message of the same sendmmsg() follows */

/* Runs CALL on managed code, which may sleep; from ACCEL_PASS on the function goes on with what follows. */
#define TRY_IN(call)                                                                                                   \
    do {                                                                                                               \
        struct shim_thread *s = &shim_self;                                                                            \
        long r_ = MANAGED_WAIT(s, &shim_plain_sleep, call);                                                            \
        if (likely(r_ != ACCEL_PASS)) return shim_give(r_);                                                            \
    } while (0)
#define TRY_OUT(flags, call)                                                                                           \
    do {                                                                                                               \
        struct shim_thread *s = &shim_self;                                                                            \
        long r_ = MANAGED_WAIT(s, &shim_plain_sleep, call);                                                            \
        if (unlikely(r_ == -EPIPE) && ((flags) & MSG_NOSIGNAL) == 0) shim_sigpipe(s);                                  \
        if (likely(r_ != ACCEL_PASS)) return shim_give(r_);                                                            \
    } while (0)

/* What the kernel checks of an iovec before it reaches the socket: bytes in all, or -errno. */
static ssize_t iov_bytes(const struct iovec *iov, int count)
{
    if (count < 0 || count > COUNT_MAX) return -EINVAL;
    if (count > 0 && shim_is_bad(iov)) return -EFAULT;
    size_t sum = 0;
    for (int i = 0; i < count; i++) {
        if (iov[i].iov_len > (size_t)SSIZE_MAX || sum + iov[i].iov_len > (size_t)SSIZE_MAX) return -EINVAL;
        sum += iov[i].iov_len;
    }
    return (ssize_t)sum;
}

/* --- in ------------------------------------------------------------------------------------------------------- */

WRAP(ssize_t, read, (int fd, void *buf, size_t n), (fd, buf, n), fd)
{
    if (NOT_OURS(fd)) return REAL(read)(fd, buf, n);
    if (n == 0) return 0; /* as the kernel: a read of nothing never waits, recv of nothing does */
    TRY_IN(accel_recv(&s->t, fd, buf, n, 0));
    return REAL(read)(fd, buf, n);
}
ALIAS(__read, read)

WRAP(ssize_t, __read_chk, (int fd, void *buf, size_t n, size_t room), (fd, buf, n, room), fd)
{
    if (NOT_OURS(fd) || n > room) return REAL(__read_chk)(fd, buf, n, room); /* libc's is the one that aborts */
    return wrap_read(fd, buf, n);
}

WRAP(ssize_t, readv, (int fd, const struct iovec *iov, int count), (fd, iov, count), fd)
{
    if (NOT_OURS(fd)) return REAL(readv)(fd, iov, count);
    ssize_t bytes = iov_bytes(iov, count);
    if (bytes <= 0) return shim_give(bytes);
    struct msghdr msg = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)count };
    TRY_IN(accel_recvmsg(&s->t, fd, &msg, 0));
    return REAL(readv)(fd, iov, count);
}

/* With an offset these fail on a socket, which the kernel can say itself. */
#define PREADV2(name)                                                                                                  \
    WRAP(ssize_t, name, (int fd, const struct iovec *iov, int count, int64_t offset, int flags),                       \
         (fd, iov, count, offset, flags), fd)                                                                          \
    {                                                                                                                  \
        if (NOT_OURS(fd) || offset != -1 || (flags & ~RWF_NOWAIT) != 0)                                                \
            return REAL(name)(fd, iov, count, offset, flags);                                                          \
        ssize_t bytes = iov_bytes(iov, count);                                                                         \
        if (bytes <= 0) return shim_give(bytes);                                                                       \
        struct msghdr msg = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)count };                           \
        int how = flags & RWF_NOWAIT ? MSG_DONTWAIT : 0;                                                               \
        TRY_IN(accel_recvmsg(&s->t, fd, &msg, how));                                                                   \
        return REAL(name)(fd, iov, count, offset, flags);                                                              \
    }
PREADV2(preadv2)
PREADV2(preadv64v2)

WRAP(ssize_t, recv, (int fd, void *buf, size_t n, int flags), (fd, buf, n, flags), fd)
{
    if (NOT_OURS(fd)) return REAL(recv)(fd, buf, n, flags);
    TRY_IN(accel_recv(&s->t, fd, buf, n, flags));
    return REAL(recv)(fd, buf, n, flags);
}

WRAP(ssize_t, __recv_chk, (int fd, void *buf, size_t n, size_t room, int flags), (fd, buf, n, room, flags), fd)
{
    if (NOT_OURS(fd) || n > room) return REAL(__recv_chk)(fd, buf, n, room, flags);
    return wrap_recv(fd, buf, n, flags);
}

/* A thread that waits here for datagrams must not do so in the kernel: another one's first send may make the socket
 * ours. */
WRAP_IF(shim_entry(fd) == 0 && !shim_is_pending(fd), ssize_t, recvfrom,
        (int fd, void *buf, size_t n, int flags, struct sockaddr *addr, socklen_t *len), (fd, buf, n, flags, addr, len))
{
    if (shim_is_pending(fd) && (flags & MSG_DONTWAIT) == 0) shim_pending_register_datagram(fd);
    if (NOT_OURS(fd)) return REAL(recvfrom)(fd, buf, n, flags, addr, len);
    if (addr == NULL) {
        TRY_IN(accel_recv(&s->t, fd, buf, n, flags));
        return REAL(recvfrom)(fd, buf, n, flags, addr, len);
    }
    struct sockaddr_storage from;
    struct iovec iov = { .iov_base = buf, .iov_len = n > COUNT_BYTES ? COUNT_BYTES : n };
    struct msghdr msg = { .msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &iov, .msg_iovlen = 1 };
    struct shim_thread *s = &shim_self;
    long r = MANAGED_WAIT(s, &shim_plain_sleep, accel_recvmsg(&s->t, fd, &msg, flags));
    if (unlikely(r == ACCEL_PASS)) return REAL(recvfrom)(fd, buf, n, flags, addr, len);
    if (r >= 0) { /* a stream has no sender's address: the kernel stores its length, zero */
        if (len == NULL) return shim_give(-EFAULT);
        if ((int)*len < 0) return shim_give(-EINVAL);
        __builtin_memcpy(addr, &from, *len < msg.msg_namelen ? *len : msg.msg_namelen);
        *len = msg.msg_namelen;
    }
    return shim_give(r);
}

WRAP(ssize_t, __recvfrom_chk, (int fd, void *buf, size_t n, size_t room, int flags, struct sockaddr *addr,
     socklen_t *len), (fd, buf, n, room, flags, addr, len), fd)
{
    if (NOT_OURS(fd) || n > room) return REAL(__recvfrom_chk)(fd, buf, n, room, flags, addr, len);
    return wrap_recvfrom(fd, buf, n, flags, addr, len);
}

WRAP_IF(shim_entry(fd) == 0 && !shim_may_carry(), ssize_t, recvmsg, (int fd, struct msghdr *msg, int flags),
        (fd, msg, flags))
{
    if (NOT_OURS(fd)) {
        ssize_t got = REAL(recvmsg)(fd, msg, flags);
        if (got >= 0) shim_take_rights(msg, flags);
        return got;
    }
    TRY_IN(accel_recvmsg(&s->t, fd, msg, flags));
    return REAL(recvmsg)(fd, msg, flags);
}

static int64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000 + now.tv_nsec;
}

/* The kernel looks at the clock only between messages, and so does this. */
WRAP_IF(shim_entry(fd) == 0 && !shim_may_carry(), int, recvmmsg,
        (int fd, struct mmsghdr *msgs, unsigned count, int flags, struct timespec *timeout),
        (fd, msgs, count, flags, timeout))
{
    if (NOT_OURS(fd)) {
        int got = REAL(recvmmsg)(fd, msgs, count, flags, timeout);
        for (int i = 0; i < got; i++) shim_take_rights(&msgs[i].msg_hdr, flags);
        return got;
    }
    if (timeout != NULL && (timeout->tv_sec < 0 || (unsigned long)timeout->tv_nsec >= 1000000000)) {
        return (int)shim_give(-EINVAL);
    }
    int64_t end = timeout == NULL ? 0 : monotonic_ns() + timeout->tv_sec * 1000000000 + timeout->tv_nsec;
    struct shim_thread *s = &shim_self;
    unsigned got = 0;
    long r = 0;
    if (count > COUNT_MAX) count = COUNT_MAX;
    while (got < count) {
        int how = (flags & ~MSG_WAITFORONE) | (got > 0 && (flags & MSG_WAITFORONE) ? MSG_DONTWAIT : 0);
        r = MANAGED_WAIT(s, &shim_plain_sleep, accel_recvmsg(&s->t, fd, &msgs[got].msg_hdr, how));
        if (unlikely(r == ACCEL_PASS)) return got > 0 ? (int)got : REAL(recvmmsg)(fd, msgs, count, flags, timeout);
        if (r < 0) break;
        msgs[got].msg_len = (unsigned)r;
        got++;
        if (timeout != NULL) {
            int64_t left = end - monotonic_ns();
            if (left < 0) left = 0;
            *timeout = (struct timespec){ .tv_sec = left / 1000000000, .tv_nsec = left % 1000000000 };
            if (left == 0) break;
        }
        if (msgs[got - 1].msg_hdr.msg_flags & MSG_OOB) break;
    }
    return got > 0 ? (int)got : (int)shim_give(r);
}

/* --- out ------------------------------------------------------------------------------------------------------ */

WRAP(ssize_t, write, (int fd, const void *buf, size_t n), (fd, buf, n), fd)
{
    if (NOT_OURS(fd)) return REAL(write)(fd, buf, n);
    TRY_OUT(0, accel_send(&s->t, fd, buf, n, 0));
    return REAL(write)(fd, buf, n);
}
ALIAS(__write, write)

WRAP(ssize_t, writev, (int fd, const struct iovec *iov, int count), (fd, iov, count), fd)
{
    if (NOT_OURS(fd)) return REAL(writev)(fd, iov, count);
    ssize_t bytes = iov_bytes(iov, count);
    if (bytes < 0) return shim_give(bytes);
    struct msghdr msg = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)count };
    TRY_OUT(0, accel_sendmsg(&s->t, fd, &msg, 0));
    return REAL(writev)(fd, iov, count);
}

#define PWRITEV2(name)                                                                                                 \
    WRAP(ssize_t, name, (int fd, const struct iovec *iov, int count, int64_t offset, int flags),                       \
         (fd, iov, count, offset, flags), fd)                                                                          \
    {                                                                                                                  \
        if (NOT_OURS(fd) || offset != -1 || (flags & ~RWF_NOWAIT) != 0)                                                \
            return REAL(name)(fd, iov, count, offset, flags);                                                          \
        ssize_t bytes = iov_bytes(iov, count);                                                                         \
        if (bytes < 0) return shim_give(bytes);                                                                        \
        struct msghdr msg = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)count };                           \
        int how = flags & RWF_NOWAIT ? MSG_DONTWAIT : 0;                                                               \
        TRY_OUT(0, accel_sendmsg(&s->t, fd, &msg, how));                                                               \
        return REAL(name)(fd, iov, count, offset, flags);                                                              \
    }
PWRITEV2(pwritev2)
PWRITEV2(pwritev64v2)

WRAP(ssize_t, send, (int fd, const void *buf, size_t n, int flags), (fd, buf, n, flags), fd)
{
    if (NOT_OURS(fd)) return REAL(send)(fd, buf, n, flags);
    TRY_OUT(flags, accel_send(&s->t, fd, buf, n, flags));
    return REAL(send)(fd, buf, n, flags);
}
ALIAS(__send, send)

/* On a stream the address counts only for MSG_FASTOPEN, but its length is always checked. A datagram's first one makes
 * the socket ours. */
WRAP_IF(shim_entry(fd) == 0 && !(addr != NULL && shim_is_pending(fd)), ssize_t, sendto,
        (int fd, const void *buf, size_t n, int flags, const struct sockaddr *addr, socklen_t len),
        (fd, buf, n, flags, addr, len))
{
    if (addr != NULL && shim_is_pending(fd)) shim_pending_register_datagram(fd);
    if (NOT_OURS(fd)) return REAL(sendto)(fd, buf, n, flags, addr, len);
    if (likely(addr == NULL)) {
        TRY_OUT(flags, accel_send(&s->t, fd, buf, n, flags));
    } else {
        if (len > sizeof(struct sockaddr_storage)) return shim_give(-EINVAL);
        if (len > 0 && shim_is_bad(addr)) return shim_give(-EFAULT);
        struct iovec iov = { .iov_base = (void *)buf, .iov_len = n > COUNT_BYTES ? COUNT_BYTES : n };
        struct msghdr msg = { .msg_name = (void *)addr, .msg_namelen = len, .msg_iov = &iov, .msg_iovlen = 1 };
        TRY_OUT(flags, accel_sendmsg(&s->t, fd, &msg, flags));
    }
    return REAL(sendto)(fd, buf, n, flags, addr, len);
}

WRAP_IF(shim_entry(fd) == 0 && !shim_is_pending(fd) && !shim_may_carry(), ssize_t, sendmsg,
        (int fd, const struct msghdr *msg, int flags), (fd, msg, flags))
{
    if (shim_is_pending(fd)) shim_pending_register_datagram(fd);
    if (NOT_OURS(fd)) {
        if (unlikely(shim_has_rights(msg))) return shim_send_rights(fd, msg, flags);
        return REAL(sendmsg)(fd, msg, flags);
    }
    TRY_OUT(flags, accel_sendmsg(&s->t, fd, msg, flags));
    return REAL(sendmsg)(fd, msg, flags);
}

static int send_each(int fd, struct mmsghdr *msgs, unsigned count, int flags)
{
    unsigned sent = 0;
    for (ssize_t r; sent < count && (r = wrap_sendmsg(fd, &msgs[sent].msg_hdr, flags)) >= 0; sent++)
        msgs[sent].msg_len = (unsigned)r;
    return sent > 0 ? (int)sent : -1;
}

WRAP_IF(shim_entry(fd) == 0 && !shim_is_pending(fd) && !shim_may_carry(), int, sendmmsg,
        (int fd, struct mmsghdr *msgs, unsigned count, int flags), (fd, msgs, count, flags))
{
    if (shim_is_pending(fd)) shim_pending_register_datagram(fd);
    if (NOT_OURS(fd)) {
        for (unsigned i = 0; i < count && i < COUNT_MAX && !shim_is_bad(msgs); i++)
            if (shim_has_rights(&msgs[i].msg_hdr)) return send_each(fd, msgs, count, flags);
        return REAL(sendmmsg)(fd, msgs, count, flags);
    }
    struct shim_thread *s = &shim_self;
    unsigned sent = 0;
    long r = 0;
    if (count > COUNT_MAX) count = COUNT_MAX;
    while (sent < count) {
        int how = flags | (sent + 1 < count ? BATCH : 0);
        r = MANAGED_WAIT(s, &shim_plain_sleep, accel_sendmsg(&s->t, fd, &msgs[sent].msg_hdr, how));
        if (unlikely(r == ACCEL_PASS)) { /* this one alone: of datagrams the next may be ours again */
            int one = REAL(sendmmsg)(fd, msgs + sent, 1, flags);
            if (one <= 0) return sent > 0 ? (int)sent : one;
            sent++;
            continue;
        }
        if (r < 0) break;
        msgs[sent++].msg_len = (unsigned)r;
    }
    if (unlikely(r == -EPIPE) && (flags & MSG_NOSIGNAL) == 0) shim_sigpipe(s);
    return sent > 0 ? (int)sent : (int)shim_give(r);
}
ALIAS(__sendmmsg, sendmmsg)

static bool is_pipe(int fd)
{
    struct stat st;
    return RAW(SYS_fstat, fd, &st) == 0 && S_ISFIFO(st.st_mode);
}

/* Since Linux 5.12 a sendfile into a pipe is a splice, which a socket can be the source of. */
static ssize_t sendfile_from_ours(int out, int in, int64_t *offset, size_t count)
{
    if (offset != NULL) return shim_give(-ESPIPE);
    if (!is_pipe(out)) return shim_give(-EINVAL);
    TRY_OUT(MSG_NOSIGNAL, accel_splice(&s->t, in, NULL, out, NULL, count, 0));
    return REAL(sendfile)(out, in, offset, count);
}

WRAP_IF((shim_entry(out) | shim_entry(in)) == 0, ssize_t, sendfile, (int out, int in, int64_t *offset, size_t count),
     (out, in, offset, count))
{
    bool from_ours = !NOT_OURS(in);
    if (unlikely(from_ours)) return sendfile_from_ours(out, in, offset, count);
    if (NOT_OURS(out)) return REAL(sendfile)(out, in, offset, count);
    TRY_OUT(0, accel_sendfile(&s->t, out, in, offset, count));
    return REAL(sendfile)(out, in, offset, count);
}
ALIAS(sendfile64, sendfile)

WRAP_IF((shim_entry(out) | shim_entry(in)) == 0, ssize_t, splice,
        (int in, int64_t *off_in, int out, int64_t *off_out, size_t len, unsigned flags),
        (in, off_in, out, off_out, len, flags))
{
    bool theirs_in = NOT_OURS(in), theirs_out = NOT_OURS(out);
    if (theirs_in && theirs_out) return REAL(splice)(in, off_in, out, off_out, len, flags);
    int pipe = theirs_in ? in : out;
    if (RAW(SYS_fcntl, pipe, F_GETFD) < 0) return shim_give(-EBADF);
    if (!is_pipe(pipe)) return shim_give(-EINVAL); /* ours at both ends included */
    if (off_in != NULL || off_out != NULL) return shim_give(theirs_in == (off_in != NULL) ? -ESPIPE : -EINVAL);
    TRY_OUT(theirs_out ? MSG_NOSIGNAL : 0, accel_splice(&s->t, in, off_in, out, off_out, len, flags));
    return REAL(splice)(in, off_in, out, off_out, len, flags);
}
