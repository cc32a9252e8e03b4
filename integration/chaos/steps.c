// A process is killed at every step of something that it does with sockets, and afterwards the others go on as if it
// had ended in good order: nothing is left of it in the stack's tables, and nothing of theirs is closed.
//
// steps SCENARIO [MOST [FIRST [COUNT]]]    under the preload: at MOST points, evenly spread over all there are, or all
//
// The process is a fork child that this one traces, an instruction at a time. A point is the place before, or after, an
// instruction that others can see at once or that orders what they see: a locked one, an exchange, a system call. What
// is written in between is seen as done before the next of these, and as not done after the last.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SETTLES_WITHIN_MS = 15000, MOST_STEPS = 30000 };

static int listener, near_end, far_end, unix_ends[2], waiting = -1;
static struct sockaddr_in address;
static const char *image;
static pid_t victim, sibling;

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void fail(const char *what)
{
    printf("not ok %s: %s\n", what, strerror(errno));
    fflush(stdout);
    if (victim > 0) kill(victim, SIGKILL);
    _exit(1);
}

static int dial(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct timeval patience = {3, 0};
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) fail("connect");
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return fd;
}

static void touch(void)
{
    struct pollfd fd = {listener, POLLIN, 0};
    poll(&fd, 1, 0);
}

// --- what the victim does: the part before is not stepped -----------------------------------------------------------

static int own[2] = {-1, -1};

static void none(void) { }

static void make_own(void)
{
    own[0] = dial();
    own[1] = accept(listener, NULL, NULL);
}

static void op_socket(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    bind(fd, (struct sockaddr *)&any, sizeof any);
}

static void op_listen(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    listen(fd, 4);
    close(fd);
}

static void op_connect(void) { connect(own[0], (struct sockaddr *)&address, sizeof address); }

static void before_connect(void)
{
    own[0] = socket(AF_INET, SOCK_STREAM, 0);
    touch();
}

static void op_accept(void) { accept(listener, NULL, NULL); }

static void op_close(void)
{
    close(near_end);
    close(far_end);
    close(listener);
}

static void op_close_own(void)
{
    close(own[0]);
    close(own[1]);
}

static void op_dup(void)
{
    int fd = dup(near_end);
    dup2(far_end, fd);
    dup2(own[0], own[1]);
    close(fd);
}

static void op_fork(void)
{
    if (fork() == 0) _exit(0);
}

static void op_fork_touch(void)
{
    if (fork() == 0) {
        touch();
        _exit(0);
    }
}

static void op_send_rights(void)
{
    union {
        char bytes[CMSG_SPACE(2 * sizeof(int))];
        struct cmsghdr align;
    } control = {.bytes = {0}};
    char byte = 'r';
    struct iovec data = {&byte, 1};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control,
        .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(2 * sizeof(int));
    memcpy(CMSG_DATA(header), (int[]){near_end, own[0]}, 2 * sizeof(int));
    if (sendmsg(unix_ends[1], &message, 0) < 0) _exit(9);
}

static void op_exec(void) { execl(image, image, "idle", (char *)NULL); }

static void op_exec_plain(void)
{
    unsetenv("LD_PRELOAD");
    execl("/bin/true", "/bin/true", (char *)NULL);
}

static void op_exit(void) { _exit(0); }

static void op_epoll(void)
{
    int set = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN}, got;
    epoll_ctl(set, EPOLL_CTL_ADD, own[0], &event);
    epoll_wait(set, &got, 1, 1);
    close(set);
}

static void op_stream(void)
{
    char bytes[100] = {0};
    send(own[0], bytes, sizeof bytes, 0);
    struct pollfd fd = {own[1], POLLIN, 0};
    poll(&fd, 1, 10);
    recv(own[1], bytes, sizeof bytes, 0);
}

// The victim knows a relative, which then is killed; and it is the first who finds that.
static void before_reap(void)
{
    struct pollfd death = {(int)syscall(SYS_pidfd_open, sibling, 0), POLLIN, 0};
    kill(sibling, SIGKILL);
    syscall(SYS_poll, &death, 1, 3000);
    syscall(SYS_close, death.fd);
}

static void op_reap(void)
{
    struct pollfd fd = {listener, POLLIN, 0};
    poll(&fd, 1, 2);
    poll(&fd, 1, 2);
}

static const struct scenario {
    const char *name;
    void (*before)(void), (*op)(void);
    bool adopts; // the first touch is part of it
    int lost;    // connection slots that are in nobody's hand for an instruction or two: see FreeList
    bool stays;  // what was about to be sent stays open, as what nobody receives: see src/DEVIATIONS.md
} scenarios[] = {
    {"socket", none, op_socket, false, 0, false},
    {"listen", none, op_listen, false, 0, false},
    {"connect", before_connect, op_connect, false, 1, false},
    {"accept", none, op_accept, false, 0, false},
    {"close", none, op_close, false, 0, false},
    {"close-own", make_own, op_close_own, false, 3, false},
    {"dup", make_own, op_dup, false, 0, false},
    {"fork", make_own, op_fork, false, 0, false},
    {"fork-touch", none, op_fork_touch, false, 0, false},
    {"adopt", none, touch, true, 0, false},
    {"send-rights", make_own, op_send_rights, false, 0, true},
    {"exec", make_own, op_exec, false, 3, false},
    {"exec-plain", make_own, op_exec_plain, false, 3, false},
    {"exit", make_own, op_exit, false, 3, false},
    {"epoll", make_own, op_epoll, false, 0, false},
    {"stream", make_own, op_stream, false, 0, false},
    {"reap", before_reap, op_reap, false, 3, false},
};

// --- the tables ----------------------------------------------------------------------------------------------------

// Words of the regions' heads that say how many of a kind are in use (StackTables, LocalTables: FreeList.InUse).
static const struct {
    const char *name;
    int region, offset;
} counts[] = {
    {"sockets", 0, 192 + 16}, {"epoll sets", 0, 256 + 16}, {"connections", 1, 128 + 16}, {"listeners", 1, 192 + 16},
};
enum { COUNTS = sizeof counts / sizeof *counts };
static const volatile char *regions[2];

static void map_regions(void)
{
    for (int fd = 3; fd < 4096; fd++) {
        char path[40], what[80] = "";
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        if (readlink(path, what, sizeof what - 1) < 0) continue;
        int region = strstr(what, "accel-stack") ? 0 : strstr(what, "accel-local") ? 1 : -1;
        if (region < 0 || regions[region] != NULL) continue;
        int file = open(path, O_RDONLY | O_CLOEXEC);
        void *at = file < 0 ? MAP_FAILED : mmap(NULL, 4096, PROT_READ, MAP_SHARED, file, 0);
        if (at == MAP_FAILED) fail("map");
        regions[region] = at;
        close(file);
    }
    if (regions[0] == NULL || regions[1] == NULL) fail("the stack's regions are not there");
}

static void look(int *now)
{
    for (int i = 0; i < COUNTS; i++) now[i] = *(const volatile int *)(regions[counts[i].region] + counts[i].offset);
}

// --- one point -----------------------------------------------------------------------------------------------------

static void stop(void) { syscall(SYS_tgkill, syscall(SYS_getpid), syscall(SYS_gettid), SIGSTOP); }

static void start_victim(const struct scenario *s)
{
    victim = fork();
    if (victim != 0) return;
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0) _exit(8);
    if (!s->adopts) touch();
    s->before();
    stop();
    s->op();
    stop();
    syscall(SYS_exit_group, 0);
}

// The victim's code is this one's own, until it becomes another image.
static bool is_point(const struct scenario *s)
{
    errno = 0;
    long at = ptrace(PTRACE_PEEKUSER, victim, (void *)offsetof(struct user_regs_struct, rip), NULL), word = 0;
    bool other = s->op == op_exec || s->op == op_exec_plain;
    if (other) word = ptrace(PTRACE_PEEKTEXT, victim, (void *)at, NULL);
    if (errno != 0) return false;
    const unsigned char *code = other ? (const unsigned char *)&word : (const unsigned char *)at;
    if (*code == 0xF0) return true;
    while ((*code & 0xF0) == 0x40 || *code == 0x66) code++;
    return *code == 0xF0 || *code == 0x86 || *code == 0x87 || (code[0] == 0x0F && code[1] == 0x05);
}

static int wait_victim(void)
{
    int status;
    while (syscall(SYS_wait4, victim, &status, __WALL, NULL) < 0)
        if (errno != EINTR) fail("wait");
    return status;
}

// Lets it go as far as a point, and kills it. Returns how many points it passed.
static int run_to(const struct scenario *s, int point)
{
    start_victim(s);
    int status = wait_victim(), passed = 0, signal = 0;
    if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGSTOP) fail("the victim does not begin");
    ptrace(PTRACE_SETOPTIONS, victim, NULL, (void *)PTRACE_O_EXITKILL);
    for (int steps = 0; steps < MOST_STEPS && passed <= point; steps++) {
        bool here = is_point(s);
        if (here && passed++ == point) break;
        if (ptrace(PTRACE_SINGLESTEP, victim, NULL, (void *)(intptr_t)signal) < 0) fail("step");
        status = wait_victim();
        if (!WIFSTOPPED(status)) {
            victim = 0;
            return passed;
        }
        signal = WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);
        if (signal == SIGSTOP) break;
        if (here) passed++;
    }
    kill(victim, SIGKILL);
    while (!WIFSIGNALED(status) && !WIFEXITED(status)) status = wait_victim();
    victim = 0;
    return passed;
}

static void exchange(int from, int to, const char *what)
{
    char byte = 'x';
    if (send(from, &byte, 1, MSG_NOSIGNAL) != 1) fail(what);
    if (recv(to, &byte, 1, 0) != 1) fail(what);
}

static void take_rights(void)
{
    char control[CMSG_SPACE(2 * sizeof(int))], byte;
    struct iovec data = {&byte, 1};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control,
        .msg_controllen = sizeof control};
    if (recvmsg(unix_ends[0], &message, MSG_DONTWAIT) != 1) return;
    int fds[2];
    memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fds);
    close(fds[0]);
    close(fds[1]);
}

// What was the master's before works as before, and what is new works.
static void check(void)
{
    struct pollfd fd = {listener, POLLIN, 0};
    for (int i = 0; i < 3; i++) poll(&fd, 1, 1);
    take_rights();
    if (waiting >= 0) close(waiting);
    waiting = -1;
    for (int extra; (extra = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0; ) close(extra);
    exchange(near_end, far_end, "the connection, one way");
    exchange(far_end, near_end, "the connection, the other way");
    int new = dial(), accepted;
    fcntl(listener, F_SETFL, 0);
    accepted = accept(listener, NULL, NULL);
    fcntl(listener, F_SETFL, O_NONBLOCK);
    if (accepted < 0) fail("accept");
    exchange(new, accepted, "a new connection");
    close(new);
    close(accepted);
}

static void prepare(const struct scenario *s)
{
    if (s->op == op_accept) waiting = dial();
    if (s->op != op_reap) return;
    sibling = fork();
    if (sibling == 0) {
        touch();
        make_own();
        stop();
        pause();
    }
    int status;
    if (syscall(SYS_wait4, sibling, &status, WUNTRACED, NULL) < 0 || !WIFSTOPPED(status)) fail("the sibling");
}

// The sibling is watched by all when it is killed.
static int attempt(const struct scenario *s, int point)
{
    prepare(s);
    if (s->op == op_reap) poll(&(struct pollfd){listener, POLLIN, 0}, 1, 1);
    int passed = run_to(s, point);
    if (s->op == op_reap) syscall(SYS_wait4, sibling, NULL, 0, NULL);
    check();
    return passed;
}

static bool is_clean(const struct scenario *s, const int *before, const int *left)
{
    for (int i = 0; i < COUNTS; i++) {
        int more = left[i] - before[i];
        bool known = (s->stays && i == 0 && more > 0) || (i == 2 && abs(more) <= s->lost);
        if (more != 0 && !known) return false;
    }
    return true;
}

static bool settles(const struct scenario *s, const int *before, int *left)
{
    int64_t end = now_ms() + SETTLES_WITHIN_MS;
    struct pollfd fd = {listener, POLLIN, 0};
    do {
        poll(&fd, 1, 20);
        look(left);
        if (is_clean(s, before, left)) return true;
    } while (now_ms() < end);
    return false;
}

int main(int argc, char **argv)
{
    const struct scenario *s = scenarios, *end = scenarios + sizeof scenarios / sizeof *scenarios;
    if (argc > 1 && !strcmp(argv[1], "idle")) {
        struct pollfd none_at_all;
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        poll(&none_at_all, 0, 0);
        return fd < 0;
    }
    for (; argc > 1 && s < end && strcmp(s->name, argv[1]); s++) { }
    if (argc < 2 || s == end) {
        for (s = scenarios; s < end; s++) puts(s->name);
        return argc > 1 ? 2 : 0;
    }
    int most = argc > 2 ? atoi(argv[2]) : 100;
    image = argv[0];
    socklen_t length = sizeof address;
    address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    listener = socket(AF_INET, SOCK_STREAM, 0);
    struct timeval patience = {3, 0};
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 64) < 0 ||
        getsockname(listener, (struct sockaddr *)&address, &length) < 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET, 0, unix_ends) < 0)
        fail("listen");
    near_end = dial();
    far_end = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    fcntl(near_end, F_SETFD, FD_CLOEXEC);
    fcntl(listener, F_SETFD, FD_CLOEXEC);
    setsockopt(far_end, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    fcntl(listener, F_SETFL, O_NONBLOCK);
    map_regions();
    int before[COUNTS], left[COUNTS];
    look(before);
    // The words are where they are thought to be.
    int probe[2] = {dial(), accept(listener, NULL, NULL)};
    look(left);
    if (left[0] != before[0] + 2 || left[2] != before[2] + 1) fail("the tables' counts are not where they were");
    close(probe[0]);
    close(probe[1]);
    int total = attempt(s, INT32_MAX - 1), tried = 0;
    int first = argc > 3 ? atoi(argv[3]) : 0, last = argc > 4 ? first + atoi(argv[4]) : total;
    int stride = total > most && argc <= 3 ? (total + most - 1) / most : 1;
    for (int point = first; point < last; point += stride, tried++) {
        attempt(s, point);
        if (argc > 3 && !settles(s, before, left)) break;
    }
    bool clean = settles(s, before, left);
    if (clean && !s->stays) { // and nobody else is thought to have what the others still had
        int last = socket(AF_INET, SOCK_STREAM, 0);
        if (listen(last, 1) < 0) fail("listen");
        close(near_end);
        close(far_end);
        close(listener);
        listener = last;
        memcpy(before, (int[COUNTS]){1, 0, 0, 1}, sizeof before);
        clean = settles(s, before, left);
    }
    printf("%s %s: %d of %d points", clean ? "ok" : "not ok", s->name, tried, total);
    for (int i = 0; i < COUNTS && !clean; i++)
        if (left[i] != before[i]) printf(", %d %s too many", left[i] - before[i], counts[i].name);
    printf("\n");
    return !clean;
}
