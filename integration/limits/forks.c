// Servers of more processes than a stack has places for, and what their children find. Each verb says what a program
// can see; the cases (../programs/limits.py, ../nic/limits_cases.py) compare it with what it says on the kernel.
#define _GNU_SOURCE
#include "limits.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>

enum { BLOCK = 3000, ROUNDS = 4, SLOTS = 256 };

static int reach(const char *ip, int port) { return (int)need(dial(ip, port), "connect"); }

static bool send_all(int fd, const void *bytes, size_t count)
{
    for (size_t done = 0; done < count;) {
        ssize_t n = send(fd, (const char *)bytes + done, count - done, MSG_NOSIGNAL);
        if (n <= 0) return false;
        done += (size_t)n;
    }
    return true;
}

// Echoes until the client has no more to say.
static _Noreturn void echo(int fd)
{
    char bytes[4096];
    ssize_t n;
    while ((n = recv(fd, bytes, sizeof bytes, 0)) > 0)
        if (!send_all(fd, bytes, (size_t)n)) _exit(1);
    _exit(n == 0 ? 0 : 2);
}

static pid_t fork_child(void)
{
    pid_t child = fork();
    if (child == 0) prctl(PR_SET_PDEATHSIG, SIGKILL);
    return child;
}

static int wait_for(int children)
{
    int well = 0;
    for (int i = 0, status; i < children; i++)
        well += need(wait(&status), "wait") > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    return well;
}

// All workers accept from one listener; each serves one client, however long that takes.
static int prefork(const char *ip, int port, int count)
{
    allow_descriptors(4000);
    int listener = listen_at(ip, port), forked = 0;
    for (; forked < count; forked++) {
        pid_t child = fork_child();
        if (child < 0) {
            say("fork: %s", name(errno));
            break;
        }
        if (child == 0) {
            int fd = accept(listener, NULL, NULL);
            if (fd < 0) _exit(3);
            echo(fd);
        }
    }
    say("%d workers, %d ended well", forked, wait_for(forked));
    return 0;
}

// The parent accepts, and forks for each connection. `later` more come when the first have gone.
static int each(const char *ip, int port, int count, int later)
{
    allow_descriptors(4000);
    int listener = listen_at(ip, port);
    for (int phase = 0; phase < 2; phase++) {
        int wanted = phase == 0 ? count : later, forked = 0;
        for (; forked < wanted; forked++) {
            int fd = (int)need(accept(listener, NULL, NULL), "accept");
            pid_t child = fork_child();
            if (child < 0) {
                say("fork: %s", name(errno));
                return 1;
            }
            if (child == 0) {
                close(listener);
                echo(fd);
            }
            close(fd);
        }
        say("%d forked, %d ended well", forked, wait_for(forked));
    }
    pause();
    return 0;
}

static uint8_t byte_of(int connection, int round, int i) { return (uint8_t)(connection * 31 + round * 7 + i * 13); }

// That many connections at once, all of them answered in each round; every byte is looked at.
static int clients(const char *ip, int port, int count)
{
    allow_descriptors((unsigned long)count + 1000);
    int *fds = calloc((size_t)count, sizeof *fds), right[ROUNDS] = {0};
    uint8_t bytes[BLOCK], back[BLOCK];
    for (int i = 0; i < count; i++) fds[i] = reach(ip, port);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < count; i++) {
            for (int k = 0; k < BLOCK; k++) bytes[k] = byte_of(i, round, k);
            if (!send_all(fds[i], bytes, BLOCK)) say("connection %d, round %d: send: %s", i, round, name(errno));
        }
        for (int i = 0; i < count; i++) {
            for (int k = 0; k < BLOCK; k++) bytes[k] = byte_of(i, round, k);
            ssize_t n = recv(fds[i], back, BLOCK, MSG_WAITALL);
            right[round] += n == BLOCK && memcmp(bytes, back, BLOCK) == 0;
        }
    }
    for (int i = 0; i < count; i++) close(fds[i]);
    say("%d connections, answered in each round: %d %d %d %d", count, right[0], right[1], right[2], right[3]);
    return 0;
}

// ---- what a child finds that was forked when there was no place for it

static void expect(bool holds, const char *what)
{
    if (!holds) say("%s: no", what);
}

static int waiting(int set, int milliseconds, uint64_t *data)
{
    struct epoll_event events[8];
    int n = epoll_wait(set, events, 8, milliseconds);
    *data = n > 0 ? events[0].data.u64 : 0;
    return n;
}

// One descriptor over a unix socket. Returns what came, or 0 for one that went.
static int pass(int channel, int fd)
{
    union { struct cmsghdr head; char bytes[CMSG_SPACE(sizeof(int))]; } control = {0};
    char byte = 0;
    struct iovec one = {&byte, 1};
    struct msghdr message = {.msg_iov = &one, .msg_iovlen = 1, .msg_control = &control,
                             .msg_controllen = sizeof control};
    if (fd >= 0) {
        control.head = (struct cmsghdr){CMSG_LEN(sizeof fd), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.head), &fd, sizeof fd);
        return sendmsg(channel, &message, 0) == 1 ? 0 : -1;
    }
    if (recvmsg(channel, &message, 0) != 1 || control.head.cmsg_type != SCM_RIGHTS) return -1;
    memcpy(&fd, CMSG_DATA(&control.head), sizeof fd);
    return fd;
}

static void child_of_many(int listener, int set, int event, const int *pair, int fresh, int mark, int *udp, int port,
                          int channel)
{
    char byte = 0;
    uint64_t data, count;
    // The set: nothing is ready, then what is added to, sent and counted, by its own data.
    expect(waiting(set, 0, &data) == 0, "the set is quiet");
    expect(write(event, &(uint64_t){1}, 8) == 8 && waiting(set, 1000, &data) == 1 && data == 3, "the eventfd is seen");
    expect(read(event, &count, 8) == 8 && count == 1, "the eventfd counts");
    expect(send(pair[0], "x", 1, MSG_NOSIGNAL) == 1 && waiting(set, 1000, &data) == 1 && data == 2,
           "the connection is seen");
    expect(recv(pair[1], &byte, 1, 0) == 1 && byte == 'x' && waiting(set, 0, &data) == 0, "and read");
    expect((fcntl(listener, F_GETFL) & O_NONBLOCK) == 0, "the listener blocks");
    // A socket that had done nothing, and one of datagrams.
    struct sockaddr_in address = at("127.0.0.1", port);
    expect(connect(fresh, SA(address), sizeof address) == 0, "the fresh socket connects");
    expect(waiting(set, 1000, &data) == 1 && data == 1, "the listener is seen");
    int one = accept(listener, NULL, NULL);
    expect(one >= 0 && send(fresh, "f", 1, MSG_NOSIGNAL) == 1 && recv(one, &byte, 1, 0) == 1 && byte == 'f',
           "the fresh socket speaks");
    expect(send(udp[0], "u", 1, 0) == 1 && recv(udp[1], &byte, 1, 0) == 1 && byte == 'u', "datagrams");
    // accept() waits: somebody connects in a moment; and for as long as it may.
    pid_t later = fork();
    if (later == 0) {
        usleep(100000);
        int fd = reach("127.0.0.1", port);
        _exit(recv(fd, &byte, 1, 0) == 1 && byte == 'l' ? 0 : 1);
    }
    int two = accept4(listener, NULL, NULL, SOCK_CLOEXEC), status = 1;
    expect(two >= 0 && send(two, "l", 1, MSG_NOSIGNAL) == 1, "accept waits");
    expect(waitpid(later, &status, 0) == later && status == 0, "the one that came later");
    struct timeval moment = {.tv_usec = 50000};
    setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &moment, sizeof moment);
    expect(accept(listener, NULL, NULL) < 0 && errno == EAGAIN, "accept gives up in time");
    moment = (struct timeval){0};
    setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &moment, sizeof moment);
    expect(fcntl(listener, F_SETFL, O_NONBLOCK) == 0 && (fcntl(listener, F_GETFL) & O_NONBLOCK), "it can be set");
    expect(accept(listener, NULL, NULL) < 0 && errno == EAGAIN, "accept does not wait");
    int off = 0;
    expect(ioctl(listener, FIONBIO, &off) == 0 && (fcntl(listener, F_GETFL) & O_NONBLOCK) == 0, "it can be taken back");
    // One more of the set's, and one less.
    struct epoll_event add = {.events = EPOLLIN, .data.u64 = 9};
    expect(epoll_ctl(set, EPOLL_CTL_ADD, one, &add) == 0, "a member comes");
    expect(send(fresh, "g", 1, MSG_NOSIGNAL) == 1 && waiting(set, 1000, &data) == 1 && data == 9, "and is seen");
    expect(epoll_ctl(set, EPOLL_CTL_DEL, one, NULL) == 0 && waiting(set, 0, &data) == 0, "and goes");
    // Numbers that the program never had are none.
    int strange = 0;
    for (int fd = mark; fd < 200; fd++) strange += fd != one && fd != two && fcntl(fd, F_GETFD) >= 0;
    expect(strange == 0, "nothing else is open");
    expect(send(pair[1], "p", 1, MSG_NOSIGNAL) == 1, "a byte for the parent");
    int sent = pass(channel, -1);
    expect(sent >= 0 && send(sent, "s", 1, MSG_NOSIGNAL) == 1, "a connection that the parent has made since");
}

// Fills the places with children that sleep, then looks at one more child; and at the parent afterwards.
static int inherit(void)
{
    allow_descriptors(4000);
    int listener = listen_at("127.0.0.1", 0), port = port_of(listener), pair[2], udp[2], gate[2], channel[2];
    need(socketpair(AF_UNIX, SOCK_STREAM, 0, channel), "socketpair");
    need(pipe(gate), "pipe");
    pair[0] = reach("127.0.0.1", port);
    pair[1] = (int)need(accept(listener, NULL, NULL), "accept");
    for (int i = 0; i < 2; i++) udp[i] = (int)need(socket(AF_INET, SOCK_DGRAM, 0), "socket");
    struct sockaddr_in address = at("127.0.0.1", 0);
    need(bind(udp[1], SA(address), sizeof address), "bind");
    address = at("127.0.0.1", port_of(udp[1]));
    need(connect(udp[0], SA(address), sizeof address), "connect");
    int event = (int)need(eventfd(0, 0), "eventfd"), set = (int)need(epoll_create1(0), "epoll_create1");
    int fresh = (int)need(socket(AF_INET, SOCK_STREAM, 0), "socket");
    int members[] = {listener, pair[1], event};
    for (uint64_t i = 0; i < 3; i++) {
        struct epoll_event add = {.events = EPOLLIN, .data.u64 = i + 1};
        need(epoll_ctl(set, EPOLL_CTL_ADD, members[i], &add), "epoll_ctl");
    }
    need(send(pair[0], "before", 6, MSG_NOSIGNAL), "send"); // on its way across the fork, and back
    need(send(pair[1], "back", 4, MSG_NOSIGNAL), "send");
    char bytes[8];
    uint64_t data;
    int asleep = 0, status = -1;
    for (; asleep < SLOTS; asleep++) {
        pid_t child = (pid_t)need(fork_child(), "fork of a sleeper");
        if (child > 0) continue;
        close(gate[1]);
        _exit(read(gate[0], bytes, 1) == 0 ? 0 : 1);
    }
    expect(waiting(set, 1000, &data) == 1 && data == 2, "what was sent before is seen");
    expect(recv(pair[1], bytes, 6, MSG_WAITALL) == 6 && !memcmp(bytes, "before", 6), "it is there");
    expect(recv(pair[0], bytes, 4, MSG_WAITALL) == 4 && !memcmp(bytes, "back", 4), "and what was sent back");
    pid_t child = (pid_t)need(fork_child(), "fork");
    if (child == 0) {
        child_of_many(listener, set, event, pair, fresh, fresh + 1, udp, port, channel[0]);
        _exit(0);
    }
    int other = listen_at("127.0.0.1", 0), later = reach("127.0.0.1", port_of(other));
    int accepted = (int)need(accept(other, NULL, NULL), "accept of another");
    expect(pass(channel[1], accepted) == 0 && close(accepted) == 0, "it is sent");
    expect(recv(later, bytes, 1, 0) == 1 && bytes[0] == 's', "its byte comes");
    expect(recv(later, bytes, 1, 0) == 0, "and its end");
    expect(waitpid(child, &status, 0) == child && status == 0, "the child ended well");
    // What the parent finds: its connection with the child's byte, a set and a listener that work.
    expect(recv(pair[0], bytes, 1, 0) == 1 && bytes[0] == 'p', "the child's byte");
    expect(waiting(set, 0, &data) == 0, "the parent's set is quiet");
    expect((fcntl(listener, F_GETFL) & O_NONBLOCK) == 0, "the parent's listener blocks");
    int mine = reach("127.0.0.1", port);
    expect(waiting(set, 1000, &data) == 1 && data == 1, "the parent sees its listener");
    int theirs = accept(listener, NULL, NULL);
    expect(theirs >= 0 && send(mine, "m", 1, MSG_NOSIGNAL) == 1 && recv(theirs, bytes, 1, 0) == 1, "and accepts");
    close(gate[1]);
    say("%d sleepers, %d ended well", asleep, wait_for(asleep));
    child = (pid_t)need(fork_child(), "fork when there is room again");
    if (child == 0) _exit(send(mine, "r", 1, MSG_NOSIGNAL) == 1 ? 0 : 1);
    expect(waitpid(child, &status, 0) == child && status == 0, "a child when there is room again");
    expect(recv(theirs, bytes, 1, 0) == 1 && bytes[0] == 'r', "its byte");
    return 0;
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";
    alarm(100); // whatever hangs is ended, and says nothing more
    signal(SIGPIPE, SIG_IGN);
    if (!strcmp(verb, "prefork") && argc == 5) return prefork(argv[2], atoi(argv[3]), atoi(argv[4]));
    if (!strcmp(verb, "each") && argc == 6) return each(argv[2], atoi(argv[3]), atoi(argv[4]), atoi(argv[5]));
    if (!strcmp(verb, "clients") && argc == 5) return clients(argv[2], atoi(argv[3]), atoi(argv[4]));
    if (!strcmp(verb, "inherit") && argc == 2) return inherit();
    fprintf(stderr, "usage: forks prefork IP PORT COUNT | each IP PORT COUNT LATER | clients IP PORT COUNT"
                    " | inherit\n");
    return 2;
}
