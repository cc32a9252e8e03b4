/* What a wire does to frames, without a wire: those that come in on an interface are lost or come in late, by a seed.
 *
 *   faults INTERFACE OBJECT [--loss P] [--reorder P] [--late-us N] [--seed N] [--seconds N]
 *
 * P is a probability per frame (0.01 = 1 %); a reordered frame is held back for a millisecond, or --late-us. The
 * program (faults.bpf.c) is the first of the interface's tcx hook, so a stack that acceld serves in ring mode is served
 * as the kernel is; XDP programs see frames before it. It can let a frame go only when another comes: each millisecond
 * this one sends a frame out of the interface for the program at the other end, which must be there, too. Ends after
 * --seconds, or on SIGTERM, takes the program away and prints what it did. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* BPF_TCX_INGRESS, BPF_F_BEFORE: newer than some headers. The type is one for experiments (IEEE 802). */
enum { TCX_INGRESS = 46, FIRST = 1 << 3, CLOCK_TYPE = 0x88B5, TICK_NS = 1000000 };

/* As in faults.bpf.c. */
struct options {
    uint64_t seed, loss, reorder, delay_ns;
    uint32_t clock;
};
struct state {
    uint64_t frames, lost, reordered, put, taken;
};

static void fail(const char *what)
{
    fprintf(stderr, "faults: %s: %s\n", what, strerror(errno));
    exit(1);
}

static struct bpf_object *load(const char *path, const struct options *options)
{
    struct bpf_object *object = bpf_object__open_file(path, NULL);
    struct bpf_map *rodata = object ? bpf_object__find_map_by_name(object, ".rodata") : NULL;
    size_t bytes = 0;
    void *initial = rodata ? (void *)bpf_map__initial_value(rodata, &bytes) : NULL;
    if (!initial || bytes != sizeof *options)
        fail(path);
    memcpy(initial, options, sizeof *options);
    if (bpf_object__load(object))
        fail(path);
    return object;
}

static int attach(struct bpf_object *object, unsigned interface)
{
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.link_create.prog_fd = bpf_program__fd(bpf_object__find_program_by_name(object, "faults"));
    attr.link_create.target_ifindex = interface;
    attr.link_create.attach_type = TCX_INGRESS;
    attr.link_create.flags = FIRST;
    int link = syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof attr);
    if (link < 0)
        fail("no tcx hook");
    return link;
}

static int open_clock(unsigned interface)
{
    struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = (int)interface };
    int clock = socket(AF_PACKET, SOCK_RAW, 0);
    if (clock < 0 || bind(clock, (struct sockaddr *)&to, sizeof to))
        fail("no packet socket");
    return clock;
}

/* Of 2^32. */
static uint64_t of(const char *probability)
{
    return (uint64_t)(atof(probability) * 4294967296.0);
}

int main(int argc, char **argv)
{
    struct options options = { .seed = 1, .delay_ns = TICK_NS, .clock = CLOCK_TYPE };
    unsigned seconds = 600, interface = argc > 2 ? if_nametoindex(argv[1]) : 0;
    if (interface == 0) {
        fprintf(stderr, "usage: faults INTERFACE OBJECT [--loss P] [--reorder P] [--late-us N] [--seed N] "
                        "[--seconds N]\n");
        return 2;
    }
    for (int i = 3; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--loss"))
            options.loss = of(argv[i + 1]);
        else if (!strcmp(argv[i], "--reorder"))
            options.reorder = of(argv[i + 1]);
        else if (!strcmp(argv[i], "--late-us"))
            options.delay_ns = strtoull(argv[i + 1], NULL, 10) * 1000;
        else if (!strcmp(argv[i], "--seed"))
            options.seed = strtoull(argv[i + 1], NULL, 10);
        else if (!strcmp(argv[i], "--seconds"))
            seconds = (unsigned)atoi(argv[i + 1]);
        else {
            fprintf(stderr, "faults: what is %s?\n", argv[i]);
            return 2;
        }
    }
    struct bpf_object *object = load(argv[2], &options);
    int link = attach(object, interface), clock = options.reorder ? open_clock(interface) : -1;
    struct ether_header tick = { .ether_dhost = "\xff\xff\xff\xff\xff\xff", .ether_type = htons(CLOCK_TYPE) };
    struct timespec wait = { 0, TICK_NS }, whole = { seconds, 0 };
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGALRM);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    alarm(seconds);
    printf("ready\n");
    fflush(stdout);
    while (sigtimedwait(&ends, NULL, clock < 0 ? &whole : &wait) < 0 && (errno == EAGAIN || errno == EINTR))
        if (clock >= 0 && send(clock, &tick, sizeof tick, 0) < 0 && errno != ENOBUFS && errno != ENETDOWN)
            fail("no tick");
    struct state state = { 0 };
    uint32_t first = 0;
    bpf_map_lookup_elem(bpf_object__find_map_fd_by_name(object, ".bss"), &first, &state);
    printf("%llu frames, %llu lost, %llu reordered\n", (unsigned long long)state.frames,
           (unsigned long long)state.lost, (unsigned long long)state.reordered);
    close(link);
    bpf_object__close(object);
    return 0;
}
