// Flags of send and recv: PEEK, DONTWAIT, WAITALL, TRUNC, MORE, CORK; zero lengths.
#include "oracle.h"

PAIR(peek_repeated, "PEEK shows the same bytes again, and takes none")
{
    SEND(b, "hello world", 0);
    RECV(a, 5, MSG_PEEK);
    RECV(a, 5, MSG_PEEK);
    RECV(a, 100, MSG_PEEK);
    SAY(xioctl(a, FIONREAD));
    MASK(a);
    RECV(a, 6, 0);
    RECV(a, 100, MSG_PEEK);
    RECV(a, 100, 0);
    RECV(a, 100, MSG_PEEK | MSG_DONTWAIT);
    MASK(a);
}

PAIR(peek_across_writes, "PEEK looks over the border between two writes")
{
    SEND(b, "one", 0);
    SEND(b, "two", 0);
    SEND(b, "three", 0);
    RECV(a, 100, MSG_PEEK);
    RECV(a, 4, 0);
    RECV(a, 100, MSG_PEEK);
    SAY(xshutdown(b, SHUT_WR));
    RECV(a, 100, MSG_PEEK);
    RECV(a, 100, 0);
    RECV(a, 100, MSG_PEEK);
}

PAIR(peek_iov, "PEEK through several buffers")
{
    SEND(b, "abcdefghij", 0);
    char first[3], second[4], third[10];
    struct iovec iov[3] = {{first, 3}, {second, 4}, {third, 10}};
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = 3};
    SAY(recvmsg(a, &message, MSG_PEEK));
    say("%s", data_text(first, 3));
    say("%s", data_text(second, 4));
    say("%s flags %#x", data_text(third, 3), message.msg_flags);
    message.msg_iovlen = 2;
    SAY(recvmsg(a, &message, 0));
    SAY(recvmsg(a, &message, MSG_PEEK));
    say("%s", data_text(first, 3));
}

PAIR(peek_waits, "PEEK on an empty socket blocks until something comes")
{
    later_send(40, b, "arrived");
    TIMED(DATA(recv(a, bytes, 100, MSG_PEEK), bytes), 40);
    join_later();
    RECV(a, 100, 0);
}

PAIR(peek_waitall, "PEEK with WAITALL waits for all of it, and takes none")
{
    SEND(b, "abc", 0);
    later_send(40, b, "defgh");
    TIMED(DATA(recv(a, bytes, 8, MSG_PEEK | MSG_WAITALL), bytes), 40);
    join_later();
    RECV(a, 100, 0);
}

PAIR(dontwait, "DONTWAIT on a blocking socket, both ways")
{
    RECV(a, 10, MSG_DONTWAIT);
    SEND(b, "abc", 0);
    RECV(a, 10, MSG_DONTWAIT);
    RECV(a, 10, MSG_DONTWAIT);
    say("filled %s", fill(a) > 1000 ? "yes" : "no");
    SEND(a, "x", MSG_DONTWAIT);
    MASK(a);
    say("O_NONBLOCK not set by it: %d", !(fcntl(a, F_GETFL) & O_NONBLOCK));
}

PAIR(waitall_satisfied, "WAITALL gathers several writes")
{
    SEND(b, "abc", 0);
    later_send(30, b, "def");
    later_send(60, b, "ghi");
    TIMED(DATA(recv(a, bytes, 9, MSG_WAITALL), bytes), 60);
    join_later();
    RECV(a, 10, MSG_DONTWAIT);
}

PAIR(waitall_leaves_rest, "WAITALL takes no more than asked")
{
    SEND(b, "abcdefghij", 0);
    RECV(a, 4, MSG_WAITALL);
    RECV(a, 6, MSG_WAITALL);
    RECV(a, 6, MSG_WAITALL | MSG_DONTWAIT);
    SEND(b, "xyz", 0);
    RECV(a, 6, MSG_WAITALL | MSG_DONTWAIT);
}

PAIR(waitall_nonblocking, "WAITALL on a non-blocking socket takes what is there")
{
    nonblock(a);
    RECV(a, 6, MSG_WAITALL);
    SEND(b, "abc", 0);
    RECV(a, 6, MSG_WAITALL);
    SAY(xclose(b));
    RECV(a, 6, MSG_WAITALL);
}

PAIR(waitall_signal, "WAITALL interrupted after some bytes gives them; with none EINTR")
{
    catch_signal(SIGUSR1, 0);
    SEND(b, "abc", 0);
    later_signal(50, SIGUSR1);
    TIMED(DATA(recv(a, bytes, 10, MSG_WAITALL), bytes), 50);
    join_later();
    later_signal(50, SIGUSR1);
    TIMED(recv(a, bytes, 10, MSG_WAITALL), 50);
    join_later();
    say("handled %d", caught[SIGUSR1]);
}

PAIR(waitall_reset, "WAITALL with some bytes, then a reset")
{
    SEND(b, "abc", 0);
    SAY(xlinger(b, 1, 0));
    later_close(40, b);
    DATA(recv(a, bytes, 10, MSG_WAITALL), bytes);
    join_later();
    RECV(a, 10, MSG_WAITALL);
    RECV(a, 10, 0);
}

PAIR(waitall_timeout, "WAITALL with SO_RCVTIMEO gives what came")
{
    struct timeval time = {0, 60000};
    SAY(setsockopt(a, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time));
    SEND(b, "abc", 0);
    TIMED(DATA(recv(a, bytes, 10, MSG_WAITALL), bytes), 60);
    TIMED(recv(a, bytes, 10, MSG_WAITALL), 60);
}

PAIR(waitall_iov, "recvmsg with WAITALL fills several buffers")
{
    char first[4], second[6];
    struct iovec iov[2] = {{first, 4}, {second, 6}};
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = 2};
    SEND(b, "abc", 0);
    later_send(30, b, "defghijklm");
    SAY(recvmsg(a, &message, MSG_WAITALL));
    join_later();
    say("%s", data_text(first, 4));
    say("%s", data_text(second, 6));
    RECV(a, 100, 0);
}

PAIR(trunc_discards, "TRUNC on TCP throws the bytes away without writing to the buffer")
{
    SEND(b, "abcdefghij", 0);
    memset(bytes, '.', 10);
    SAY(recv(a, bytes, 4, MSG_TRUNC));
    say("buffer %s", data_text(bytes, 10));
    RECV(a, 3, 0);
    SAY(recv(a, NULL, 2, MSG_TRUNC));
    RECV(a, 10, 0);
    SAY(recv(a, NULL, 2, MSG_TRUNC | MSG_DONTWAIT));
}

PAIR(trunc_peek, "TRUNC with PEEK")
{
    SEND(b, "abcdef", 0);
    memset(bytes, '.', 10);
    SAY(recv(a, bytes, 4, MSG_TRUNC | MSG_PEEK));
    RECV(a, 10, 0);
}

PAIR(more_then_push, "MORE may hold data back, but the next plain send brings all")
{
    SEND(a, "head ", MSG_MORE);
    SEND(a, "middle ", MSG_MORE);
    SEND(a, "tail", 0);
    AWAIT(b, POLLIN);
    RECV(b, 100, MSG_WAITALL | MSG_DONTWAIT);
}

PAIR(more_then_close, "data held back by MORE is sent on close")
{
    SEND(a, "only part", MSG_MORE);
    SAY(close(a));
    AWAIT(b, POLLIN);
    RECV(b, 100, 0);
    RECV(b, 100, 0);
}

PAIR(more_timeout, "data held back by MORE comes within a fraction of a second anyway")
{
    SEND(a, "waits", MSG_MORE);
    AWAIT(b, POLLIN);
    RECV(b, 100, 0);
}

PAIR(cork, "TCP_CORK: pulling it out sends; all data in order")
{
    SETOPT(a, IPPROTO_TCP, TCP_CORK, 1);
    GETOPT(a, IPPROTO_TCP, TCP_CORK);
    SEND(a, "one ", 0);
    SEND(a, "two ", 0);
    SETOPT(a, IPPROTO_TCP, TCP_CORK, 0);
    AWAIT(b, POLLIN);
    RECV(b, 100, 0);
    SETOPT(a, IPPROTO_TCP, TCP_CORK, 1);
    SEND(a, "three", 0);
    SAY(shutdown(a, SHUT_WR));
    AWAIT(b, POLLRDHUP);
    RECV(b, 100, 0);
    RECV(b, 100, 0);
}

PAIR(zero_length, "zero-length sends and receives")
{
    SAY(send(a, "", 0, 0));
    SAY(write(a, "", 0));
    SAY(send(a, NULL, 0, 0));
    MASK(b);
    RECV(b, 10, MSG_DONTWAIT);
    SAY(recv(a, bytes, 0, MSG_DONTWAIT));
    SAY(recv(a, bytes, 0, MSG_PEEK | MSG_DONTWAIT));
    SAY(read(a, bytes, 0));
    SEND(b, "data", 0);
    SAY(recv(a, bytes, 0, 0));
    SAY(read(a, NULL, 0));
    SAY(recv(a, NULL, 0, MSG_DONTWAIT));
    RECV(a, 10, 0);
    SAY(xclose(b));
    SAY(recv(a, bytes, 0, 0));
    SAY(read(a, bytes, 0));
    struct iovec none = {bytes, 0};
    SAY(readv(a, &none, 1));
    SAY(writev(a, &none, 1));
}

PAIR(zero_length_recv_waits, "a recv of nothing on an empty blocking socket waits for data all the same")
{
    later_send(40, b, "data");
    TIMED(recv(a, bytes, 0, 0), 40);
    join_later();
    RECV(a, 10, 0);
}

PAIR(zero_length_after_shutdown, "zero-length sends on a side that was shut")
{
    SAY(shutdown(a, SHUT_WR));
    SAY(send(a, "", 0, 0));
    SAY(write(a, "", 0));
    SAY(xclose(b));
    SAY(send(a, "", 0, MSG_NOSIGNAL));
}

PAIR(unknown_flags, "flags that TCP ignores")
{
    SEND(a, "a", MSG_CONFIRM);
    SEND(a, "b", MSG_EOR);
    SEND(a, "c", MSG_DONTROUTE);
    SEND(a, "d", 0x400000);
    RECV(b, 10, 0);
    SEND(b, "e", 0);
    RECV(a, 10, MSG_CMSG_CLOEXEC);
    RECV(a, 10, MSG_ERRQUEUE);
    RECV(a, 10, MSG_ERRQUEUE | MSG_DONTWAIT);
}

PAIR(byte_by_byte, "single bytes in, one read out; one write in, single bytes out")
{
    for (const char *p = "separate"; *p; p++) xsend(b, p, 1, 0);
    settle();
    RECV(a, 100, 0);
    SEND(a, "joined", 0);
    for (int i = 0; i < 6; i++) RECV(b, 1, 0);
    RECV(b, 1, MSG_DONTWAIT);
}

PAIR(ping_pong, "fifty rounds of question and answer")
{
    int good = 0;
    for (int i = 0; i < 50; i++) {
        char text[32], back[32];
        int length = snprintf(text, sizeof text, "round %d", i);
        good += send(a, text, length, 0) == length;
        good += xrecv(b, back, sizeof back, 0) == length && !memcmp(back, text, length);
        good += xsend(b, back, length, 0) == length;
        memset(text, 0, sizeof text);
        good += recv(a, text, sizeof text, 0) == length && !memcmp(back, text, length);
    }
    say("good steps %d", good);
    MASK(a);
    MASK(b);
}
