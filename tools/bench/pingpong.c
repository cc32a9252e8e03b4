// Round trips of a few bytes over one TCP connection, or in datagrams.
//   pingpong server spin|block SIZE [udp]              echoes, one connection after another, until it is ended
//   pingpong client spin|block SIZE PORT SECONDS [udp] prints "p50_us X", "p99_us X", "operations N"
// "spin" asks a non-blocking socket again and again, "block" sleeps in recv(). The same text runs on both paths.
#include "load.h"

enum { PATIENCE_MS = 200 };

static int spinning;

static void receive_all(int s, char *to, size_t size)
{
    for (size_t got = 0; got < size;) {
        ssize_t n = recv(s, to + got, size - got, spinning ? MSG_DONTWAIT : 0);
        if (n > 0) got += (size_t)n;
        else if (n == 0) fail("the other end closed");
        else if (errno == EAGAIN) relax();
        else fail("recv");
    }
}

static void send_all(int s, const char *from, size_t size)
{
    for (size_t sent = 0; sent < size;) {
        ssize_t n = send(s, from + sent, size - sent, MSG_NOSIGNAL | (spinning ? MSG_DONTWAIT : 0));
        if (n > 0) sent += (size_t)n;
        else if (errno == EAGAIN) relax();
        else fail("send");
    }
}

// Echoes until the client closes.
static void echo(int s, char *buffer, size_t size)
{
    for (;;) {
        ssize_t n = recv(s, buffer, size, spinning ? MSG_DONTWAIT : 0);
        if (n > 0) send_all(s, buffer, (size_t)n);
        else if (n == 0 || errno != EAGAIN) return;
        else relax();
    }
}

static void serve(size_t size)
{
    char *buffer = malloc(size);
    int listener = open_server(SOCK_STREAM, 16);
    for (;;) {
        int s = accept(listener, NULL, NULL);
        if (s < 0) fail("accept");
        no_delay(s);
        echo(s, buffer, size);
        close(s);
    }
}

// One socket hears all clients.
static void serve_datagrams(size_t size)
{
    char *buffer = malloc(size);
    int s = open_server(SOCK_DGRAM, 0);
    for (;;) {
        struct sockaddr_in peer;
        socklen_t length = sizeof peer;
        ssize_t n = recvfrom(s, buffer, size, spinning ? MSG_DONTWAIT : 0, (struct sockaddr *)&peer, &length);
        if (n < 0 && errno != EAGAIN && errno != ECONNREFUSED) fail("recvfrom");
        if (n < 0) relax();
        else if (sendto(s, buffer, (size_t)n, 0, (struct sockaddr *)&peer, length) < 0) fail("sendto");
    }
}

// A datagram and its echo; sent again if nothing comes.
static void exchange(int s, char *buffer, size_t size)
{
    for (;;) {
        if (send(s, buffer, size, 0) < 0) fail("send");
        uint64_t limit = nanoseconds() + PATIENCE_MS * 1000000ull;
        for (unsigned i = 1; ; i++) {
            ssize_t n = recv(s, buffer, size, spinning ? MSG_DONTWAIT : 0);
            if (n >= 0) return;
            if (errno != EAGAIN) fail("recv");
            relax();
            if ((!spinning || (i & 1023) == 0) && nanoseconds() > limit) break;
        }
    }
}

static void round_trip(int s, char *buffer, size_t size, int type)
{
    if (type == SOCK_DGRAM) {
        exchange(s, buffer, size);
        return;
    }
    send_all(s, buffer, size);
    receive_all(s, buffer, size);
}

static int open_measured(int type, int port)
{
    int s = open_client(type, port);
    struct timeval patience = { .tv_usec = PATIENCE_MS * 1000 };
    if (type == SOCK_STREAM) no_delay(s);
    else if (setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0) fail("SO_RCVTIMEO");
    return s;
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void measure(size_t size, int port, double seconds, int type)
{
    enum { SAMPLES = 1 << 21 }; // the newest two million: enough for a percentile, bounded for any length of run
    uint32_t *samples = malloc(SAMPLES * sizeof *samples);
    char *buffer = malloc(size);
    memset(buffer, 'x', size);
    int s = open_measured(type, port);
    for (int i = 0; i < 2000; i++) round_trip(s, buffer, size, type); // warm-up
    uint64_t count = 0, start = nanoseconds(), first = ticks(), before = first;
    uint64_t limit = (uint64_t)(seconds * 1e9);
    do {
        round_trip(s, buffer, size, type);
        uint64_t now = ticks();
        samples[count++ & (SAMPLES - 1)] = (uint32_t)(now - before);
        before = now;
        if ((count & 63) == 0) {
            if (nanoseconds() - start > limit) break;
            before = ticks(); // looking at the clock is no part of a round trip
        }
    } while (1);
    double per_tick = (double)(nanoseconds() - start) / (double)(ticks() - first) / 1000.0;
    size_t n = count < SAMPLES ? count : SAMPLES;
    qsort(samples, n, sizeof *samples, by_value);
    printf("p50_us %.4f\np99_us %.4f\noperations %llu\n", samples[n / 2] * per_tick,
           samples[n - 1 - n / 100] * per_tick,
           (unsigned long long)count);
    close(s);
}

int main(int argc, char **argv)
{
    int type = argc > 4 && strcmp(argv[argc - 1], "udp") == 0 ? SOCK_DGRAM : SOCK_STREAM;
    argc -= type == SOCK_DGRAM;
    if (argc < 4) {
        fprintf(stderr, "usage: pingpong server spin|block SIZE [udp] | client spin|block SIZE PORT SECONDS [udp]\n");
        return 2;
    }
    spinning = strcmp(argv[2], "spin") == 0;
    size_t size = (size_t)atol(argv[3]);
    if (strcmp(argv[1], "server") == 0) (type == SOCK_DGRAM ? serve_datagrams : serve)(size);
    else if (argc == 6) measure(size, atoi(argv[4]), atof(argv[5]), type);
    return 0;
}
