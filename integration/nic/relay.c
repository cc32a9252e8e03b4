/* A wire with faults: joins two interfaces and drops, delays, reorders and duplicates frames, by a seed.
 *
 *   relay IF1 IF2 [--loss P] [--reorder P] [--duplicate P] [--corrupt P] [--delay-us N] [--late-us N]
 *         [--seed N] [--seconds N] [--outage-ms N]
 *
 * P is a probability per frame (0.01 = 1 %); a reordered frame is held back for another millisecond, or --late-us. From
 * a SIGUSR1 on everything is lost for --outage-ms. This kernel has no netem. The interfaces must not carry super-frames
 * or unfilled checksums: what crosses is as on a cable. Ends by itself after --seconds, or on SIGTERM, and prints what
 * it did. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { FRAME_MAX = 9100, HELD_MAX = 1 << 16, BATCH = 64 };

struct held {
    int64_t due;
    uint64_t order;
    int to, length;
    uint8_t *bytes;
};

static struct {
    double loss, reorder, duplicate, corrupt;
    int64_t delay_us, late_us, outage_ms, seconds;
    uint64_t seed;
} options = { .late_us = 1000, .seconds = 600, .seed = 1 };
static struct held heap[HELD_MAX];
static int held_count;
static uint64_t frames, lost, reordered, duplicated, corrupted, overflowed, order;
static volatile sig_atomic_t stopped;
static volatile int64_t outage_end;

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static double chance(void)
{
    options.seed ^= options.seed << 13;
    options.seed ^= options.seed >> 7;
    options.seed ^= options.seed << 17;
    return (double)(options.seed >> 11) / 9007199254740992.0;
}

static int before(const struct held *a, const struct held *b)
{
    return a->due != b->due ? a->due < b->due : a->order < b->order;
}

static void push(struct held h)
{
    int at = held_count++;
    while (at > 0 && before(&h, &heap[(at - 1) / 2])) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = h;
}

static struct held pop(void)
{
    struct held top = heap[0], last = heap[--held_count];
    int at = 0;
    for (int child; (child = 2 * at + 1) < held_count; at = child) {
        if (child + 1 < held_count && before(&heap[child + 1], &heap[child])) child++;
        if (!before(&heap[child], &last)) break;
        heap[at] = heap[child];
    }
    heap[at] = last;
    return top;
}

/* Frames on their way out of one interface, sent in one system call. Their bytes stay where they are until then. */
static struct out {
    int fd, count;
    struct mmsghdr messages[BATCH];
    struct iovec vectors[BATCH];
} outs[2];

static void flush(struct out *out)
{
    for (int sent = 0, tries = 0; sent < out->count;) {
        int n = sendmmsg(out->fd, out->messages + sent, (unsigned)(out->count - sent), 0);
        if (n > 0) {
            sent += n;
            tries = 0;
        } else if ((errno != ENOBUFS && errno != EAGAIN) || tries++ > 100) {
            overflowed++;
            sent++;
        } else {
            usleep(20);
        }
    }
    out->count = 0;
}

static void transmit(int to, uint8_t *bytes, int length)
{
    struct out *out = &outs[to];
    if (out->count == BATCH) flush(out);
    int i = out->count++;
    out->vectors[i] = (struct iovec){ bytes, (size_t)length };
    out->messages[i].msg_hdr = (struct msghdr){ .msg_iov = &out->vectors[i], .msg_iovlen = 1 };
}

static void hold(int to, const uint8_t *bytes, int length, int64_t due)
{
    if (held_count == HELD_MAX) {
        overflowed++;
        return;
    }
    uint8_t *copy = malloc((size_t)length);
    memcpy(copy, bytes, (size_t)length);
    push((struct held){ .due = due, .order = order++, .to = to, .length = length, .bytes = copy });
}

static void carry(int to, uint8_t *bytes, int length)
{
    frames++;
    if ((outage_end > 0 && now_ns() < outage_end) || (options.loss > 0 && chance() < options.loss)) {
        lost++;
        return;
    }
    if (options.corrupt > 0 && chance() < options.corrupt) {
        bytes[(int)(chance() * length)] ^= 1 << (int)(chance() * 8);
        corrupted++;
    }
    int64_t delay = options.delay_us * 1000;
    if (options.reorder > 0 && chance() < options.reorder) {
        delay += options.late_us * 1000;
        reordered++;
    }
    int copies = 1;
    if (options.duplicate > 0 && chance() < options.duplicate) {
        copies = 2;
        duplicated++;
    }
    for (int i = 0; i < copies; i++) {
        if (delay == 0) transmit(to, bytes, length);
        else hold(to, bytes, length, now_ns() + delay);
    }
}

static int open_interface(const char *name)
{
    int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
    struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
    int one = 1, size = 64 << 20;
    address.sll_ifindex = (int)if_nametoindex(name);
    if (fd < 0 || address.sll_ifindex == 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        fprintf(stderr, "relay: interface %s cannot be opened: %s\n", name, strerror(errno));
        exit(2);
    }
    struct packet_mreq promiscuous = { .mr_ifindex = address.sll_ifindex, .mr_type = PACKET_MR_PROMISC };
    setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof promiscuous);
    setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one);
    setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
    return fd;
}

static void take(int from)
{
    static uint8_t bytes[BATCH][FRAME_MAX];
    struct mmsghdr messages[BATCH] = { 0 };
    int to = 1 - from;
    struct iovec vectors[BATCH];
    for (int i = 0; i < BATCH; i++) {
        vectors[i] = (struct iovec){ bytes[i], FRAME_MAX };
        messages[i].msg_hdr = (struct msghdr){ .msg_iov = &vectors[i], .msg_iovlen = 1 };
    }
    int count = recvmmsg(outs[from].fd, messages, BATCH, MSG_DONTWAIT | MSG_TRUNC, NULL);
    for (int i = 0; i < count; i++) {
        if (messages[i].msg_len > FRAME_MAX) overflowed++;
        else carry(to, bytes[i], (int)messages[i].msg_len);
    }
    flush(&outs[to]);
}

/* Sends what has been held for long enough. */
static void release(void)
{
    while (held_count > 0 && heap[0].due <= now_ns()) {
        uint8_t *sent[BATCH];
        int count = 0;
        while (count < BATCH && held_count > 0 && heap[0].due <= now_ns()) {
            struct held h = pop();
            transmit(h.to, h.bytes, h.length);
            sent[count++] = h.bytes;
        }
        flush(&outs[0]);
        flush(&outs[1]);
        while (count > 0) free(sent[--count]);
    }
}

static void stop(int sig)
{
    (void)sig;
    stopped = 1;
}

static void begin_outage(int sig)
{
    (void)sig;
    outage_end = now_ns() + options.outage_ms * 1000000;
}

static void parse(int argc, char **argv)
{
    for (int i = 3; i + 1 < argc; i += 2) {
        const char *name = argv[i], *value = argv[i + 1];
        if (!strcmp(name, "--loss")) options.loss = atof(value);
        else if (!strcmp(name, "--reorder")) options.reorder = atof(value);
        else if (!strcmp(name, "--duplicate")) options.duplicate = atof(value);
        else if (!strcmp(name, "--corrupt")) options.corrupt = atof(value);
        else if (!strcmp(name, "--delay-us")) options.delay_us = atoll(value);
        else if (!strcmp(name, "--late-us")) options.late_us = atoll(value);
        else if (!strcmp(name, "--outage-ms")) options.outage_ms = atoll(value);
        else if (!strcmp(name, "--seconds")) options.seconds = atoll(value);
        else if (!strcmp(name, "--seed")) options.seed = strtoull(value, NULL, 10) | 1;
        else {
            fprintf(stderr, "relay: no option %s\n", name);
            exit(2);
        }
    }
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: relay IF1 IF2 [--loss P] [--reorder P] [--duplicate P] [--corrupt P] [--delay-us N]"
                        " [--seed N] [--seconds N] [--outage-ms N]\n");
        return 2;
    }
    parse(argc, argv);
    outs[0].fd = open_interface(argv[1]);
    outs[1].fd = open_interface(argv[2]);
    int64_t end = now_ns() + options.seconds * 1000000000ll;
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    signal(SIGUSR1, begin_outage);
    printf("ready\n");
    fflush(stdout);
    while (!stopped && now_ns() < end) {
        struct pollfd polled[2] = { { .fd = outs[0].fd, .events = POLLIN }, { .fd = outs[1].fd, .events = POLLIN } };
        int64_t wait = held_count == 0 ? 100000000 : heap[0].due - now_ns();
        struct timespec timeout = { 0, wait < 0 ? 0 : wait > 100000000 ? 100000000 : wait };
        ppoll(polled, 2, &timeout, NULL);
        for (int i = 0; i < 2; i++)
            if (polled[i].revents & POLLIN) take(i);
        release();
    }
    printf("frames %lu lost %lu reordered %lu duplicated %lu corrupted %lu overflowed %lu\n", frames, lost, reordered,
           duplicated, corrupted, overflowed);
    return 0;
}
