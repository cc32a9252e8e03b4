// The other process of a case: it executes socket calls on request, over a pipe of AF_UNIX sockets. The same executor
// serves local descriptors, so that a case reads alike in every mode.
#include "oracle.h"
#include <sched.h>

enum op {
    OP_SOCKET, OP_BIND, OP_LISTEN, OP_CONNECT, OP_ACCEPT, OP_SEND, OP_RECV, OP_SHUTDOWN, OP_CLOSE, OP_SETOPT, OP_GETOPT,
    OP_LINGER, OP_NONBLOCK, OP_POLL, OP_IOCTL, OP_PORT, OP_PUMP, OP_SINK, OP_SENDTO
};
struct request {
    int op, fd;
    long arg[4];
    uint32_t length; // bytes of data that follow
};
struct reply {
    long result;
    int error, sigpipes;
    uint32_t length;
};

static int wire = -1;                // to the other process
static pid_t other;
static bool here_accepts;            // mode swap: the connecting end is remote
static pthread_mutex_t wire_lock = PTHREAD_MUTEX_INITIALIZER;

// ---- bulk patterns: every byte depends on its position, so that loss, repetition and order all show

static unsigned char pattern(long seed, long at) { return (unsigned char)((at * 2654435761u + seed * 40503u) >> 11); }

static long pump(int fd, long seed, long length)
{
    unsigned char block[16384];
    long done = 0;
    while (done < length) {
        long n = length - done < (long)sizeof block ? length - done : (long)sizeof block;
        for (long i = 0; i < n; i++) block[i] = pattern(seed, done + i);
        for (long sent = 0; sent < n; ) {
            long r = send(fd, block + sent, n - sent, MSG_NOSIGNAL);
            if (r < 0 && errno == EAGAIN) {
                struct pollfd wait = {fd, POLLOUT, 0};
                poll(&wait, 1, -1);
                continue;
            }
            if (r < 0 && errno == EINTR) continue;
            if (r < 0) return -1;
            sent += r;
        }
        done += n;
    }
    return done;
}

static long sink(int fd, long seed, long length)
{
    unsigned char block[20000];
    long done = 0;
    while (done < length) {
        long n = length - done < (long)sizeof block ? length - done : (long)sizeof block;
        long r = recv(fd, block, n, 0);
        if (r < 0 && errno == EAGAIN) {
            struct pollfd wait = {fd, POLLIN, 0};
            poll(&wait, 1, -1);
            continue;
        }
        if (r < 0 && errno == EINTR) continue;
        if (r < 0) return -1;
        if (r == 0) break;
        for (long i = 0; i < r; i++) {
            if (block[i] == pattern(seed, done + i)) continue;
            errno = EILSEQ;
            return -1;
        }
        done += r;
    }
    return done;
}

// ---- executor

static long address_call(enum op op, int fd, const char *ip, int port)
{
    struct sockaddr_in v4 = at4("127.0.0.1", port);
    struct sockaddr_in6 v6;
    struct sockaddr *address = SA(v4);
    socklen_t length = sizeof v4;
    if (strchr(ip, ':')) {
        v6 = at6(ip, port);
        address = SA(v6);
        length = sizeof v6;
    } else {
        v4 = at4(ip, port);
    }
    return op == OP_BIND ? bind(fd, address, length) : connect(fd, address, length);
}

static long execute(const struct request *q, const char *data, char *out, uint32_t *out_length)
{
    int fd = q->fd & ~REMOTE;
    switch ((enum op)q->op) {
    case OP_SOCKET: return socket((int)q->arg[0], (int)q->arg[1], 0);
    case OP_BIND:
    case OP_CONNECT: return address_call(q->op, fd, data, (int)q->arg[0]);
    case OP_LISTEN: return listen(fd, (int)q->arg[0]);
    case OP_ACCEPT: return accept(fd, NULL, NULL);
    case OP_SEND: return send(fd, data, q->length, (int)q->arg[0]);
    case OP_SENDTO: {
        // The destination stands before the bytes.
        struct sockaddr_in to;
        memcpy(&to, data, sizeof to);
        return sendto(fd, data + sizeof to, q->length - sizeof to, (int)q->arg[0], SA(to), sizeof to);
    }
    case OP_RECV: {
        long r = recv(fd, out, q->arg[0], (int)q->arg[1]);
        *out_length = r > 0 && r <= q->arg[0] ? r : 0;
        return r;
    }
    case OP_SHUTDOWN: return shutdown(fd, (int)q->arg[0]);
    case OP_CLOSE: return close(fd);
    case OP_SETOPT: {
        int value = (int)q->arg[2];
        return setsockopt(fd, (int)q->arg[0], (int)q->arg[1], &value, sizeof value);
    }
    case OP_GETOPT: {
        int value = 0;
        socklen_t length = sizeof value;
        if (getsockopt(fd, (int)q->arg[0], (int)q->arg[1], &value, &length)) return -errno;
        return value;
    }
    case OP_LINGER: {
        struct linger linger = {(int)q->arg[0], (int)q->arg[1]};
        return setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    }
    case OP_NONBLOCK: return fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    case OP_POLL: {
        struct pollfd entry = {fd, (short)q->arg[0], 0};
        int r = poll(&entry, 1, (int)q->arg[1]);
        return r < 0 ? -errno : entry.revents;
    }
    case OP_IOCTL: {
        int value = 0;
        if (ioctl(fd, q->arg[0], &value)) return -1;
        return value;
    }
    case OP_PORT: return port_of(fd);
    case OP_PUMP: return pump(fd, q->arg[0], q->arg[1]);
    case OP_SINK: return sink(fd, q->arg[0], q->arg[1]);
    }
    return -1;
}

// ---- the wire

static bool move(bool out, void *data, size_t length)
{
    for (size_t done = 0; done < length; ) {
        char *at = (char *)data + done;
        ssize_t r = out ? write(wire, at, length - done) : read(wire, at, length - done);
        if (r < 0 && errno == EINTR) continue;
        if (r <= 0) return false;
        done += r;
    }
    return true;
}

static void serve(void)
{
    static char in[1 << 17], out[1 << 17];
    struct request q;
    while (move(false, &q, sizeof q) && q.length <= sizeof in && move(false, in, q.length)) {
        struct reply reply = {0};
        int before = sigpipes;
        errno = 0;
        reply.result = execute(&q, in, out, &reply.length);
        reply.error = errno;
        reply.sigpipes = sigpipes - before;
        if (!move(true, &reply, sizeof reply) || !move(true, out, reply.length)) break;
    }
    _exit(0);
}

// "oracle serve FD": the other process of the plain modes.
void remote_serve(int fd)
{
    wire = fd;
    serve();
}

static void serve_plain(void)
{
    char number[16];
    snprintf(number, sizeof number, "%d", wire);
    fcntl(wire, F_SETFD, 0);
    unsetenv("LD_PRELOAD");
    execl("/proc/self/exe", "oracle", "serve", number, (char *)NULL);
    _exit(3);
}

// To the other host: ORACLE_THERE is its network namespace.
static void move_away(void)
{
    const char *there = getenv("ORACLE_THERE");
    int fd = there ? open(there, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0 || setns(fd, CLONE_NEWNET)) _exit(3);
}

void remote_start(const char *mode)
{
    bool nic = !strncmp(mode, "nic-", 4), plain = nic || !strncmp(mode, "plain-", 6);
    here_accepts = !strcmp(mode + strlen(mode) - 4, "swap");
    if (!strcmp(mode, "same")) return;
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)) _exit(3);
    other = spawn();
    wire = ends[other == 0];
    close(ends[other != 0]);
    if (other == 0 && nic) move_away();
    if (other == 0 && plain) serve_plain();
    if (other == 0) serve();
}

void remote_stop(void)
{
    if (other <= 0) return;
    close(wire);
    waitpid(other, NULL, 0);
    other = 0;
}

void xkill(int signal) { kill(other, signal); }

void xtake_down(void)
{
    kill(other, SIGKILL);
    waitpid(other, NULL, 0);
    other = 0;
}

static long run(struct request q, const void *data, void *out)
{
    uint32_t unused;
    if (!(q.fd & REMOTE)) return execute(&q, data, out, &unused);
    struct reply reply;
    pthread_mutex_lock(&wire_lock);
    bool ok = move(true, &q, sizeof q) && move(true, (void *)data, q.length) && move(false, &reply, sizeof reply)
        && move(false, out, reply.length);
    pthread_mutex_unlock(&wire_lock);
    if (!ok) {
        say("the other process is gone");
        _exit(4);
    }
    sigpipes += reply.sigpipes;
    errno = reply.error;
    return reply.result;
}

#define RUN(...) run((struct request){__VA_ARGS__}, NULL, NULL)

static int far_fd(long fd) { return (int)(fd < 0 ? fd : other > 0 ? fd | REMOTE : fd); }

int xsocket(int domain, int type) { return far_fd(RUN(OP_SOCKET, other > 0 ? REMOTE : 0, {domain, type})); }
int xbind(int fd, const char *ip, int port)
{
    return (int)run((struct request){OP_BIND, fd, {port}, (uint32_t)strlen(ip) + 1}, ip, NULL);
}
int xconnect(int fd, const char *ip, int port)
{
    return (int)run((struct request){OP_CONNECT, fd, {port}, (uint32_t)strlen(ip) + 1}, ip, NULL);
}
int xlisten(int fd, int length) { return (int)RUN(OP_LISTEN, fd, {length}); }
int xaccept(int fd) { long r = RUN(OP_ACCEPT, fd); return (int)(r < 0 ? r : r | (fd & REMOTE)); }
long xsend(int fd, const void *data, size_t length, int flags)
{
    return run((struct request){OP_SEND, fd, {flags}, (uint32_t)length}, data, NULL);
}
long xsendto(int fd, const char *ip, int port, const void *data, size_t length)
{
    static char out[1 << 17];
    struct sockaddr_in to = at4(ip, port);
    memcpy(out, &to, sizeof to);
    memcpy(out + sizeof to, data, length);
    return run((struct request){OP_SENDTO, fd, {0}, (uint32_t)(length + sizeof to)}, out, NULL);
}
long xrecv(int fd, void *data, size_t length, int flags)
{
    return run((struct request){OP_RECV, fd, {(long)length, flags}, 0}, NULL, data);
}
int xshutdown(int fd, int how) { return (int)RUN(OP_SHUTDOWN, fd, {how}); }
int xclose(int fd) { return (int)RUN(OP_CLOSE, fd); }
int xsetopt(int fd, int level, int name, int value) { return (int)RUN(OP_SETOPT, fd, {level, name, value}); }
long xgetopt(int fd, int level, int name) { return RUN(OP_GETOPT, fd, {level, name}); }
int xlinger(int fd, int on, int seconds) { return (int)RUN(OP_LINGER, fd, {on, seconds}); }
int xnonblock(int fd) { return (int)RUN(OP_NONBLOCK, fd); }
int xpoll(int fd, int events, int ms) { return (int)RUN(OP_POLL, fd, {events, ms}); }
long xioctl(int fd, unsigned long request) { return RUN(OP_IOCTL, fd, {(long)request}); }
int xport(int fd) { return (int)RUN(OP_PORT, fd); }
long xpump(int fd, long seed, long length) { return RUN(OP_PUMP, fd, {seed, length}); }
long xsink(int fd, long seed, long length) { return RUN(OP_SINK, fd, {seed, length}); }

void make_pair(int *a, int *b)
{
    if (other <= 0) {
        local_pair(a, b);
        return;
    }
    int listening = here_accepts ? listener() : xsocket(AF_INET, SOCK_STREAM);
    if (!here_accepts && (xbind(listening, far_ip, 0) || xlisten(listening, 8))) say("no remote listener");
    int connecting = here_accepts ? xsocket(AF_INET, SOCK_STREAM) : socket(AF_INET, SOCK_STREAM, 0);
    if (xconnect(connecting, here_accepts ? near_ip : far_ip, xport(listening)))
        say("pair: connect: %s", errno_name(errno));
    int accepted = xaccept(listening);
    if (accepted < 0) say("pair: accept: %s", errno_name(errno));
    xclose(listening);
    *a = here_accepts ? accepted : connecting;
    *b = here_accepts ? connecting : accepted;
    expect_local(*a);
    settle();
}

void make_dgrams(int *a, int *b)
{
    *a = dgram_at(near_ip);
    *b = xsocket(AF_INET, SOCK_DGRAM);
    if (xbind(*b, far_ip, 0)) say("dgrams: bind: %s", errno_name(errno));
}

// ---- other threads

struct later {
    pthread_t thread, target;
    int ms, signal;
    struct request request;
    char data[256];
    void (*call)(void *);
    void *argument;
    long result;
};
static struct later laters[32];
static int later_count;

static void *later_main(void *argument)
{
    struct later *l = argument;
    char out[4096];
    nap(l->ms);
    if (l->signal) l->result = pthread_kill(l->target, l->signal);
    else if (l->call) l->call(l->argument);
    else l->result = run(l->request, l->data, out);
    return NULL;
}

static struct later *later(int ms)
{
    struct later *l = &laters[later_count++];
    memset(l, 0, sizeof *l);
    l->ms = ms;
    l->target = pthread_self();
    return l;
}

static void later_start(struct later *l)
{
    // The signals of a case are for its main thread.
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    if (pthread_create(&l->thread, NULL, later_main, l)) _exit(3);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void later_run(int ms, struct request request, const char *data)
{
    struct later *l = later(ms);
    l->request = request;
    if (data) memcpy(l->data, data, request.length);
    later_start(l);
}

void later_send(int ms, int fd, const char *text)
{
    later_run(ms, (struct request){OP_SEND, fd, {MSG_NOSIGNAL}, (uint32_t)strlen(text)}, text);
}
void later_close(int ms, int fd) { later_run(ms, (struct request){OP_CLOSE, fd, {0}, 0}, NULL); }
void later_shutdown(int ms, int fd, int how) { later_run(ms, (struct request){OP_SHUTDOWN, fd, {how}, 0}, NULL); }
void later_recv(int ms, int fd, long length) { later_run(ms, (struct request){OP_RECV, fd, {length, 0}, 0}, NULL); }
void later_pump(int ms, int fd, long seed, long length)
{
    later_run(ms, (struct request){OP_PUMP, fd, {seed, length}, 0}, NULL);
}
void later_sink(int ms, int fd, long seed, long length)
{
    later_run(ms, (struct request){OP_SINK, fd, {seed, length}, 0}, NULL);
}
void later_signal(int ms, int signal)
{
    struct later *l = later(ms);
    l->signal = signal;
    later_start(l);
}
void later_call(int ms, void (*call)(void *), void *argument)
{
    struct later *l = later(ms);
    l->call = call;
    l->argument = argument;
    later_start(l);
}

long join_later(void)
{
    long result = 0;
    for (int i = 0; i < later_count; i++) {
        pthread_join(laters[i].thread, NULL);
        result = laters[i].result;
    }
    later_count = 0;
    return result;
}

// ---- processes

pid_t spawn(void)
{
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) _exit(0);
    }
    return pid;
}

void reap(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) { }
    if (WIFSIGNALED(status)) say("child killed by %s", sigabbrev_np(WTERMSIG(status)));
    else say("child ended with %d", WEXITSTATUS(status));
}

struct barrier barrier_make(void)
{
    struct barrier b;
    if (pipe(b.to_child) || pipe(b.to_parent)) _exit(3);
    return b;
}

static void tell(int fd) { if (write(fd, "", 1) != 1) _exit(3); }

static void wait_for(int fd)
{
    char byte;
    while (read(fd, &byte, 1) < 0 && errno == EINTR) { }
}

void barrier_tell_child(struct barrier *b) { tell(b->to_child[1]); }
void barrier_tell_parent(struct barrier *b) { tell(b->to_parent[1]); }
void barrier_wait_child(struct barrier *b) { wait_for(b->to_parent[0]); }
void barrier_wait_parent(struct barrier *b) { wait_for(b->to_child[0]); }
