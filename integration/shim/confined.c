/* Processes that set a seccomp filter before themselves: sockets that they have go on within it. */
#include "check.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/prctl.h>

/* What a worker that has its connection already needs no more: whoever does one of these is killed. */
#define KILL(nr) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (nr), 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)
static struct sock_filter rules[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    KILL(SYS_open), KILL(SYS_openat), KILL(SYS_socket), KILL(SYS_bind), KILL(SYS_connect), KILL(SYS_listen),
    KILL(SYS_execve), KILL(SYS_fork), KILL(SYS_vfork), KILL(SYS_clone), KILL(SYS_memfd_create), KILL(SYS_fcntl),
    KILL(SYS_ioctl), KILL(SYS_setsockopt), KILL(SYS_getsockopt), KILL(SYS_stat), KILL(SYS_readlink),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};
static const struct sock_fprog filter = { .len = sizeof rules / sizeof *rules, .filter = rules };

static int sockets[2];

/* The filtered side: waits, answers, polls, sees the end. */
static void answer(int fd)
{
    char text[100];
    for (int i = 0; i < 3; i++) {
        ssize_t n = read(fd, text, sizeof text);
        CHECK(n == 4 && write(fd, text, (size_t)n) == n);
    }
    struct pollfd p = { .fd = fd, .events = POLLIN };
    CHECK(poll(&p, 1, 3000) == 1 && p.revents & POLLIN);
    CHECK(recv(fd, text, sizeof text, MSG_DONTWAIT) == 4 && send(fd, text, 4, MSG_NOSIGNAL) == 4);
    CHECK(read(fd, text, sizeof text) == 0);
    _exit(0);
}

static void serve(bool by_number)
{
    pair(sockets);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        close(sockets[0]);
        CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
        CHECK((by_number ? syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter)
                         : prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter)) == 0);
        answer(sockets[1]);
    }
    close(sockets[1]);
    for (int i = 0; i < 4; i++) {
        char text[100];
        sleep_ms(30); /* the other side sleeps by then */
        CHECK(write(sockets[0], "word", 4) == 4 && read(sockets[0], text, sizeof text) == 4);
    }
    close(sockets[0]);
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void by_prctl(void) { serve(false); }
static void by_seccomp(void) { serve(true); }

TESTS({ "by_prctl", by_prctl }, { "by_seccomp", by_seccomp })
