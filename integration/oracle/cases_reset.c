// Ends with a reset: unread data, SO_LINGER 0, writing to who is gone, killed peers.
#include "oracle.h"

PAIR(write_after_peer_close, "first write is taken, the next gets EPIPE and SIGPIPE")
{
    SAY(xclose(b));
    AWAIT(a, POLLRDHUP);
    SEND(a, "first", 0);
    ENDED(a);
    MASK(a);
    SEND(a, "second", 0);
    SEND(a, "third", 0);
    SEND(a, "fourth", MSG_NOSIGNAL);
    ERROR(a);
    RECV(a, 10, 0);
}

PAIR(write_after_peer_close_read_first, "reading the end of file first changes nothing for the writes")
{
    SAY(xclose(b));
    AWAIT(a, POLLIN);
    RECV(a, 10, 0);
    SEND(a, "first", 0);
    ENDED(a);
    RECV(a, 10, 0);
    MASK(a);
    ERROR(a);
    SEND(a, "second", 0);
    MASK(a);
    RECV(a, 10, 0);
}

PAIR(write_after_peer_close_error_first, "SO_ERROR takes the error; the write then still fails")
{
    SAY(xclose(b));
    AWAIT(a, POLLIN);
    SEND(a, "first", 0);
    ENDED(a);
    settle();
    ERROR(a);
    ERROR(a);
    MASK(a);
    SEND(a, "second", 0);
    RECV(a, 10, 0);
}

PAIR(write_after_both_half_close, "peer half-closed, we answer, peer closes, we write")
{
    SAY(xshutdown(b, SHUT_WR));
    AWAIT(a, POLLIN);
    SEND(a, "taken", 0);
    RECV(b, 10, 0);
    SAY(xclose(b));
    settle();
    MASK(a);
    SEND(a, "first", 0);
    ENDED(a);
    MASK(a);
    SEND(a, "second", 0);
}

PAIR(close_with_unread_data, "closing with unread data resets the peer: ECONNRESET once, then end of file")
{
    SEND(a, "never read", 0);
    SAY(xclose(b));
    AWAIT(a, POLLIN);
    MASK(a);
    RECV(a, 10, 0);
    MASK(a);
    RECV(a, 10, 0);
    SEND(a, "x", 0);
    ERROR(a);
}

PAIR(close_with_unread_error_first, "the same, SO_ERROR asked first")
{
    SEND(a, "never read", 0);
    SAY(xclose(b));
    AWAIT(a, POLLIN);
    ERROR(a);
    ERROR(a);
    MASK(a);
    RECV(a, 10, 0);
    SEND(a, "x", 0);
}

PAIR(close_with_unread_write_first, "the same, writing first: ECONNRESET, then EPIPE")
{
    SEND(a, "never read", 0);
    SAY(xclose(b));
    AWAIT(a, POLLIN);
    SEND(a, "x", 0);
    SEND(a, "y", 0);
    RECV(a, 10, 0);
}

PAIR(close_with_unread_and_data_for_peer, "reset while data for the peer is on its way: what the peer can still read")
{
    SEND(a, "never read", 0);
    SEND(b, "for you", 0);
    SAY(xclose(b));
    AWAIT(a, POLLHUP);
    MASK(a);
    SAY(xioctl(a, FIONREAD));
    RECV(a, 3, 0);
    RECV(a, 10, 0);
    RECV(a, 10, 0);
    RECV(a, 10, 0);
}

PAIR(close_partly_read, "one unread byte is enough for a reset")
{
    SEND(a, "ab", 0);
    RECV(b, 1, 0);
    SAY(xclose(b));
    AWAIT(a, POLLIN);
    RECV(a, 10, 0);
    RECV(a, 10, 0);
}

PAIR(close_all_read, "all read: an orderly end")
{
    SEND(a, "ab", 0);
    RECV(b, 2, 0);
    SAY(xclose(b));
    AWAIT(a, POLLIN);
    MASK(a);
    RECV(a, 10, 0);
}

PAIR(linger_zero, "SO_LINGER 0: close resets")
{
    SAY(xlinger(b, 1, 0));
    SAY(xclose(b));
    AWAIT(a, POLLHUP);
    MASK(a);
    RECV(a, 10, 0);
    RECV(a, 10, 0);
    MASK(a);
    SEND(a, "x", 0);
}

PAIR(linger_zero_data_in_flight, "SO_LINGER 0 with sent data the peer has not read")
{
    SEND(b, "sent before", 0);
    SAY(xlinger(b, 1, 0));
    SAY(xclose(b));
    AWAIT(a, POLLHUP);
    MASK(a);
    RECV(a, 100, 0);
    RECV(a, 100, 0);
    RECV(a, 100, 0);
    MASK(a);
}

PAIR(linger_zero_reader_blocked, "a blocked reader gets ECONNRESET")
{
    SAY(xlinger(b, 1, 0));
    later_close(40, b);
    TIMED(recv(a, bytes, 10, 0), 40);
    join_later();
    TIMED(recv(a, bytes, 10, 0), 0);
}

PAIR(linger_zero_after_shutdown, "SHUT_WR, then a close that resets")
{
    SAY(xlinger(b, 1, 0));
    SAY(xshutdown(b, SHUT_WR));
    AWAIT(a, POLLIN);
    RECV(a, 10, 0);
    SAY(xclose(b));
    settle();
    MASK(a);
    ERROR(a);
    SEND(a, "x", 0);
}

PAIR(linger_positive_read, "SO_LINGER 2 with everything read: close comes back at once, orderly")
{
    SAY(xlinger(b, 1, 2));
    SEND(b, "data", 0);
    RECV(a, 10, 0);
    TIMED(xclose(b), 0);
    AWAIT(a, POLLIN);
    RECV(a, 10, 0);
    SEND(a, "x", 0);
}

PAIR(linger_get_set, "what SO_LINGER gives back")
{
    struct linger linger = {9, 9};
    socklen_t length = sizeof linger;
    (void)b;
    SAY(getsockopt(a, SOL_SOCKET, SO_LINGER, &linger, &length));
    say("%d %d length %u", linger.l_onoff, linger.l_linger, length);
    set_linger(a, 5, 7);
    SAY(getsockopt(a, SOL_SOCKET, SO_LINGER, &linger, &length));
    say("%d %d", linger.l_onoff, linger.l_linger);
    set_linger(a, 0, 3);
    SAY(getsockopt(a, SOL_SOCKET, SO_LINGER, &linger, &length));
    say("%d %d", linger.l_onoff, linger.l_linger);
    SAY(setsockopt(a, SOL_SOCKET, SO_LINGER, &linger, 4));
    length = 4;
    SAY(getsockopt(a, SOL_SOCKET, SO_LINGER, &linger, &length));
    say("length %u", length);
}

PAIR(reset_epoll_level, "epoll's level-triggered view of a reset, before and after the error is taken")
{
    int ep = epoll_create1(0);
    SAY(ep_add(ep, a, EPOLLIN | EPOLLOUT | EPOLLRDHUP, 7));
    EPOLL(ep, 4, 0);
    SAY(xlinger(b, 1, 0));
    SAY(xclose(b));
    AWAIT(a, POLLHUP);
    EPOLL(ep, 4, 0);
    EPOLL(ep, 4, 0);
    RECV(a, 10, 0);
    EPOLL(ep, 4, 0);
    SAY(ep_mod(ep, a, 0, 8));
    EPOLL(ep, 4, 0);
}

PAIR(reset_epoll_edge, "epoll's edge-triggered view of a reset")
{
    int ep = epoll_create1(0);
    SAY(ep_add(ep, a, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, 7));
    EPOLL(ep, 4, 0);
    SAY(xlinger(b, 1, 0));
    SAY(xclose(b));
    EPOLL(ep, 4, 1000);
    EPOLL(ep, 4, 20);
    RECV(a, 10, 0);
    EPOLL(ep, 4, 0);
}

PAIR(sigpipe_sequence, "SIGPIPE comes with every EPIPE of send, write, sendmsg, sendfile, but not with NOSIGNAL")
{
    SAY(shutdown(a, SHUT_WR));
    SAY(write(a, "x", 1));
    SAY(send(a, "x", 1, 0));
    SAY(send(a, "x", 1, MSG_NOSIGNAL));
    struct iovec iov = {"x", 1};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    SAY(sendmsg(a, &message, 0));
    SAY(sendmsg(a, &message, MSG_NOSIGNAL));
    SAY(writev(a, &iov, 1));
    SAY(sendto(a, "x", 1, 0, NULL, 0));
    int file = open("/proc/self/exe", O_RDONLY);
    SAY(sendfile(a, file, NULL, 10));
    signal(SIGPIPE, SIG_IGN);
    SAY(write(a, "x", 1));
    (void)b;
}

CASE(sigpipe_default_kills, "with the default action a write to a closed connection kills")
{
    pid_t child = spawn();
    if (child == 0) {
        int a, b;
        local_pair(&a, &b);
        signal(SIGPIPE, SIG_DFL);
        close(b);
        SEND(a, "first", 0);
        ENDED(a);
        SEND(a, "second", 0);
        say("not reached");
        _exit(0);
    }
    reap(child);
}

CASE(sigpipe_blocked_is_pending, "a blocked SIGPIPE stays pending on the thread")
{
    int a, b;
    local_pair(&a, &b);
    sigset_t set, pending;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    sigprocmask(SIG_BLOCK, &set, NULL);
    SAY(shutdown(a, SHUT_WR));
    SAY(write(a, "x", 1));
    sigpending(&pending);
    say("pending: %d", sigismember(&pending, SIGPIPE));
    struct timespec none = {0, 0};
    say("taken: %s", sigtimedwait(&set, NULL, &none) == SIGPIPE ? "SIGPIPE" : "nothing");
    SAY(write(a, "x", 1));
    int before = sigpipes;
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    say("delivered on unblock: %d", sigpipes - before);
    (void)b;
}

FAR(killed_peer, "the peer is killed: an orderly end of file, then reset on writing")
{
    SEND(b, "sent before death", 0);
    xtake_down();
    AWAIT(a, POLLRDHUP);
    MASK(a);
    RECV(a, 100, 0);
    RECV(a, 100, 0);
    SEND(a, "x", 0);
    SAY(xpoll(a, POLLERR, 1000) != 0);
    SEND(a, "y", 0);
}

FAR(killed_peer_unread, "the peer is killed with unread data: reset")
{
    SEND(a, "it never read this", 0);
    SEND(b, "but sent this", 0);
    xtake_down();
    AWAIT(a, POLLHUP);
    MASK(a);
    RECV(a, 100, 0);
    RECV(a, 100, 0);
    RECV(a, 100, 0);
    SEND(a, "x", 0);
    (void)b;
}

static void kill_other(void *unused)
{
    (void)unused;
    xkill(SIGKILL);
}

FAR(killed_peer_blocked_reader, "a reader blocked on a killed peer gets end of file")
{
    later_call(50, kill_other, NULL);
    TIMED(recv(a, bytes, 10, 0), 50);
    join_later();
    TIMED(recv(a, bytes, 10, 0), 0);
    (void)b;
}

FAR(killed_peer_blocked_writer, "a writer blocked on a killed peer is woken with an error")
{
    say("filled: %s", fill(a) > 0 ? "yes" : "no");
    later_call(50, kill_other, NULL);
    SAY(send(a, bytes, sizeof bytes, MSG_NOSIGNAL));
    join_later();
    SAY(send(a, bytes, 1, MSG_NOSIGNAL));
    RECV(a, 10, 0);
    (void)b;
}

FAR(killed_peer_epoll, "epoll reports a killed peer as RDHUP, edge once")
{
    int ep = epoll_create1(0);
    SAY(ep_add(ep, a, EPOLLIN | EPOLLRDHUP | EPOLLET, 5));
    EPOLL(ep, 4, 0);
    later_call(40, kill_other, NULL);
    EPOLL(ep, 4, 3000);
    EPOLL(ep, 4, 20);
    join_later();
    RECV(a, 10, 0);
    (void)b;
}

FAR(exiting_peer, "the peer exits without closing: the same as closing")
{
    SEND(b, "goodbye", 0);
    xkill(SIGTERM);
    AWAIT(a, POLLRDHUP);
    RECV(a, 100, 0);
    RECV(a, 100, 0);
    MASK(a);
}

FAR(stopped_peer, "a stopped peer still takes data and its own data stays readable")
{
    SEND(b, "before the stop", 0);
    xkill(SIGSTOP);
    nap(10);
    SEND(a, "to the sleeper", 0);
    RECV(a, 100, 0);
    RECV(a, 100, MSG_DONTWAIT);
    MASK(a);
    nap(60);
    MASK(a);
    xkill(SIGCONT);
    RECV(b, 100, 0);
    SEND(b, "awake", 0);
    RECV(a, 100, 0);
}
