// epoll in the corners: changing what is ready, oneshot, exclusive, nested sets, orders of ends, many sets.
#include "oracle.h"

static int set_of(int fd, uint32_t events)
{
    int ep = epoll_create1(0);
    if (ep_add(ep, fd, events, 1)) say("add: %s", errno_name(errno));
    return ep;
}

PAIR(ep_mod_while_ready, "EPOLL_CTL_MOD of a ready socket: other events, other data")
{
    int ep = set_of(a, EPOLLIN);
    SEND(b, "x", 0);
    EPOLL(ep, 4, 1000);
    SAY(ep_mod(ep, a, EPOLLOUT, 2));
    EPOLL(ep, 4, 0);
    SAY(ep_mod(ep, a, EPOLLIN, 3));
    EPOLL(ep, 4, 0);
    SAY(ep_mod(ep, a, 0, 4));
    EPOLL(ep, 4, 0);
    SAY(ep_mod(ep, a, EPOLLIN | EPOLLOUT, 5));
    EPOLL(ep, 4, 0);
    RECV(a, 1, 0);
    EPOLL(ep, 4, 0);
}

PAIR(ep_no_events, "without events asked for: errors and hang-ups alone")
{
    int ep = set_of(a, 0);
    SEND(b, "x", 0);
    EPOLL(ep, 4, 0);
    SAY(xshutdown(b, SHUT_WR));
    EPOLL(ep, 4, 30);
    SAY(shutdown(a, SHUT_WR));
    EPOLL(ep, 4, 1000);
}

PAIR(ep_no_events_reset, "without events asked for: a reset")
{
    int ep = set_of(a, 0);
    SAY(xlinger(b, 1, 0));
    SAY(xclose(b));
    EPOLL(ep, 4, 2000);
    ERROR(a);
    EPOLL(ep, 4, 0);
}

PAIR(ep_oneshot_rearm, "EPOLLONESHOT: disabled after an event, armed by MOD, with what is there")
{
    int ep = set_of(a, EPOLLIN | EPOLLONESHOT);
    SEND(b, "one", 0);
    EPOLL(ep, 4, 1000);
    SEND(b, "two", 0);
    EPOLL(ep, 4, 20);
    SAY(ep_mod(ep, a, EPOLLIN | EPOLLONESHOT, 2));
    EPOLL(ep, 4, 0);
    RECV(a, 100, 0);
    SAY(ep_mod(ep, a, EPOLLIN | EPOLLONESHOT, 3));
    EPOLL(ep, 4, 0);
    SEND(b, "three", 0);
    EPOLL(ep, 4, 1000);
}

PAIR(ep_oneshot_end, "a disabled EPOLLONESHOT entry says nothing of the end either")
{
    int ep = set_of(a, EPOLLIN | EPOLLONESHOT);
    SEND(b, "x", 0);
    EPOLL(ep, 4, 1000);
    SAY(xlinger(b, 1, 0));
    SAY(xclose(b));
    EPOLL(ep, 4, 30);
    SAY(ep_mod(ep, a, EPOLLIN | EPOLLONESHOT, 2));
    EPOLL(ep, 4, 0);
}

PAIR(ep_oneshot_edge, "EPOLLONESHOT with EPOLLET")
{
    int ep = set_of(a, EPOLLIN | EPOLLOUT | EPOLLET | EPOLLONESHOT);
    EPOLL(ep, 4, 0);
    SEND(b, "x", 0);
    EPOLL(ep, 4, 20);
    SAY(ep_mod(ep, a, EPOLLIN | EPOLLET | EPOLLONESHOT, 2));
    EPOLL(ep, 4, 0);
    EPOLL(ep, 4, 0);
}

PAIR(ep_rdhup_orders, "EPOLLRDHUP with data before it, and after that is read")
{
    int ep = set_of(a, EPOLLIN | EPOLLRDHUP);
    SEND(b, "last", 0);
    SAY(xshutdown(b, SHUT_WR));
    AWAIT(a, POLLRDHUP);
    EPOLL(ep, 4, 0);
    RECV(a, 4, 0);
    EPOLL(ep, 4, 0);
    RECV(a, 4, 0);
    EPOLL(ep, 4, 0);
    SAY(ep_mod(ep, a, EPOLLRDHUP, 2));
    EPOLL(ep, 4, 0);
    SAY(ep_mod(ep, a, EPOLLIN, 3));
    EPOLL(ep, 4, 0);
}

PAIR(ep_rdhup_edge, "edge-triggered: the end is one event, its own end another")
{
    int ep = set_of(a, EPOLLIN | EPOLLRDHUP | EPOLLET);
    EPOLL(ep, 4, 0);
    SAY(xshutdown(b, SHUT_WR));
    EPOLL(ep, 4, 1000);
    EPOLL(ep, 4, 0);
    SAY(shutdown(a, SHUT_WR));
    nap(20);
    EPOLL(ep, 4, 0);
}

PAIR(ep_own_shutdown, "shutdown of this end is an event for itself")
{
    int ep = set_of(a, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
    EPOLL(ep, 4, 0);
    SAY(shutdown(a, SHUT_RD));
    EPOLL(ep, 4, 0);
    SAY(shutdown(a, SHUT_WR));
    EPOLL(ep, 4, 0);
    (void)b;
}

PAIR(ep_del_and_add, "taking out and putting in again shows what is there")
{
    int ep = set_of(a, EPOLLIN | EPOLLET);
    SEND(b, "x", 0);
    EPOLL(ep, 4, 1000);
    SAY(epoll_ctl(ep, EPOLL_CTL_DEL, a, NULL));
    EPOLL(ep, 4, 0);
    SAY(ep_add(ep, a, EPOLLIN | EPOLLET, 2));
    EPOLL(ep, 4, 0);
    EPOLL(ep, 4, 0);
    SAY(ep_add(ep, a, EPOLLIN, 3));
    SAY(epoll_ctl(ep, EPOLL_CTL_DEL, a, NULL));
    SAY(epoll_ctl(ep, EPOLL_CTL_DEL, a, NULL));
    SAY(ep_mod(ep, a, EPOLLIN, 4));
}

PAIR(ep_exclusive_rules, "EPOLLEXCLUSIVE: what it goes with, and no MOD")
{
    int ep = epoll_create1(0);
    SAY(ep_add(ep, a, EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT, 1));
    SAY(ep_add(ep, a, EPOLLIN | EPOLLEXCLUSIVE | EPOLLRDHUP, 1));
    SAY(ep_add(ep, a, EPOLLIN | EPOLLOUT | EPOLLEXCLUSIVE | EPOLLET, 1));
    SAY(ep_mod(ep, a, EPOLLIN, 2));
    SAY(ep_mod(ep, a, EPOLLIN | EPOLLEXCLUSIVE, 2));
    EPOLL(ep, 4, 0);
    int outer = epoll_create1(0);
    SAY(ep_add(outer, ep, EPOLLIN | EPOLLEXCLUSIVE, 3));
    SAY(epoll_ctl(ep, EPOLL_CTL_DEL, a, NULL));
    (void)b;
}

static int sets_[4], hits_;
static void wait_in(void *which)
{
    struct epoll_event event;
    if (epoll_wait(sets_[(intptr_t)which], &event, 1, 400) > 0) __atomic_fetch_add(&hits_, 1, __ATOMIC_RELAXED);
}

PAIR(ep_four_sets_wake, "without EPOLLEXCLUSIVE all sets wake")
{
    for (int i = 0; i < 4; i++) sets_[i] = set_of(a, EPOLLIN);
    for (intptr_t i = 0; i < 4; i++) later_call(0, wait_in, (void *)i);
    nap(40);
    SEND(b, "x", 0);
    join_later();
    say("woken %d", hits_);
}

PAIR(ep_exclusive_some_wake, "with EPOLLEXCLUSIVE at least one set wakes")
{
    for (int i = 0; i < 4; i++) sets_[i] = set_of(a, EPOLLIN | EPOLLEXCLUSIVE);
    for (intptr_t i = 0; i < 4; i++) later_call(0, wait_in, (void *)i);
    nap(40);
    SEND(b, "x", 0);
    join_later();
    say("woken %s", hits_ >= 1 ? "at least one" : "none");
}

PAIR(ep_two_threads_one_set_edge, "edge-triggered: one event wakes one of two threads")
{
    sets_[0] = sets_[1] = set_of(a, EPOLLIN | EPOLLET);
    for (intptr_t i = 0; i < 2; i++) later_call(0, wait_in, (void *)i);
    nap(40);
    SEND(b, "x", 0);
    join_later();
    say("woken %d", hits_);
}

PAIR(ep_nested_two_deep, "a set in a set in a set")
{
    int inner = set_of(a, EPOLLIN), middle = set_of(inner, EPOLLIN), outer = set_of(middle, EPOLLIN);
    EPOLL(outer, 4, 0);
    SEND(b, "x", 0);
    EPOLL(outer, 4, 1000);
    EPOLL(middle, 4, 0);
    EPOLL(inner, 4, 0);
    RECV(a, 1, 0);
    EPOLL(outer, 4, 0);
    SAY(ep_add(inner, outer, EPOLLIN, 9));
}

PAIR(ep_nested_loop, "sets that would watch each other, one of them with nothing but the other in it")
{
    int with = FD(epoll_create1(0)), plain = FD(epoll_create1(0)), third = FD(epoll_create1(0));
    struct epoll_event event = {.events = EPOLLIN};
    SAY(epoll_ctl(with, EPOLL_CTL_ADD, a, &event));
    SAY(epoll_ctl(with, EPOLL_CTL_ADD, plain, &event));
    SAY(epoll_ctl(plain, EPOLL_CTL_ADD, with, &event));
    SAY(epoll_ctl(plain, EPOLL_CTL_ADD, third, &event));
    SAY(epoll_ctl(third, EPOLL_CTL_ADD, with, &event));
    SAY(epoll_ctl(third, EPOLL_CTL_MOD, with, &event));
    SAY(epoll_ctl(third, EPOLL_CTL_DEL, with, &event));
    SEND(b, "x", 0);
    AWAIT(a, POLLIN);
    SAY(epoll_wait(with, &event, 1, 1000));
    SAY(epoll_wait(plain, &event, 1, 0));
}

PAIR(ep_nested_edge_inner, "an edge-triggered entry in an inner set, looked at from outside")
{
    int inner = set_of(a, EPOLLIN | EPOLLET), outer = set_of(inner, EPOLLIN);
    SEND(b, "x", 0);
    EPOLL(outer, 4, 1000);
    EPOLL(outer, 4, 0);
    EPOLL(inner, 4, 0);
    EPOLL(outer, 4, 0);
    SEND(b, "y", 0);
    EPOLL(outer, 4, 1000);
}

PAIR(ep_nested_wakes_late, "a waiter on the outer set is woken through the inner")
{
    int inner = set_of(a, EPOLLIN), outer = set_of(inner, EPOLLIN);
    later_send(40, b, "wake");
    EPOLL(outer, 4, 3000);
    join_later();
    EPOLL(inner, 4, 0);
}

PAIR(ep_in_select, "a set in select()")
{
    int ep = set_of(a, EPOLLIN);
    fd_set set;
    for (int i = 0; i < 2; i++) {
        struct timeval time = {0, 0};
        FD_ZERO(&set);
        FD_SET(ep, &set);
        say("select %d", select(ep + 1, &set, NULL, NULL, &time));
        if (i == 0) SEND(b, "x", 0);
    }
    struct timeval time = {3, 0};
    RECV(a, 1, 0);
    later_send(40, b, "y");
    FD_ZERO(&set);
    FD_SET(ep, &set);
    say("select %d", select(ep + 1, &set, NULL, NULL, &time));
    join_later();
}

PAIR(ep_closed_inside, "closing a ready socket takes it out; its number goes on")
{
    int ep = set_of(a, EPOLLIN);
    SEND(b, "x", 0);
    EPOLL(ep, 4, 1000);
    SAY(close(a));
    EPOLL(ep, 4, 0);
    int ends[2];
    if (pipe(ends)) return;
    say("same number again: %d", ends[0] == a);
    SAY(ep_add(ep, ends[0], EPOLLIN, 7));
    SAY(write(ends[1], "p", 1));
    EPOLL(ep, 4, 0);
}

PAIR(ep_dup_both, "two numbers of one socket are two entries")
{
    int c = dup(a), ep = epoll_create1(0);
    SAY(ep_add(ep, a, EPOLLIN, 1));
    SAY(ep_add(ep, c, EPOLLIN | EPOLLOUT, 2));
    SEND(b, "x", 0);
    AWAIT(a, POLLIN);
    EPOLL(ep, 4, 0);
    SAY(close(a));
    EPOLL(ep, 1, 0);
    RECV(c, 1, 0);
    EPOLL(ep, 4, 0);
}

PAIR(ep_pwait2, "epoll_pwait2 with times of all sizes")
{
    int ep = set_of(a, EPOLLIN);
    struct epoll_event event;
    struct timespec none = {0, 0}, some = {0, 30000000}, bad = {0, 2000000000};
    SAY(epoll_pwait2(ep, &event, 1, &none, NULL));
    TIMED(epoll_pwait2(ep, &event, 1, &some, NULL), 30);
    SAY(epoll_pwait2(ep, &event, 1, &bad, NULL));
    SEND(b, "x", 0);
    SAY(epoll_pwait2(ep, &event, 1, NULL, NULL));
}

PAIR(ep_zero_max, "epoll_wait with bad counts and places")
{
    int ep = set_of(a, EPOLLIN);
    struct epoll_event event;
    SEND(b, "x", 0);
    SAY(epoll_wait(ep, &event, 0, 0));
    SAY(epoll_wait(ep, &event, -1, 0));
    SAY(epoll_wait(ep, NULL, 1, 0));
    SAY(epoll_wait(a, &event, 1, 0));
    EPOLL(ep, 1, 0);
}

PAIR(ep_out_edge_after_fill, "edge-triggered EPOLLOUT comes back when there is room again")
{
    nonblock(a);
    int ep = set_of(a, EPOLLOUT | EPOLLET);
    EPOLL(ep, 4, 0);
    long total = fill(a), got = 0;
    // What events the filling itself brought is the buffers' affair.
    struct epoll_event event;
    epoll_wait(ep, &event, 1, 0);
    EPOLL(ep, 4, 30);
    while (got < total) {
        long r = xrecv(b, bytes, sizeof bytes, 0);
        if (r <= 0) break;
        got += r;
    }
    EPOLL(ep, 4, 2000);
    say("all %d", got == total);
}

PAIR(ep_urgent, "EPOLLPRI, level and edge")
{
    int ep = set_of(a, EPOLLPRI), edge = set_of(a, EPOLLPRI | EPOLLIN | EPOLLET);
    SEND(b, "x", 0);
    EPOLL(ep, 4, 20);
    EPOLL(edge, 4, 20);
    SEND(b, "!", MSG_OOB);
    EPOLL(ep, 4, 1000);
    EPOLL(edge, 4, 0);
    EPOLL(edge, 4, 0);
    RECV(a, 1, MSG_OOB);
    EPOLL(ep, 4, 0);
}

PAIR(ep_data_pointer, "the 64 bits of data come back as they were put")
{
    int ep = epoll_create1(0);
    SAY(ep_add(ep, a, EPOLLOUT, 0xfedcba9876543210));
    EPOLL(ep, 4, 0);
    SAY(ep_mod(ep, a, EPOLLOUT, 0));
    EPOLL(ep, 4, 0);
    SAY(ep_mod(ep, a, EPOLLOUT, UINT64_MAX));
    EPOLL(ep, 4, 0);
    (void)b;
}

PAIR(ep_wake_by_mod, "a thread that waits is woken when MOD makes an entry ready")
{
    sets_[0] = set_of(a, EPOLLPRI);
    SEND(b, "x", 0);
    later_call(0, wait_in, (void *)0);
    nap(40);
    SAY(ep_mod(sets_[0], a, EPOLLIN, 2));
    join_later();
    say("woken %d", hits_);
}

PAIR(ep_wake_by_add, "a thread that waits is woken when ADD brings a ready entry")
{
    sets_[0] = epoll_create1(0);
    SEND(b, "x", 0);
    later_call(0, wait_in, (void *)0);
    nap(40);
    SAY(ep_add(sets_[0], a, EPOLLIN, 2));
    join_later();
    say("woken %d", hits_);
}

PAIR(ep_with_timer_and_pipe, "socket, pipe and eventfd: each once, none twice")
{
    int ep = set_of(a, EPOLLIN), ends[2], event = eventfd(0, 0);
    if (pipe(ends)) return;
    SAY(ep_add(ep, ends[0], EPOLLIN, 2));
    SAY(ep_add(ep, event, EPOLLIN, 3));
    SEND(b, "x", 0);
    AWAIT(a, POLLIN);
    EPOLL(ep, 4, 0);
    RECV(a, 1, 0);
    SAY(write(ends[1], "p", 1));
    EPOLL(ep, 4, 1000);
    SAY(read(ends[0], bytes, 1));
    SAY(eventfd_write(event, 5));
    EPOLL(ep, 4, 1000);
    later_send(40, b, "y");
    eventfd_t value;
    SAY(eventfd_read(event, &value));
    EPOLL(ep, 4, 3000);
    join_later();
}

DUO(ep_listener_oneshot, "a listener with EPOLLONESHOT")
{
    int l = listener(), ep = set_of(l, EPOLLIN | EPOLLONESHOT), c[2];
    for (int i = 0; i < 2; i++) {
        c[i] = xsocket(AF_INET, SOCK_STREAM);
        SAY(xconnect(c[i], near_ip, port_of(l)));
    }
    EPOLL(ep, 4, 1000);
    EPOLL(ep, 4, 0);
    FD(accept(l, NULL, NULL));
    SAY(ep_mod(ep, l, EPOLLIN | EPOLLONESHOT, 2));
    EPOLL(ep, 4, 0);
    FD(accept(l, NULL, NULL));
    SAY(ep_mod(ep, l, EPOLLIN | EPOLLONESHOT, 3));
    EPOLL(ep, 4, 0);
}

DUO(ep_listener_edge_two, "an edge-triggered listener: each client is an edge")
{
    int l = listener(), ep = set_of(l, EPOLLIN | EPOLLET), c;
    c = xsocket(AF_INET, SOCK_STREAM);
    SAY(xconnect(c, near_ip, port_of(l)));
    EPOLL(ep, 4, 1000);
    EPOLL(ep, 4, 0);
    c = xsocket(AF_INET, SOCK_STREAM);
    SAY(xconnect(c, near_ip, port_of(l)));
    EPOLL(ep, 4, 1000);
    FD(accept(l, NULL, NULL));
    EPOLL(ep, 4, 0);
    FD(accept(l, NULL, NULL));
}

PAIR(ep_ready_nowhere, "an event is there already, for an array that cannot be written to: EFAULT, and it stays")
{
    int ep = set_of(a, EPOLLIN);
    void *nowhere = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *constant = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    TIMED(SAY(epoll_wait(ep, nowhere, 4, 30)), 30);
    TIMED(SAY(epoll_wait(ep, NULL, 4, 30)), 30);
    TIMED(SAY(epoll_wait(ep, (void *)-8, 4, 30)), 0);
    for (int i = 0; i < 2; i++) {
        SEND(b, "x", 0);
        AWAIT(a, POLLIN);
        SAY(epoll_wait(ep, nowhere, 4, 0));
        SAY(epoll_wait(ep, (void *)(constant + 4), 4, -1));
        EPOLL(ep, 4, 1000);
        RECV(a, 1, 0);
    }
}

PAIR(ep_wait_nowhere, "an event comes to who waits with an array that cannot be written to: EFAULT, and it is not lost")
{
    int ep = set_of(a, EPOLLIN);
    void *nowhere = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 2; i++) {
        later_send(30, b, "x");
        TIMED(SAY(epoll_wait(ep, nowhere, 4, 3000)), 30);
        join_later();
        EPOLL(ep, 4, 1000);
        RECV(a, 1, 0);
    }
}
