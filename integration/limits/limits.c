// A program that meets the limits of its process and of its machine. Each verb says what a program can see, nothing
// that differs from run to run; the cases (../programs/limits.py, ../nic/limits_cases.py) compare it with what it says
// on the kernel.
#define _GNU_SOURCE
#include "limits.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

// ---- many connections of one process

// Echoes what comes; ends when as many as `expected` clients have come and gone.
static int serve(const char *ip, int port, int expected)
{
    allow_descriptors((unsigned long)expected + 1000);
    int listener = listen_at(ip, port), set = (int)need(epoll_create1(0), "epoll_create1");
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    fcntl(listener, F_SETFL, O_NONBLOCK);
    need(epoll_ctl(set, EPOLL_CTL_ADD, listener, &event), "epoll_ctl");
    int accepted = 0, ended = 0, reset = 0;
    while (ended < expected) {
        struct epoll_event events[256];
        int n = (int)need(epoll_wait(set, events, 256, 30000), "epoll_wait");
        if (n == 0) break;
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                int one;
                while ((one = accept(listener, NULL, NULL)) >= 0) {
                    event = (struct epoll_event){.events = EPOLLIN, .data.fd = one};
                    need(epoll_ctl(set, EPOLL_CTL_ADD, one, &event), "epoll_ctl of an accepted one");
                    accepted++;
                }
                if (errno != EAGAIN) give_up("accept");
                continue;
            }
            char bytes[4096];
            ssize_t got = recv(fd, bytes, sizeof bytes, 0);
            if (got > 0 && send(fd, bytes, (size_t)got, MSG_NOSIGNAL) == got) continue;
            if (got > 0) give_up("send");
            ended++;
            reset += got < 0;
            close(fd);
        }
    }
    say("%d accepted, %d ended, %d of them by a reset", accepted, ended, reset);
    return 0;
}

// Opens that many, asks each in turn, then all of them at once, and closes them.
static int client(const char *ip, int port, int count)
{
    allow_descriptors((unsigned long)count + 1000);
    int *fds = calloc((size_t)count, sizeof *fds);
    for (int i = 0; i < count; i++) {
        fds[i] = dial(ip, port);
        if (fds[i] >= 0) continue;
        say("connection %d: %s", i, name(errno));
        return 1;
    }
    say("%d connected", count);
    int right = 0;
    for (int i = 0; i < count; i++) {
        uint32_t word = (uint32_t)i * 2654435761u, back = ~word;
        if (send(fds[i], &word, sizeof word, MSG_NOSIGNAL) == sizeof word
            && recv(fds[i], &back, sizeof back, MSG_WAITALL) == sizeof back && back == word) right++;
    }
    say("%d answered one by one", right);
    int set = (int)need(epoll_create1(0), "epoll_create1");
    for (int i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
        uint32_t word = (uint32_t)i * 40503u;
        need(epoll_ctl(set, EPOLL_CTL_ADD, fds[i], &event), "epoll_ctl");
        need(send(fds[i], &word, sizeof word, MSG_NOSIGNAL), "send");
    }
    int answers = 0, n;
    right = 0;
    struct epoll_event events[256];
    while (answers < count && (n = epoll_wait(set, events, 256, 20000)) > 0) {
        for (int k = 0; k < n; k++, answers++) {
            uint32_t i = events[k].data.u32, back = 0;
            right += recv(fds[i], &back, sizeof back, MSG_WAITALL) == sizeof back && back == i * 40503u;
        }
    }
    say("%d answered at once", right);
    for (int i = 0; i < count; i++) close(fds[i]);
    return right != count;
}

// ---- threads

static struct { const char *ip; int port; } where;
static pthread_barrier_t all_there;
static int right;

static void *ask(void *number)
{
    uint32_t word = (uint32_t)(uintptr_t)number * 2654435761u, back = ~word;
    int fd = dial(where.ip, where.port);
    bool ok = fd >= 0 && send(fd, &word, sizeof word, MSG_NOSIGNAL) == sizeof word
        && recv(fd, &back, sizeof back, MSG_WAITALL) == sizeof back && back == word;
    pthread_barrier_wait(&all_there); // all of them have their connection at the same time
    for (int i = 0; ok && i < 3; i++) {
        word = word * 40503u + 1;
        ok = send(fd, &word, sizeof word, MSG_NOSIGNAL) == sizeof word
            && recv(fd, &back, sizeof back, MSG_WAITALL) == sizeof back && back == word;
    }
    if (fd >= 0) close(fd);
    if (ok) __atomic_fetch_add(&right, 1, __ATOMIC_RELAXED);
    return NULL;
}

static int ends[2];
static _Atomic int woken;

static void *wait_for_byte(void *set)
{
    struct epoll_event event;
    char byte;
    if (set != NULL && epoll_wait((int)(uintptr_t)set, &event, 1, 20000) != 1) return NULL;
    if (recv(ends[0], &byte, 1, 0) == 1) woken++;
    return NULL;
}

static int threads(const char *ip, int port, int count)
{
    allow_descriptors((unsigned long)count * 4 + 1000);
    pthread_t *them = calloc((size_t)count, sizeof *them);
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 256 << 10);
    where.ip = ip;
    where.port = port;
    pthread_barrier_init(&all_there, NULL, (unsigned)count);
    for (int i = 0; i < count; i++)
        if ((errno = pthread_create(&them[i], &small, ask, (void *)(uintptr_t)(i + 1))) != 0) give_up("pthread_create");
    for (int i = 0; i < count; i++) pthread_join(them[i], NULL);
    say("%d threads answered, each on a connection of its own", right);

    // All in recv() of one socket, then all in epoll_wait() for it: each byte is for one of them.
    ends[0] = dial(ip, port);
    ends[1] = ends[0];
    for (int round = 0; round < 2; round++) {
        int set = round == 0 ? 0 : (int)need(epoll_create1(0), "epoll_create1");
        struct epoll_event event = {.events = EPOLLIN};
        if (round == 1) need(epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &event), "epoll_ctl");
        woken = 0;
        for (int i = 0; i < count; i++)
            if ((errno = pthread_create(&them[i], &small, wait_for_byte, (void *)(uintptr_t)set)) != 0)
                give_up("pthread_create");
        usleep(200000);
        for (int i = 0; i < count; i++) need(send(ends[1], "x", 1, MSG_NOSIGNAL), "send");
        for (int i = 0; i < count; i++) pthread_join(them[i], NULL);
        say("%d threads got a byte of one socket", woken);
    }
    return 0;
}

// ---- descriptors used up

static int count_open(int from)
{
    int open = 0;
    for (int fd = from; fd < 200; fd++) open += fcntl(fd, F_GETFD) >= 0;
    return open;
}

// With room for so many descriptors and no more, from the beginning.
static int full(int most)
{
    struct rlimit limit;
    need(getrlimit(RLIMIT_NOFILE, &limit), "getrlimit");
    limit.rlim_cur = (rlim_t)most;
    need(setrlimit(RLIMIT_NOFILE, &limit), "setrlimit");
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = at("127.0.0.1", 0);
    if (listener < 0) {
        say("socket: %s", name(errno));
        return 0;
    }
    need(bind(listener, SA(address), sizeof address), "bind");
    need(listen(listener, 64), "listen");
    int port = port_of(listener), mine[256], theirs[256], made = 0, taken = 0;
    fcntl(listener, F_SETFL, O_NONBLOCK);
    while (made < 200 && (mine[made] = dial("127.0.0.1", port)) >= 0) made++;
    say("%d connected, then %s", made, name(errno));
    int got = accept(listener, NULL, NULL);
    say("accept: %s", got < 0 ? name(errno) : "a descriptor");
    say("dup: %s", dup(listener) < 0 ? name(errno) : "a descriptor");
    say("epoll_create: %s", epoll_create1(0) < 0 ? name(errno) : "a descriptor");
    say("pipe: %s", pipe(theirs) < 0 ? name(errno) : "descriptors");
    pid_t child = fork();
    if (child == 0) _exit(made > 0 && send(mine[0], "c", 1, MSG_NOSIGNAL) == 1 ? 0 : 1);
    int status = -1;
    if (child < 0 || waitpid(child, &status, 0) != child) say("fork: %s", name(errno));
    else say("the child ended with %d", WEXITSTATUS(status));
    // Half of them make room for the other half's ends.
    for (int i = made / 2; i < made; i++) close(mine[i]);
    made /= 2;
    while (taken < 256 && (theirs[taken] = accept(listener, NULL, NULL)) >= 0) taken++;
    say("%s after the last accept", name(errno));
    if (taken < made) {
        say("fewer accepted than connected");
        return 0;
    }
    int good = 0;
    for (int i = 0; i < made; i++) {
        char out = (char)('a' + i % 26), in = 0;
        if (i == 0 && (recv(theirs[i], &in, 1, 0) != 1 || in != 'c')) say("the child's byte is not there");
        good += send(mine[i], &out, 1, MSG_NOSIGNAL) == 1 && recv(theirs[i], &in, 1, 0) == 1 && in == out;
    }
    say("%d pairs of %d carry a byte", good, made);
    for (int i = 0; i < made; i++) close(mine[i]);
    for (int i = 0; i < taken; i++) close(theirs[i]);
    close(listener);
    say("%d open", count_open(3));
    return 0;
}

// ---- memory

// That many connections in this process, each with as much in it as it takes: what was sent comes out.
static int hold(int count, long each)
{
    allow_descriptors((unsigned long)count * 2 + 200);
    int listener = listen_at("127.0.0.1", 0), port = port_of(listener);
    int *mine = calloc((size_t)count, sizeof *mine), *theirs = calloc((size_t)count, sizeof *theirs);
    long *sent = calloc((size_t)count, sizeof *sent);
    static unsigned char block[16384];
    for (int i = 0; i < count; i++) {
        mine[i] = (int)need(dial("127.0.0.1", port), "connect");
        theirs[i] = (int)need(accept(listener, NULL, NULL), "accept");
    }
    say("%d connected", count);
    bool full = false;
    for (int i = 0; i < count; i++) {
        while (sent[i] < each) {
            for (size_t k = 0; k < sizeof block; k++) block[k] = (unsigned char)((sent[i] + (long)k) * 7 + i * 3);
            ssize_t n = send(mine[i], block, sizeof block, MSG_DONTWAIT | MSG_NOSIGNAL);
            if (n < 0 && errno != EAGAIN && errno != ENOBUFS && errno != ENOMEM) give_up("send");
            if (n <= 0) break;
            sent[i] += n;
        }
        full |= sent[i] == 0;
    }
    say("%s", full ? "some took nothing" : "each took something");
    int right = 0;
    for (int i = 0; i < count; i++) {
        shutdown(mine[i], SHUT_WR);
        long at = 0;
        bool good = true;
        ssize_t n;
        while ((n = recv(theirs[i], block, sizeof block, 0)) > 0) {
            for (ssize_t k = 0; k < n; k++) good &= block[k] == (unsigned char)((at + k) * 7 + i * 3);
            at += n;
        }
        right += good && n == 0 && at == sent[i];
        close(mine[i]);
        close(theirs[i]);
    }
    say("%d of %d came out whole", right, count);
    return 0;
}

// ---- rounds

// What callgrind counts (--toggle-collect=measure_rounds): 64 bytes through each connection in turn.
__attribute__((noinline)) void measure_rounds(int count, const int *mine, const int *theirs, long rounds)
{
    char block[64] = {0};
    for (long i = 0; i < rounds; i++) {
        if (send(mine[i % count], block, sizeof block, MSG_NOSIGNAL) != sizeof block) give_up("send");
        if (recv(theirs[i % count], block, sizeof block, 0) != sizeof block) give_up("recv");
    }
}

// Rounds over many connections, begun when a byte comes on the standard input.
static int rounds(int count, long each)
{
    allow_descriptors((unsigned long)count * 2 + 200);
    int listener = listen_at("127.0.0.1", 0), port = port_of(listener);
    int *mine = calloc((size_t)count, sizeof *mine), *theirs = calloc((size_t)count, sizeof *theirs);
    for (int i = 0; i < count; i++) {
        mine[i] = (int)need(dial("127.0.0.1", port), "connect");
        theirs[i] = (int)need(accept(listener, NULL, NULL), "accept");
    }
    say("%d connected", count);
    measure_rounds(count, mine, theirs, 0); // what is bound at the first call
    char byte;
    if (read(0, &byte, 1) != 1) return 1;
    measure_rounds(count, mine, theirs, each);
    say("%ld rounds", each);
    return 0;
}

// ---- processes

// More children than a stack has room for, each of which accepts a connection of the one listener; `held` says whether
// they all live at the same time.
static int processes(int count, bool held)
{
    allow_descriptors(4000);
    int listener = listen_at("127.0.0.1", 0), port = port_of(listener), gate[2];
    need(pipe(gate), "pipe");
    pid_t *children = calloc((size_t)count, sizeof *children);
    int forked = 0, answered = 0, ended = 0;
    for (; forked < count; forked++) {
        pid_t child = children[forked] = fork();
        if (child < 0) {
            say("fork: %s", name(errno));
            break;
        }
        if (child > 0) continue;
        char byte;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(gate[1]);
        int fd = accept(listener, NULL, NULL);
        if (fd < 0 || recv(fd, &byte, 1, 0) != 1 || send(fd, &byte, 1, MSG_NOSIGNAL) != 1) _exit(1);
        if (held) byte = read(gate[0], &byte, 1) == 0 ? 0 : 1;
        _exit(0);
    }
    for (int i = 0; i < forked; i++) {
        int fd = dial("127.0.0.1", port);
        char out = (char)i, in = (char)~i;
        if (fd >= 0 && send(fd, &out, 1, MSG_NOSIGNAL) == 1 && recv(fd, &in, 1, 0) == 1 && in == out) answered++;
        close(fd);
    }
    close(gate[1]);
    for (int i = 0, status; i < forked; i++)
        ended += waitpid(children[i], &status, 0) == children[i] && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    say("%d forked, %d answered, %d ended well", forked, answered, ended);
    return 0;
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";
    alarm(100); // whatever hangs is ended, and says nothing more
    signal(SIGPIPE, SIG_IGN);
    if (!strcmp(verb, "serve") && argc == 5) return serve(argv[2], atoi(argv[3]), atoi(argv[4]));
    if (!strcmp(verb, "client") && argc == 5) return client(argv[2], atoi(argv[3]), atoi(argv[4]));
    if (!strcmp(verb, "threads") && argc == 5) return threads(argv[2], atoi(argv[3]), atoi(argv[4]));
    if (!strcmp(verb, "full") && argc == 3) return full(atoi(argv[2]));
    if (!strcmp(verb, "hold") && argc == 4) return hold(atoi(argv[2]), atol(argv[3]));
    if (!strcmp(verb, "rounds") && argc == 4) return rounds(atoi(argv[2]), atol(argv[3]));
    if (!strcmp(verb, "processes") && argc == 4) return processes(atoi(argv[2]), atoi(argv[3]) != 0);
    fprintf(stderr, "usage: limits serve|client|threads IP PORT COUNT | full LIMIT | hold COUNT BYTES"
                    " | rounds COUNT ROUNDS | processes COUNT HELD\n");
    return 2;
}
