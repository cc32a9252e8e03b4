/* SYNs from hosts that are not there, as fast as the link takes them or at a rate.
 *
 *   flood IF TARGET-MAC TARGET-ADDRESS PORT [--rate N] [--seconds N] [--seed N]
 *
 * Sources are drawn from 10.78.0.0/16 or fd78::/64: the test routes these to where nobody answers, inside of its own
 * namespaces. Each SYN looks like a real one (MSS, SACK, timestamps, scaling). Ends by itself after --seconds (5, at
 * most 120), or on SIGTERM, and prints how many it sent. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64, FRAME_MAX = 128, TCP_LENGTH = 40, MOST_SECONDS = 120 };

static const uint8_t tcp_options[] = { 2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0, 1, 3, 3, 7 };
static uint64_t state = 1;
static volatile sig_atomic_t stopped;

static uint64_t draw(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static uint32_t sum(const uint8_t *bytes, int length, uint32_t start)
{
    for (int i = 0; i + 1 < length; i += 2) start += (uint32_t)(bytes[i] << 8 | bytes[i + 1]);
    return start;
}

static void put(uint8_t *at, uint32_t folded)
{
    while (folded >> 16) folded = (folded & 0xFFFF) + (folded >> 16);
    folded = ~folded;
    at[0] = (uint8_t)(folded >> 8);
    at[1] = (uint8_t)folded;
}

/* All of a frame that is the same in each; returns its length. */
static int prepare(uint8_t *frame, const uint8_t *target, const uint8_t *own, const char *address, int port, int *v6)
{
    memcpy(frame, target, 6);
    memcpy(frame + 6, own, 6);
    uint8_t *ip = frame + 14;
    *v6 = strchr(address, ':') != NULL;
    if (*v6) {
        memcpy(frame + 12, "\x86\xdd", 2);
        memcpy(ip, "\x60\x00\x00\x00\x00\x28\x06\x40\xfd\x78", 10);
    } else {
        memcpy(frame + 12, "\x08\x00", 2);
        memcpy(ip, "\x45\x00\x00\x3c\x00\x00\x40\x00\x40\x06\x00\x00\x0a\x4e", 14);
    }
    if (inet_pton(*v6 ? AF_INET6 : AF_INET, address, ip + (*v6 ? 24 : 16)) != 1) {
        fprintf(stderr, "flood: no address: %s\n", address);
        exit(2);
    }
    uint8_t *tcp = ip + (*v6 ? 40 : 20);
    tcp[2] = (uint8_t)(port >> 8);
    tcp[3] = (uint8_t)port;
    tcp[12] = (TCP_LENGTH / 4) << 4;
    tcp[13] = 2;
    memcpy(tcp + 14, "\xfa\xf0", 2);
    memcpy(tcp + 20, tcp_options, sizeof tcp_options);
    return (int)(tcp - frame) + TCP_LENGTH;
}

/* Another host, another port, another sequence number. */
static void vary(uint8_t *frame, int v6)
{
    uint64_t one = draw(), two = draw();
    uint8_t *ip = frame + 14, *tcp = ip + (v6 ? 40 : 20);
    memcpy(v6 ? ip + 20 : ip + 14, &one, v6 ? 4 : 2);
    memcpy(tcp, (uint8_t *)&one + 4, 2);
    tcp[0] |= 4;
    memcpy(tcp + 4, &two, 4);
    memcpy(tcp + 28, (uint8_t *)&two + 4, 4);
    if (!v6) {
        ip[10] = ip[11] = 0;
        put(ip + 10, sum(ip, 20, 0));
    }
    tcp[16] = tcp[17] = 0;
    put(tcp + 16, sum(tcp, TCP_LENGTH, sum(v6 ? ip + 8 : ip + 12, v6 ? 32 : 8, 6 + TCP_LENGTH)));
}

static int open_interface(const char *name, uint8_t *mac)
{
    int fd = socket(AF_PACKET, SOCK_RAW, 0), one = 1;
    struct ifreq request = { 0 };
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(name) };
    if (fd < 0 || address.sll_ifindex == 0 || ioctl(fd, SIOCGIFHWADDR, &request) < 0
        || bind(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        fprintf(stderr, "flood: interface %s cannot be opened: %s\n", name, strerror(errno));
        exit(2);
    }
    memcpy(mac, request.ifr_hwaddr.sa_data, 6);
    setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one);
    return fd;
}

static void stop(int sig)
{
    (void)sig;
    stopped = 1;
}

int main(int argc, char **argv)
{
    uint8_t target[6], own[6], frames[BATCH][FRAME_MAX] = { 0 };
    double rate = 0;
    int64_t seconds = 5;
    if (argc < 5 || sscanf(argv[2], "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", target, target + 1, target + 2, target + 3,
                           target + 4, target + 5) != 6) {
        fprintf(stderr, "usage: flood IF TARGET-MAC TARGET-ADDRESS PORT [--rate N] [--seconds N] [--seed N]\n");
        return 2;
    }
    for (int i = 5; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--rate")) rate = atof(argv[i + 1]);
        else if (!strcmp(argv[i], "--seconds")) seconds = atoll(argv[i + 1]);
        else if (!strcmp(argv[i], "--seed")) state = strtoull(argv[i + 1], NULL, 10) | 1;
    }
    if (seconds > MOST_SECONDS) seconds = MOST_SECONDS;
    int fd = open_interface(argv[1], own), v6 = 0;
    struct mmsghdr messages[BATCH] = { 0 };
    struct iovec vectors[BATCH];
    for (int i = 0; i < BATCH; i++) {
        int length = prepare(frames[i], target, own, argv[3], atoi(argv[4]), &v6);
        vectors[i] = (struct iovec){ frames[i], (size_t)length };
        messages[i].msg_hdr = (struct msghdr){ .msg_iov = &vectors[i], .msg_iovlen = 1 };
    }
    signal(SIGTERM, stop);
    int64_t begin = now_ns(), now = begin;
    uint64_t sent = 0;
    while (!stopped && now - begin < seconds * 1000000000ll) {
        if (rate > 0 && (double)sent > rate * (double)(now - begin) / 1e9) {
            usleep(100);
        } else {
            for (int i = 0; i < BATCH; i++) vary(frames[i], v6);
            int n = sendmmsg(fd, messages, BATCH, 0);
            if (n > 0) sent += (uint64_t)n;
        }
        now = now_ns();
    }
    printf("sent %lu in %.3f s\n", sent, (double)(now - begin) / 1e9);
    return 0;
}
