// epoll: sets that are put into a set before anything is in them.
#include "oracle.h"

static int outer_, inner_;

static void sets_in_each_other(void)
{
    outer_ = epoll_create1(0);
    inner_ = epoll_create1(0);
    SAY(ep_add(outer_, inner_, EPOLLIN, 7));
}

PAIR(nest_first, "an empty set goes into another, then a socket into it")
{
    sets_in_each_other();
    EPOLL(outer_, 4, 0);
    SAY(ep_add(inner_, a, EPOLLIN, 1));
    EPOLL(outer_, 4, 0);
    MASK(outer_);
    SEND(b, "x", 0);
    EPOLL(outer_, 4, 1000);
    EPOLL(inner_, 4, 0);
    MASK(outer_);
    RECV(a, 1, 0);
    EPOLL(outer_, 4, 0);
    MASK(outer_);
}

PAIR(nest_first_sleeps, "an empty set goes into another, a socket into it, and the outer one is slept on")
{
    sets_in_each_other();
    SAY(ep_add(inner_, a, EPOLLIN, 1));
    for (int i = 0; i < 3; i++) {
        later_send(40, b, "wake");
        TIMED(EPOLL(outer_, 4, 3000), 40);
        join_later();
        EPOLL(inner_, 4, 0);
        RECV(a, 10, 0);
        TIMED(EPOLL(outer_, 4, 20), 20);
    }
}

PAIR(nest_first_changes, "such a member is changed, put in twice, taken out and put in again")
{
    sets_in_each_other();
    SAY(ep_add(inner_, a, EPOLLIN, 1));
    SAY(ep_add(outer_, inner_, EPOLLIN, 8));
    SAY(ep_mod(outer_, inner_, EPOLLIN, 9));
    SEND(b, "x", 0);
    EPOLL(outer_, 4, 1000);
    SAY(epoll_ctl(outer_, EPOLL_CTL_DEL, inner_, NULL));
    EPOLL(outer_, 4, 0);
    SAY(epoll_ctl(outer_, EPOLL_CTL_DEL, inner_, NULL));
    SAY(ep_mod(outer_, inner_, EPOLLIN, 9));
    SAY(ep_add(outer_, inner_, EPOLLIN, 10));
    EPOLL(outer_, 4, 0);
}

PAIR(nest_first_beside, "the outer set has a socket of its own already")
{
    outer_ = epoll_create1(0);
    inner_ = epoll_create1(0);
    SAY(ep_add(outer_, a, EPOLLIN | EPOLLET, 1));
    SAY(ep_add(outer_, inner_, EPOLLIN | EPOLLET, 7));
    SAY(ep_add(inner_, outer_, EPOLLIN | EPOLLET, 3));
    SAY(epoll_ctl(outer_, EPOLL_CTL_DEL, inner_, NULL));
    EPOLL(outer_, 4, 0);
    SAY(ep_add(outer_, inner_, EPOLLIN, 8));
    SAY(ep_add(inner_, a, EPOLLIN, 2));
    EPOLL(outer_, 4, 0);
    SEND(b, "x", 0);
    AWAIT(a, POLLIN);
    struct epoll_event events[4];
    SAY(epoll_wait(outer_, events, 4, 1000));
}

PAIR(nest_first_edge, "an empty set goes into another edge-triggered or for one shot, then a socket into it")
{
    int edge = epoll_create1(0), once = epoll_create1(0), spent = epoll_create1(0), event = FD(eventfd(1, 0));
    inner_ = epoll_create1(0);
    SAY(ep_add(inner_, event, EPOLLIN, 1));
    SAY(ep_add(spent, inner_, EPOLLIN | EPOLLONESHOT, 9));
    EPOLL(spent, 4, 0);
    SAY(epoll_ctl(inner_, EPOLL_CTL_DEL, event, NULL));
    SAY(ep_add(edge, inner_, EPOLLIN | EPOLLET, 7));
    SAY(ep_add(once, inner_, EPOLLIN | EPOLLONESHOT, 8));
    SAY(ep_add(inner_, a, EPOLLIN, 1));
    SEND(b, "x", 0);
    EPOLL(edge, 4, 1000);
    EPOLL(edge, 4, 0);
    EPOLL(once, 4, 1000);
    EPOLL(once, 4, 0);
    EPOLL(spent, 4, 0);
    SAY(ep_mod(spent, inner_, EPOLLIN | EPOLLONESHOT, 10));
    EPOLL(spent, 4, 0);
    EPOLL(spent, 4, 0);
}

PAIR(nest_first_deep, "empty sets in each other, three deep, then a socket into the innermost")
{
    int outermost = epoll_create1(0);
    sets_in_each_other();
    SAY(ep_add(outermost, outer_, EPOLLIN, 5));
    SAY(ep_add(inner_, a, EPOLLIN, 1));
    EPOLL(outermost, 4, 0);
    later_send(40, b, "x");
    EPOLL(outermost, 4, 3000);
    join_later();
    EPOLL(outer_, 4, 0);
    RECV(a, 1, 0);
    EPOLL(outermost, 4, 0);
}

static int sent_;

static void wait_outer(void *unused)
{
    (void)unused;
    EPOLL(outer_, 4, 3000);
    say("%s", __atomic_load_n(&sent_, __ATOMIC_ACQUIRE) ? "after the send" : "before the send");
}

PAIR(nest_first_waiting, "a thread waits on the outer set already when a socket comes into the inner one")
{
    sets_in_each_other();
    later_call(0, wait_outer, NULL);
    nap(40);
    SAY(ep_add(inner_, a, EPOLLIN, 1));
    nap(40);
    __atomic_store_n(&sent_, 1, __ATOMIC_RELEASE);
    xsend(b, "x", 1, 0);
    join_later();
    EPOLL(inner_, 4, 0);
}

PAIR(nest_first_number, "the inner set is closed, and its number is a socket's")
{
    sets_in_each_other();
    SAY(ep_add(inner_, a, EPOLLIN, 1));
    SAY(close(inner_));
    SEND(b, "x", 0);
    AWAIT(a, POLLIN);
    EPOLL(outer_, 4, 20);
    say("same number %d", dup(a) == inner_);
    SAY(ep_add(outer_, inner_, EPOLLIN, 2));
    EPOLL(outer_, 4, 1000);
}

PAIR(nest_closed, "an inner set is closed, and its number is another set's with the same socket")
{
    inner_ = epoll_create1(0);
    outer_ = epoll_create1(0);
    SAY(ep_add(inner_, a, EPOLLIN, 1));
    SAY(ep_add(outer_, inner_, EPOLLIN, 7));
    SEND(b, "x", 0);
    EPOLL(outer_, 4, 1000);
    int copy = dup(inner_), number = inner_;
    SAY(close(inner_));
    EPOLL(outer_, 4, 0);
    SAY(close(copy));
    EPOLL(outer_, 4, 20);
    inner_ = epoll_create1(0);
    say("same number %d", inner_ == number);
    SAY(ep_add(inner_, a, EPOLLIN, 2));
    EPOLL(outer_, 4, 20);
    SAY(ep_add(outer_, inner_, EPOLLIN, 8));
    EPOLL(outer_, 4, 1000);
}

CASE(nest_deep_sleeps, "three sets in each other, and the outermost is slept on")
{
    int a, b, outermost = epoll_create1(0);
    local_pair(&a, &b);
    sets_in_each_other();
    SAY(ep_add(inner_, a, EPOLLIN, 1));
    SAY(ep_add(outermost, outer_, EPOLLIN, 5));
    later_send(40, b, "x");
    int64_t start = now_ms();
    EPOLL(outermost, 4, 3000);
    say("%s", now_ms() - start < 500 ? "soon" : "late");
    join_later();
}
