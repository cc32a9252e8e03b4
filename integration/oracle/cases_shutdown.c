// Orderly ends: half-close both ways, end of file, what poll says along the way.
#include "oracle.h"

PAIR(eof_repeats, "after the peer closed, every read gives 0")
{
    SEND(b, "last words", 0);
    SAY(xclose(b));
    AWAIT(a, POLLRDHUP);
    MASK(a);
    RECV(a, 4, 0);
    MASK(a);
    RECV(a, 100, 0);
    MASK(a);
    for (int i = 0; i < 4; i++) RECV(a, 100, 0);
    RECV(a, 100, MSG_PEEK);
    RECV(a, 100, MSG_DONTWAIT);
    SAY(xioctl(a, FIONREAD));
    MASK(a);
    ERROR(a);
}

PAIR(half_close_write, "SHUT_WR: the peer reads to the end and may still answer")
{
    SEND(a, "question", 0);
    SAY(shutdown(a, SHUT_WR));
    MASK(a);
    SEND(a, "x", 0);
    SEND(a, "x", MSG_NOSIGNAL);
    AWAIT(b, POLLRDHUP);
    MASK(b);
    RECV(b, 100, 0);
    RECV(b, 100, 0);
    MASK(b);
    SEND(b, "answer", 0);
    MASK(a);
    RECV(a, 100, 0);
    MASK(a);
    SAY(xclose(b));
    AWAIT(a, POLLIN);
    MASK(a);
    RECV(a, 100, 0);
    SEND(a, "x", 0);
}

PAIR(half_close_far, "the other end does SHUT_WR; this end goes on sending")
{
    SAY(xshutdown(b, SHUT_WR));
    AWAIT(a, POLLIN);
    MASK(a);
    RECV(a, 10, 0);
    SEND(a, "one", 0);
    SEND(a, "two", 0);
    RECV(b, 10, 0);
    SAY(shutdown(a, SHUT_WR));
    AWAIT(b, POLLIN);
    MASK(b);
    MASK(a);
    RECV(b, 10, 0);
    RECV(a, 10, 0);
    SEND(a, "x", 0);
    SEND(b, "x", MSG_NOSIGNAL);
}

PAIR(half_close_read, "SHUT_RD: reads give 0, but data that comes is still there, and the peer does not notice")
{
    SEND(b, "before", 0);
    SAY(shutdown(a, SHUT_RD));
    MASK(a);
    RECV(a, 10, 0);
    RECV(a, 10, 0);
    MASK(a);
    SEND(b, "after", 0);
    MASK(a);
    RECV(a, 10, 0);
    RECV(a, 10, 0);
    MASK(b);
    SEND(a, "answer", 0);
    RECV(b, 10, 0);
    SAY(xclose(b));
    RECV(a, 10, 0);
    MASK(a);
}

PAIR(shutdown_both, "SHUT_RDWR on one side, then on the other")
{
    SEND(b, "unread", 0);
    /* Across a wire it is on its way; what comes after the shutdown is answered by a reset. */
    AWAIT(a, POLLIN);
    SAY(shutdown(a, SHUT_RDWR));
    MASK(a);
    RECV(a, 10, 0);
    RECV(a, 10, 0);
    SEND(a, "x", 0);
    AWAIT(b, POLLIN);
    MASK(b);
    RECV(b, 10, 0);
    SAY(xshutdown(b, SHUT_RDWR));
    MASK(b);
    MASK(a);
    ERROR(a);
    ERROR(b);
    RECV(a, 10, 0);
    SEND(b, "x", MSG_NOSIGNAL);
}

PAIR(shutdown_repeated, "shutting down again, after both ends did, and wrong values of how")
{
    SAY(shutdown(a, 3));
    SAY(shutdown(a, -1));
    SAY(shutdown(a, SHUT_WR));
    SAY(shutdown(a, SHUT_WR));
    SAY(shutdown(a, SHUT_RD));
    SAY(shutdown(a, SHUT_RDWR));
    SAY(xshutdown(b, SHUT_RDWR));
    settle();
    SAY(shutdown(a, SHUT_WR));
    SAY(shutdown(a, SHUT_RDWR));
    SAY(xshutdown(b, SHUT_RD));
    SAY(peer_port_of(a));
    SAY(shutdown(-1, SHUT_WR));
}

PAIR(shutdown_wr_then_rd_one_side, "both halves in two calls equals SHUT_RDWR")
{
    SAY(shutdown(a, SHUT_RD));
    MASK(a);
    SAY(shutdown(a, SHUT_WR));
    MASK(a);
    AWAIT(b, POLLIN);
    MASK(b);
    RECV(b, 5, 0);
    SEND(b, "to nobody?", MSG_NOSIGNAL);
    ENDED(b);
    MASK(b);
    MASK(a);
    RECV(a, 20, 0);
}

PAIR(close_both_orders, "close here, then there: orderly, no error")
{
    SEND(a, "bye", 0);
    SAY(close(a));
    AWAIT(b, POLLIN);
    RECV(b, 10, 0);
    RECV(b, 10, 0);
    MASK(b);
    ERROR(b);
    SAY(xclose(b));
    SAY(close(a));
    RECV(a, 1, 0);
}

PAIR(data_after_fin_order, "data sent before SHUT_WR is all there before the end of file")
{
    for (int i = 0; i < 5; i++) SEND(a, "chunk ", 0);
    SAY(shutdown(a, SHUT_WR));
    AWAIT(b, POLLRDHUP);
    RECV(b, 7, 0);
    RECV(b, 100, 0);
    RECV(b, 100, 0);
}

PAIR(eof_with_waitall, "MSG_WAITALL ends short at the end of file")
{
    SEND(b, "short", 0);
    later_shutdown(40, b, SHUT_WR);
    TIMED(DATA(recv(a, bytes, 100, MSG_WAITALL), bytes), 40);
    join_later();
    RECV(a, 100, MSG_WAITALL);
}

PAIR(reader_woken_by_fin, "a blocked reader gets 0 when the peer shuts down")
{
    later_shutdown(40, b, SHUT_WR);
    TIMED(recv(a, bytes, 10, 0), 40);
    join_later();
    MASK(a);
}

PAIR(reader_woken_by_close, "a blocked reader gets 0 when the peer closes")
{
    later_close(40, b);
    TIMED(recv(a, bytes, 10, 0), 40);
    join_later();
    MASK(a);
}

PAIR(reader_woken_by_own_shutdown, "another thread's SHUT_RD ends a blocked read with 0")
{
    later_shutdown(40, a, SHUT_RD);
    TIMED(recv(a, bytes, 10, 0), 40);
    join_later();
    MASK(a);
    SEND(b, "still", 0);
    MASK(a);
}

PAIR(reader_woken_by_own_shutdown_rdwr, "another thread's SHUT_RDWR ends a blocked read with 0")
{
    later_shutdown(40, a, SHUT_RDWR);
    TIMED(recv(a, bytes, 10, 0), 40);
    join_later();
    AWAIT(b, POLLIN);
    RECV(b, 10, 0);
}

PAIR(poll_during_half_close, "poll masks asked for separately: IN only, OUT only, RDHUP only, nothing")
{
    SAY(xshutdown(b, SHUT_WR));
    AWAIT(a, POLLRDHUP);
    say("IN: %s", poll_text(xpoll(a, POLLIN, 0)));
    say("OUT: %s", poll_text(xpoll(a, POLLOUT, 0)));
    say("RDHUP: %s", poll_text(xpoll(a, POLLRDHUP, 0)));
    say("nothing: %s", poll_text(xpoll(a, 0, 0)));
    SAY(shutdown(a, SHUT_WR));
    settle();
    say("IN: %s", poll_text(xpoll(a, POLLIN, 0)));
    say("OUT: %s", poll_text(xpoll(a, POLLOUT, 0)));
    say("RDHUP: %s", poll_text(xpoll(a, POLLRDHUP, 0)));
    say("nothing: %s", poll_text(xpoll(a, 0, 0)));
    say("far, nothing: %s", poll_text(xpoll(b, 0, 0)));
}

PAIR(tcp_info_states, "TCP_INFO's state along an orderly end")
{
#define STATE(fd)                                                                                                    \
    ({                                                                                                               \
        struct tcp_info info_ = {0};                                                                                 \
        socklen_t length_ = sizeof info_;                                                                            \
        int r_ = getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info_, &length_);                                            \
        say("TCP_INFO of " #fd ": %d, state %d", r_, info_.tcpi_state);                                              \
    })
    STATE(a);
    SAY(xshutdown(b, SHUT_WR));
    AWAIT(a, POLLRDHUP);
    STATE(a);
    SAY(shutdown(a, SHUT_WR));
    settle();
    STATE(a);
    int fresh = socket(AF_INET, SOCK_STREAM, 0), l = listener();
    STATE(fresh);
    STATE(l);
    int c = dial(port_of(l));
    STATE(c);
    SAY(shutdown(c, SHUT_WR));
    // FIN_WAIT1 until the other end says that it has seen the end of the data, at once or a little later.
    struct tcp_info info = {0};
    socklen_t length = sizeof info;
    for (int i = 0; i < 200 && info.tcpi_state != TCP_FIN_WAIT2; i++) {
        nap(5);
        getsockopt(c, IPPROTO_TCP, TCP_INFO, &info, &length);
    }
    STATE(c);
}

PAIR(fin_wait_reader, "after SHUT_WR here and EOF from there, the connection is over but names stay an error away")
{
    int port = xport(b);
    SAY(shutdown(a, SHUT_WR));
    SAY(xclose(b));
    AWAIT(a, POLLIN);
    RECV(a, 1, 0);
    say("peer name after the end: %s", peer_port_of(a) == port ? "kept" : errno_name(errno));
    say("own name: %s", port_of(a) > 0 ? "kept" : "gone");
    SAY(connect_to(a, 1));
    MASK(a);
}
