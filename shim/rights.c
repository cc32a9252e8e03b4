/* Descriptors that are sent over unix sockets (SCM_RIGHTS). The kernel carries them; managed code has to know of those
 * that are ours, when they leave and when they come. */
#include "shim.h"

#include <fcntl.h>
#include <netinet/in.h>

enum { RIGHTS_MAX = 253 }; /* the kernel's limit for a message */

/* Calls BODY for each descriptor in a message's control data. */
#define EACH_DESCRIPTOR(msg, fd, body)                                                                                 \
    for (struct cmsghdr *c_ = CMSG_FIRSTHDR(msg); c_ != NULL; c_ = CMSG_NXTHDR((struct msghdr *)(msg), c_)) {          \
        if (c_->cmsg_level != SOL_SOCKET || c_->cmsg_type != SCM_RIGHTS || c_->cmsg_len < CMSG_LEN(0)) continue;       \
        const int *fds_ = (const int *)(const void *)CMSG_DATA(c_);                                                    \
        size_t count_ = (c_->cmsg_len - CMSG_LEN(0)) / sizeof(int);                                                    \
        for (size_t i_ = 0; i_ < count_; i_++) {                                                                       \
            int fd = fds_[i_];                                                                                         \
            body;                                                                                                      \
        }                                                                                                              \
    }

static bool has_control(const struct msghdr *msg)
{
    return accel_process.fd_limit != 0 && shim_self.t.inside == 0 && !shim_is_bad(msg) &&
           msg->msg_controllen >= sizeof(struct cmsghdr) && !shim_is_bad(msg->msg_control);
}

/* Ours among them go to OURS. A socket that is nothing yet stays the kernel's: two processes have it. */
static int find_ours(const struct msghdr *msg, int *ours)
{
    int found = 0;
    EACH_DESCRIPTOR(msg, fd, {
        if (shim_kind(shim_entry(fd)) == ACCEL_KIND_SOCKET && found < RIGHTS_MAX) ours[found++] = fd;
        shim_pending_drop(fd);
    });
    return found;
}

bool shim_has_rights(const struct msghdr *msg)
{
    int ours[RIGHTS_MAX];
    return has_control(msg) && find_ours(msg, ours) > 0;
}

ssize_t shim_send_rights(int fd, const struct msghdr *msg, int flags)
{
    struct shim_thread *s = &shim_self;
    int ours[RIGHTS_MAX], count = find_ours(msg, ours);
    MANAGED(s, accel_rights_send(&s->t, fd, ours, count));
    ssize_t sent = REAL(sendmsg)(fd, msg, flags);
    if (sent >= 0) return sent;
    int saved = errno;
    MANAGED(s, accel_rights_unsend(&s->t, fd, ours, count));
    errno = saved;
    return sent;
}

static bool is_internet(int fd)
{
    int protocol;
    socklen_t length = sizeof protocol;
    return RAW(SYS_getsockopt, fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &length) == 0 &&
           (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP);
}

void shim_take_rights(const struct msghdr *msg, int flags)
{
    struct shim_thread *s = &shim_self;
    if (!has_control(msg)) return;
    int saved = errno;
    EACH_DESCRIPTOR(msg, fd, {
        shim_pending_drop(fd);
        if (is_internet(fd)) MANAGED(s, accel_rights_receive(&s->t, fd, (flags & MSG_PEEK) != 0));
    });
    errno = saved;
}

/* --- from outside ----------------------------------------------------------------------------------------------- */

/* Whose a pidfd is, as /proc tells; 0: it is none, or there is no telling. */
static int pid_of(int pidfd)
{
    char path[48], text[512];
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
    long fd = RAW(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    long n = RAW(SYS_read, fd, text, sizeof text - 1);
    RAW(SYS_close, fd);
    text[n < 0 ? 0 : n] = 0;
    const char *line = __builtin_strstr(text, "Pid:\t");
    int pid = 0;
    for (const char *p = line == NULL ? "" : line + 5; *p >= '0' && *p <= '9'; p++) pid = pid * 10 + (*p - '0');
    return pid;
}

/* The file behind a socket of the stack is not the socket: who reaches for it is told that he may not, as by ptrace. */
WRAP_IF(!shim_may_carry(), int, pidfd_getfd, (int pidfd, int fd, unsigned flags), (pidfd, fd, flags))
{
    struct shim_thread *s = &shim_self;
    int pid = s->t.inside == 0 ? pid_of(pidfd) : 0;
    if (pid != 0) {
        long r = MANAGED(s, accel_rights_taken(&s->t, pid, fd));
        if (r < 0) return (int)shim_give(r);
    }
    return REAL(pidfd_getfd)(pidfd, fd, flags);
}
