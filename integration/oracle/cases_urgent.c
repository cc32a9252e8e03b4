// Urgent data: MSG_OOB, SO_OOBINLINE, SIOCATMARK, POLLPRI.
#include "oracle.h"

PAIR(urgent_none, "MSG_OOB receive when there is none")
{
    RECV(a, 1, MSG_OOB);
    SEND(b, "plain", 0);
    RECV(a, 1, MSG_OOB);
    RECV(a, 10, 0);
    SAY(xioctl(a, SIOCATMARK));
}

PAIR(urgent_byte, "the last byte of a MSG_OOB send is urgent")
{
    SEND(b, "abc", MSG_OOB);
    AWAIT(a, POLLPRI);
    MASK(a);
    RECV(a, 10, 0);
    SAY(xioctl(a, SIOCATMARK));
    RECV(a, 10, MSG_OOB);
    RECV(a, 10, MSG_OOB);
    MASK(a);
    SEND(b, "d", 0);
    RECV(a, 10, 0);
    SAY(xioctl(a, SIOCATMARK));
}

PAIR(urgent_stops_reading, "a plain read stops at the mark")
{
    SEND(b, "before", 0);
    SEND(b, "!", MSG_OOB);
    SEND(b, "after", 0);
    RECV(a, 100, 0);
    SAY(xioctl(a, SIOCATMARK));
    RECV(a, 100, 0);
    RECV(a, 100, MSG_OOB);
}

PAIR(urgent_inline, "SO_OOBINLINE leaves the urgent byte in the stream")
{
    SETOPT(a, SOL_SOCKET, SO_OOBINLINE, 1);
    SEND(b, "xy", 0);
    SEND(b, "!", MSG_OOB);
    SEND(b, "z", 0);
    RECV(a, 100, MSG_OOB);
    RECV(a, 100, 0);
    SAY(xioctl(a, SIOCATMARK));
    RECV(a, 100, 0);
}

PAIR(urgent_epoll, "urgent data is EPOLLPRI")
{
    int ep = epoll_create1(0);
    SAY(ep_add(ep, a, EPOLLPRI, 1));
    EPOLL(ep, 4, 0);
    SEND(b, "!", MSG_OOB);
    EPOLL(ep, 4, 1000);
    RECV(a, 1, MSG_OOB);
    EPOLL(ep, 4, 0);
}

PAIR(urgent_replaced, "a second urgent byte: the first is lost if it was next, and data if it was not")
{
    SEND(b, "A", MSG_OOB);
    AWAIT(a, POLLPRI);
    SEND(b, "B", MSG_OOB);
    AWAIT(a, POLLPRI);
    SAY(xioctl(a, FIONREAD));
    RECV(a, 1, MSG_OOB);
    SEND(b, "tail", 0);
    RECV(a, 100, 0);
    SEND(b, "c", 0);
    SEND(b, "D", MSG_OOB);
    SEND(b, "E", MSG_OOB);
    SAY(xioctl(a, FIONREAD));
    RECV(a, 100, 0);
    SAY(xioctl(a, SIOCATMARK));
    RECV(a, 1, MSG_OOB);
    MASK(a);
    RECV(a, 100, MSG_DONTWAIT);
}

PAIR(urgent_chain, "three urgent bytes in a row, and the last is left")
{
    SEND(b, "A", MSG_OOB);
    SEND(b, "B", MSG_OOB);
    SEND(b, "C", MSG_OOB);
    AWAIT(a, POLLPRI);
    SAY(xioctl(a, FIONREAD));
    SAY(xioctl(a, SIOCATMARK));
    MASK(a);
    SEND(b, "d", 0);
    RECV(a, 10, MSG_PEEK);
    RECV(a, 1, MSG_OOB);
    RECV(a, 10, 0);
}

PAIR(urgent_replaced_inline, "a second urgent byte in line")
{
    SETOPT(a, SOL_SOCKET, SO_OOBINLINE, 1);
    SEND(b, "A", MSG_OOB);
    SEND(b, "B", MSG_OOB);
    SAY(xioctl(a, SIOCATMARK));
    RECV(a, 100, 0);
    SAY(xioctl(a, SIOCATMARK));
    RECV(a, 100, 0);
    MASK(a);
}

PAIR(urgent_peek, "peeking at urgent data and around it")
{
    SEND(b, "ab!cd", 0);
    SEND(b, "?", MSG_OOB);
    SEND(b, "ef", 0);
    RECV(a, 1, MSG_OOB | MSG_PEEK);
    RECV(a, 1, MSG_OOB | MSG_PEEK);
    RECV(a, 100, MSG_PEEK);
    RECV(a, 5, 0);
    SAY(xioctl(a, SIOCATMARK));
    RECV(a, 100, MSG_PEEK);
    SAY(xioctl(a, SIOCATMARK));
    SAY(xioctl(a, FIONREAD));
    RECV(a, 1, MSG_OOB);
    SAY(xioctl(a, SIOCATMARK));
    RECV(a, 1, MSG_OOB | MSG_PEEK);
    RECV(a, 100, 0);
    SAY(xioctl(a, SIOCATMARK));
}

PAIR(urgent_readable, "poll and FIONREAD around the mark")
{
    SEND(b, "!", MSG_OOB);
    AWAIT(a, POLLPRI);
    MASK(a);
    SAY(xioctl(a, FIONREAD));
    RECV(a, 10, MSG_DONTWAIT);
    MASK(a);
    SEND(b, "ab!", MSG_OOB);
    AWAIT(a, POLLIN);
    MASK(a);
    SAY(xioctl(a, FIONREAD));
    RECV(a, 10, 0);
    MASK(a);
    SAY(xioctl(a, FIONREAD));
    SEND(b, "c", 0);
    AWAIT(a, POLLIN);
    MASK(a);
    SAY(xioctl(a, FIONREAD));
    RECV(a, 10, MSG_OOB);
    MASK(a);
    RECV(a, 10, 0);
    MASK(a);
}

PAIR(urgent_waitall, "MSG_WAITALL ends at the mark")
{
    SEND(b, "ab", 0);
    SEND(b, "!", MSG_OOB);
    SEND(b, "cd", 0);
    RECV(a, 4, MSG_WAITALL);
    RECV(a, 2, MSG_WAITALL);
    SETOPT(a, SOL_SOCKET, SO_OOBINLINE, 1);
    SEND(b, "ef", 0);
    SEND(b, "!", MSG_OOB);
    SEND(b, "gh", 0);
    RECV(a, 4, MSG_WAITALL);
    RECV(a, 3, MSG_WAITALL);
}

PAIR(urgent_message, "recvmsg gives an urgent byte with MSG_OOB in its flags")
{
    char text[4] = "....";
    struct iovec iov[2] = {{text, 0}, {text + 1, 3}};
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = 2};
    SEND(b, "abc", MSG_OOB);
    AWAIT(a, POLLPRI);
    SAY(recvmsg(a, &message, MSG_OOB));
    say("%.4s flags %s", text, message.msg_flags & MSG_OOB ? "MSG_OOB" : "none");
    SEND(b, "d", MSG_OOB);
    AWAIT(a, POLLPRI);
    message.msg_iovlen = 1;
    SAY(recvmsg(a, &message, MSG_OOB));
    say("flags %s %s", message.msg_flags & MSG_OOB ? "MSG_OOB" : "-",
        message.msg_flags & MSG_TRUNC ? "MSG_TRUNC" : "-");
    RECV(a, 1, MSG_OOB);
    RECV(a, 100, 0);
}

PAIR(urgent_long, "the last byte of a long send is urgent")
{
    static char data[60000]; // no more than the first window
    memset(data, 'x', sizeof data);
    data[sizeof data - 1] = '!';
    say("sent %ld", xsend(b, data, sizeof data, MSG_OOB));
    SEND(b, "after", 0);
    AWAIT(a, POLLPRI);
    RECV(a, 1, MSG_OOB);
    long all = 0;
    do {
        long n = recv(a, data, sizeof data, 0);
        if (n <= 0) break;
        all += n;
    } while (xioctl(a, SIOCATMARK) == 0);
    say("%ld before the mark", all);
    RECV(a, 100, 0);
}

PAIR(urgent_select, "the exceptional set of select")
{
    fd_set in, out;
    struct timeval time = {1, 0};
    SEND(b, "!", MSG_OOB);
    FD_ZERO(&in);
    FD_SET(a, &in);
    out = in;
    SAY(select(a + 1, NULL, NULL, &out, &time));
    time = (struct timeval){0, 0};
    out = in;
    SAY(select(a + 1, &in, NULL, &out, &time));
    say("in %d exceptional %d", FD_ISSET(a, &in) != 0, FD_ISSET(a, &out) != 0);
    RECV(a, 1, MSG_OOB);
    out = in;
    SAY(select(a + 1, NULL, NULL, &out, &time));
}

PAIR(urgent_edge, "every urgent byte is an edge")
{
    int ep = epoll_create1(0);
    SAY(ep_add(ep, a, EPOLLPRI | EPOLLIN | EPOLLET, 1));
    SEND(b, "a!", MSG_OOB);
    EPOLL(ep, 4, 1000);
    EPOLL(ep, 4, 0);
    SEND(b, "b!", MSG_OOB);
    EPOLL(ep, 4, 1000);
    RECV(a, 1, MSG_OOB);
    SEND(b, "c", 0);
    EPOLL(ep, 4, 1000);
    RECV(a, 10, 0);
    RECV(a, 10, 0);
}

PAIR(urgent_and_end, "the other end closes after urgent data")
{
    SEND(b, "!", MSG_OOB);
    SAY(xclose(b));
    AWAIT(a, POLLIN);
    MASK(a);
    RECV(a, 1, MSG_OOB);
    RECV(a, 1, MSG_OOB);
    RECV(a, 10, 0);
    MASK(a);
}

PAIR(urgent_waits, "a reader that waits when nothing but urgent data comes sleeps on")
{
    SETOPT(a, SOL_SOCKET, SO_RCVLOWAT, 2);
    SEND(b, "!", MSG_OOB);
    AWAIT(a, POLLPRI);
    RECV(a, 1, MSG_DONTWAIT);
    SAY(xioctl(a, SIOCATMARK));
    RECV(a, 1, MSG_OOB);
    SEND(b, "?", MSG_OOB);
    SEND(b, "ab", 0);
    RECV(a, 2, 0);
}

PAIR(urgent_spliced, "splice stops at the mark and does not pass it")
{
    int pipe_[2];
    char text[16];
    SAY(pipe(pipe_));
    SEND(b, "ab", 0);
    SEND(b, "!", MSG_OOB);
    SEND(b, "cd", 0);
    AWAIT(a, POLLPRI);
    SAY(splice(a, NULL, pipe_[1], NULL, 16, SPLICE_F_NONBLOCK));
    SAY(splice(a, NULL, pipe_[1], NULL, 16, SPLICE_F_NONBLOCK));
    SAY(read(pipe_[0], text, sizeof text));
    RECV(a, 16, 0);
}
