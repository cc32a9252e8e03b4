// Oracle: small socket cases whose transcript must be the same on the kernel and under the preload.
//
// A case prints what it sees; nothing in it says what is right. The runner runs it without and with libaccel.so and
// compares line by line: the kernel is the expectation. So a case prints everything that a program could notice and
// nothing that may differ between two runs on the kernel (port numbers, times, buffer sizes).
//
// "a" is always an end in this process, "b" its other end. The mode says where b lives:
//   same  both ends in this process
//   peer  b (the accepted end) in another process, which was forked before any socket was made
//   swap  b (the connecting end) in another process
//   plain-peer, plain-swap  as peer and swap, but the other process is never accelerated
//   nic-peer, nic-swap      as these, and the other process is another host: a network namespace across a wire
// A remote descriptor carries the REMOTE bit and goes through the x*() functions; these also take local ones.
#ifndef ORACLE_H
#define ORACLE_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MODE_SAME = 1, MODE_PEER = 2, MODE_SWAP = 4, MODE_NIC = 8 };
enum { REMOTE = 0x1000000, ALL_EVENTS = POLLIN | POLLPRI | POLLOUT | POLLRDHUP };

struct oracle_case {
    const char *name, *what, *file;
    int modes;
    void (*alone)(void);
    void (*pair)(int a, int b);
    void (*dgram)(int a, int b);
    struct oracle_case *next;
};
void oracle_register(struct oracle_case *c);
int oracle_play(const char *step);           // as the image that comes after exec (images.c)

#define CASE_ENTRY_(name_, what_, modes_, field_)                                                                    \
    static struct oracle_case entry_##name_ = {                                                                      \
        .name = #name_, .what = what_, .file = __FILE__, .modes = modes_, .field_ = case_##name_};                   \
    __attribute__((constructor)) static void register_##name_(void) { oracle_register(&entry_##name_); }

// A case that makes its own sockets, all in this process (or forks by itself).
#define CASE(name_, what_)                                                                                           \
    static void case_##name_(void);                                                                                  \
    CASE_ENTRY_(name_, what_, MODE_SAME, alone)                                                                      \
    static void case_##name_(void)
// A case whose far sockets (xsocket) live here or in the other process.
#define DUO(name_, what_)                                                                                            \
    static void case_##name_(void);                                                                                  \
    CASE_ENTRY_(name_, what_, MODE_SAME | MODE_PEER | MODE_NIC, alone)                                               \
    static void case_##name_(void)
// The same where both processes must be on one host: names and ports that they share.
#define DUO_HERE(name_, what_)                                                                                       \
    static void case_##name_(void);                                                                                  \
    CASE_ENTRY_(name_, what_, MODE_SAME | MODE_PEER, alone)                                                          \
    static void case_##name_(void)
// A case on a connected pair: a is here, b is here or in the other process, and either may be the accepted end.
#define PAIR(name_, what_)                                                                                           \
    static void case_##name_(int a, int b);                                                                          \
    CASE_ENTRY_(name_, what_, MODE_SAME | MODE_PEER | MODE_SWAP | MODE_NIC, pair)                                    \
    static void case_##name_(int a, int b)
// As PAIR, but only across processes.
#define FAR(name_, what_)                                                                                            \
    static void case_##name_(int a, int b);                                                                          \
    CASE_ENTRY_(name_, what_, MODE_PEER | MODE_SWAP | MODE_NIC, pair)                                                \
    static void case_##name_(int a, int b)
// As PAIR, and as a case that makes its own sockets, but only across a wire: what only packets have.
#define ACROSS(name_, what_)                                                                                         \
    static void case_##name_(int a, int b);                                                                          \
    CASE_ENTRY_(name_, what_, MODE_NIC, pair)                                                                        \
    static void case_##name_(int a, int b)
#define ABROAD(name_, what_)                                                                                         \
    static void case_##name_(void);                                                                                  \
    CASE_ENTRY_(name_, what_, MODE_NIC, alone)                                                                       \
    static void case_##name_(void)
// UDP: a is here, b here or on the other host, each bound to its own address and not connected. What two processes of
// one host say to each other by UDP is the kernel's affair.
#define DGRAM(name_, what_)                                                                                          \
    static void case_##name_(int a, int b);                                                                          \
    CASE_ENTRY_(name_, what_, MODE_SAME | MODE_NIC, dgram)                                                           \
    static void case_##name_(int a, int b)

// ---- transcript
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void say_result(const char *text, long result, int error, int sigpipes);
void say_fd(const char *text, long result, int error);
void say_data(const char *text, long result, int error, const void *data);
const char *errno_name(int error);
const char *poll_text(int mask);
const char *epoll_text(uint32_t mask);
const char *data_text(const void *data, long length);
extern volatile sig_atomic_t sigpipes;

// Prints "text of the call = result or errno", with +SIGPIPE if one was raised; then lets the packets settle.
#define SAY(call) SAY_AS(#call, call)
#define SAY_AS(text, call)                                                                                           \
    ({                                                                                                               \
        int before_ = sigpipes;                                                                                      \
        errno = 0;                                                                                                   \
        long result_ = (call);                                                                                       \
        int error_ = errno;                                                                                          \
        say_result(text, result_, error_, sigpipes - before_);                                                       \
        settle();                                                                                                    \
        errno = error_;                                                                                              \
        result_;                                                                                                     \
    })
// For calls that return a descriptor: prints "ok" for any.
#define FD(call)                                                                                                     \
    ({                                                                                                               \
        errno = 0;                                                                                                   \
        long result_ = (call);                                                                                       \
        int error_ = errno;                                                                                          \
        say_fd(#call, result_, error_);                                                                              \
        settle();                                                                                                    \
        errno = error_;                                                                                              \
        (int)result_;                                                                                                \
    })
// For calls that fill `buffer`: prints the bytes too.
#define DATA(call, buffer) DATA_AS(#call, call, buffer)
#define DATA_AS(text, call, buffer)                                                                                  \
    ({                                                                                                               \
        errno = 0;                                                                                                   \
        long result_ = (call);                                                                                       \
        int error_ = errno;                                                                                          \
        say_data(text, result_, error_, buffer);                                                                     \
        errno = error_;                                                                                              \
        result_;                                                                                                     \
    })
#define RECV(fd, length, flags)                                                                                      \
    DATA_AS("recv(" #fd ", " #length ", " #flags ")", xrecv(fd, bytes, length, flags), bytes)
#define SEND(fd, text, flags) SAY_AS("send(" #fd ", " #text ", " #flags ")", xsend(fd, text, strlen(text), flags))
// As SAY, and says whether the call took about `ms` milliseconds (0: came back at once).
#define TIMED(call, ms)                                                                                              \
    ({                                                                                                               \
        int64_t start_ = now_ms();                                                                                   \
        errno = 0;                                                                                                   \
        long result_ = (call);                                                                                       \
        int error_ = errno;                                                                                          \
        int64_t took_ = now_ms() - start_;                                                                           \
        say_result(#call, result_, error_, 0);                                                                       \
        say("  %s", took_text(took_, ms));                                                                           \
        errno = error_;                                                                                              \
        result_;                                                                                                     \
    })
// The poll mask now, and once any of the events has come.
#define MASK(fd) say("mask of " #fd ": %s", poll_text(xpoll(fd, ALL_EVENTS, 0)))
#define AWAIT(fd, events) say("await " #events " on " #fd ": %s", poll_text(xpoll(fd, events, 3000)))
// Waits for a reset (or for the end of both directions), which poll reports unasked.
#define ENDED(fd) say(#fd " ended: %s", poll_text(xpoll(fd, 0, 3000)))
#define ERROR(fd) say("SO_ERROR of " #fd ": %s", errno_name(xgetopt(fd, SOL_SOCKET, SO_ERROR)))
#define GETOPT(fd, level, name)                                                                                      \
    ({                                                                                                               \
        long value_ = xgetopt(fd, level, name);                                                                      \
        say("getsockopt(" #fd ", " #level ", " #name ") = %ld", value_);                                              \
        value_;                                                                                                      \
    })
#define SETOPT(fd, level, name, value)                                                                               \
    SAY_AS("setsockopt(" #fd ", " #level ", " #name ", " #value ")", xsetopt(fd, level, name, value))
// epoll: waits and prints each event with its data, in order.
#define EPOLL(ep, max, ms) say_epoll("epoll_wait(" #ep ", " #max ", " #ms ")", ep, max, ms)
int say_epoll(const char *text, int ep, int max, int ms);

extern char bytes[1 << 17];
void settle(void);
int64_t now_ms(void);
const char *took_text(int64_t took, int64_t expected);
void nap(int ms);

// ---- sockets
struct sockaddr_in at4(const char *ip, int port);
struct sockaddr_in6 at6(const char *ip, int port);
#define SA(address) ((struct sockaddr *)&(address))
extern int backlog;                           // used by listener()
extern const char *near_ip, *far_ip;           // of this process and of the other; 127.0.0.1 on one host
extern const char *near_ip6, *far_ip6;
bool across_wire(void);
int listener(void);                           // near_ip, a fresh port
int listener6(const char *ip, int only6);
int port_of(int fd);                          // local port
int peer_port_of(int fd);
int connect_to(int fd, int port);             // near_ip
int dial(int port);                           // new socket, connected
int closed_port(int *holder);                 // a port that refuses: bound, not listening
void make_pair(int *a, int *b);               // per mode
void make_dgrams(int *a, int *b);             // per mode
int dgram_at(const char *ip);                 // a UDP socket here, bound to a fresh port
void expect_ring(int fd);                     // across a wire: the datagram that waits did not come by the kernel
void local_pair(int *a, int *b);
void local_pair6(int *a, int *b);
void nonblock(int fd);
const char *address_text(const void *address, socklen_t length, int port_hint); // ports as "same"/"other"/"0"
void set_linger(int fd, int on, int seconds);
long fill(int fd);                            // non-blocking sends until EAGAIN; total
long drain(int fd);                           // non-blocking reads until EAGAIN or EOF; total
int ep_add(int ep, int fd, uint32_t events, uint64_t data);
int ep_mod(int ep, int fd, uint32_t events, uint64_t data);
void expect_local(int fd);                    // a connection that the preload should have kept from the kernel
extern long connections, local_connections;   // how many were said to be, how many were

// ---- calls that take remote descriptors
int xsocket(int domain, int type);            // far: in the other process if there is one
int xbind(int fd, const char *ip, int port);
int xlisten(int fd, int length);
int xconnect(int fd, const char *ip, int port);
int xaccept(int fd);
long xsendto(int fd, const char *ip, int port, const void *data, size_t length);
long xsend(int fd, const void *data, size_t length, int flags);
long xrecv(int fd, void *data, size_t length, int flags);
int xshutdown(int fd, int how);
int xclose(int fd);
int xsetopt(int fd, int level, int name, int value);
long xgetopt(int fd, int level, int name);    // value, or -errno
int xlinger(int fd, int on, int seconds);
int xnonblock(int fd);
int xpoll(int fd, int events, int ms);        // revents
long xioctl(int fd, unsigned long request);   // value, or -1
int xport(int fd);
long xpump(int fd, long seed, long length);   // blocking: sends the pattern
long xsink(int fd, long seed, long length);   // blocking: receives to EOF or length; bytes that match, or -1
void xkill(int signal);                       // the other process
void xtake_down(void);                        // kills and reaps the other process

// ---- other threads: do something after ms milliseconds (works on remote descriptors)
void later_send(int ms, int fd, const char *text);
void later_close(int ms, int fd);
void later_shutdown(int ms, int fd, int how);
void later_recv(int ms, int fd, long length);
void later_pump(int ms, int fd, long seed, long length);
void later_sink(int ms, int fd, long seed, long length);
void later_signal(int ms, int signal);        // to the thread that calls this
void later_call(int ms, void (*call)(void *), void *argument);
long join_later(void);                        // waits for all; result of the last

// ---- processes
struct barrier {
    int to_child[2], to_parent[2];
};
struct barrier barrier_make(void);            // before fork
void barrier_tell_child(struct barrier *b);
void barrier_tell_parent(struct barrier *b);
void barrier_wait_child(struct barrier *b);   // in the parent
void barrier_wait_parent(struct barrier *b);  // in the child
pid_t spawn(void);                            // fork; the child dies with its parent
void reap(pid_t pid);                         // waits and says how it ended

// ---- signals
extern volatile sig_atomic_t caught[65];
void catch_signal(int signal, int flags);     // counts in caught[]
void alarm_in(int ms);                        // SIGALRM once

#endif
