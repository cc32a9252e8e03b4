// The machine's own floor: a 64-byte round trip between two processes over bare shared memory.
//   ring CPU CPU      prints "ring_rtt_us X" (median)
// Two virtual CPUs may be near each other (0.10-0.14 us) or far (0.5-0.6 us), for minutes at a time. Figures are only
// comparable within one such phase, so the benchmark says which one it ran in.
#include "load.h"
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

struct line {
    _Alignas(64) _Atomic uint32_t turn;
    char payload[60];
};

static void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) < 0) fail("sched_setaffinity");
}

static int shared_cpu; // both ends on one CPU: then the one that waits must give it away

static void await(struct line *l, uint32_t turn)
{
    while (atomic_load_explicit(&l->turn, memory_order_acquire) != turn) {
        if (shared_cpu) sched_yield();
        else relax();
    }
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
    enum { BATCHES = 101, TRIPS = 1000 };
    if (argc != 3) {
        fprintf(stderr, "usage: ring CPU CPU\n");
        return 2;
    }
    shared_cpu = atoi(argv[1]) == atoi(argv[2]);
    struct line *lines = mmap(NULL, 2 * sizeof *lines, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (lines == MAP_FAILED) fail("mmap");
    pid_t child = fork();
    if (child < 0) fail("fork");
    if (child == 0) {
        pin(atoi(argv[2]));
        alarm(20);
        for (uint32_t i = 1; i <= BATCHES * TRIPS; i++) {
            await(&lines[0], i);
            memcpy(lines[1].payload, lines[0].payload, sizeof lines[1].payload);
            atomic_store_explicit(&lines[1].turn, i, memory_order_release);
        }
        _exit(0);
    }
    pin(atoi(argv[1]));
    alarm(20);
    double batch[BATCHES];
    uint32_t turn = 0;
    for (int b = 0; b < BATCHES; b++) {
        uint64_t start = nanoseconds();
        for (int i = 0; i < TRIPS; i++) {
            memset(lines[0].payload, i, sizeof lines[0].payload);
            atomic_store_explicit(&lines[0].turn, ++turn, memory_order_release);
            await(&lines[1], turn);
        }
        batch[b] = (double)(nanoseconds() - start) / TRIPS / 1000.0;
    }
    waitpid(child, NULL, 0);
    qsort(batch, BATCHES, sizeof *batch, by_value);
    printf("ring_rtt_us %.4f\n", batch[BATCHES / 2]);
    return 0;
}
