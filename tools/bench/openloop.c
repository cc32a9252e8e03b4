// Open-loop load: requests leave at a fixed rate, whatever the answers do, and the time of an answer counts from when
// its request was due. A server that stalls is charged with every request that waited, not only with the one it stalled
// on.
//   openloop echo|redis|memcached|http PORT RATE CONNECTIONS SECONDS
// RATE 0: each connection sends as soon as it has its answer (the most that can be had; no latency is claimed from it).
// Prints "offered X", "achieved X" (a second), "operations N", and "bucket NANOSECONDS COUNT" for each used bucket,
// of which there are 32 to a doubling. The first fifth of the time warms up and is not counted.
#include "load.h"
#include <fcntl.h>
#include <sys/epoll.h>

enum { MOST_CONNECTIONS = 512, MOST_BYTES = 1 << 16, SUB_BITS = 5, BUCKETS = 64 << SUB_BITS };

struct connection {
    int fd;
    int busy;
    size_t got;
    uint64_t due;     // when the request under way should have left
    uint64_t next;    // number of the next request of this connection
    uint64_t waiting; // of its requests that are due and could not leave yet
};

static struct connection connections[MOST_CONNECTIONS];
static uint64_t buckets[BUCKETS];
static char request[512], answer[MOST_BYTES];
static size_t request_bytes, answer_bytes;
static uint64_t start, counted_from, finish, done;
static double interval; // between two requests of all connections together; 0: closed loop
static int number;

static unsigned bucket_of(uint64_t ns)
{
    if (ns < (1u << SUB_BITS)) return (unsigned)ns;
    unsigned high = 63 - (unsigned)__builtin_clzll(ns);
    return ((high - SUB_BITS + 1) << SUB_BITS) + (unsigned)((ns >> (high - SUB_BITS)) & ((1u << SUB_BITS) - 1));
}

static uint64_t middle_of(unsigned bucket)
{
    if (bucket < (1u << SUB_BITS)) return bucket;
    unsigned shift = (bucket >> SUB_BITS) - 1;
    uint64_t low = (uint64_t)((1u << SUB_BITS) + (bucket & ((1u << SUB_BITS) - 1))) << shift;
    return low + ((1ull << shift) >> 1);
}

static void record(uint64_t due, uint64_t now)
{
    if (due >= counted_from) buckets[bucket_of(now > due ? now - due : 0)]++;
}

static uint64_t due_time(uint64_t request_number) { return start + (uint64_t)((double)request_number * interval); }

// A request is far smaller than a send buffer that is empty, and it is: the one before was answered.
static void send_next(struct connection *c, uint64_t now)
{
    c->due = interval > 0 ? due_time(c->next) : now;
    c->next += (uint64_t)number;
    c->busy = 1;
    c->got = 0;
    if (send(c->fd, request, request_bytes, MSG_NOSIGNAL) != (ssize_t)request_bytes) fail("send");
}

static void receive(struct connection *c)
{
    ssize_t n = recv(c->fd, answer, answer_bytes - c->got, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) fail("recv: the server ended the connection");
    c->got += (size_t)n;
    if (!c->busy || c->got < answer_bytes) return;
    uint64_t now = nanoseconds();
    c->busy = 0;
    record(c->due, now);
    if (now >= counted_from && now < finish) done++;
    if (now >= finish) return;
    if (interval <= 0) send_next(c, now);
    else if (c->waiting > 0) {
        c->waiting--;
        send_next(c, now);
    }
}

static size_t exchange(int s, const char *what, size_t bytes, const char *end)
{
    if (send(s, what, bytes, MSG_NOSIGNAL) != (ssize_t)bytes) fail("send");
    for (size_t got = 0; got < sizeof answer - 1;) {
        ssize_t n = recv(s, answer + got, sizeof answer - 1 - got, 0);
        if (n <= 0) fail("recv");
        got += (size_t)n;
        answer[got] = 0;
        char *found = end == NULL ? NULL : strstr(answer, end);
        if (end == NULL ? got >= bytes : found != NULL) {
            char *length = strstr(answer, "Content-Length: ");
            size_t whole = end == NULL ? bytes : (size_t)(found - answer) + strlen(end);
            if (length != NULL) whole += (size_t)atol(length + 16);
            while (got < whole) {
                n = recv(s, answer + got, sizeof answer - 1 - got, 0);
                if (n <= 0) fail("recv");
                got += (size_t)n;
            }
            return whole;
        }
    }
    errno = EMSGSIZE;
    fail("answer");
    return 0;
}

// All answers have the length of the first.
static void prepare(const char *protocol, int s)
{
    const char *end = NULL;
    if (strcmp(protocol, "redis") == 0) {
        exchange(s, "SET accel xxx\r\n", 15, "\r\n");
        strcpy(request, "GET accel\r\n");
        end = "xxx\r\n";
    } else if (strcmp(protocol, "memcached") == 0) {
        exchange(s, "set accel 0 0 3\r\nxxx\r\n", 22, "STORED\r\n");
        strcpy(request, "get accel\r\n");
        end = "END\r\n";
    } else if (strcmp(protocol, "http") == 0) {
        strcpy(request, "GET /1k HTTP/1.1\r\nHost: bench\r\n\r\n");
        end = "\r\n\r\n";
    } else memset(request, 'x', 64);
    request_bytes = strlen(request);
    answer_bytes = exchange(s, request, request_bytes, end);
    if (strcmp(protocol, "http") == 0 && strncmp(answer, "HTTP/1.1 200", 12) != 0) {
        errno = EPROTO;
        fail("the server's first answer");
    }
}

static void run(int epoll)
{
    struct epoll_event events[64];
    uint64_t next = 0;
    if (interval <= 0)
        for (int i = 0; i < number; i++) send_next(&connections[i], nanoseconds());
    for (uint64_t now = nanoseconds(); now < finish; now = nanoseconds()) {
        while (interval > 0 && due_time(next) <= now) {
            struct connection *c = &connections[next++ % (uint64_t)number];
            if (c->busy) c->waiting++;
            else send_next(c, now);
        }
        int n = epoll_wait(epoll, events, 64, 0);
        if (n < 0 && errno != EINTR) fail("epoll_wait");
        for (int i = 0; i < n; i++) receive(events[i].data.ptr);
    }
    // What is due and has no answer has taken at least until now.
    uint64_t now = nanoseconds();
    for (int i = 0; i < number && interval > 0; i++) {
        if (connections[i].busy) record(connections[i].due, now);
        for (; connections[i].waiting > 0; connections[i].waiting--) {
            record(due_time(connections[i].next), now);
            connections[i].next += (uint64_t)number;
        }
    }
}

int main(int argc, char **argv)
{
    if (argc != 6 || (number = atoi(argv[4])) < 1 || number > MOST_CONNECTIONS) {
        fprintf(stderr, "usage: openloop echo|redis|memcached|http PORT RATE CONNECTIONS(1..512) SECONDS\n");
        return 2;
    }
    double rate = atof(argv[3]), seconds = atof(argv[5]);
    int epoll = epoll_create1(0);
    if (epoll < 0) fail("epoll_create1");
    for (int i = 0; i < number; i++) {
        struct connection *c = &connections[i];
        *c = (struct connection){ .fd = open_client(SOCK_STREAM, atoi(argv[2])), .next = (uint64_t)i };
        no_delay(c->fd);
        if (i == 0) prepare(argv[1], c->fd);
        if (fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0) fail("fcntl");
        struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &e) < 0) fail("epoll_ctl");
    }
    interval = rate > 0 ? 1e9 / rate : 0;
    start = nanoseconds();
    finish = start + (uint64_t)(seconds * 1e9);
    counted_from = start + (finish - start) / 5;
    run(epoll);
    double counted = (double)(finish - counted_from) / 1e9;
    printf("offered %.1f\nachieved %.1f\noperations %llu\n", rate, (double)done / counted, (unsigned long long)done);
    for (unsigned i = 0; i < BUCKETS; i++)
        if (buckets[i] != 0)
            printf("bucket %llu %llu\n", (unsigned long long)middle_of(i), (unsigned long long)buckets[i]);
    return 0;
}
