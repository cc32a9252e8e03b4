// One-way bytes over one TCP connection, in writes of one size.
//   stream server                       reads to the end, answers with the count, one connection after another
//   stream client SIZE PORT SECONDS     prints "writes_per_second X", "bytes_per_second X", "operations N"
// The time runs until the server's answer is there, so what is still in flight counts as not yet delivered.
#include "load.h"

static void serve(void)
{
    enum { SIZE = 256 * 1024 };
    char *buffer = malloc(SIZE);
    int listener = listen_on_loopback(16);
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

static void measure(size_t size, int port, double seconds)
{
    char *buffer = malloc(size);
    memset(buffer, 'x', size);
    int s = connect_to_loopback(port);
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
    double elapsed = (double)(nanoseconds() - start) / 1e9;
    if (counted != bytes) {
        fprintf(stderr, "sent %llu bytes, the server counted %llu\n", (unsigned long long)bytes,
                (unsigned long long)counted);
        exit(1);
    }
    printf("writes_per_second %.1f\nbytes_per_second %.1f\noperations %llu\n", (double)writes / elapsed,
           (double)bytes / elapsed, (unsigned long long)writes);
    close(s);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "server") == 0) serve();
    else if (argc == 5) measure((size_t)atol(argv[2]), atoi(argv[3]), atof(argv[4]));
    else fprintf(stderr, "usage: stream server | client SIZE PORT SECONDS\n");
    return argc == 5 ? 0 : 2;
}
