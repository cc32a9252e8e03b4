// One-way bytes over one TCP connection, in writes of one size.
//   stream server                            reads to the end, answers with the count, one connection after another
//   stream client SIZE PORT SECONDS          prints "writes_per_second X", "bytes_per_second X", "operations N"
//   stream server down; stream client SIZE PORT SECONDS down      the same from the server to the client
// The time runs until the server's answer is there, so what is still in flight counts as not yet delivered.
#include "load.h"

static void serve(void)
{
    enum { SIZE = 256 * 1024 };
    char *buffer = malloc(SIZE);
    int listener = open_server(SOCK_STREAM, 16);
    for (;;) {
        int s = accept(listener, NULL, NULL);
        if (s < 0) fail("accept");
        uint64_t total = 0;
        ssize_t n;
        while ((n = recv(s, buffer, SIZE, 0)) > 0) total += (uint64_t)n;
        if (n < 0) fail("recv");
        if (send(s, &total, sizeof total, MSG_NOSIGNAL) != sizeof total) fail("send");
        close(s);
    }
}

// What the client of a stream from the server asks for.
struct wish { uint64_t size, nanoseconds; };

static void serve_down(void)
{
    enum { MOST = 1 << 20 };
    char *buffer = calloc(1, MOST);
    int listener = open_server(SOCK_STREAM, 16);
    for (;;) {
        struct wish wish;
        int s = accept(listener, NULL, NULL);
        if (s < 0) fail("accept");
        if (recv(s, &wish, sizeof wish, MSG_WAITALL) != sizeof wish || wish.size > MOST) fail("recv");
        no_delay(s);
        uint64_t limit = nanoseconds() + wish.nanoseconds;
        for (uint64_t writes = 0; (wish.size <= 4096 && (writes & 255) != 0) || nanoseconds() < limit; writes++)
            if (write(s, buffer, wish.size) <= 0) fail("write");
        close(s);
    }
}

static void report(uint64_t writes, uint64_t bytes, uint64_t start)
{
    double elapsed = (double)(nanoseconds() - start) / 1e9;
    printf("writes_per_second %.1f\nbytes_per_second %.1f\noperations %llu\n", (double)writes / elapsed,
           (double)bytes / elapsed, (unsigned long long)writes);
}

static void measure_down(size_t size, int port, double seconds)
{
    enum { SIZE = 256 * 1024 };
    char *buffer = malloc(SIZE);
    struct wish wish = { size, (uint64_t)(seconds * 1e9) };
    int s = open_client(SOCK_STREAM, port);
    uint64_t bytes = 0, start = nanoseconds();
    ssize_t n;
    if (send(s, &wish, sizeof wish, MSG_NOSIGNAL) != sizeof wish) fail("send");
    while ((n = recv(s, buffer, SIZE, 0)) > 0) bytes += (uint64_t)n;
    if (n < 0) fail("recv");
    report(bytes / size, bytes, start);
    close(s);
}

static void measure(size_t size, int port, double seconds)
{
    char *buffer = malloc(size);
    memset(buffer, 'x', size);
    int s = open_client(SOCK_STREAM, port);
    no_delay(s); // every write goes out as it is; with Nagle's algorithm the kernel would be measured at batching
    uint64_t writes = 0, bytes = 0, counted = 0, start = nanoseconds(), limit = start + (uint64_t)(seconds * 1e9);
    for (;;) {
        ssize_t n = write(s, buffer, size);
        if (n <= 0) fail("write");
        bytes += (uint64_t)n;
        writes++;
        if ((size > 4096 || (writes & 255) == 0) && nanoseconds() > limit) break;
    }
    if (shutdown(s, SHUT_WR) < 0) fail("shutdown");
    if (recv(s, &counted, sizeof counted, MSG_WAITALL) != sizeof counted) fail("recv");
    if (counted != bytes) {
        fprintf(stderr, "sent %llu bytes, the server counted %llu\n", (unsigned long long)bytes,
                (unsigned long long)counted);
        exit(1);
    }
    report(writes, bytes, start);
    close(s);
}

int main(int argc, char **argv)
{
    int down = argc > 2 && strcmp(argv[argc - 1], "down") == 0;
    argc -= down;
    if (argc == 2 && strcmp(argv[1], "server") == 0) (down ? serve_down : serve)();
    else if (argc == 5) (down ? measure_down : measure)((size_t)atol(argv[2]), atoi(argv[3]), atof(argv[4]));
    else fprintf(stderr, "usage: stream server [down] | client SIZE PORT SECONDS [down]\n");
    return argc == 5 ? 0 : 2;
}
