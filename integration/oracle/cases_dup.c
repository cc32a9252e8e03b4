// Descriptors: dup and friends, flags shared and not shared, what close of one leaves.
#include "oracle.h"

PAIR(dup_shares, "a dup is the same socket: data, options, O_NONBLOCK; not the close-on-exec flag")
{
    int d = FD(dup(a));
    SEND(b, "for either", 0);
    RECV(d, 4, 0);
    RECV(a, 10, 0);
    SEND(d, "from the dup", 0);
    RECV(b, 20, 0);
    nonblock(d);
    say("flags of a %#x", fcntl(a, F_GETFL));
    SAY(fcntl(d, F_SETFD, FD_CLOEXEC));
    say("cloexec of a %d, of d %d", fcntl(a, F_GETFD), fcntl(d, F_GETFD));
    SETOPT(d, IPPROTO_TCP, TCP_NODELAY, 1);
    GETOPT(a, IPPROTO_TCP, TCP_NODELAY);
    RECV(a, 1, 0);
    SAY(shutdown(d, SHUT_WR));
    SEND(a, "x", MSG_NOSIGNAL);
}

PAIR(dup_close_one, "closing one of two keeps the connection; closing the last ends it")
{
    int d = FD(dup(a));
    SAY(close(a));
    MASK(b);
    SEND(d, "still open", 0);
    RECV(b, 20, 0);
    SAY(close(d));
    AWAIT(b, POLLIN);
    RECV(b, 20, 0);
}

PAIR(dup2_over_connected, "dup2 over a connected socket ends its connection")
{
    int p[2];
    SAY(pipe(p));
    int number = a;
    say("dup2 gives the number: %s", dup2(p[0], a) == number ? "yes" : "no");
    AWAIT(b, POLLIN);
    RECV(b, 10, 0);
    SAY(write(p[1], "pipe now", 8));
    DATA(read(a, bytes, 10), bytes);
    SAY(send(a, "x", 1, 0));
}

PAIR(dup2_onto_stdio, "stdin and stdout over a connection, as a server's child has them, and back")
{
    char line[50] = "";
    int in = dup(0), out = dup(1);
    SEND(b, "first\nsecond\n", 0);
    AWAIT(a, POLLIN);
    printf("before, ");
    dup2(a, 0);
    dup2(a, 1);
    bool read = fgets(line, sizeof line, stdin) != NULL;
    int sent = printf("answer to %s", line), flushed = fflush(stdout);
    printf("buffered, ");
    dup2(out, 1);
    printf("then written\n");
    fflush(stdout);
    dup2(in, 0);
    say("read %d, sent %d, flushed %d", read, sent, flushed);
    read = fgets(line, sizeof line, stdin) != NULL;
    say("read %d %s", read, read ? line : "nothing");
    AWAIT(b, POLLIN);
    RECV(b, 100, 0);
}

PAIR(dup_lowest_stdio, "close(1) and dup(): a server that serves by its standard output, one client after the other")
{
    int out = dup(1);
    for (int i = 0; i < 2; i++) {
        close(1);
        int copy = dup(a);
        int sent = fprintf(stdout, "greeting %d\n", i), flushed = fflush(stdout);
        close(1);
        int back = dup(out);
        say("copy %d, sent %d, flushed %d, back %d", copy, sent, flushed, back);
        AWAIT(b, POLLIN);
        RECV(b, 100, 0);
    }
}

PAIR(dup2_onto_pipe, "dup2 of a connected socket onto a pipe's number")
{
    int p[2];
    SAY(pipe(p));
    say("dup2 gives the number: %s", dup2(a, p[1]) == p[1] ? "yes" : "no");
    SAY(close(a));
    SAY(write(p[1], "socket now", 10));
    RECV(b, 20, 0);
    SAY(read(p[0], bytes, 1));
    SAY(close(p[1]));
    AWAIT(b, POLLIN);
    RECV(b, 20, 0);
}

PAIR(dup2_same, "dup2 onto itself changes nothing, dup3 refuses")
{
    say("%s", dup2(a, a) == a ? "same" : errno_name(errno));
    SAY(dup3(a, a, 0));
    SAY(dup3(a, a, O_CLOEXEC));
    SAY(dup2(a, -1));
    SAY(dup2(a, 1 << 30));
    SAY(dup3(a, 200, 0x40));
    SEND(a, "fine", 0);
    RECV(b, 10, 0);
}

PAIR(dup3_cloexec, "dup3 and F_DUPFD set or leave close-on-exec")
{
    SAY(dup3(a, 150, O_CLOEXEC));
    SAY(fcntl(150, F_GETFD));
    SAY(dup3(a, 151, 0));
    SAY(fcntl(151, F_GETFD));
    SAY(fcntl(a, F_DUPFD, 160));
    SAY(fcntl(160, F_GETFD));
    SAY(fcntl(a, F_DUPFD_CLOEXEC, 160));
    SAY(fcntl(161, F_GETFD));
    SAY(fcntl(a, F_DUPFD, -1));
    SAY(fcntl(a, F_DUPFD, 1 << 30));
    SEND(161, "through it", 0);
    RECV(b, 20, 0);
    for (int fd = 150; fd < 162; fd++) close(fd);
    SAY(close(a));
    AWAIT(b, POLLIN);
}

PAIR(dup2_between_sockets, "dup2 of one connection over another: that one ends, this one has two numbers")
{
    int c, d;
    local_pair(&c, &d);
    say("%s", dup2(a, c) == c ? "done" : errno_name(errno));
    AWAIT(d, POLLIN);
    RECV(d, 10, 0);
    SEND(c, "on the first", 0);
    RECV(b, 20, 0);
    SAY(close(a));
    SEND(b, "answer", 0);
    RECV(c, 20, 0);
}

CASE(dup_fresh, "a dup of a fresh socket connects, and both are connected")
{
    int l = listener(), c = socket(AF_INET, SOCK_STREAM, 0), d = dup(c);
    SAY(connect_to(d, port_of(l)));
    expect_local(d);
    SAY(connect_to(c, port_of(l)));
    int b = FD(accept(l, NULL, NULL));
    SEND(c, "c ", 0);
    SEND(d, "d", 0);
    RECV(b, 10, 0);
    say("same name: %s", port_of(c) == port_of(d) ? "yes" : "no");
}

CASE(dup_bound_listens, "bind on one, listen on its dup, accept on the first")
{
    int l = socket(AF_INET, SOCK_STREAM, 0), d = dup(l);
    struct sockaddr_in any = at4("127.0.0.1", 0);
    SAY(bind(l, SA(any), sizeof any));
    SAY(listen(d, 4));
    int c = dial(port_of(d)), b = FD(accept(l, NULL, NULL));
    SEND(c, "x", 0);
    RECV(b, 1, 0);
    SAY(close(l));
    int e = dial(port_of(d)), f = FD(accept(d, NULL, NULL));
    SEND(e, "y", 0);
    RECV(f, 1, 0);
}

PAIR(fcntl_flags, "F_GETFL and F_SETFL in all combinations")
{
    say("%#x", fcntl(a, F_GETFL));
    static const int flags[] = {O_NONBLOCK, O_RDONLY, O_APPEND, O_NONBLOCK | O_APPEND, O_CREAT | O_TRUNC, O_ASYNC, 0};
    for (int i = 0; i < 7; i++) {
        SAY(fcntl(a, F_SETFL, flags[i]));
        say("%#x", fcntl(a, F_GETFL));
    }
    SAY(fcntl(a, F_GETFD));
    SAY(fcntl(a, F_SETFD, 1));
    SAY(fcntl(a, F_GETFD));
    SAY(fcntl(a, F_GETOWN));
    SAY(fcntl(a, F_GETPIPE_SZ));
    SAY(fcntl(a, 9999));
    (void)b;
}

PAIR(nonblock_toggle, "O_NONBLOCK set and cleared between reads")
{
    SAY(fcntl(a, F_SETFL, O_RDWR | O_NONBLOCK));
    SAY(recv(a, bytes, 1, 0));
    SAY(fcntl(a, F_SETFL, O_RDWR));
    later_send(30, b, "y");
    TIMED(recv(a, bytes, 1, 0), 30);
    join_later();
}

PAIR(close_reuses_number, "a closed connection's number is the next socket's, and nothing of it stays")
{
    nonblock(a);
    int number = a;
    SEND(b, "for the old one", 0);
    SAY(close(a));
    int fresh = socket(AF_INET, SOCK_STREAM, 0);
    say("same number: %s, flags %#x", fresh == number ? "yes" : "no", fcntl(fresh, F_GETFL));
    MASK(fresh);
    RECV(fresh, 10, 0);
    AWAIT(b, POLLHUP);
    RECV(b, 10, 0);
    SAY(close(fresh));
    int file = open("/dev/null", O_RDONLY);
    say("same number: %s", file == number ? "yes" : "no");
    SAY(read(file, bytes, 10));
}

PAIR(close_range_ends, "close_range over a connection ends it")
{
    int d = fcntl(a, F_DUPFD, 300), e = fcntl(a, F_DUPFD, 300);
    SAY(close(a));
    SAY(close_range(300, 300, 0));
    MASK(b);
    SAY(send(d, "x", 1, 0));
    SAY(close_range(301, 400, 0));
    AWAIT(b, POLLIN);
    RECV(b, 10, 0);
    SAY(fcntl(e, F_GETFD));
}

PAIR(exec_keeps, "a connection without close-on-exec lives through exec")
{
    pid_t child = spawn();
    if (child == 0) {
        dup2(a, 0);
        execl("/bin/sh", "sh", "-c", "read line; echo got $line >&0; echo to >&0", (char *)NULL);
        _exit(9);
    }
    SEND(b, "hello\n", 0);
    AWAIT(b, POLLIN);
    reap(child);
    nap(20);
    RECV(b, 50, 0);
    SAY(close(a));
    AWAIT(b, POLLIN);
    RECV(b, 50, 0);
}

PAIR(exec_closes, "a close-on-exec connection ends with exec when nobody else has it")
{
    SAY(fcntl(a, F_SETFD, FD_CLOEXEC));
    pid_t child = spawn();
    if (child == 0) {
        execl("/bin/sleep", "sleep", "0.2", (char *)NULL);
        _exit(9);
    }
    nap(60);
    SAY(close(a));
    say("within 100 ms: %s", poll_text(xpoll(b, POLLIN, 100)));
    RECV(b, 10, 0);
    reap(child);
}

// Whatever a library needs for itself must not take the numbers that the program counts on.
PAIR(lowest_numbers_stay, "after a connection and a refusal the lowest numbers are the program's")
{
    int holder, refused = closed_port(&holder), sockets_of_ours = !(a & REMOTE) + !(b & REMOTE), open_now = 0;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    SAY(connect_to(fd, refused) < 0 ? errno : 0);
    close(fd);
    close(holder);
    for (int i = 3; i < 200; i++) {
        char path[40], target[100];
        snprintf(path, sizeof path, "/proc/self/fd/%d", i);
        ssize_t length = readlink(path, target, sizeof target - 1);
        open_now += length >= 0;
    }
    say("%d beside the sockets", open_now - sockets_of_ours);
}

// Copies a connection's number, closes the copy, and opens another file in its place, until told to stop.
static int copied_, begun_, stop_, dead_, mistaken_;

static void copy_and_close(void *unused)
{
    (void)unused;
    while (!__atomic_load_n(&stop_, __ATOMIC_ACQUIRE)) {
        struct sockaddr_storage name;
        socklen_t length = sizeof name;
        struct stat status;
        int copy = dup(copied_);
        dead_ += getpeername(copy, SA(name), &length) != 0;
        close(copy);
        int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
        mistaken_ += fstat(file, &status) != 0 || !S_ISCHR(status.st_mode);
        close(file);
        __atomic_store_n(&begun_, 1, __ATOMIC_RELEASE);
    }
}

CASE(dup_while_leaving, "numbers are copied and closed while their connection goes to the kernel: each is what it was")
{
    int ended = 0;
    for (int round = 0; round < 200; round++) {
        int a, b, hops = 5; // IP_MINTTL is the kernel's affair alone
        local_pair(&a, &b);
        copied_ = a;
        begun_ = stop_ = 0;
        later_call(0, copy_and_close, NULL);
        while (!__atomic_load_n(&begun_, __ATOMIC_ACQUIRE)) sched_yield();
        if (setsockopt(a, IPPROTO_IP, IP_MINTTL, &hops, sizeof hops)) say("%s", errno_name(errno));
        __atomic_store_n(&stop_, 1, __ATOMIC_RELEASE);
        join_later();
        close(a);
        ended += (xpoll(b, POLLRDHUP, 1000) & POLLRDHUP) != 0; // no copy of it is left
        close(b);
    }
    say("%d dead copies, %d files that were another, %d ends", dead_, mistaken_, ended);
}
