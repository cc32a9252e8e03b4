/* Goodput of the kernel's own TCP over a path that a program emulates: the reference for the golden table.
 *
 *   kernel_path --rtt-ms N [--loss P] [--rate BITS] [--seconds N] [--seed N] [--congestion NAME]
 *
 * Two network namespaces that end with the process, a TUN device in each, a socket in each, and between the devices the
 * path that tests/Accel.Testing/Simulation/SimulatedLink.cs makes in virtual time: a line of so many bits a second, a
 * queue of one bandwidth-delay product (32 segments at least) in front of it, loss by chance behind the queue, half of
 * the round trip as delay; back the same without loss or limit. A TUN device carries single packets: no offload is in
 * play. Everything happens in one loop of one thread. Prints
 *
 *   goodput in Mbit/s, packets lost, packets dropped by the queue, delivery's lateness in us (of 99 in 100 packets)
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PACKET_MAX = 1500, HELD_MAX = 1 << 15, ETHERNET = 14, SEGMENT = 1514, LEAST_SEGMENTS = 32, PORT = 7000 };
enum { LATE_STEPS = 10000, LATE_STEP_NS = 10000, CHUNK = 1 << 18 };
enum { IPV4 = 4, IPV4_VERSION_SHIFT = 4, SEED_MIX = 7919, WARM = 16 };
#define SECOND 1000000000ll
#define MILLISECOND 1000000ll

struct held {
    int64_t due;
    int length;
    uint8_t bytes[PACKET_MAX];
};

struct line {
    int from, to;
    int64_t delay, free_at, queue_bytes;
    double loss;
    unsigned first, count;
    struct held *held;
};

static struct {
    double loss;
    int64_t rtt_ms, rate, seconds;
    uint64_t seed;
    const char *congestion;
} options = { .rtt_ms = 10, .rate = 50000000, .seconds = 4, .seed = 1, .congestion = "cubic" };
static uint64_t lost, dropped, delivered, late[LATE_STEPS];

static void fail(const char *what)
{
    fprintf(stderr, "kernel_path: %s: %s\n", what, strerror(errno));
    exit(2);
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * SECOND + t.tv_nsec;
}

static double chance(void)
{
    options.seed ^= options.seed << 13;
    options.seed ^= options.seed >> 7;
    options.seed ^= options.seed << 17;
    return (double)(options.seed >> 11) / 9007199254740992.0;
}

static void set(const char *name, const char *value)
{
    char path[128];
    snprintf(path, sizeof path, "/proc/sys/net/%s", name);
    int fd = open(path, O_WRONLY);
    if (fd < 0 || write(fd, value, strlen(value)) < 0) fail(path);
    close(fd);
}

/* A namespace of our own with one device; what this thread opens afterwards belongs to it. */
static int open_end(const char *address)
{
    if (unshare(CLONE_NEWNET) < 0) fail("a network namespace (needs root)");
    set("ipv6/conf/default/disable_ipv6", "1");
    /* Linux's defaults, but for buffers that no path here fills. */
    set("ipv4/tcp_rmem", "4096 131072 16777216");
    set("ipv4/tcp_wmem", "4096 16384 16777216");
    set("ipv4/tcp_ecn", "2");
    set("ipv4/tcp_slow_start_after_idle", "1");
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK), config = socket(AF_INET, SOCK_DGRAM, 0);
    struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI };
    strcpy(request.ifr_name, "path");
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0) fail("a TUN device");
    struct sockaddr_in *name = (struct sockaddr_in *)&request.ifr_addr;
    memset(name, 0, sizeof *name);
    name->sin_family = AF_INET;
    inet_pton(AF_INET, address, &name->sin_addr);
    if (ioctl(config, SIOCSIFADDR, &request) < 0) fail("the device's address");
    inet_pton(AF_INET, "255.255.255.0", &name->sin_addr);
    if (ioctl(config, SIOCSIFNETMASK, &request) < 0) fail("the device's network");
    request.ifr_qlen = HELD_MAX;
    if (ioctl(config, SIOCSIFTXQLEN, &request) < 0) fail("the device's queue");
    request.ifr_flags = IFF_UP;
    if (ioctl(config, SIOCSIFFLAGS, &request) < 0) fail("the device");
    close(config);
    return fd;
}

/* SimulatedLink.Send: the queue first, then chance. */
static void take(struct line *line, const uint8_t *bytes, int length, int64_t now)
{
    if (bytes[0] >> IPV4_VERSION_SHIFT != IPV4) return;
    int64_t size = length + ETHERNET, start = line->free_at > now ? line->free_at : now;
    int64_t queued = (start - now) * options.rate / 8 / SECOND;
    if (queued > 0 && queued + size > line->queue_bytes) {
        dropped++;
        return;
    }
    line->free_at = start + size * 8 * SECOND / options.rate;
    if (line->loss > 0 && chance() < line->loss) {
        lost++;
        return;
    }
    if (line->count == HELD_MAX) {
        fprintf(stderr, "kernel_path: more than %d packets under way\n", HELD_MAX);
        exit(2);
    }
    struct held *held = &line->held[(line->first + line->count++) % HELD_MAX];
    held->due = line->free_at + line->delay;
    held->length = length;
    memcpy(held->bytes, bytes, (size_t)length);
}

static void take_all(struct line *line)
{
    uint8_t bytes[PACKET_MAX];
    for (ssize_t length; (length = read(line->from, bytes, sizeof bytes)) > 0;)
        take(line, bytes, (int)length, now_ns());
}

static void deliver(struct line *line)
{
    for (int64_t now = now_ns(); line->count > 0 && line->held[line->first].due <= now; line->count--) {
        struct held *held = &line->held[line->first];
        int64_t step = (now - held->due) / LATE_STEP_NS;
        late[step < LATE_STEPS ? step : LATE_STEPS - 1]++;
        delivered++;
        if (write(line->to, held->bytes, (size_t)held->length) < 0) fail("the device takes no packet");
        line->first = (line->first + 1) % HELD_MAX;
    }
}

static int64_t lateness_us(void)
{
    uint64_t within = 0;
    int step = 0;
    while (step < LATE_STEPS - 1 && (within += late[step]) < delivered - delivered / 100) step++;
    return (int64_t)step * LATE_STEP_NS / 1000;
}

/* What arrives in the time, from the SYN on. */
static uint64_t run(struct line lines[2], int sender, int listener)
{
    static uint8_t data[CHUNK];
    uint64_t received = 0;
    int receiver = -1;
    int64_t end = now_ns() + options.seconds * SECOND;
    for (int64_t now; (now = now_ns()) < end;) {
        int64_t next = end;
        for (int i = 0; i < 2; i++)
            if (lines[i].count > 0 && lines[i].held[lines[i].first].due < next)
                next = lines[i].held[lines[i].first].due;
        struct pollfd polled[] = {
            { .fd = lines[0].from, .events = POLLIN },
            { .fd = lines[1].from, .events = POLLIN },
            { .fd = sender, .events = POLLOUT },
            { .fd = receiver < 0 ? listener : receiver, .events = POLLIN },
        };
        struct timespec timeout = { (next - now) / SECOND, (next - now) % SECOND };
        if (next <= now) timeout = (struct timespec){ 0 };
        if (ppoll(polled, 4, &timeout, NULL) < 0) fail("ppoll");
        for (int i = 0; i < 2; i++) deliver(&lines[i]);
        if (polled[3].revents != 0 && receiver < 0)
            receiver = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        else if (polled[3].revents != 0)
            for (ssize_t n; (n = recv(receiver, data, sizeof data, 0)) > 0;) received += (uint64_t)n;
        if (polled[2].revents & (POLLERR | POLLHUP)) fail("the connection ended");
        if (polled[2].revents & POLLOUT) send(sender, data, sizeof data, MSG_NOSIGNAL);
        for (int i = 0; i < 2; i++) take_all(&lines[i]);
    }
    return received;
}

static void parse(int argc, char **argv)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *name = argv[i], *value = argv[i + 1];
        if (!strcmp(name, "--loss")) options.loss = atof(value);
        else if (!strcmp(name, "--rtt-ms")) options.rtt_ms = atoll(value);
        else if (!strcmp(name, "--rate")) options.rate = atoll(value);
        else if (!strcmp(name, "--seconds")) options.seconds = atoll(value);
        else if (!strcmp(name, "--seed")) options.seed = strtoull(value, NULL, 10);
        else if (!strcmp(name, "--congestion")) options.congestion = value;
        else {
            fprintf(stderr, "kernel_path: no option %s\n", name);
            exit(2);
        }
    }
    if (options.rtt_ms < 1 || options.rate < 1 || options.seconds < 1) {
        fprintf(stderr, "kernel_path: a path needs a round trip, a rate and a time\n");
        exit(2);
    }
    options.seed = options.seed * SEED_MIX + 1;
    for (int i = 0; i < WARM; i++) chance();
}

int main(int argc, char **argv)
{
    parse(argc, argv);
    /* Its own lateness would be the path's: it comes before everything else on the machine, and does little. */
    struct sched_param urgent = { .sched_priority = 10 };
    if (sched_setscheduler(0, SCHED_FIFO, &urgent) < 0) fail("scheduling in real time (needs root)");
    prctl(PR_SET_TIMERSLACK, 1ul);

    struct sockaddr_in there = { .sin_family = AF_INET, .sin_port = htons(PORT) };
    inet_pton(AF_INET, "10.0.0.2", &there.sin_addr);
    int right = open_end("10.0.0.2"), listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (bind(listener, (struct sockaddr *)&there, sizeof there) < 0 || listen(listener, 1) < 0) fail("the listener");
    int left = open_end("10.0.0.1"), sender = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    socklen_t length = (socklen_t)strlen(options.congestion);
    if (setsockopt(sender, IPPROTO_TCP, TCP_CONGESTION, options.congestion, length) < 0) fail(options.congestion);

    int64_t queue = options.rate / 8 * options.rtt_ms / 1000, delay = options.rtt_ms * MILLISECOND / 2;
    if (queue < LEAST_SEGMENTS * SEGMENT) queue = LEAST_SEGMENTS * SEGMENT;
    struct line lines[2] = {
        { .from = left, .to = right, .delay = delay, .queue_bytes = queue, .loss = options.loss },
        { .from = right, .to = left, .delay = delay, .queue_bytes = INT64_MAX },
    };
    for (int i = 0; i < 2; i++)
        if (!(lines[i].held = malloc(HELD_MAX * sizeof *lines[i].held))) fail("memory");

    if (connect(sender, (struct sockaddr *)&there, sizeof there) < 0 && errno != EINPROGRESS) fail("connect");
    uint64_t received = run(lines, sender, listener);
    printf("%.3f %lu %lu %ld\n", (double)received * 8 / (double)options.seconds / 1e6, lost, dropped, lateness_us());
    return 0;
}
