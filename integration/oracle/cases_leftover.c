// What becomes of bytes that were written by a process that ends: by itself, by a signal, by exec(), by _exit in a
// thread; and calls that reach for a socket from outside.
#include "oracle.h"

#include <net/if.h>
#include <linux/sockios.h>
#include <sys/resource.h>

// A child connects, writes as much as it is let, says how much by the pipe, and ends as it is told.
static void ends(void (*how)(void))
{
    static char block[300000];
    int l = listener(), told[2];
    if (pipe(told)) return;
    for (size_t i = 0; i < sizeof block; i++) block[i] = (char)(i * 7 + i / 251);
    pid_t pid = spawn();
    if (pid == 0) {
        close(told[0]);
        int c = dial(port_of(l));
        long sent = 0;
        for (long r; (r = send(c, block + sent, sizeof block - (size_t)sent, MSG_DONTWAIT)) > 0; sent += r)
            if (sent + r == sizeof block) {
                sent += r;
                break;
            }
        if (write(told[1], &sent, sizeof sent) != sizeof sent) _exit(9);
        how();
        _exit(8);
    }
    close(told[1]);
    int b = accept(l, NULL, NULL);
    long sent = -1, got = 0, wrong = 0;
    if (read(told[0], &sent, sizeof sent) != sizeof sent) say("no word from the child");
    reap(pid);
    for (long r; (r = recv(b, bytes, sizeof bytes, 0)) != 0; got += r) {
        if (r < 0) {
            say("after %s: %s", got == sent ? "all" : "some", errno_name(errno));
            break;
        }
        for (long i = 0; i < r; i++) wrong += bytes[i] != block[got + i];
    }
    say("sent something %d, all came %d, wrong %ld", sent > 0, got == sent, wrong);
}

static void by_exit(void) { exit(3); }
static void by_quick_exit(void) { _exit(4); }
static void by_term(void) { raise(SIGTERM); }
static void by_kill(void) { raise(SIGKILL); }
static void by_exec(void) { execl("/bin/true", "true", (char *)NULL); }
static void by_abort(void)
{
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    abort();
}
static void *leaves(void *nothing)
{
    (void)nothing;
    exit(5);
}
static void by_thread(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, leaves, NULL);
    for (;;) pause();
}

CASE(leftover_exit, "unread bytes of a process that has called exit()") { ends(by_exit); }
CASE(leftover_quick_exit, "unread bytes of a process that has called _exit()") { ends(by_quick_exit); }
CASE(leftover_term, "unread bytes of a process that SIGTERM has ended") { ends(by_term); }
CASE(leftover_kill, "unread bytes of a process that SIGKILL has ended") { ends(by_kill); }
CASE(leftover_exec, "unread bytes of a process that has become another, whose socket is inherited") { ends(by_exec); }
CASE(leftover_abort, "unread bytes of a process that has aborted") { ends(by_abort); }
CASE(leftover_thread, "unread bytes of a process that another thread has ended") { ends(by_thread); }

// The other process is ended with bytes of its under way, in both roles and by hand.
FAR(leftover_far_term, "the other process is ended by SIGTERM after it wrote")
{
    SEND(b, "the last words", 0);
    xkill(SIGTERM);
    AWAIT(a, POLLRDHUP);
    RECV(a, 100, 0);
    RECV(a, 100, 0);
}

// ---- ioctls

PAIR(ioctl_list, "ioctls of a connection: what is known, what is the interface's, what is not there")
{
    static const struct { const char *text; unsigned long request; } list[] = {
        {"FIONREAD", FIONREAD}, {"SIOCOUTQ", SIOCOUTQ}, {"SIOCOUTQNSD", SIOCOUTQNSD}, {"SIOCATMARK", SIOCATMARK},
        {"FIOGETOWN", FIOGETOWN}, {"SIOCGPGRP", SIOCGPGRP}, {"SIOCGSTAMP", 0x8906}, {"TCGETS", TCGETS},
        {"TIOCGWINSZ", TIOCGWINSZ}, {"FIGETBSZ", 2}, {"unknown", 0x89FD}, {"nothing", 0}};
    SEND(b, "four", 0);
    AWAIT(a, POLLIN);
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        int room[32] = {-7};
        int r = ioctl(a, list[i].request, room);
        say("%s: %s %d", list[i].text, r ? errno_name(errno) : "0", r ? 0 : room[0]);
    }
    struct ifreq request = {.ifr_name = "lo"};
    SAY(ioctl(a, SIOCGIFFLAGS, &request));
    say("up %d", (request.ifr_flags & IFF_UP) != 0);
    SAY(ioctl(a, SIOCGIFINDEX, &request));
    say("index %d", request.ifr_ifindex);
    struct ifconf all = {.ifc_len = 0};
    SAY(ioctl(a, SIOCGIFCONF, &all));
    say("interfaces %d", all.ifc_len > 0);
    SAY(ioctl(a, FIOCLEX));
    say("FD_CLOEXEC %d", fcntl(a, F_GETFD));
    SAY(ioctl(a, FIONCLEX));
    say("FD_CLOEXEC %d", fcntl(a, F_GETFD));
    SAY(ioctl(a, FIONREAD, NULL));
    SAY(ioctl(a, FIONBIO, NULL));
    SAY(ioctl(a, FIOASYNC, NULL));
    SAY(ioctl(a, FIOSETOWN, NULL));
    RECV(a, 10, 0);
}

// ---- splice and sendfile between kinds of sockets

PAIR(splice_to_unix, "from a connection through a pipe into a UNIX socket, and back")
{
    int ends[2], pair[2];
    if (pipe(ends) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) return;
    SEND(b, "across", 0);
    AWAIT(a, POLLIN);
    SAY(splice(a, NULL, ends[1], NULL, 100, SPLICE_F_MOVE));
    SAY(splice(ends[0], NULL, pair[0], NULL, 100, SPLICE_F_MOVE));
    DATA(read(pair[1], bytes, 100), bytes);
    SAY(write(pair[1], "returned", 8));
    SAY(splice(pair[0], NULL, ends[1], NULL, 100, 0));
    SAY(splice(ends[0], NULL, a, NULL, 100, SPLICE_F_MORE));
    SAY(send(a, "", 0, 0));
    AWAIT(b, POLLIN);
    nap(20);
    RECV(b, 100, 0);
    SAY(sendfile(pair[0], a, NULL, 5));
    SAY(sendfile(a, pair[0], NULL, 5));
    SAY(splice(a, NULL, pair[0], NULL, 5, 0));
}

PAIR(splice_to_file, "from a connection through a pipe into a file, and from the file back")
{
    int ends[2], file = memfd_create("spliced", 0);
    loff_t at = 3;
    if (pipe(ends)) return;
    SEND(b, "kept in a file", 0);
    AWAIT(a, POLLIN);
    SAY(splice(a, NULL, ends[1], NULL, 100, 0));
    SAY(splice(ends[0], NULL, file, &at, 100, 0));
    say("at %ld, size %ld", (long)at, (long)lseek(file, 0, SEEK_END));
    off_t from = 3;
    SAY(sendfile(a, file, &from, 100));
    AWAIT(b, POLLIN);
    RECV(b, 100, 0);
    at = 8;
    SAY(splice(file, &at, ends[1], NULL, 100, 0));
    SAY(splice(ends[0], NULL, a, NULL, 100, 0));
    AWAIT(b, POLLIN);
    RECV(b, 100, 0);
}

PAIR(splice_two_connections, "a proxy: one connection through a pipe into another of the same process")
{
    int c, d, ends[2];
    local_pair(&c, &d);
    if (pipe(ends)) return;
    SEND(b, "through two", 0);
    AWAIT(a, POLLIN);
    SAY(splice(a, NULL, ends[1], NULL, 1 << 16, 0));
    SAY(splice(ends[0], NULL, c, NULL, 1 << 16, 0));
    AWAIT(d, POLLIN);
    RECV(d, 100, 0);
    SEND(d, "and back", 0);
    AWAIT(c, POLLIN);
    SAY(splice(c, NULL, ends[1], NULL, 1 << 16, 0));
    SAY(splice(ends[0], NULL, a, NULL, 1 << 16, 0));
    AWAIT(b, POLLIN);
    RECV(b, 100, 0);
}
