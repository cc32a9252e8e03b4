// Many sockets in one set: more than any fixed table of the watcher's could hold, few of them busy, then all at once.
#include "oracle.h"

#include <sys/resource.h>

enum { MANY = 2500, AT_ONCE = 64 };

static int own[MANY], far[MANY];
static unsigned char got[MANY];

static int open_many(uint32_t events)
{
    struct rlimit limit = {2 * MANY + 500, 2 * MANY + 500};
    setrlimit(RLIMIT_NOFILE, &limit);
    int ep = epoll_create1(0);
    for (int i = 0; i < MANY; i++) {
        local_pair(&own[i], &far[i]);
        fcntl(own[i], F_SETFL, O_NONBLOCK);
        ep_add(ep, own[i], events, (uint64_t)i);
    }
    return ep;
}

// Takes events until none comes; says how many sockets had some, and whether any came twice or was empty.
static void take_all(int ep)
{
    struct epoll_event events[AT_ONCE];
    int sockets = 0, twice = 0, empty = 0, n;
    memset(got, 0, sizeof got);
    while ((n = epoll_wait(ep, events, AT_ONCE, sockets == 0 ? 2000 : 0)) > 0) {
        for (int i = 0; i < n; i++) {
            char byte;
            uint64_t which = events[i].data.u64;
            if (got[which]++) twice++;
            else sockets++;
            if (recv(own[which], &byte, 1, 0) != 1) empty++;
        }
    }
    say("%d sockets, %d twice, %d empty", sockets, twice, empty);
}

static void few_then_all(uint32_t events)
{
    int ep = open_many(events);
    for (int round = 0; round < 3000; round++) {
        int which = (int)((unsigned)round * 7919u % MANY);
        struct epoll_event event;
        char byte;
        send(far[which], "x", 1, 0);
        int n = epoll_wait(ep, &event, 1, 2000);
        if (n != 1 || event.data.u64 != (uint64_t)which || recv(own[which], &byte, 1, 0) != 1) {
            say("round %d: not the event that was due", round);
            return;
        }
    }
    for (int i = 0; i < MANY; i++) send(far[i], "y", 1, 0);
    take_all(ep);
    for (int i = 0; i < MANY; i += 2) close(far[i]);
    int ended = 0, n;
    struct epoll_event ends[AT_ONCE];
    while ((n = epoll_wait(ep, ends, AT_ONCE, 500)) > 0) {
        for (int i = 0; i < n; i++) {
            char byte;
            if (recv(own[ends[i].data.u64], &byte, 1, 0) == 0 && close(own[ends[i].data.u64]) == 0) ended++;
        }
    }
    say("%d ended", ended);
}

CASE(many_level, "2,500 sockets in one set: few busy, all ready at once, half of them closed")
{
    few_then_all(EPOLLIN);
}

CASE(many_edge, "the same, edge-triggered") { few_then_all(EPOLLIN | EPOLLET); }

CASE(many_in_poll, "2,500 sockets in one poll()")
{
    static struct pollfd fds[MANY];
    open_many(EPOLLIN);
    for (int i = 0; i < MANY; i++) fds[i] = (struct pollfd){.fd = own[i], .events = POLLIN};
    SAY(poll(fds, MANY, 0));
    send(far[1234], "x", 1, 0);
    SAY(poll(fds, MANY, 2000));
    say("%d", fds[1234].revents);
    for (int i = 0; i < MANY; i += 5) send(far[i], "x", 1, 0);
    SAY(poll(fds, MANY, 2000));
}
