// The oracle's main program: list of cases, `list`, `run NAME [MODE]`, and the transcript.
#include "oracle.h"

char bytes[1 << 17];
long connections, local_connections;
volatile sig_atomic_t sigpipes;
volatile sig_atomic_t caught[65];

static struct oracle_case *first, **last = &first;

void remote_start(const char *mode);
void remote_stop(void);
void remote_serve(int fd);

void oracle_register(struct oracle_case *c)
{
    *last = c;
    last = &c->next;
}

// ---- transcript

void say(const char *format, ...)
{
    static __thread char line[4096];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    if (length > (int)sizeof line - 2) length = sizeof line - 2;
    line[length++] = '\n';
    // One write a line: what several processes say does not mix, and a crash loses nothing.
    if (write(1, line, length) != length) _exit(3);
}

void say_result(const char *text, long result, int error, int raised)
{
    const char *signal = raised == 0 ? "" : raised == 1 ? " +SIGPIPE" : " +SIGPIPE several times";
    if (result < 0)
        say("%s = %s%s", text, errno_name(error), signal);
    else
        say("%s = %ld%s", text, result, signal);
}

void say_fd(const char *text, long result, int error)
{
    say("%s = %s", text, result < 0 ? errno_name(error) : "ok");
}

void say_data(const char *text, long result, int error, const void *data)
{
    if (result < 0)
        say("%s = %s", text, errno_name(error));
    else
        say("%s = %ld %s", text, result, data_text(data, result));
}

const char *errno_name(int error)
{
    if (error == 0) return "0";
    const char *name = strerrorname_np(error < 0 ? -error : error);
    return name ? name : "unknown errno";
}

const char *data_text(const void *data, long length)
{
    static __thread char text[512];
    const unsigned char *p = data;
    if (length > 100) {
        uint64_t sum = 14695981039346656037u;
        for (long i = 0; i < length; i++) sum = (sum ^ p[i]) * 1099511628211u;
        snprintf(text, sizeof text, "sum %016llx", (unsigned long long)sum);
        return text;
    }
    char *out = text;
    *out++ = '"';
    for (long i = 0; i < length; i++) {
        if (p[i] >= ' ' && p[i] < 127) *out++ = (char)p[i];
        else out += sprintf(out, "\\%02x", p[i]);
    }
    *out++ = '"';
    *out = 0;
    return text;
}

static const char *mask_text(uint32_t mask, bool epoll)
{
    static __thread char text[4][200];
    static __thread int turn;
    static const struct { uint32_t bit; const char *name; } names[] = {
        {POLLIN, "IN"}, {POLLPRI, "PRI"}, {POLLOUT, "OUT"}, {POLLERR, "ERR"}, {POLLHUP, "HUP"}, {POLLNVAL, "NVAL"},
        {POLLRDNORM, "RDNORM"}, {POLLRDBAND, "RDBAND"}, {POLLWRNORM, "WRNORM"}, {POLLWRBAND, "WRBAND"},
        {POLLRDHUP, "RDHUP"}};
    char *out = text[turn = (turn + 1) % 4], *start = out;
    *out = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!(mask & names[i].bit)) continue;
        out += sprintf(out, "%s%s", out == start ? "" : "|", names[i].name);
        mask &= ~names[i].bit;
    }
    if (mask) out += sprintf(out, "|0x%x", mask);
    if (out == start) strcpy(start, epoll ? "0" : "none");
    return start;
}

const char *poll_text(int mask) { return mask < 0 ? errno_name(mask) : mask_text((uint32_t)mask, false); }
const char *epoll_text(uint32_t mask) { return mask_text(mask, true); }

int say_epoll(const char *text, int ep, int max, int ms)
{
    struct epoll_event events[64];
    char line[2048];
    memset(events, 0, sizeof events);
    int count = epoll_wait(ep, events, max, ms);
    if (count < 0) {
        say("%s = %s", text, errno_name(errno));
        return count;
    }
    int length = snprintf(line, sizeof line, "%s = %d", text, count);
    for (int i = 0; i < count; i++)
        length += snprintf(line + length, sizeof line - length, " [%llu %s]", (unsigned long long)events[i].data.u64,
            epoll_text(events[i].events));
    say("%s", line);
    return count;
}

void nap(int ms)
{
    struct timespec rest = {ms / 1000, ms % 1000 * 1000000L};
    while (nanosleep(&rest, &rest) && errno == EINTR) { }
}

// Packets on the kernel's loopback are usually delivered inside the sender's call, but may be left to another thread
// of the kernel when that CPU is busy.
void settle(void)
{
    static long us = -1;
    if (us < 0) us = getenv("ORACLE_SETTLE_US") ? atol(getenv("ORACLE_SETTLE_US")) : 1000;
    struct timespec rest = {0, us * 1000};
    while (nanosleep(&rest, &rest) && errno == EINTR) { }
}

int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

const char *took_text(int64_t took, int64_t expected)
{
    if (expected == 0) return took < 1500 ? "at once" : "LATE";
    return took < expected - expected / 10 - 2 ? "EARLY" : took > expected + 1500 ? "LATE" : "after the time given";
}

// ---- signals

static void count_sigpipe(int signal) { (void)signal; sigpipes++; }
static void count_signal(int signal) { caught[signal]++; }

void catch_signal(int signal, int flags)
{
    struct sigaction action = {.sa_handler = count_signal, .sa_flags = flags};
    sigaction(signal, &action, NULL);
}

void alarm_in(int ms)
{
    struct itimerval timer = {.it_value = {ms / 1000, ms % 1000 * 1000}};
    setitimer(ITIMER_REAL, &timer, NULL);
}

static void catch_sigpipe(void)
{
    struct sigaction action = {.sa_handler = count_sigpipe, .sa_flags = SA_RESTART};
    sigaction(SIGPIPE, &action, NULL);
}

// SIGKILL, not SIGALRM: cases use SIGALRM themselves, and nothing can defer this one.
static void watchdog(int seconds)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};
    struct itimerspec time = {.it_value = {seconds, 0}};
    timer_t timer;
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) || timer_settime(timer, 0, &time, NULL)) _exit(3);
}

// ---- main

static int modes_from_text(const char *text)
{
    if (!strncmp(text, "plain-", 6)) return modes_from_text(text + 6) & ~MODE_SAME;
    if (!strncmp(text, "nic-", 4)) return MODE_NIC;
    return !strcmp(text, "same") ? MODE_SAME : !strcmp(text, "peer") ? MODE_PEER
        : !strcmp(text, "swap") ? MODE_SWAP : 0;
}

static void list(void)
{
    for (struct oracle_case *c = first; c; c = c->next) {
        const char *file = strrchr(c->file, '/');
        const char *same = c->modes & MODE_SAME ? "same " : "", *peer = c->modes & MODE_PEER ? "peer " : "";
        const char *swap = c->modes & MODE_SWAP ? "swap " : "";
        const char *nic_peer = c->modes & MODE_NIC ? "nic-peer " : "";
        const char *nic_swap = (c->modes & MODE_NIC) && c->pair ? "nic-swap " : "";
        printf("%s\t%s%s%s%s%s\t%s\t%s\n", c->name, same, peer, swap, nic_peer, nic_swap, file ? file + 1 : c->file,
            c->what);
    }
}

// For the runner: under the preload a case that agrees proves nothing if its connections were the kernel's.
static void write_path_info(void)
{
    const char *file = getenv("ORACLE_PATHINFO");
    FILE *out = file ? fopen(file, "w") : NULL;
    if (!out) return;
    fprintf(out, "%ld %ld\n", connections, local_connections);
    fclose(out);
}

// On which addresses the ends are.
static void places(void)
{
    if (getenv("ORACLE_NEAR")) near_ip = getenv("ORACLE_NEAR");
    if (getenv("ORACLE_FAR")) far_ip = getenv("ORACLE_FAR");
    if (getenv("ORACLE_NEAR6")) near_ip6 = getenv("ORACLE_NEAR6");
    if (getenv("ORACLE_FAR6")) far_ip6 = getenv("ORACLE_FAR6");
}

static int run(const char *name, const char *mode)
{
    for (struct oracle_case *c = first; c; c = c->next) {
        if (strcmp(c->name, name)) continue;
        if (!(c->modes & modes_from_text(mode))) {
            fprintf(stderr, "case %s does not run in mode %s\n", name, mode);
            return 2;
        }
        catch_sigpipe();
        watchdog(10);
        places();
        remote_start(mode);
        if (c->pair) {
            int a, b;
            make_pair(&a, &b);
            c->pair(a, b);
        } else if (c->dgram) {
            int a, b;
            make_dgrams(&a, &b);
            c->dgram(a, b);
        } else {
            c->alone();
        }
        remote_stop();
        write_path_info();
        say("end");
        return 0;
    }
    fprintf(stderr, "no case %s (see: oracle list)\n", name);
    return 2;
}

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "list")) {
        list();
        return 0;
    }
    if (argc == 3 && !strcmp(argv[1], "serve")) {
        catch_sigpipe();
        remote_serve(atoi(argv[2]));
    }
    if (argc >= 3 && !strcmp(argv[1], "play")) {
        catch_sigpipe();
        return oracle_play(argv[2]);
    }
    if (argc >= 3 && !strcmp(argv[1], "run")) return run(argv[2], argc > 3 ? argv[3] : "same");
    fprintf(stderr, "usage: oracle list | oracle run NAME [same|[plain-|nic-]peer|[plain-|nic-]swap]\n");
    return 2;
}
