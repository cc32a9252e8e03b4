// Buffers: sizes as options, full pipes, queues as the ioctls see them.
#include "oracle.h"

CASE(buffer_options, "SO_SNDBUF and SO_RCVBUF are doubled, bounded below and above")
{
    static const int values[] = {0, 1, 2000, 5000, 100000, 1 << 30, -1};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    for (int i = 0; i < 7; i++) {
        say("set %d", values[i]);
        SAY(xsetopt(fd, SOL_SOCKET, SO_SNDBUF, values[i]));
        GETOPT(fd, SOL_SOCKET, SO_SNDBUF);
        SAY(xsetopt(fd, SOL_SOCKET, SO_RCVBUF, values[i]));
        GETOPT(fd, SOL_SOCKET, SO_RCVBUF);
    }
    int fresh = socket(AF_INET, SOCK_STREAM, 0);
    GETOPT(fresh, SOL_SOCKET, SO_SNDBUF);
    GETOPT(fresh, SOL_SOCKET, SO_RCVBUF);
}

PAIR(buffer_options_connected, "buffer sizes set on a connected socket")
{
    SETOPT(a, SOL_SOCKET, SO_SNDBUF, 50000);
    GETOPT(a, SOL_SOCKET, SO_SNDBUF);
    SETOPT(a, SOL_SOCKET, SO_RCVBUF, 70000);
    GETOPT(a, SOL_SOCKET, SO_RCVBUF);
    SETOPT(b, SOL_SOCKET, SO_SNDBUF, 1);
    GETOPT(b, SOL_SOCKET, SO_SNDBUF);
    SEND(a, "fine", 0);
    RECV(b, 10, 0);
}

PAIR(full_pipe, "writes until EAGAIN; writable again after the peer read; nothing lost")
{
    nonblock(a);
    long total = fill(a);
    say("some: %s", total > 10000 ? "yes" : "no");
    SEND(a, "x", 0);
    SAY(write(a, "x", 1));
    MASK(a);
    MASK(b);
    long got = 0, r;
    while (got < total && (r = xrecv(b, bytes, 65536, MSG_DONTWAIT)) > 0) got += r;
    for (int i = 0; i < 100 && got < total; i++) {
        settle();
        while ((r = xrecv(b, bytes, 65536, MSG_DONTWAIT)) > 0) got += r;
    }
    say("all arrived: %s", got == total ? "yes" : "no");
    AWAIT(a, POLLOUT);
    SEND(a, "again", 0);
    RECV(b, 10, 0);
}

PAIR(full_pipe_small_read, "a few bytes read do not make a full pipe writable; most of it read does")
{
    nonblock(a);
    long total = fill(a);
    SAY(xrecv(b, bytes, 100, 0));
    nap(20);
    MASK(a);
    for (long got = 100; got < total; ) {
        long r = xrecv(b, bytes, 65536, 0);
        if (r <= 0) break;
        got += r;
    }
    AWAIT(a, POLLOUT);
}

PAIR(full_pipe_bounded, "small buffers bound what is in flight")
{
    SETOPT(a, SOL_SOCKET, SO_SNDBUF, 20000);
    SETOPT(b, SOL_SOCKET, SO_RCVBUF, 20000);
    long total = fill(a);
    say("between 10 kB and 2 MB: %s", total > 10000 && total < (2 << 20) ? "yes" : "no");
}

static int reader_end;
static long reader_amount;

static void read_amount(void *unused)
{
    (void)unused;
    while (reader_amount > 0) {
        long r = xrecv(reader_end, bytes, 65536, 0);
        if (r <= 0) break;
        reader_amount -= r;
    }
}

PAIR(full_pipe_blocked_writer, "a writer blocked on a full pipe goes on when the peer reads")
{
    static char block[100000];
    reader_end = b;
    reader_amount = fill(a) + (long)sizeof block;
    later_call(40, read_amount, NULL);
    SAY(send(a, block, sizeof block, 0));
    join_later();
    RECV(b, 10, MSG_DONTWAIT);
    MASK(a);
}

PAIR(full_pipe_writer_shutdown, "a blocked writer gets EPIPE when its own side is shut")
{
    say("filled %s", fill(a) > 0 ? "yes" : "no");
    later_shutdown(40, a, SHUT_WR);
    TIMED(send(a, bytes, 1000, MSG_NOSIGNAL), 40);
    join_later();
    (void)b;
}

PAIR(full_pipe_peer_closes, "a blocked writer whose peer closes with unread data gets ECONNRESET")
{
    say("filled %s", fill(a) > 0 ? "yes" : "no");
    later_close(40, b);
    TIMED(send(a, bytes, 1000, MSG_NOSIGNAL), 40);
    join_later();
    SAY(send(a, bytes, 1000, MSG_NOSIGNAL));
}

PAIR(full_pipe_close, "data of a full pipe arrives after the writer closed")
{
    long total = fill(a);
    SAY(close(a));
    long got = 0, r;
    while ((r = xrecv(b, bytes, 65536, 0)) > 0) got += r;
    say("all of it: %s, then %ld", got == total ? "yes" : "no", r);
}

PAIR(full_both_ways, "both directions full at once are independent")
{
    later_pump(0, b, 3, 3 << 20);
    nap(30);
    say("filled %s", fill(a) > 0 ? "yes" : "no");
    say("a: %s", poll_text(xpoll(a, ALL_EVENTS, 0)));
    SAY(xsink(a, 3, 3 << 20));
    SAY(join_later());
}

PAIR(queue_ioctls, "FIONREAD and SIOCOUTQ along a short exchange")
{
    SAY(xioctl(a, FIONREAD));
    SAY(xioctl(a, TIOCOUTQ));
    SEND(b, "abcdef", 0);
    SAY(xioctl(a, FIONREAD));
    RECV(a, 2, 0);
    SAY(xioctl(a, FIONREAD));
    RECV(a, 2, MSG_PEEK);
    SAY(xioctl(a, FIONREAD));
    SAY(xshutdown(b, SHUT_WR));
    settle();
    SAY(xioctl(a, FIONREAD));
    RECV(a, 10, 0);
    SAY(xioctl(a, FIONREAD));
    RECV(a, 10, 0);
    SAY(xioctl(a, FIONREAD));
    SAY(xioctl(a, SIOCATMARK));
}

PAIR(queue_out, "SIOCOUTQ counts what the peer's window has not taken, 0 when all is read")
{
    nonblock(a);
    long total = fill(a);
    say("something queued: %s", xioctl(a, TIOCOUTQ) > 0 ? "yes" : "no");
    for (long got = 0; got < total; ) {
        long r = xrecv(b, bytes, 65536, 0);
        if (r <= 0) break;
        got += r;
    }
    long left = -1;
    for (int i = 0; i < 200 && (left = xioctl(a, TIOCOUTQ)) != 0; i++) nap(5);
    say("left: %ld", left);
}

PAIR(fionbio, "FIONBIO switches O_NONBLOCK, as F_GETFL shows")
{
    int on = 1, off = 0;
    SAY(ioctl(a, FIONBIO, &on));
    say("%#x", fcntl(a, F_GETFL));
    RECV(a, 1, 0);
    SAY(ioctl(a, FIONBIO, &off));
    say("%#x", fcntl(a, F_GETFL));
    later_send(30, b, "x");
    TIMED(recv(a, bytes, 1, 0), 30);
    join_later();
    SAY(ioctl(a, FIONBIO, NULL));
    SAY(ioctl(a, FIOCLEX));
    say("cloexec %d", fcntl(a, F_GETFD));
    SAY(ioctl(a, FIONCLEX));
    say("cloexec %d", fcntl(a, F_GETFD));
    SAY(ioctl(a, FIOASYNC, &off));
}

PAIR(ioctl_others, "ioctls a socket does not know, and bad pointers")
{
    int value = 0;
    SAY(ioctl(a, TCGETS, &value));
    SAY(ioctl(a, TIOCGWINSZ, bytes));
    SAY(ioctl(a, FIONREAD, NULL));
    SAY(ioctl(a, TIOCOUTQ, (void *)8));
    SAY(ioctl(a, 0x12345, &value));
    SAY(isatty(a));
    int owner = 0;
    SAY(ioctl(a, FIOGETOWN, &owner));
    (void)b;
}
