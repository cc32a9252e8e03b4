// exec of an image that is not accelerated: the connections that it inherits are the kernel's, in the state they had.
// Two processes write one transcript: while the new image speaks, the case is silent.
#include "images.h"

// The other end's process has to make a call, to fetch its kernel socket. Silently: the new image speaks.
static void reap_answering(pid_t child, int b)
{
    xpoll(b, POLLIN, 3000);
    reap(child);
}

static pid_t plain_plays(const char *step)
{
    pid_t child = spawn();
    if (child == 0) {
        unsetenv("LD_PRELOAD");
        become(step);
    }
    return child;
}

PAIR(plain_echo, "a plain image reads and writes a connection that was accelerated")
{
    put(a, PLACE);
    SEND(b, "for the plain image", 0);
    pid_t child = plain_plays("echo");
    close(a);
    close(PLACE);
    reap_answering(child, b);
    AWAIT(b, POLLIN);
    RECV(b, 18, MSG_WAITALL);
    AWAIT(b, POLLRDHUP);
    RECV(b, 100, 0);
}

PAIR(plain_half_closed, "a plain image reads what came before the peer's end, and answers")
{
    put(a, PLACE);
    SEND(b, "1234 and the rest", 0);
    SAY(xshutdown(b, SHUT_WR));
    pid_t child = plain_plays("read_to_end");
    close(a);
    close(PLACE);
    reap_answering(child, b);
    RECV(b, 10, 0);
}

PAIR(plain_ended_first, "both ends have shut, this one first: a plain image finds the rest and the end")
{
    put(a, PLACE);
    SEND(b, "1234 and the rest", 0);
    SAY(shutdown(a, SHUT_WR));
    SAY(xshutdown(b, SHUT_WR));
    AWAIT(a, POLLHUP);
    pid_t child = plain_plays("read_to_end");
    close(a);
    close(PLACE);
    reap(child);
}

PAIR(plain_ended_second, "both ends have shut, the other first")
{
    put(a, PLACE);
    SEND(b, "1234 and the rest", 0);
    SAY(xshutdown(b, SHUT_WR));
    AWAIT(a, POLLRDHUP);
    SAY(shutdown(a, SHUT_WR));
    AWAIT(a, POLLHUP);
    pid_t child = plain_plays("ended_names");
    close(a);
    close(PLACE);
    reap(child);
}

PAIR(plain_peer_gone, "the other end has closed: a plain image reads what it sent")
{
    put(a, PLACE);
    SEND(b, "1234 and the rest", 0);
    SAY(shutdown(a, SHUT_WR));
    AWAIT(b, POLLRDHUP);
    SAY(xclose(b));
    AWAIT(a, POLLHUP);
    reap(plain_plays("read_to_end"));
}

PAIR(plain_reset, "a reset that nobody has seen is the plain image's to see")
{
    put(a, PLACE);
    SAY(xlinger(b, 1, 0));
    SAY(xclose(b));
    ENDED(a);
    reap(plain_plays("reset"));
}

PAIR(plain_reset_after_end, "a reset after the peer's end is EPIPE to the plain image")
{
    put(a, PLACE);
    SAY(xshutdown(b, SHUT_WR));
    AWAIT(a, POLLRDHUP);
    SAY(xlinger(b, 1, 0));
    SAY(xclose(b));
    ENDED(a);
    reap(plain_plays("reset"));
}

PAIR(plain_reset_seen, "a reset that was seen before leaves an end")
{
    put(a, PLACE);
    SAY(xlinger(b, 1, 0));
    SAY(xclose(b));
    ENDED(a);
    RECV(a, 10, 0);
    reap(plain_plays("reset"));
}

CASE(plain_not_accepted, "a plain image has a connection that nobody has accepted yet")
{
    int l = listener(), c = dial(port_of(l));
    SEND(c, "early", 0);
    put(c, PLACE);
    pid_t child = plain_plays("echo");
    close(c);
    close(PLACE);
    nap(300);
    AWAIT(l, POLLIN);
    int b = FD(accept(l, NULL, NULL));
    RECV(b, 100, 0);
    SEND(b, "for the plain image", 0);
    reap(child);
    RECV(b, 100, 0);
    RECV(b, 100, 0);
    nonblock(l);
    SAY(accept(l, NULL, NULL));
}

CASE(plain_not_accepted_ended, "one that has said all and shut before anybody accepts")
{
    int l = listener(), c = dial(port_of(l));
    SEND(c, "all there is", 0);
    SAY(shutdown(c, SHUT_WR));
    put(c, PLACE);
    pid_t child = plain_plays("write_after_shutdown");
    close(c);
    close(PLACE);
    nap(300);
    int b = FD(accept(l, NULL, NULL));
    RECV(b, 100, 0);
    RECV(b, 100, 0);
    SEND(b, "answer", 0);
    SAY(close(b));
    reap(child);
}

CASE(plain_both_leave, "both ends become plain images at one moment")
{
    for (int i = 0; i < 20; i++) {
        int a, b, status[2];
        pid_t child[2];
        local_pair(&a, &b);
        for (int k = 0; k < 2; k++) {
            child[k] = spawn();
            if (child[k] != 0) continue;
            put(k ? a : b, PLACE);
            close(a);
            close(b);
            unsetenv("LD_PRELOAD");
            become("exchange");
        }
        close(a);
        close(b);
        for (int k = 0; k < 2; k++) {
            waitpid(child[k], &status[k], 0);
            if (status[k] != 0) say("round %d: an end says %#x", i, status[k]);
        }
    }
    say("all exchanged");
}
