// epoll: control calls, level-triggered events, time limits, nested sets, several sets.
#include "oracle.h"

PAIR(epoll_level, "level-triggered: reported as long as it holds")
{
    int ep = epoll_create1(0);
    SAY(ep_add(ep, a, EPOLLIN, 1));
    EPOLL(ep, 8, 0);
    SEND(b, "abc", 0);
    EPOLL(ep, 8, 1000);
    EPOLL(ep, 8, 0);
    RECV(a, 1, 0);
    EPOLL(ep, 8, 0);
    RECV(a, 2, 0);
    EPOLL(ep, 8, 0);
    SAY(ep_mod(ep, a, EPOLLIN | EPOLLOUT, 2));
    EPOLL(ep, 8, 0);
    SAY(xshutdown(b, SHUT_WR));
    EPOLL(ep, 8, 1000);
    SAY(ep_mod(ep, a, EPOLLRDHUP, 3));
    EPOLL(ep, 8, 0);
    SAY(ep_mod(ep, a, EPOLLOUT, 4));
    EPOLL(ep, 8, 0);
    SAY(shutdown(a, SHUT_WR));
    EPOLL(ep, 8, 0);
}

PAIR(epoll_ctl_errors, "EEXIST, ENOENT, EPERM, EINVAL, EBADF, EFAULT")
{
    int ep = epoll_create1(0), file = open("/proc/self/exe", O_RDONLY);
    struct epoll_event event = {.events = EPOLLIN};
    SAY(epoll_ctl(ep, EPOLL_CTL_MOD, a, &event));
    SAY(epoll_ctl(ep, EPOLL_CTL_DEL, a, NULL));
    SAY(epoll_ctl(ep, EPOLL_CTL_ADD, a, &event));
    SAY(epoll_ctl(ep, EPOLL_CTL_ADD, a, &event));
    SAY(epoll_ctl(ep, EPOLL_CTL_ADD, file, &event));
    SAY(epoll_ctl(ep, EPOLL_CTL_ADD, ep, &event));
    SAY(epoll_ctl(ep, 9, a, &event));
    SAY(epoll_ctl(-1, EPOLL_CTL_ADD, a, &event));
    SAY(epoll_ctl(ep, EPOLL_CTL_ADD, -1, &event));
    SAY(epoll_ctl(a, EPOLL_CTL_ADD, ep, &event));
    SAY(epoll_ctl(file, EPOLL_CTL_ADD, a, &event));
    SAY(epoll_ctl(ep, EPOLL_CTL_MOD, a, (struct epoll_event *)8));
    SAY(epoll_ctl(ep, EPOLL_CTL_MOD, a, NULL));
    SAY(epoll_ctl(ep, EPOLL_CTL_DEL, a, (struct epoll_event *)8));
    SAY(epoll_ctl(ep, EPOLL_CTL_DEL, a, NULL));
    SAY(epoll_create(0));
    SAY(epoll_create(-1));
    SAY(epoll_create1(0x40));
    SAY(close(ep));
    SAY(epoll_ctl(ep, EPOLL_CTL_ADD, a, &event));
    SEND(b, "x", 0);
    RECV(a, 1, 0);
}

PAIR(epoll_wait_errors, "wrong descriptors, counts and pointers")
{
    int ep = epoll_create1(0);
    struct epoll_event events[4];
    SAY(ep_add(ep, a, EPOLLIN, 1));
    SAY(epoll_wait(ep, events, 0, 0));
    SAY(epoll_wait(ep, events, -1, 0));
    SAY(epoll_wait(ep, events, 1 << 30, 0));
    SAY(epoll_wait(-1, events, 4, 0));
    SAY(epoll_wait(a, events, 4, 0));
    SAY(epoll_wait(ep, NULL, 4, 0));
    SEND(b, "x", 0);
    SAY(epoll_wait(ep, (struct epoll_event *)8, 4, 0));
    EPOLL(ep, 4, 0);
}

PAIR(epoll_data, "the 64 bits of data come back whole, and MOD changes them")
{
    int ep = epoll_create1(0);
    SAY(ep_add(ep, a, EPOLLOUT, 0xfedcba9876543210u));
    EPOLL(ep, 4, 0);
    SAY(ep_mod(ep, a, EPOLLOUT, ~0ull));
    EPOLL(ep, 4, 0);
    SAY(ep_mod(ep, a, 0, 5));
    EPOLL(ep, 4, 0);
    (void)b;
}

PAIR(epoll_times, "time limits: 0, short, woken within")
{
    int ep = epoll_create1(0);
    SAY(ep_add(ep, a, EPOLLIN, 1));
    TIMED(EPOLL(ep, 4, 0), 0);
    TIMED(EPOLL(ep, 4, 60), 60);
    later_send(40, b, "x");
    TIMED(EPOLL(ep, 4, -1), 40);
    join_later();
    RECV(a, 1, 0);
    struct epoll_event events[4];
    struct timespec time = {0, 50000000}, bad = {0, -1};
    TIMED(epoll_pwait2(ep, events, 4, &time, NULL), 50);
    SAY(epoll_pwait2(ep, events, 4, &bad, NULL));
}

PAIR(epoll_woken_by_each, "a waiting set is woken by data, end of file, reset, room")
{
    int ep = epoll_create1(0);
    SAY(ep_add(ep, a, EPOLLIN | EPOLLRDHUP, 1));
    later_send(30, b, "x");
    EPOLL(ep, 4, 3000);
    join_later();
    RECV(a, 1, 0);
    later_shutdown(30, b, SHUT_WR);
    EPOLL(ep, 4, 3000);
    join_later();
    SAY(ep_mod(ep, a, 0, 2));
    SAY(xlinger(b, 1, 0));
    later_close(30, b);
    EPOLL(ep, 4, 3000);
    join_later();
}

PAIR(epoll_full_then_room, "EPOLLOUT goes when full and comes back")
{
    int ep = epoll_create1(0);
    nonblock(a);
    SAY(ep_add(ep, a, EPOLLOUT, 1));
    EPOLL(ep, 4, 0);
    long total = fill(a);
    EPOLL(ep, 4, 20);
    for (long got = 0; got < total; ) {
        long r = xrecv(b, bytes, 65536, 0);
        if (r <= 0) break;
        got += r;
    }
    EPOLL(ep, 4, 3000);
}

CASE(epoll_listener_level, "a listener stays reported until all are accepted")
{
    int l = listener(), port = port_of(l), ep = epoll_create1(0);
    SAY(ep_add(ep, l, EPOLLIN, 9));
    EPOLL(ep, 4, 0);
    dial(port);
    dial(port);
    EPOLL(ep, 4, 1000);
    FD(accept(l, NULL, NULL));
    EPOLL(ep, 4, 0);
    FD(accept(l, NULL, NULL));
    EPOLL(ep, 4, 0);
    int c = dial(port);
    EPOLL(ep, 4, 1000);
    close(c);
    settle();
    EPOLL(ep, 4, 0);
    FD(accept(l, NULL, NULL));
    EPOLL(ep, 4, 0);
    SAY(close(l));
    EPOLL(ep, 4, 0);
}

CASE(epoll_listener_edge, "an edge-triggered listener reports each arrival once")
{
    int l = listener(), port = port_of(l), ep = epoll_create1(0);
    SAY(ep_add(ep, l, EPOLLIN | EPOLLET, 9));
    dial(port);
    EPOLL(ep, 4, 1000);
    EPOLL(ep, 4, 0);
    dial(port);
    EPOLL(ep, 4, 1000);
    FD(accept(l, NULL, NULL));
    EPOLL(ep, 4, 0);
    FD(accept(l, NULL, NULL));
    EPOLL(ep, 4, 0);
    dial(port);
    SAY(ep_mod(ep, l, EPOLLIN | EPOLLET, 10));
    EPOLL(ep, 4, 0);
}

PAIR(epoll_close_removes, "closing the last descriptor takes the socket out of the set")
{
    int ep = epoll_create1(0);
    SAY(ep_add(ep, a, EPOLLIN, 1));
    SEND(b, "x", 0);
    EPOLL(ep, 4, 0);
    SAY(close(a));
    EPOLL(ep, 4, 0);
    int fresh = socket(AF_INET, SOCK_STREAM, 0);
    EPOLL(ep, 4, 0);
    SAY(ep_mod(ep, fresh, EPOLLIN, 2));
    SAY(ep_add(ep, fresh, EPOLLIN, 2));
    EPOLL(ep, 4, 0);
}

PAIR(epoll_dup_stays, "a registration lives as long as a dup of its socket")
{
    int ep = epoll_create1(0), d = dup(a);
    SAY(ep_add(ep, a, EPOLLIN, 1));
    SAY(ep_add(ep, d, EPOLLIN, 2));
    SEND(b, "x", 0);
    EPOLL(ep, 4, 0);
    SAY(close(a));
    EPOLL(ep, 4, 0);
    SAY(ep_mod(ep, d, EPOLLOUT, 3));
    EPOLL(ep, 4, 0);
    SAY(epoll_ctl(ep, EPOLL_CTL_DEL, d, NULL));
    EPOLL(ep, 4, 0);
    SAY(close(d));
    EPOLL(ep, 4, 0);
}

PAIR(epoll_dup_of_set, "a dup of the set is the same set")
{
    int ep = epoll_create1(0), twin = dup(ep);
    SAY(ep_add(ep, a, EPOLLIN, 1));
    SAY(ep_add(twin, a, EPOLLIN, 1));
    SEND(b, "x", 0);
    EPOLL(twin, 4, 0);
    SAY(close(ep));
    EPOLL(twin, 4, 0);
    SAY(epoll_ctl(twin, EPOLL_CTL_DEL, a, NULL));
    EPOLL(twin, 4, 0);
}

PAIR(epoll_two_sets, "one socket in two sets, with different events")
{
    int first = epoll_create1(0), second = epoll_create1(0);
    SAY(ep_add(first, a, EPOLLIN, 1));
    SAY(ep_add(second, a, EPOLLIN | EPOLLOUT | EPOLLET, 2));
    EPOLL(first, 4, 0);
    EPOLL(second, 4, 0);
    SEND(b, "x", 0);
    EPOLL(first, 4, 0);
    EPOLL(second, 4, 0);
    EPOLL(second, 4, 0);
    EPOLL(first, 4, 0);
    SAY(epoll_ctl(first, EPOLL_CTL_DEL, a, NULL));
    SEND(b, "y", 0);
    EPOLL(first, 4, 0);
    EPOLL(second, 4, 0);
}

PAIR(epoll_nested, "a set inside a set: readable when the inner one has events")
{
    int inner = epoll_create1(0), outer = epoll_create1(0);
    SAY(ep_add(inner, a, EPOLLIN, 1));
    SAY(ep_add(outer, inner, EPOLLIN, 2));
    EPOLL(outer, 4, 0);
    MASK(inner);
    SEND(b, "x", 0);
    MASK(inner);
    EPOLL(outer, 4, 1000);
    EPOLL(outer, 4, 0);
    EPOLL(inner, 4, 0);
    RECV(a, 1, 0);
    EPOLL(outer, 4, 0);
    MASK(inner);
    later_send(40, b, "y");
    EPOLL(outer, 4, 3000);
    join_later();
    SAY(ep_add(inner, outer, EPOLLIN, 3));
}

PAIR(epoll_nested_edge, "an inner set watched edge-triggered")
{
    int inner = epoll_create1(0), outer = epoll_create1(0);
    SAY(ep_add(inner, a, EPOLLIN, 1));
    SAY(ep_add(outer, inner, EPOLLIN | EPOLLET, 2));
    SEND(b, "x", 0);
    EPOLL(outer, 4, 1000);
    EPOLL(outer, 4, 0);
    SEND(b, "y", 0);
    EPOLL(outer, 4, 0);
    EPOLL(inner, 4, 0);
}

PAIR(epoll_in_poll, "an epoll set in poll and select")
{
    int ep = epoll_create1(0);
    SAY(ep_add(ep, a, EPOLLIN, 1));
    struct pollfd set[2] = {{ep, POLLIN, 0}, {a, POLLIN, 0}};
    SAY(poll(set, 2, 0));
    later_send(40, b, "x");
    TIMED(poll(set, 1, 3000), 40);
    join_later();
    say("%s", poll_text(set[0].revents));
    fd_set in;
    FD_ZERO(&in);
    FD_SET(ep, &in);
    struct timeval none = {0, 0};
    SAY(select(ep + 1, &in, NULL, NULL, &none));
    RECV(a, 1, 0);
    SAY(poll(set, 2, 0));
}

PAIR(epoll_mixed, "sockets, pipes and event counters in one set")
{
    int ep = epoll_create1(0), p[2], e = eventfd(0, EFD_NONBLOCK);
    SAY(pipe(p));
    SAY(ep_add(ep, p[0], EPOLLIN, 1));
    SAY(ep_add(ep, a, EPOLLIN, 2));
    SAY(ep_add(ep, e, EPOLLIN, 3));
    EPOLL(ep, 8, 0);
    SAY(write(p[1], "p", 1));
    EPOLL(ep, 8, 1000);
    SAY(read(p[0], bytes, 1));
    SAY(eventfd_write(e, 1));
    EPOLL(ep, 8, 1000);
    SAY(read(e, bytes, 8));
    SEND(b, "x", 0);
    EPOLL(ep, 8, 1000);
    RECV(a, 1, 0);
    EPOLL(ep, 8, 0);
    SAY(close(p[1]));
    EPOLL(ep, 8, 1000);
}

static void write_event(void *fd) { eventfd_write((int)(intptr_t)fd, 1); }

PAIR(epoll_mixed_waits, "a waiting mixed set is woken by the kernel's descriptors and by sockets alike")
{
    int ep = epoll_create1(0), e = eventfd(0, EFD_NONBLOCK);
    SAY(ep_add(ep, a, EPOLLIN, 1));
    SAY(ep_add(ep, e, EPOLLIN | EPOLLET, 2));
    for (int i = 0; i < 3; i++) {
        later_call(30, write_event, (void *)(intptr_t)e);
        TIMED(EPOLL(ep, 8, 3000), 30);
        join_later();
        later_send(30, b, "x");
        TIMED(EPOLL(ep, 8, 3000), 30);
        join_later();
        RECV(a, 1, 0);
    }
}

PAIR(epoll_oneshot, "EPOLLONESHOT reports once, until MOD")
{
    int ep = epoll_create1(0);
    SAY(ep_add(ep, a, EPOLLIN | EPOLLONESHOT, 1));
    SEND(b, "x", 0);
    EPOLL(ep, 4, 1000);
    EPOLL(ep, 4, 0);
    SEND(b, "y", 0);
    EPOLL(ep, 4, 0);
    SAY(ep_add(ep, a, EPOLLIN, 1));
    SAY(ep_mod(ep, a, EPOLLIN | EPOLLONESHOT, 2));
    EPOLL(ep, 4, 0);
    EPOLL(ep, 4, 0);
    RECV(a, 10, 0);
    SAY(ep_mod(ep, a, EPOLLIN | EPOLLONESHOT, 3));
    EPOLL(ep, 4, 0);
    SAY(xclose(b));
    EPOLL(ep, 4, 1000);
    EPOLL(ep, 4, 0);
    SAY(ep_mod(ep, a, EPOLLIN | EPOLLOUT | EPOLLONESHOT | EPOLLET, 4));
    EPOLL(ep, 4, 0);
    EPOLL(ep, 4, 0);
}

PAIR(epoll_exclusive, "EPOLLEXCLUSIVE: what may go with it, what MOD says")
{
    int ep = epoll_create1(0);
    SAY(ep_add(ep, a, EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT, 1));
    SAY(ep_add(ep, a, EPOLLIN | EPOLLEXCLUSIVE | EPOLLRDHUP, 1));
    SAY(ep_add(ep, a, EPOLLIN | EPOLLEXCLUSIVE, 1));
    SAY(ep_mod(ep, a, EPOLLIN, 2));
    SAY(ep_mod(ep, a, EPOLLIN | EPOLLEXCLUSIVE, 2));
    SEND(b, "x", 0);
    EPOLL(ep, 4, 0);
    EPOLL(ep, 4, 0);
    SAY(epoll_ctl(ep, EPOLL_CTL_DEL, a, NULL));
    SAY(ep_add(ep, a, EPOLLIN, 3));
    SAY(ep_mod(ep, a, EPOLLIN | EPOLLEXCLUSIVE, 4));
    int inner = epoll_create1(0);
    SAY(ep_add(ep, inner, EPOLLIN | EPOLLEXCLUSIVE, 5));
}

CASE(epoll_exclusive_accept, "several sets wait for one listener with EPOLLEXCLUSIVE: none is left without its client")
{
    static int l, accepted;
    l = listener();
    nonblock(l);
    void worker(void *unused)
    {
        (void)unused;
        int ep = epoll_create1(0);
        ep_add(ep, l, EPOLLIN | EPOLLEXCLUSIVE, 1);
        struct epoll_event event;
        while (__atomic_load_n(&accepted, __ATOMIC_SEQ_CST) < 12) {
            if (epoll_wait(ep, &event, 1, 50) != 1) continue;
            int b = accept(l, NULL, NULL);
            if (b >= 0) __atomic_fetch_add(&accepted, 1, __ATOMIC_SEQ_CST);
        }
    }
    for (int i = 0; i < 3; i++) later_call(0, worker, NULL);
    nap(20);
    for (int i = 0; i < 12; i++) dial(port_of(l));
    join_later();
    say("accepted %d", accepted);
}

PAIR(epoll_unconnected, "a fresh socket in a set: HUP, and a connected one after connect")
{
    int ep = epoll_create1(0), fresh = socket(AF_INET, SOCK_STREAM, 0), l = listener();
    SAY(ep_add(ep, fresh, EPOLLIN | EPOLLOUT, 1));
    EPOLL(ep, 4, 0);
    SAY(connect_to(fresh, port_of(l)));
    expect_local(fresh);
    EPOLL(ep, 4, 0);
    SAY(ep_mod(ep, fresh, EPOLLIN, 2));
    EPOLL(ep, 4, 0);
    int s = FD(accept(l, NULL, NULL));
    SEND(s, "x", 0);
    EPOLL(ep, 4, 0);
    (void)a, (void)b;
}
