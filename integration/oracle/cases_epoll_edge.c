// epoll: edges, the order of events, small buffers of events, changes while another thread waits.
#include "oracle.h"

PAIR(edge_new_data, "each arrival is an edge, partial reads are none")
{
    int ep = epoll_create1(0);
    nonblock(a);
    SAY(ep_add(ep, a, EPOLLIN | EPOLLET, 1));
    EPOLL(ep, 4, 0);
    SEND(b, "abc", 0);
    EPOLL(ep, 4, 1000);
    EPOLL(ep, 4, 0);
    RECV(a, 1, 0);
    EPOLL(ep, 4, 0);
    SEND(b, "d", 0);
    EPOLL(ep, 4, 1000);
    RECV(a, 10, 0);
    RECV(a, 10, 0);
    EPOLL(ep, 4, 0);
    SEND(b, "e", 0);
    SEND(b, "f", 0);
    EPOLL(ep, 4, 1000);
    EPOLL(ep, 4, 0);
    RECV(a, 10, 0);
    EPOLL(ep, 4, 0);
    SAY(xclose(b));
    EPOLL(ep, 4, 1000);
    EPOLL(ep, 4, 0);
}

PAIR(edge_read_before_wait, "an edge whose data was read before the wait is not reported")
{
    int ep = epoll_create1(0);
    SAY(ep_add(ep, a, EPOLLIN | EPOLLET, 1));
    SEND(b, "abc", 0);
    RECV(a, 10, 0);
    EPOLL(ep, 4, 20);
    SEND(b, "abc", 0);
    RECV(a, 1, 0);
    EPOLL(ep, 4, 0);
    EPOLL(ep, 4, 0);
}

PAIR(edge_in_and_out, "IN and OUT together: an edge of one shows the other too")
{
    int ep = epoll_create1(0);
    nonblock(a);
    SAY(ep_add(ep, a, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, 1));
    EPOLL(ep, 4, 0);
    EPOLL(ep, 4, 0);
    SEND(b, "x", 0);
    EPOLL(ep, 4, 1000);
    EPOLL(ep, 4, 0);
    SEND(a, "y", 0);
    EPOLL(ep, 4, 10);
    RECV(b, 1, 0);
    EPOLL(ep, 4, 10);
    RECV(a, 1, 0);
    EPOLL(ep, 4, 10);
    SAY(xshutdown(b, SHUT_WR));
    EPOLL(ep, 4, 1000);
    EPOLL(ep, 4, 0);
    SAY(shutdown(a, SHUT_WR));
    EPOLL(ep, 4, 1000);
    EPOLL(ep, 4, 0);
}

PAIR(edge_out_after_full, "EPOLLOUT's edge comes when a full pipe gets room")
{
    int ep = epoll_create1(0);
    nonblock(a);
    SAY(ep_add(ep, a, EPOLLOUT | EPOLLET, 1));
    EPOLL(ep, 4, 0);
    EPOLL(ep, 4, 0);
    long total = fill(a);
    EPOLL(ep, 4, 20);
    for (long got = 0; got < total; ) {
        long r = xrecv(b, bytes, 65536, 0);
        if (r <= 0) break;
        got += r;
    }
    EPOLL(ep, 4, 3000);
    nap(50);
    EPOLL(ep, 4, 0);
    SEND(a, "x", 0);
    EPOLL(ep, 4, 10);
}

PAIR(edge_mod_rearms, "MOD reports again what holds")
{
    int ep = epoll_create1(0);
    SAY(ep_add(ep, a, EPOLLIN | EPOLLOUT | EPOLLET, 1));
    EPOLL(ep, 4, 0);
    SAY(ep_mod(ep, a, EPOLLIN | EPOLLOUT | EPOLLET, 2));
    EPOLL(ep, 4, 0);
    EPOLL(ep, 4, 0);
    SEND(b, "x", 0);
    EPOLL(ep, 4, 1000);
    SAY(ep_mod(ep, a, EPOLLIN | EPOLLET, 3));
    EPOLL(ep, 4, 0);
    SAY(epoll_ctl(ep, EPOLL_CTL_DEL, a, NULL));
    SAY(ep_add(ep, a, EPOLLIN | EPOLLET, 4));
    EPOLL(ep, 4, 0);
    EPOLL(ep, 4, 0);
}

PAIR(edge_data_before_add, "what is there when the socket is added is reported once")
{
    SEND(b, "early", 0);
    int ep = epoll_create1(0);
    SAY(ep_add(ep, a, EPOLLIN | EPOLLET, 1));
    EPOLL(ep, 4, 0);
    EPOLL(ep, 4, 0);
}

PAIR(edge_fin_after_data, "end of file is an edge of its own")
{
    int ep = epoll_create1(0);
    SAY(ep_add(ep, a, EPOLLIN | EPOLLRDHUP | EPOLLET, 1));
    SEND(b, "x", 0);
    EPOLL(ep, 4, 1000);
    SAY(xshutdown(b, SHUT_WR));
    EPOLL(ep, 4, 1000);
    RECV(a, 10, 0);
    EPOLL(ep, 4, 0);
    RECV(a, 10, 0);
    EPOLL(ep, 4, 0);
}

PAIR(edge_own_shutdown, "one's own SHUT_RD and SHUT_RDWR as edges")
{
    int ep = epoll_create1(0);
    SAY(ep_add(ep, a, EPOLLIN | EPOLLRDHUP | EPOLLET, 1));
    EPOLL(ep, 4, 0);
    SAY(shutdown(a, SHUT_RD));
    EPOLL(ep, 4, 0);
    EPOLL(ep, 4, 0);
    SAY(shutdown(a, SHUT_RDWR));
    EPOLL(ep, 4, 100);
    EPOLL(ep, 4, 0);
    (void)b;
}

#define SOCKETS 5
static int own[SOCKETS], far[SOCKETS];

static int many(uint32_t events)
{
    int ep = epoll_create1(0);
    for (int i = 0; i < SOCKETS; i++) {
        local_pair(&own[i], &far[i]);
        ep_add(ep, own[i], events, (uint64_t)i);
    }
    return ep;
}

CASE(order_of_arrival, "events of several sockets come in the order the data came")
{
    int ep = many(EPOLLIN);
    static const int order[] = {3, 0, 4, 1, 2};
    for (int i = 0; i < SOCKETS; i++) SEND(far[order[i]], "x", 0);
    EPOLL(ep, 8, 0);
    EPOLL(ep, 8, 0);
    RECV(own[0], 1, 0);
    EPOLL(ep, 8, 0);
    SEND(far[0], "y", 0);
    EPOLL(ep, 8, 0);
}

CASE(order_edge, "the same, edge-triggered")
{
    int ep = many(EPOLLIN | EPOLLET);
    static const int order[] = {2, 4, 0};
    for (int i = 0; i < 3; i++) SEND(far[order[i]], "x", 0);
    EPOLL(ep, 8, 0);
    SEND(far[1], "x", 0);
    SEND(far[2], "x", 0);
    SEND(far[1], "x", 0);
    EPOLL(ep, 8, 0);
    EPOLL(ep, 8, 0);
}

CASE(order_of_adding, "sockets that are ready when added come in the order they were added")
{
    int ep = many(EPOLLOUT);
    EPOLL(ep, 8, 0);
    EPOLL(ep, 8, 0);
    SAY(ep_mod(ep, own[1], EPOLLOUT, 11));
    EPOLL(ep, 8, 0);
    SAY(epoll_ctl(ep, EPOLL_CTL_DEL, own[0], NULL));
    SAY(ep_add(ep, own[0], EPOLLOUT, 10));
    EPOLL(ep, 8, 0);
}

CASE(small_maxevents, "fewer places than events: level-triggered sockets take turns")
{
    int ep = many(EPOLLIN);
    for (int i = 0; i < SOCKETS; i++) send(far[i], "x", 1, 0);
    settle();
    EPOLL(ep, 2, 0);
    EPOLL(ep, 2, 0);
    EPOLL(ep, 2, 0);
    EPOLL(ep, 2, 0);
    EPOLL(ep, 1, 0);
    EPOLL(ep, 3, 0);
}

CASE(small_maxevents_edge, "fewer places than events: the rest of the edges come next time")
{
    int ep = many(EPOLLIN | EPOLLET);
    for (int i = 0; i < SOCKETS; i++) send(far[i], "x", 1, 0);
    settle();
    EPOLL(ep, 2, 0);
    SEND(far[0], "y", 0);
    EPOLL(ep, 2, 0);
    EPOLL(ep, 2, 0);
    EPOLL(ep, 2, 0);
}

CASE(order_mixed, "sockets and pipes ready before one wait")
{
    int ep = epoll_create1(0), p[2], q[2], a, b, c, d;
    local_pair(&a, &b);
    local_pair(&c, &d);
    SAY(pipe(p));
    SAY(pipe(q));
    SAY(ep_add(ep, p[0], EPOLLIN, 1));
    SAY(ep_add(ep, a, EPOLLIN, 2));
    SAY(ep_add(ep, q[0], EPOLLIN, 3));
    SAY(ep_add(ep, c, EPOLLIN, 4));
    SEND(b, "x", 0);
    SEND(d, "x", 0);
    struct epoll_event events[8];
    int seen = 0, count = epoll_wait(ep, events, 8, 0);
    for (int i = 0; i < count; i++) seen |= 1 << events[i].data.u32;
    say("sockets: %d events, set %#x", count, seen);
    SAY(write(q[1], "q", 1));
    SAY(write(p[1], "p", 1));
    count = epoll_wait(ep, events, 8, 0);
    seen = 0;
    for (int i = 0; i < count; i++) seen |= 1 << events[i].data.u32;
    say("all: %d events, set %#x", count, seen);
    seen = 0;
    for (int round = 0; round < 4; round++) {
        count = epoll_wait(ep, events, 1, 0);
        if (count == 1) seen |= 1 << events[0].data.u32;
    }
    say("one at a time, four times: set %#x", seen);
}

struct change {
    int ep, fd, what;
};

static void change(void *argument)
{
    struct change *c = argument;
    if (c->what == 0) ep_add(c->ep, c->fd, EPOLLIN | EPOLLOUT, 7);
    if (c->what == 1) ep_mod(c->ep, c->fd, EPOLLIN | EPOLLOUT, 8);
    if (c->what == 2) epoll_ctl(c->ep, EPOLL_CTL_DEL, c->fd, NULL);
    if (c->what == 3) close(c->fd);
}

PAIR(changed_while_waiting, "another thread adds, modifies, removes, closes while one waits")
{
    int ep = epoll_create1(0), d = dup(a);
    struct change c = {ep, a, 0};
    later_call(40, change, &c);
    TIMED(EPOLL(ep, 4, 3000), 40);
    join_later();
    SAY(ep_mod(ep, a, EPOLLIN, 1));
    EPOLL(ep, 4, 0);
    c.what = 1;
    later_call(40, change, &c);
    TIMED(EPOLL(ep, 4, 3000), 40);
    join_later();
    SAY(ep_mod(ep, a, EPOLLIN, 1));
    c.what = 2;
    later_call(20, change, &c);
    later_send(40, b, "unseen");
    TIMED(EPOLL(ep, 4, 100), 100);
    join_later();
    SAY(ep_add(ep, d, EPOLLOUT, 2));
    c.what = 3;
    EPOLL(ep, 4, 0);
    SAY(ep_mod(ep, d, EPOLLRDHUP, 2));
    later_call(20, change, &c);
    later_shutdown(60, b, SHUT_WR);
    TIMED(EPOLL(ep, 4, 3000), 60);
    join_later();
    RECV(d, 10, 0);
}

PAIR(closed_while_waiting, "another thread closes the socket one waits for: nothing is reported")
{
    int ep = epoll_create1(0);
    SAY(ep_add(ep, a, EPOLLIN, 1));
    struct change c = {ep, a, 3};
    later_call(30, change, &c);
    TIMED(EPOLL(ep, 4, 120), 120);
    join_later();
    AWAIT(b, POLLIN);
    RECV(b, 10, 0);
}

static int set_to_wait, woken[2];

static void wait_in_thread(void *index)
{
    struct epoll_event event;
    int r = epoll_wait(set_to_wait, &event, 1, 300);
    woken[(intptr_t)index] = r;
}

PAIR(two_waiters_edge, "two threads wait in one set: one edge wakes one of them")
{
    set_to_wait = epoll_create1(0);
    SAY(ep_add(set_to_wait, a, EPOLLIN | EPOLLET, 1));
    later_call(0, wait_in_thread, (void *)0);
    later_call(0, wait_in_thread, (void *)1);
    nap(50);
    SEND(b, "x", 0);
    join_later();
    say("woken in all: %d", woken[0] + woken[1]);
}

PAIR(two_waiters_oneshot, "two threads wait in one set: EPOLLONESHOT goes to one")
{
    set_to_wait = epoll_create1(0);
    SAY(ep_add(set_to_wait, a, EPOLLIN | EPOLLONESHOT, 1));
    later_call(0, wait_in_thread, (void *)0);
    later_call(0, wait_in_thread, (void *)1);
    nap(50);
    SEND(b, "x", 0);
    join_later();
    say("woken in all: %d", woken[0] + woken[1]);
}

CASE(edge_echo_server, "an edge-triggered echo server with ten clients loses nothing")
{
    backlog = 20;
    static int l, ep, served;
    l = listener();
    ep = epoll_create1(0);
    nonblock(l);
    ep_add(ep, l, EPOLLIN | EPOLLET, 1000);
    void serve(void *unused)
    {
        (void)unused;
        static char block[4096];
        struct epoll_event events[4];
        int open = 0, started = 0;
        while (!started || open > 0) {
            int count = epoll_wait(ep, events, 4, 2000);
            if (count <= 0) break;
            for (int i = 0; i < count; i++) {
                int fd;
                if (events[i].data.u32 == 1000) {
                    while ((fd = accept4(l, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                        ep_add(ep, fd, EPOLLIN | EPOLLET | EPOLLRDHUP, (uint64_t)fd);
                        started = 1;
                        open++;
                    }
                    continue;
                }
                fd = (int)events[i].data.u32;
                ssize_t r;
                while ((r = read(fd, block, sizeof block)) > 0) {
                    served += r;
                    if (write(fd, block, r) != r) say("short echo");
                }
                if (r == 0) {
                    close(fd);
                    open--;
                }
            }
        }
    }
    later_call(0, serve, NULL);
    int good = 0, c[10];
    for (int i = 0; i < 10; i++) c[i] = dial(port_of(l));
    for (int round = 0; round < 30; round++)
        for (int i = 0; i < 10; i++) {
            char text[200], back[200];
            int length = 20 + (round * 7 + i * 13) % 170;
            memset(text, 'a' + (round + i) % 26, length);
            good += send(c[i], text, length, 0) == length && recv(c[i], back, length, MSG_WAITALL) == length
                && !memcmp(text, back, length);
        }
    for (int i = 0; i < 10; i++) close(c[i]);
    join_later();
    say("good %d of 300, served %d bytes", good, served);
}
