// Connections one after another: connect, accept, close.
//   connect server                  accepts and closes at once
//   connect client PORT SECONDS     connects, waits for the end of file, closes; prints "per_second X", "operations N"
// The server closes first, so the waiting time after a close (TIME_WAIT) is on its port and the client's port numbers
// do not run out.
#include "load.h"

static void serve(void)
{
    int listener = open_server(SOCK_STREAM, 128);
    for (;;) {
        int s = accept(listener, NULL, NULL);
        if (s < 0) fail("accept");
        close(s);
    }
}

static void measure(int port, double seconds)
{
    uint64_t count = 0, start = nanoseconds(), limit = start + (uint64_t)(seconds * 1e9), now;
    do {
        char byte;
        int s = open_client(SOCK_STREAM, port);
        if (recv(s, &byte, 1, 0) != 0) fail("recv: expected the end of file");
        close(s);
        count++;
    } while ((now = nanoseconds()) < limit);
    printf("per_second %.1f\noperations %llu\n", (double)count * 1e9 / (double)(now - start),
           (unsigned long long)count);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "server") == 0) serve();
    else if (argc == 4) measure(atoi(argv[2]), atof(argv[3]));
    else fprintf(stderr, "usage: connect server | client PORT SECONDS\n");
    return argc == 4 ? 0 : 2;
}
