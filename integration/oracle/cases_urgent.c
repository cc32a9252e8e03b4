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
