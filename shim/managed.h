/* The managed exports as the C side calls them. Made by tools/Accel.HeaderGen: do not edit.
 * All return a result >= 0, -errno, ACCEL_WAIT or ACCEL_PASS. */
#ifndef ACCEL_MANAGED_H
#define ACCEL_MANAGED_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct accel_process;
struct accel_step;
struct accel_thread;
struct epoll_event;
struct msghdr;
struct pollfd;

long accel_abort(struct accel_thread *t);
long accel_accept(struct accel_thread *t, int fd, void *addr, uint32_t *len, int flags);
long accel_adopt(struct accel_thread *t);
long accel_bind(struct accel_thread *t, int fd, const void *addr, uint32_t len);
long accel_close(struct accel_thread *t, int fd);
long accel_confine(struct accel_thread *t);
long accel_connect(struct accel_thread *t, int fd, const void *addr, uint32_t len);
long accel_dup(struct accel_thread *t, int oldfd, int newfd);
long accel_epoll_ctl(struct accel_thread *t, int epfd, int op, int fd, struct epoll_event *change);
long accel_epoll_wait(struct accel_thread *t, int epfd, struct epoll_event *events, int max, int64_t timeout_ns);
long accel_exec_failed(struct accel_thread *t, int took_over);
long accel_exec_prepare(struct accel_thread *t, int takes_over);
long accel_exit(struct accel_thread *t);
long accel_fcntl(struct accel_thread *t, int fd, int cmd, long arg);
long accel_fork_done(struct accel_thread *t, int slot, int pid);
long accel_fork_prepare(struct accel_thread *t);
const struct accel_step *accel_fork_steps(void);
long accel_getpeername(struct accel_thread *t, int fd, void *addr, uint32_t *len);
long accel_getsockname(struct accel_thread *t, int fd, void *addr, uint32_t *len);
long accel_getsockopt(struct accel_thread *t, int fd, int level, int name, void *value, uint32_t *len);
long accel_ioctl(struct accel_thread *t, int fd, unsigned long request, void *arg);
long accel_listen(struct accel_thread *t, int fd, int backlog);
long accel_poll(struct accel_thread *t, struct pollfd *fds, uint64_t count, int64_t timeout_ns);
long accel_progress(struct accel_thread *t);
long accel_recv(struct accel_thread *t, int fd, void *buf, size_t len, int flags);
long accel_recvmsg(struct accel_thread *t, int fd, struct msghdr *msg, int flags);
long accel_rights_receive(struct accel_thread *t, int fd, int peeked);
long accel_rights_send(struct accel_thread *t, int channel, int *descriptors, int count);
long accel_rights_taken(struct accel_thread *t, int pid, int fd);
long accel_rights_unsend(struct accel_thread *t, int channel, int *descriptors, int count);
long accel_ring(struct accel_thread *t);
long accel_send(struct accel_thread *t, int fd, const void *buf, size_t len, int flags);
long accel_sendfile(struct accel_thread *t, int output, int input, int64_t *offset, size_t count);
long accel_sendmsg(struct accel_thread *t, int fd, const struct msghdr *msg, int flags);
long accel_setsockopt(struct accel_thread *t, int fd, int level, int name, const void *value, uint32_t len);
long accel_shutdown(struct accel_thread *t, int fd, int how);
long accel_socket(struct accel_thread *t, int fd, int domain, int type, int protocol);
long accel_splice(struct accel_thread *t, int input, int64_t *in_offset, int output, int64_t *out_offset, size_t count,
    uint32_t flags);
long accel_start(struct accel_process *process, const char *const *environment);

#endif
