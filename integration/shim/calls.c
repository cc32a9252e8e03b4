/* Every way into the library: plain, aliased, checked, vectored, by number, as a stream. */
#include "check.h"

#include <stdarg.h>
#include <sys/sendfile.h>

ssize_t __read(int fd, void *buf, size_t n);
ssize_t __write(int fd, const void *buf, size_t n);
ssize_t __send(int fd, const void *buf, size_t n, int flags);
ssize_t __read_chk(int fd, void *buf, size_t n, size_t room);
ssize_t __recv_chk(int fd, void *buf, size_t n, size_t room, int flags);
ssize_t __recvfrom_chk(int fd, void *buf, size_t n, size_t room, int flags, struct sockaddr *addr, socklen_t *len);
int __poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t room);
int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask, size_t room);
int __dprintf_chk(int fd, int flag, const char *format, ...);

static int sockets[2];
static char buf[64], one[32], two[32];

static ssize_t by_recvmsg(int fd, int flags)
{
    struct iovec iov[2] = { { buf, 2 }, { buf + 2, sizeof buf - 2 } };
    struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
    return recvmsg(fd, &msg, flags);
}

static ssize_t receive(int way, int fd)
{
    struct iovec iov[2] = { { buf, 2 }, { buf + 2, sizeof buf - 2 } };
    struct mmsghdr many = { .msg_hdr = { .msg_iov = iov, .msg_iovlen = 2 } };
    struct sockaddr_in from;
    socklen_t length = sizeof from;
    ssize_t n;
    switch (way) {
    case 0: return read(fd, buf, sizeof buf);
    case 1: return __read(fd, buf, sizeof buf);
    case 2: return __read_chk(fd, buf, sizeof buf, sizeof buf);
    case 3: return readv(fd, iov, 2);
    case 4: return preadv2(fd, iov, 2, -1, 0);
    case 5: return recv(fd, buf, sizeof buf, 0);
    case 6: return __recv_chk(fd, buf, sizeof buf, sizeof buf, 0);
    case 7: return recvfrom(fd, buf, sizeof buf, 0, NULL, NULL);
    case 8:
        n = recvfrom(fd, buf, sizeof buf, 0, (struct sockaddr *)&from, &length);
        CHECK(n < 0 || length == 0);
        return n;
    case 9: return __recvfrom_chk(fd, buf, sizeof buf, sizeof buf, 0, NULL, NULL);
    case 10: return by_recvmsg(fd, 0);
    case 11: return recvmmsg(fd, &many, 1, 0, NULL) == 1 ? (ssize_t)many.msg_len : -1;
    case 12: return syscall(SYS_read, fd, buf, sizeof buf);
    case 13: return syscall(SYS_recvfrom, fd, buf, sizeof buf, 0, NULL, NULL);
    case 14: return syscall(SYS_readv, fd, iov, 2);
    case 15: return syscall(SYS_recvmsg, fd, &many.msg_hdr, 0);
    default: return -2;
    }
}

static ssize_t transmit(int way, int fd)
{
    struct iovec iov[2] = { { (void *)"he", 2 }, { (void *)"llo", 3 } };
    struct mmsghdr many = { .msg_hdr = { .msg_iov = iov, .msg_iovlen = 2 } };
    switch (way) {
    case 0: return write(fd, "hello", 5);
    case 1: return __write(fd, "hello", 5);
    case 2: return writev(fd, iov, 2);
    case 3: return pwritev2(fd, iov, 2, -1, 0);
    case 4: return send(fd, "hello", 5, 0);
    case 5: return __send(fd, "hello", 5, 0);
    case 6: return sendto(fd, "hello", 5, 0, NULL, 0);
    case 7: return sendmsg(fd, &many.msg_hdr, 0);
    case 8: return sendmmsg(fd, &many, 1, 0) == 1 ? (ssize_t)many.msg_len : -1;
    case 9: return dprintf(fd, "%s", "hello");
    case 10: return __dprintf_chk(fd, 1, "h%dllo", 3) == 5 ? 5 : -1;
    case 11: return syscall(SYS_write, fd, "hello", 5);
    case 12: return syscall(SYS_sendto, fd, "hello", 5, 0, NULL, 0);
    case 13: return syscall(SYS_writev, fd, iov, 2);
    case 14: return syscall(SYS_sendmsg, fd, &many.msg_hdr, 0);
    default: return -2;
    }
}

static void every_way_through(void)
{
    pair(sockets);
    for (int out = 0; transmit(out, -1) != -2; out++) {
        for (int in = 0; receive(in, -1) != -2; in++) {
            memset(buf, 0, sizeof buf);
            CHECK(transmit(out, sockets[0]) == 5);
            CHECK(receive(in, sockets[1]) == 5);
            CHECK(memcmp(buf, out == 10 ? "h3llo" : "hello", 5) == 0);
        }
    }
}

static void nothing_and_end(void)
{
    pair(sockets);
    struct iovec none = { buf, 0 };
    CHECK(read(sockets[0], buf, 0) == 0 && readv(sockets[0], &none, 1) == 0);
    CHECK(write(sockets[0], buf, 0) == 0 && writev(sockets[0], &none, 1) == 0);
    volatile int negative = -1, too_many = 1025;
    FAILS(EINVAL, readv(sockets[0], &none, negative));
    FAILS(EINVAL, writev(sockets[0], &none, too_many));
    FAILS(ESPIPE, pread(sockets[0], buf, 1, 0));
    FAILS(ESPIPE, preadv2(sockets[0], &(struct iovec){ buf, 1 }, 1, 5, 0));
    FAILS(ESPIPE, lseek(sockets[0], 0, SEEK_CUR));
    FAILS(EAGAIN, preadv2(sockets[0], &(struct iovec){ buf, 1 }, 1, -1, RWF_NOWAIT));
    CHECK(shutdown(sockets[1], SHUT_WR) == 0);
    for (int way = 0; receive(way, -1) != -2; way++) CHECK(receive(way, sockets[0]) == 0);
}

static void many_messages(void)
{
    struct iovec a = { one, 4 }, b = { two, 4 };
    struct mmsghdr msgs[2] = { { .msg_hdr = { .msg_iov = &a, .msg_iovlen = 1 } },
                               { .msg_hdr = { .msg_iov = &b, .msg_iovlen = 1 } } };
    struct timespec time = { .tv_sec = 5 };
    pair(sockets);
    memcpy(one, "abcd", 4);
    memcpy(two, "efgh", 4);
    CHECK(sendmmsg(sockets[0], msgs, 2, 0) == 2 && msgs[0].msg_len == 4 && msgs[1].msg_len == 4);
    sleep_ms(20);
    memset(one, 0, 4);
    memset(two, 0, 4);
    CHECK(recvmmsg(sockets[1], msgs, 2, 0, &time) == 2 && memcmp(one, "abcd", 4) == 0 && memcmp(two, "efgh", 4) == 0);
    CHECK(time.tv_sec == 4);
    CHECK(write(sockets[0], "xy", 2) == 2);
    CHECK(recvmmsg(sockets[1], msgs, 2, MSG_WAITFORONE, NULL) == 1 && msgs[0].msg_len == 2);
    FAILS(EAGAIN, recvmmsg(sockets[1], msgs, 2, MSG_DONTWAIT, NULL));
    FAILS(EINVAL, recvmmsg(sockets[1], msgs, 2, 0, &(struct timespec){ .tv_nsec = -1 }));
    CHECK(recvmmsg(sockets[1], msgs, 0, MSG_DONTWAIT, NULL) == 0);
}

static void streams(void)
{
    pair(sockets);
    FILE *out = fdopen(sockets[0], "w"), *in = fdopen(dup(sockets[1]), "r"), *both = fdopen(sockets[1], "r+");
    CHECK(out != NULL && in != NULL && both != NULL && fileno(out) == sockets[0]);
    CHECK(fprintf(out, "GET %d\r\n", 42) == 8 && fflush(out) == 0);
    CHECK(fgets(buf, sizeof buf, in) != NULL && strcmp(buf, "GET 42\r\n") == 0);
    int number;
    CHECK(fputs("17\n", out) >= 0 && fclose(out) == 0);
    CHECK(fscanf(both, "%d", &number) == 1 && number == 17 && fgetc(both) == '\n' && fgetc(both) == EOF && feof(both));
    FAILS(EBADF, write(sockets[0], "x", 1));
    CHECK(fclose(in) == 0 && fclose(both) == 0);
    FAILS(EBADF, write(sockets[1], "x", 1));
}

static void files_into_sockets(void)
{
    char path[] = "/tmp/shim-check-XXXXXX";
    int file = mkstemp(path), pipes[2];
    off_t offset = 2;
    pair(sockets);
    unlink(path);
    CHECK(write(file, "0123456789", 10) == 10);
    CHECK(sendfile(sockets[0], file, &offset, 4) == 4 && offset == 6);
    CHECK(recv(sockets[1], buf, 4, MSG_WAITALL) == 4 && memcmp(buf, "2345", 4) == 0);
    CHECK(lseek(file, 1, SEEK_SET) == 1 && sendfile64(sockets[0], file, NULL, 100) == 9);
    CHECK(recv(sockets[1], buf, 9, MSG_WAITALL) == 9 && memcmp(buf, "123456789", 9) == 0);
    CHECK(lseek(file, 0, SEEK_CUR) == 10);
    CHECK(pipe(pipes) == 0 && write(pipes[1], "pipe", 4) == 4);
    CHECK(splice(pipes[0], NULL, sockets[0], NULL, 4, 0) == 4);
    CHECK(splice(sockets[1], NULL, pipes[1], NULL, 64, 0) == 4 && read(pipes[0], buf, 64) == 4);
    CHECK(memcmp(buf, "pipe", 4) == 0);
    CHECK(write(sockets[0], "tube", 4) == 4 && sendfile(pipes[1], sockets[1], NULL, 4) == 4);
    CHECK(read(pipes[0], buf, 64) == 4 && memcmp(buf, "tube", 4) == 0);
    FAILS(ESPIPE, sendfile(pipes[1], sockets[1], &offset, 4));
    FAILS(EINVAL, sendfile(sockets[0], sockets[1], NULL, 1));
    FAILS(EINVAL, sendfile(file, sockets[1], NULL, 1));
    FAILS(EINVAL, splice(sockets[0], NULL, sockets[1], NULL, 1, 0));
}

static void checked_polls(void)
{
    pair(sockets);
    struct pollfd fds[2] = { { .fd = sockets[0], .events = POLLIN | POLLOUT }, { .fd = -1, .events = POLLIN } };
    struct timespec none = { 0 };
    CHECK(__poll_chk(fds, 2, 0, sizeof fds) == 1 && fds[0].revents == POLLOUT && fds[1].revents == 0);
    CHECK(__ppoll_chk(fds, 2, &none, NULL, sizeof fds) == 1 && syscall(SYS_poll, fds, 2, 0) == 1);
    CHECK(ppoll(fds, 2, &none, NULL) == 1);
    FAILS(EINVAL, ppoll(fds, 1, &(struct timespec){ .tv_nsec = 1000000000 }, NULL));
    pid_t pid = fork();
    if (pid == 0) {
        close(2);
        __poll_chk(fds, 2, 0, sizeof fds[0]);
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void selects(void)
{
    fd_set in, out, except;
    pair(sockets);
    int n = (sockets[0] > sockets[1] ? sockets[0] : sockets[1]) + 1, pipes[2];
    CHECK(pipe(pipes) == 0);
    if (pipes[1] >= n) n = pipes[1] + 1;
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_ZERO(&except);
    FD_SET(sockets[0], &in);
    FD_SET(pipes[0], &in);
    FD_SET(sockets[0], &except);
    struct timeval time = { .tv_usec = 100000 };
    CHECK(select(n, &in, &out, &except, &time) == 0 && time.tv_sec == 0 && time.tv_usec == 0);
    CHECK(!FD_ISSET(sockets[0], &in) && !FD_ISSET(pipes[0], &in) && !FD_ISSET(sockets[0], &except));
    CHECK(write(sockets[1], "x", 1) == 1 && write(pipes[1], "x", 1) == 1);
    sleep_ms(10);
    FD_SET(sockets[0], &in);
    FD_SET(sockets[1], &in);
    FD_SET(pipes[0], &in);
    FD_SET(sockets[0], &out);
    time = (struct timeval){ .tv_sec = 5, .tv_usec = 2500000 };
    CHECK(select(n, &in, &out, NULL, &time) == 3 && time.tv_sec >= 6 && time.tv_usec < 1000000);
    CHECK(FD_ISSET(sockets[0], &in) && !FD_ISSET(sockets[1], &in) && FD_ISSET(pipes[0], &in));
    CHECK(FD_ISSET(sockets[0], &out));
    close(pipes[0]);
    FAILS(EBADF, select(n, &in, &out, NULL, NULL));
    CHECK(FD_ISSET(sockets[0], &in));
    FAILS(EINVAL, select(-1, &in, NULL, NULL, NULL));
    FAILS(EINVAL, select(n, &in, NULL, NULL, &(struct timeval){ .tv_sec = -1 }));
    CHECK(select(0, NULL, NULL, NULL, &(struct timeval){ .tv_usec = 1000 }) == 0);
    struct timespec soon = { .tv_nsec = 1000000 };
    FD_ZERO(&in);
    FD_SET(sockets[0], &in);
    CHECK(pselect(n, &in, NULL, NULL, &soon, NULL) == 1 && soon.tv_nsec == 1000000);
}

/* Sets longer than FD_SETSIZE, as some programs allocate them. */
static void select_beyond_setsize(void)
{
    unsigned long words[64] = { 0 };
    pair(sockets);
    if (dup2(sockets[0], 3001) != 3001) return; /* too few descriptors allowed here */
    words[3001 / 64] |= 1ul << (3001 % 64);
    struct timeval time = { .tv_usec = 1000 };
    CHECK(select(3002, (fd_set *)words, NULL, NULL, &time) == 0 && words[3001 / 64] == 0);
    CHECK(write(sockets[1], "x", 1) == 1);
    words[3001 / 64] |= 1ul << (3001 % 64);
    CHECK(select(3002, (fd_set *)words, NULL, NULL, NULL) == 1 && words[3001 / 64] == 1ul << (3001 % 64));
}

/* errno stays what it was where calls succeed. */
static void errno_is_kept(void)
{
    errno = 4242;
    pair(sockets);
    CHECK(write(sockets[0], "x", 1) == 1 && read(sockets[1], buf, 1) == 1 && close(sockets[0]) == 0);
    CHECK(errno == 4242);
}

TESTS({ "every-way-through", every_way_through }, { "nothing-and-end", nothing_and_end },
      { "many-messages", many_messages }, { "streams", streams }, { "files-into-sockets", files_into_sockets },
      { "checked-polls", checked_polls }, { "selects", selects }, { "select-beyond-setsize", select_beyond_setsize },
      { "errno-is-kept", errno_is_kept })
