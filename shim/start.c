/* The lazy start of the managed runtime, the threads' and the process's shared structures, and eligible sockets that
 * have not done anything yet. */
#include "shim.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

__thread struct shim_thread shim_self;

static long raw_call(long nr, long a, long b, long c, long d, long e, long f) { return shim_raw(nr, a, b, c, d, e, f); }

static uint64_t read_ticks(void) { return __builtin_ia32_rdtsc(); }

/* Not by RDTSCP: a virtual machine may be without, and then the instruction finds the host's number, or is none. Where
 * libc has a restartable sequence this is a load. */
static uint32_t read_cpu(void)
{
    int cpu = sched_getcpu();
    return cpu < 0 ? 0 : (uint32_t)cpu;
}

struct accel_process accel_process = {
    .syscall = raw_call, .ticks = read_ticks, .cpu = read_cpu, .start_progress = shim_start_progress
};
uint64_t shim_pending[SHIM_PENDING_LIMIT / 64];
static unsigned pending_words; /* words of it that were ever used */

enum { IDLE, STARTING, STARTED, REFUSED };
static uint32_t state = IDLE; /* a futex: those who wait for the start sleep on it */
static pthread_key_t thread_key;

bool shim_started(void) { return __atomic_load_n(&state, __ATOMIC_ACQUIRE) == STARTED; }

/* Without libc's getenv: a program may have its own. */
const char *shim_getenv(const char *name)
{
    size_t length = __builtin_strlen(name);
    if (environ == NULL) return NULL;
    for (char **e = environ; *e != NULL; e++)
        if (__builtin_strncmp(*e, name, length) == 0 && (*e)[length] == '=') return *e + length + 1;
    return NULL;
}

/* ACCEL_LOG=FILE: a line for each rare event. Opened for each line, so that no descriptor is in anyone's way. */
void shim_log(const char *format, ...)
{
    const char *path = shim_getenv("ACCEL_LOG");
    if (path == NULL || *path == 0) return;
    char line[256];
    va_list args;
    va_start(args, format);
    int n = snprintf(line, sizeof line, "%ld.%ld shim: ", RAW(SYS_getpid, 0), RAW(SYS_gettid, 0));
    n += vsnprintf(line + n, sizeof line - (size_t)n - 1, format, args);
    va_end(args);
    if (n > (int)sizeof line - 2) n = sizeof line - 2;
    line[n++] = '\n';
    long fd = RAW(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) return;
    RAW(SYS_write, fd, line, n);
    RAW(SYS_close, fd);
}

/* --- the start ------------------------------------------------------------------------------------------------ */

static void futex_wake_all(uint32_t *word) { RAW(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX); }

void shim_wait_for_start(void)
{
    while (__atomic_load_n(&state, __ATOMIC_ACQUIRE) == STARTING)
        RAW(SYS_futex, &state, FUTEX_WAIT_PRIVATE, STARTING, NULL);
}

static bool disabled(void)
{
    const char *value = shim_getenv("ACCEL_DISABLE");
    if (value != NULL && *value != 0) return !(value[0] == '0' && value[1] == 0);
    bool locked_up = shim_is_locked_up();
    if (locked_up) shim_log("left alone: its sessions lock themselves in with seccomp");
    return locked_up;
}

/* The runtime aborts the process when it cannot have the addresses that it begins with. */
enum { ADDRESSES_FOR_RUNTIME = 128 << 20 };

static bool has_addresses(void)
{
    uint64_t limit[2];
    if (RAW(SYS_prlimit64, 0, RLIMIT_AS, NULL, limit) < 0 || limit[0] == RLIM_INFINITY) return true;
    char text[64];
    uint64_t pages = 0;
    long fd = RAW(SYS_openat, AT_FDCWD, "/proc/self/statm", O_RDONLY | O_CLOEXEC);
    long length = fd < 0 ? -1 : RAW(SYS_read, fd, text, sizeof text);
    if (fd >= 0) RAW(SYS_close, fd);
    for (long i = 0; i < length && text[i] >= '0' && text[i] <= '9'; i++)
        pages = pages * 10 + (uint64_t)(text[i] - '0');
    return limit[0] >= pages * 4096 + ADDRESSES_FOR_RUNTIME;
}

static long run_start(struct shim_thread *s)
{
    uint64_t mask = shim_block_signals();
    shim_keep_dispositions();
    s->t.tid = (int32_t)RAW(SYS_gettid, 0);
    s->t.inside++;
    BARRIER();
    long r = accel_start(&accel_process, (const char *const *)environ);
    BARRIER();
    s->t.inside--;
    shim_put_back_dispositions();
    if (r == 0) pthread_key_create(&thread_key, shim_release_scratch);
    if (accel_process.inherited == 0) accel_process.adopted = 1;
    shim_remember_library();
    shim_restore_mask(mask);
    return r;
}

/* True: the runtime is there. Not in a vfork child, whose memory is its parent's, and not from inside the start. */
bool shim_start(void)
{
    uint32_t seen = __atomic_load_n(&state, __ATOMIC_ACQUIRE);
    if (likely(seen == STARTED)) return true;
    if (seen == REFUSED || shim_self.t.inside != 0) return false;
    int32_t pid = (int32_t)RAW(SYS_getpid, 0);
    if (accel_process.pid == 0) accel_process.pid = pid;
    if (accel_process.pid != pid) return false;

    uint32_t idle = IDLE;
    if (!__atomic_compare_exchange_n(&state, &idle, STARTING, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        shim_wait_for_start();
        return shim_started();
    }
    int saved = errno;
    long r = has_addresses() ? run_start(&shim_self) : -ENOMEM;
    shim_log("start: %ld, %u descriptors from %u", r, accel_process.fd_limit, accel_process.internal_min);
    __atomic_store_n(&state, r == 0 ? STARTED : REFUSED, __ATOMIC_RELEASE);
    futex_wake_all(&state);
    errno = saved;
    return r == 0;
}

enum { NOBODY, SOMEBODY };
static uint32_t adopting, registering;

/* In a fork child there is nobody who would finish what another thread was at. A runtime half started stays so. */
void shim_start_in_child(void)
{
    adopting = registering = NOBODY;
    if (state == STARTING) state = REFUSED;
}

/* Nor does one that has none ever start. */
void shim_never_start(void) { state = REFUSED; }

/* A fork child, or an image that came by exec(), adopts what it inherited when it first enters managed code. */
static void adopt(struct shim_thread *s)
{
    while (__atomic_exchange_n(&adopting, SOMEBODY, __ATOMIC_ACQUIRE) != NOBODY) sched_yield();
    if (accel_process.adopted == 0) {
        s->t.inside++;
        BARRIER();
        long r = accel_adopt(&s->t);
        BARRIER();
        s->t.inside--;
        accel_process.adopted = 1;
        shim_log("adopt: %ld, slot %u", r, accel_process.slot);
    }
    __atomic_store_n(&adopting, NOBODY, __ATOMIC_RELEASE);
}

void shim_prepare_thread(struct shim_thread *s)
{
    int saved = errno;
    if (s->t.tid == 0) s->t.tid = (int32_t)RAW(SYS_gettid, 0);
    if (!__atomic_load_n(&accel_process.adopted, __ATOMIC_ACQUIRE)) adopt(s);
    pthread_setspecific(thread_key, s);
    s->ready = 1;
    errno = saved;
}

__attribute__((constructor)) static void loaded(void)
{
    if (accel_process.pid == 0) accel_process.pid = (int32_t)RAW(SYS_getpid, 0);
    pthread_atfork(NULL, NULL, shim_fork_child);
}

__attribute__((destructor)) static void unloaded(void) { shim_exit(); }

/* --- sockets that are nothing yet ------------------------------------------------------------------------------ */

/* A UDP socket is only ever ours if acceld serves this network namespace. Looked for at most once a second, without
 * the runtime, which such a socket alone must not start in vain. */
static bool is_served(void)
{
    static int64_t looked;
    static bool served;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec + 1 == __atomic_load_n(&looked, __ATOMIC_RELAXED)) return __atomic_load_n(&served, __ATOMIC_RELAXED);
    const char *nic = shim_getenv("ACCEL_NIC");
    struct stat namespace;
    char path[64];
    bool found = false;
    if ((nic == NULL || nic[0] != '0') && RAW(SYS_access, "/run/accel", F_OK) == 0 &&
        RAW(SYS_stat, "/proc/self/ns/net", &namespace) == 0) {
        snprintf(path, sizeof path, "/run/accel/%llu.sock", (unsigned long long)namespace.st_ino);
        found = RAW(SYS_access, path, F_OK) == 0;
    }
    __atomic_store_n(&served, found, __ATOMIC_RELAXED);
    __atomic_store_n(&looked, now.tv_sec + 1, __ATOMIC_RELAXED);
    return found;
}

bool shim_eligible(int domain, int type, int protocol)
{
    if (domain != AF_INET && domain != AF_INET6) return false;
    int kind = type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (kind != SOCK_STREAM && kind != SOCK_DGRAM) return false;
    if (protocol != 0 && protocol != (kind == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP)) return false;
    if (unlikely(__atomic_load_n(&shim_ringed, __ATOMIC_RELAXED))) return false;
    if (kind == SOCK_DGRAM && !is_served()) return false;
    uint32_t now = __atomic_load_n(&state, __ATOMIC_RELAXED);
    if (now == IDLE && disabled()) {
        __atomic_compare_exchange_n(&state, &now, REFUSED, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
        return false;
    }
    return now != REFUSED;
}

void shim_pending_add(int fd)
{
    if ((unsigned)fd >= SHIM_PENDING_LIMIT) return;
    unsigned words = (unsigned)fd / 64 + 1;
    if (words > __atomic_load_n(&pending_words, __ATOMIC_RELAXED))
        __atomic_store_n(&pending_words, words, __ATOMIC_RELAXED);
    __atomic_fetch_or(&shim_pending[fd / 64], 1ull << (fd % 64), __ATOMIC_RELAXED);
}

void shim_pending_drop_slow(int fd)
{
    __atomic_fetch_and(&shim_pending[fd / 64], ~(1ull << (fd % 64)), __ATOMIC_RELAXED);
}

/* In a fork child: the parent may bind or connect such a socket, and then it must be the kernel's in the child. */
void shim_pending_forget_all(void)
{
    for (unsigned i = 0; i < pending_words; i++) shim_pending[i] = 0;
}

static bool kernel_option(int fd, int level, int name, int *value)
{
    socklen_t length = sizeof *value;
    return RAW(SYS_getsockopt, fd, level, name, value, &length) == 0;
}

/* No name yet. */
static bool is_unbound(int fd)
{
    struct sockaddr_in6 name;
    socklen_t length = sizeof name;
    return RAW(SYS_getsockname, fd, &name, &length) == 0 && name.sin6_port == 0;
}

/* The hint is true only for a TCP or UDP socket on which nothing happened. */
static bool still_fresh(int fd, int *domain, int *protocol)
{
    uint8_t tcp_state = 0;
    socklen_t length = sizeof tcp_state;
    if (!kernel_option(fd, SOL_SOCKET, SO_PROTOCOL, protocol) || !kernel_option(fd, SOL_SOCKET, SO_DOMAIN, domain))
        return false;
    if (*protocol == IPPROTO_UDP) return is_unbound(fd);
    return *protocol == IPPROTO_TCP &&
           RAW(SYS_getsockopt, fd, IPPROTO_TCP, TCP_INFO, &tcp_state, &length) == 0 && tcp_state == TCP_CLOSE;
}

static bool register_pending(struct shim_thread *s, int fd)
{
    int domain, protocol;
    if (shim_entry(fd) != 0 || !still_fresh(fd, &domain, &protocol) || !shim_start()) return false;
    long flags = RAW(SYS_fcntl, fd, F_GETFL);
    int type = protocol == IPPROTO_TCP ? SOCK_STREAM : SOCK_DGRAM;
    if (flags > 0 && (flags & O_NONBLOCK)) type |= SOCK_NONBLOCK;
    long r = MANAGED(s, accel_socket(&s->t, fd, domain, type, protocol));
    if (r < 0) shim_log("socket %d stays on the kernel: %ld", fd, r);
    return r >= 0;
}

/* The socket becomes ours now, if it can. Starts the runtime, which takes a while: until the socket has its entry it
 * stays pending, so that another thread's call waits here and does not go to sleep in the kernel. */
bool shim_pending_register(int fd)
{
    static __thread bool is_at_it; /* a signal's handler must not wait for what it interrupts */
    struct shim_thread *s = &shim_self;
    int saved = errno;
    if (s->t.inside != 0 || is_at_it || (accel_process.pid != 0 && accel_process.pid != RAW(SYS_getpid, 0)))
        return false;
    is_at_it = true;
    while (__atomic_exchange_n(&registering, SOMEBODY, __ATOMIC_ACQUIRE) != NOBODY) {
        struct timespec moment = { .tv_nsec = 100000 };
        RAW(SYS_nanosleep, &moment, NULL);
    }
    bool ours = shim_is_pending(fd) ? register_pending(s, fd) : shim_entry(fd) != 0;
    shim_pending_drop(fd);
    __atomic_store_n(&registering, NOBODY, __ATOMIC_RELEASE);
    is_at_it = false;
    errno = saved;
    return ours;
}

/* A datagram may be the first that a socket does; a stream that sends without a connection stays as it is. */
void shim_pending_register_datagram(int fd)
{
    int protocol;
    if (kernel_option(fd, SOL_SOCKET, SO_PROTOCOL, &protocol) && protocol == IPPROTO_UDP) shim_pending_register(fd);
}
