// Processes that do at random whatever may happen to sockets: fork, exec, kill, signals, dup2, close, SCM_RIGHTS, short
// and long writes, half-closes, and connections to one another. Every byte that arrives must be the one that was sent
// in its place; a stream may end early only in a run with kills.
//
// chaos member SEED NUMBER END RATE ADDRESS KILLS OWN-PORT PORT...   until END (CLOCK_MONOTONIC, ms), the
//     same for all: nobody may stop taking connections while others still make them
// chaos stream STATE CHANCE KILLS                                        the image after exec goes on with one
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *address_text;
static volatile sig_atomic_t signals;

// CHAOS_WITHOUT=word,word: to find what it takes for a mistake. fork exec plain rights dup
static bool without(const char *word)
{
    const char *list = getenv("CHAOS_WITHOUT");
    return list != NULL && strstr(list, word) != NULL;
}

static int dial(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | (upto(2) ? SOCK_CLOEXEC : 0), 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, address_text, &to.sin_addr);
    if (fd < 0) return -1;
    int failed = connect(fd, SA(to), sizeof to), error = 0;
    if (failed && errno == EINTR) { // goes on by itself: to close it now would break it off
        struct pollfd done = {fd, POLLOUT, 0};
        socklen_t length = sizeof error;
        while (poll(&done, 1, 5000) < 0 && errno == EINTR) { }
        failed = getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) || error;
    }
    if (!failed) return fd;
    close(fd);
    return -1;
}

// Another number for it, perhaps one that is in use.
static void renumber(int i)
{
    if (without("dup")) return;
    int old = streams[i].fd, other = upto(2) ? dup(old) : open("/dev/null", O_RDONLY);
    if (other < 0) return;
    if (dup2(old, other) != other) say("WRONG dup2: %s", strerror(errno));
    streams[i].fd = other;
    close(old);
}

// A child takes one stream over: as it is, after exec in an image that is accelerated too, or in one that is not.
static void hand_to_child(int i)
{
    int how = (int)upto(4);
    if (without("fork") || (how == 1 && without("exec")) || (how == 2 && without("plain"))) return;
    uint64_t its_chance = next() | 1;
    pid_t child = fork();
    if (child < 0) {
        say("WRONG fork: %s", strerror(errno));
        return;
    }
    if (child > 0) {
        forget(i);
        return;
    }
    struct stream kept = streams[i];
    while (count > 0) {
        if (streams[count - 1].fd != kept.fd) close(streams[count - 1].fd);
        count--;
    }
    chance = its_chance;
    if (how == 0 || how == 3) {
        streams[count++] = kept;
        if (how == 3) { // moves to another number first, over one that is in use
            renumber(0);
        }
        _exit(finish());
    }
    char state[STATE_BYTES], random[40];
    fcntl(kept.fd, F_SETFD, 0);
    write_state(&kept, state, sizeof state);
    snprintf(random, sizeof random, "%llu", (unsigned long long)its_chance);
    if (how == 2) unsetenv("LD_PRELOAD");
    execl("/proc/self/exe", "chaos", "stream", state, random, may_be_broken ? "1" : "0", (char *)NULL);
    say("WRONG exec: %s", strerror(errno));
    _exit(9);
}

// A stream is sent over a unix socket to a child that has closed what it had of it.
static void send_rights(int i)
{
    int pair[2];
    if (without("rights")) return;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0) return;
    struct stream kept = streams[i];
    uint64_t its_chance = next() | 1;
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {.bytes = {0}};
    struct iovec data = {&kept, sizeof kept};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control,
        .msg_controllen = sizeof control};
    pid_t child = fork();
    if (child == 0) {
        close(pair[0]);
        while (count > 0) close(streams[--count].fd);
        chance = its_chance;
        ssize_t got = recvmsg(pair[1], &message, 0);
        if (got != sizeof kept || CMSG_FIRSTHDR(&message) == NULL) _exit(0); // the sender was killed
        memcpy(&kept.fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof kept.fd);
        if (write(pair[1], "", 1) != 1) say("WRONG write: %s", strerror(errno));
        close(pair[1]);
        kept.moved_ms = now_ms();
        streams[count++] = kept;
        _exit(finish());
    }
    close(pair[1]);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &kept.fd, sizeof kept.fd);
    if (child > 0 && sendmsg(pair[0], &message, MSG_NOSIGNAL) != sizeof kept && !may_be_broken)
        say("WRONG sendmsg: %s", strerror(errno));
    if (child > 0) forget(i);
    // One that nobody receives stays open (src/DEVIATIONS.md): nobody but this process kills the child, and not yet.
    char byte;
    while (child > 0 && read(pair[0], &byte, 1) < 0 && errno == EINTR) { }
    close(pair[0]);
}

static void kill_child(void)
{
    char path[64], text[4096];
    snprintf(path, sizeof path, "/proc/self/task/%d/children", getpid());
    int fd = open(path, O_RDONLY);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0) close(fd);
    if (length <= 0) return;
    text[length] = 0;
    int pid = atoi(text);
    if (pid > 0) kill(pid, SIGKILL);
}

static void look_at_end(int status)
{
    if (WIFSIGNALED(status) && !(may_be_broken && WTERMSIG(status) == SIGKILL))
        say("WRONG end of a child: signal %d", WTERMSIG(status));
    else if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
        say("WRONG end of a child: %d", WEXITSTATUS(status));
}

static void count_signal(int signal) { (void)signal, signals++; }

static int listen_at(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, SA(any), sizeof any) < 0 || listen(fd, 64) < 0) {
        say("WRONG listen: %s", strerror(errno));
        exit(9);
    }
    return fd;
}

static void accept_all(int listener)
{
    while (count < MOST_STREAMS) {
        int fd = accept4(listener, NULL, NULL, upto(2) ? SOCK_CLOEXEC : 0);
        if (fd < 0) return;
        begin(fd);
    }
}

static void act(const int *ports, int others, bool kills)
{
    int i = count > 0 ? (int)upto((uint32_t)count) : -1;
    uint32_t what = upto(100);
    if (what < 45 || i < 0) {
        int fd = count < MOST_STREAMS - 10 ? dial(ports[upto((uint32_t)others)]) : -1;
        if (fd >= 0) begin(fd);
    } else if (what < 65) {
        hand_to_child(i);
    } else if (what < 75) {
        send_rights(i);
    } else if (what < 90) {
        renumber(i);
    } else if (what < 94) {
        raise(SIGUSR1);
    } else if (what < 97 && kills) {
        kill_child();
    } else if (kills) {
        forget(i); // with whatever has not come yet: the other end sees a reset
    }
}

static int member(uint64_t seed, int64_t end, int rate, bool kills, const int *ports, int others)
{
    chance = seed * 7919 + (uint64_t)me * 104729 + 1;
    for (int i = 0; i < 20; i++) next();
    may_be_broken = kills;
    signal(SIGUSR1, count_signal);
    struct sigaction interrupting = {.sa_handler = count_signal};
    sigaction(SIGALRM, &interrupting, NULL);
    struct itimerval often = {{0, 37000}, {0, 37000}};
    setitimer(ITIMER_REAL, &often, NULL);
    int listener = listen_at(ports[0]), actions = 0, begun = 0;
    say("listens");
    int64_t start = now_ms(), quiet = 0;
    // Later ones still come when nobody begins any more; who accepts nothing for a while has them all.
    while (now_ms() < end || count > 0 || quiet == 0 || now_ms() - quiet < 3000) {
        struct pollfd fds[MOST_STREAMS + 1];
        bool open_to_more = count < MOST_STREAMS;
        fds[0] = (struct pollfd){listener, (short)(open_to_more ? POLLIN : 0), 0};
        for (int i = 0; i < count; i++)
            fds[i + 1] = (struct pollfd){streams[i].fd, wanted(&streams[i]), 0};
        int now_there = count;
        poll(fds, (nfds_t)count + 1, 1000 / rate);
        int before = count;
        accept_all(listener);
        begun += count - before;
        if (count > 0 || now_ms() < end) quiet = 0;
        else if (quiet == 0) quiet = now_ms();
        for (int i = now_there - 1; i >= 0; i--)
            if (!move(&streams[i], fds[i + 1].revents)) forget(i);
        int status;
        while (waitpid(-1, &status, WNOHANG) > 0) look_at_end(status);
        if (now_ms() < end && now_ms() - start >= (int64_t)actions * 1000 / rate) {
            before = count;
            actions++;
            act(ports + 1, others, kills);
            begun += count > before;
        }
    }
    close(listener);
    setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
    int status;
    for (pid_t child; (child = waitpid(-1, &status, 0)) > 0 || errno == EINTR; )
        if (child > 0) look_at_end(status);
    int open_now = 0;
    for (int fd = 3; fd < 256; fd++) {
        char path[40], what[80];
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(path, what, sizeof what - 1);
        if (length < 0) continue;
        what[length] = 0;
        say("descriptor %d is %s", fd, what);
        open_now++;
    }
    say("%s, %d open, %d actions, %d streams, %d signals", open_now ? "WRONG" : "done", open_now, actions, begun,
        (int)signals);
    char byte;
    while (read(0, &byte, 1) < 0 && errno == EINTR) { } // until the tables have been looked at
    return 0;
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    if (argc == 5 && !strcmp(argv[1], "stream")) {
        me = -1;
        chance = strtoull(argv[3], NULL, 10) | 1;
        may_be_broken = argv[4][0] == '1';
        if (!read_state(&streams[0], argv[2])) return 9;
        count = 1;
        return finish();
    }
    if (argc >= 9 && argc < 80 && !strcmp(argv[1], "member")) {
        int ports[80], given = 0;
        me = atoi(argv[3]);
        address_text = argv[6];
        for (int i = 8; i < argc; i++) ports[given++] = atoi(argv[i]);
        return member(strtoull(argv[2], NULL, 10), strtoll(argv[4], NULL, 10), atoi(argv[5]), argv[7][0] == '1',
            ports, given - 1);
    }
    fprintf(stderr, "usage: chaos member SEED NUMBER END RATE ADDRESS KILLS OWN-PORT PORT...\n");
    return 2;
}
