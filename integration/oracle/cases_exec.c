// exec: sockets without close-on-exec go on in the new image, those with it end as the kernel ends them.
// Two processes write one transcript: while the new image speaks, the case is silent.
#include "images.h"

PAIR(exec_echo, "the child's new image reads and writes the parent's connection")
{
    put(a, PLACE);
    SEND(b, "for the new image", 0);
    reap(child_plays("echo"));
    RECV(b, 100, 0);
    SEND(a, " and the parent", 0);
    RECV(b, 100, 0);
    MASK(b);
}

PAIR(exec_moves, "only the new image has the connection: it ends with it")
{
    put(a, PLACE);
    SEND(b, "alone", 0);
    pid_t child = child_plays("echo");
    close(a);
    close(PLACE);
    reap(child);
    AWAIT(b, POLLIN);
    RECV(b, 18, MSG_WAITALL);
    AWAIT(b, POLLRDHUP);
    RECV(b, 100, 0);
}

PAIR(exec_untouched, "a new image that touches nothing ends: the connection does too, not before")
{
    put(a, PLACE);
    pid_t child = child_plays("sleep");
    SAY(close(a));
    SAY(close(PLACE));
    nap(150);
    MASK(b);
    reap(child);
    AWAIT(b, POLLIN);
    RECV(b, 100, 0);
}

PAIR(exec_unread, "unread data and an end of file are there in the new image")
{
    put(a, PLACE);
    SEND(b, "1234 and the rest", 0);
    SAY(xshutdown(b, SHUT_WR));
    reap(child_plays("read_to_end"));
    RECV(b, 10, 0);
}

PAIR(exec_half_closed, "a shutdown of before holds in the new image")
{
    put(a, PLACE);
    SAY(shutdown(a, SHUT_WR));
    SEND(b, "still read", 0);
    reap(child_plays("write_after_shutdown"));
    AWAIT(b, POLLIN);
    RECV(b, 10, 0);
}

PAIR(exec_options, "options, timeouts and flags go along")
{
    put(a, PLACE);
    SETOPT(a, IPPROTO_TCP, TCP_NODELAY, 1);
    SETOPT(a, SOL_SOCKET, SO_KEEPALIVE, 1);
    struct timeval timeout = {0, 200000};
    SAY(setsockopt(a, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout));
    set_linger(a, 1, 7);
    nonblock(a);
    reap(child_plays("options"));
    (void)b;
}

PAIR(exec_names, "both names go along")
{
    char text[16];
    put(a, PLACE);
    snprintf(text, sizeof text, "%d", port_of(a));
    setenv("LOCAL_PORT", text, 1);
    snprintf(text, sizeof text, "%d", peer_port_of(a));
    setenv("REMOTE_PORT", text, 1);
    reap(child_plays("names"));
    (void)b;
}

PAIR(exec_close_on_exec, "a close-on-exec descriptor is closed, the connection stays the parent's")
{
    put(a, PLACE);
    SAY(fcntl(PLACE, F_SETFD, FD_CLOEXEC));
    SAY(fcntl(a, F_SETFD, FD_CLOEXEC));
    reap(child_plays("closed"));
    SEND(a, "unharmed", 0);
    RECV(b, 100, 0);
}

PAIR(exec_closes_last, "exec closes the last descriptor: end of file while the new image runs")
{
    SAY(fcntl(a, F_SETFD, FD_CLOEXEC));
    pid_t child = child_plays("sleep");
    SAY(close(a));
    nap(150);
    MASK(b);
    RECV(b, 10, MSG_DONTWAIT);
    reap(child);
}

PAIR(exec_closes_unread, "exec closes the last descriptor of a connection with unread data: reset")
{
    SEND(b, "never read", 0);
    AWAIT(a, POLLIN);
    SAY(fcntl(a, F_SETFD, FD_CLOEXEC));
    pid_t child = child_plays("sleep");
    SAY(close(a));
    nap(150);
    ENDED(b);
    RECV(b, 10, MSG_DONTWAIT);
    reap(child);
}

PAIR(exec_one_of_two, "one descriptor of two is close-on-exec: the connection lives")
{
    put(a, PLACE);
    SAY(fcntl(a, F_SETFD, FD_CLOEXEC));
    SEND(b, "by the other", 0);
    pid_t child = child_plays("echo");
    close(a);
    close(PLACE);
    reap(child);
    RECV(b, 18, MSG_WAITALL);
    RECV(b, 10, 0);
}

PAIR(exec_dups, "two descriptors of one connection in the new image")
{
    put(a, PLACE);
    put(a, PLACE + 1);
    SAY(close(a));
    pid_t child = child_plays("dups");
    close(PLACE);
    close(PLACE + 1);
    reap(child);
    RECV(b, 7, MSG_WAITALL);
    RECV(b, 10, 0);
}

CASE(exec_listener, "the new image accepts: what waited in the queue, and what comes")
{
    int l = listener(), c = dial(port_of(l));
    SEND(c, "early", 0);
    put(l, PLACE);
    pid_t child = child_plays("accept");
    int port = port_of(l);
    close(l);
    close(PLACE);
    int d = dial(port);
    xsend(d, "late", 4, 0);
    reap(child);
    RECV(c, 100, 0);
    RECV(c, 100, 0);
    RECV(d, 100, 0);
    RECV(d, 100, 0);
    int e = socket(AF_INET, SOCK_STREAM, 0);
    SAY(connect_to(e, port));
}

CASE(exec_listener_closes, "exec closes the last descriptor of a listener: connections are refused")
{
    int l = listener(), port = port_of(l);
    SAY(fcntl(l, F_SETFD, FD_CLOEXEC));
    pid_t child = child_plays("sleep");
    SAY(close(l));
    nap(150);
    int c = socket(AF_INET, SOCK_STREAM, 0);
    SAY(connect_to(c, port));
    reap(child);
}

PAIR(exec_epoll, "an epoll set goes along with its members")
{
    int ep = epoll_create1(0);
    put(a, PLACE + 1);
    put(ep, PLACE);
    SAY(ep_add(PLACE, PLACE + 1, EPOLLIN, 5));
    SEND(b, "first", 0);
    pid_t child = child_plays("epoll");
    xrecv(b, bytes, 5, MSG_WAITALL);
    nap(30);
    xsend(b, "second", 6, 0);
    reap(child);
}

PAIR(exec_epoll_edge, "an edge that was reported before exec is not reported again")
{
    int ep = epoll_create1(0);
    put(a, PLACE + 1);
    put(ep, PLACE);
    SAY(ep_add(PLACE, PLACE + 1, EPOLLIN | EPOLLET, 5));
    SEND(b, "first", 0);
    EPOLL(PLACE, 8, 1000);
    SEND(b, " more", 0);
    pid_t child = child_plays("epoll");
    xrecv(b, bytes, 5, MSG_WAITALL);
    nap(30);
    xsend(b, "second", 6, 0);
    reap(child);
}

CASE(exec_epoll_listener, "a listener in an epoll set wakes the new image")
{
    int l = listener(), ep = epoll_create1(0), port = port_of(l);
    put(ep, PLACE);
    SAY(ep_add(PLACE, l, EPOLLIN, 9));
    pid_t child = child_plays("sleep");
    int c = dial(port);
    EPOLL(PLACE, 8, 1000);
    int b = FD(accept(l, NULL, NULL));
    SEND(c, "x", 0);
    RECV(b, 10, 0);
    reap(child);
}

PAIR(exec_bulk_in, "a megabyte that is on its way while exec happens")
{
    put(a, PLACE);
    setenv("LENGTH", "1048576", 1);
    later_pump(0, b, 7, 1 << 20);
    pid_t child = child_plays("sink");
    reap(child);
    say("pumped %ld", join_later());
    RECV(b, 10, 0);
}

PAIR(exec_bulk_out, "what was written before exec arrives, although the writer has become another")
{
    pid_t child = spawn();
    if (child == 0) {
        if (xpump(a, 3, 200000) != 200000) _exit(1);
        become("nothing");
    }
    SAY(close(a));
    say("took %ld", xsink(b, 3, 200000));
    reap(child);
    RECV(b, 10, 0);
}

PAIR(exec_chain, "five images one after the other")
{
    put(a, PLACE);
    setenv("AGAIN", "4", 1);
    pid_t child = child_plays("again");
    close(a);
    close(PLACE);
    int answers = 0;
    for (int i = 0; i < 5; i++) {
        xsend(b, "abc", 3, 0);
        answers += xrecv(b, bytes, 3, MSG_WAITALL) == 3;
    }
    reap(child);
    say("%d answers", answers);
    RECV(b, 3, 0);
}

PAIR(exec_then_fork, "the new image forks, and both use the connection")
{
    put(a, PLACE);
    SEND(b, "for the grandchild", 0);
    reap(child_plays("forks"));
    RECV(b, 100, 0);
}

PAIR(exec_environment, "the new image's environment is what it was given")
{
    put(a, PLACE);
    reap(child_plays("environment"));
    (void)b;
}

CASE(exec_and_new, "the new image makes connections of its own beside the inherited ones")
{
    int l = listener(), c, d;
    char text[16];
    local_pair(&c, &d);
    snprintf(text, sizeof text, "%d", port_of(l));
    setenv("LOCAL_PORT", text, 1);
    put(l, PLACE);
    put(c, PLACE + 1);
    reap(child_plays("dial"));
    RECV(d, 100, 0);
}

PAIR(exec_fails, "an exec that fails changes nothing")
{
    SAY(fcntl(a, F_SETFD, FD_CLOEXEC));
    SAY(execl("/nowhere/at/all", "x", (char *)NULL));
    SAY(execl("/etc/passwd", "x", (char *)NULL));
    int f = open("/tmp", O_TMPFILE | O_RDWR, 0700);
    if (write(f, "no program at all", 17) != 17) return;
    SAY(fexecve(f, (char *const[]){"x", NULL}, environ));
    static char much[200000];
    memset(much, 'x', sizeof much - 1);
    SAY(execl("/bin/true", "true", much, (char *)NULL));
    SEND(a, "unharmed", 0);
    RECV(b, 100, 0);
    SEND(b, "both ways", 0);
    RECV(a, 100, 0);
    pid_t child = spawn();
    if (child == 0) {
        SAY(execl("/bin/true", "true", much, (char *)NULL));
        SAY(fexecve(f, (char *const[]){"x", NULL}, environ));
        SEND(a, "child", 0);
        _exit(0);
    }
    reap(child);
    RECV(b, 100, 0);
    SAY(close(a));
    AWAIT(b, POLLIN);
}

static void *execute(void *unused)
{
    (void)unused;
    become("echo");
    return NULL;
}

static void *block(void *fd)
{
    char byte;
    recv((int)(intptr_t)fd, &byte, 1, 0);
    return NULL;
}

PAIR(exec_of_many_threads, "a thread of many calls exec while others sleep on the socket")
{
    put(a, PLACE);
    pid_t child = spawn();
    if (child == 0) {
        pthread_t thread;
        for (int i = 0; i < 3; i++) pthread_create(&thread, NULL, block, (void *)(intptr_t)PLACE);
        nap(50);
        pthread_create(&thread, NULL, execute, NULL);
        for (;;) block((void *)(intptr_t)PLACE);
    }
    nap(250);
    xsend(b, "for the new image", 17, 0);
    reap(child);
    RECV(b, 100, 0);
    SAY(close(a));
    SAY(close(PLACE));
    AWAIT(b, POLLIN);
    RECV(b, 100, 0);
}

PAIR(exec_at_once, "images that come at any moment after a child's first touch go on with the connection")
{
    put(a, PLACE);
    for (int i = 0; i < 60; i++) {
        pid_t child = spawn();
        if (child == 0) {
            struct pollfd touch = {PLACE, POLLOUT, 0};
            poll(&touch, 1, 0);
            usleep((useconds_t)(i % 30 * 150));
            become("word");
        }
        if (!(xpoll(b, POLLIN, 2000) & POLLIN) || xrecv(b, bytes, 1, 0) != 1) say("round %d: nothing came", i);
        waitpid(child, NULL, 0);
    }
    SAY(close(a));
    SAY(close(PLACE));
    AWAIT(b, POLLIN);
    RECV(b, 10, 0);
}
