/* What the calls of an accelerated client cost over an interface: cost serve PORT BYTES answers each 64 bytes with so
 * many; cost WHAT ADDRESS PORT TIMES asks. measure_WHAT is for callgrind's --toggle-collect. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ASKED = 64, SEGMENT = 1400 };

static int client;
static struct sockaddr_in address = { .sin_family = AF_INET };
static char bytes[1 << 16];

static void need(int ok, const char *what)
{
    if (ok) return;
    perror(what);
    exit(1);
}

#define MEASURED static void __attribute__((noinline))

MEASURED measure_round(void)
{
    need(send(client, bytes, ASKED, 0) == ASKED, "send");
    need(recv(client, bytes, ASKED, MSG_WAITALL) == ASKED, "recv");
}

MEASURED measure_segment(void)
{
    need(send(client, bytes, ASKED, 0) == ASKED, "send");
    need(recv(client, bytes, SEGMENT, MSG_WAITALL) == SEGMENT, "recv");
}

MEASURED measure_connection(void)
{
    int one = socket(AF_INET, SOCK_STREAM, 0);
    need(connect(one, (struct sockaddr *)&address, sizeof address) == 0, "connect");
    close(one);
}

static void serve(int size)
{
    int on = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    need(bind(listener, (struct sockaddr *)&address, sizeof address) == 0, "bind");
    need(listen(listener, 1024) == 0, "listen");
    for (int peer; (peer = accept(listener, NULL, NULL)) >= 0; close(peer)) {
        setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        while (recv(peer, bytes, ASKED, MSG_WAITALL) == ASKED && send(peer, bytes, size, MSG_NOSIGNAL) == size) {}
    }
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "serve") == 0) {
        address.sin_port = htons(atoi(argv[2]));
        serve(atoi(argv[3]));
    }
    if (argc != 5 || inet_pton(AF_INET, argv[2], &address.sin_addr) != 1) return 2;
    address.sin_port = htons(atoi(argv[3]));
    int connects = strcmp(argv[1], "connection") == 0, whole = strcmp(argv[1], "segment") == 0;
    if (!connects) {
        client = socket(AF_INET, SOCK_STREAM, 0);
        need(connect(client, (struct sockaddr *)&address, sizeof address) == 0, "connect");
    }
    for (int times = atoi(argv[4]); times > 0; times--) {
        if (connects)
            measure_connection();
        else if (whole)
            measure_segment();
        else
            measure_round();
    }
    return 0;
}
