/* Loses frames that come in on an interface, by a seed: nothing stands between two hosts but what is lost.
 *
 *   dropper INTERFACE OBJECT --loss P [--seed N] [--seconds N]
 *
 * P is a probability per frame (0.01 = 1 %). The program (dropper.bpf.c) is the first of the interface's tcx hook, so a
 * stack that acceld serves in ring mode loses them as the kernel does; XDP programs see all. Ends after --seconds, or
 * on SIGTERM, takes the program away and prints what it did. */
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* BPF_TCX_INGRESS, BPF_F_BEFORE: newer than some headers. */
enum { TCX_INGRESS = 46, FIRST = 1 << 3 };

struct constants {
    uint64_t seed, threshold;
};
struct counts {
    uint64_t frames, lost;
};

static void fail(const char *what)
{
    fprintf(stderr, "dropper: %s: %s\n", what, strerror(errno));
    exit(1);
}

static struct bpf_object *load(const char *path, const struct constants *constants)
{
    struct bpf_object *object = bpf_object__open_file(path, NULL);
    struct bpf_map *rodata = object ? bpf_object__find_map_by_name(object, ".rodata") : NULL;
    if (!rodata || bpf_map__set_initial_value(rodata, constants, sizeof *constants) || bpf_object__load(object))
        fail(path);
    return object;
}

static int attach(struct bpf_object *object, unsigned interface)
{
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.link_create.prog_fd = bpf_program__fd(bpf_object__find_program_by_name(object, "drop"));
    attr.link_create.target_ifindex = interface;
    attr.link_create.attach_type = TCX_INGRESS;
    attr.link_create.flags = FIRST;
    int link = syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof attr);
    if (link < 0)
        fail("no tcx hook");
    return link;
}

int main(int argc, char **argv)
{
    struct constants constants = { .seed = 1 };
    unsigned seconds = 600, interface = argc > 2 ? if_nametoindex(argv[1]) : 0;
    if (interface == 0) {
        fprintf(stderr, "usage: dropper INTERFACE OBJECT --loss P [--seed N] [--seconds N]\n");
        return 2;
    }
    for (int i = 3; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--loss"))
            constants.threshold = (uint64_t)(atof(argv[i + 1]) * 4294967296.0);
        else if (!strcmp(argv[i], "--seed"))
            constants.seed = strtoull(argv[i + 1], NULL, 10);
        else if (!strcmp(argv[i], "--seconds"))
            seconds = (unsigned)atoi(argv[i + 1]);
        else {
            fprintf(stderr, "dropper: what is %s?\n", argv[i]);
            return 2;
        }
    }
    struct bpf_object *object = load(argv[2], &constants);
    int link = attach(object, interface);
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGALRM);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    alarm(seconds);
    printf("ready\n");
    fflush(stdout);
    int signal;
    sigwait(&ends, &signal);
    struct counts counts = { 0 };
    uint32_t first = 0;
    bpf_map_lookup_elem(bpf_object__find_map_fd_by_name(object, ".bss"), &first, &counts);
    printf("%llu frames, %llu lost\n", (unsigned long long)counts.frames, (unsigned long long)counts.lost);
    close(link);
    bpf_object__close(object);
    return 0;
}
