// SCM_RIGHTS: sockets that go to another process over a unix socket.
#include "oracle.h"

void play_helper(void);

static int channel[2];

static long send_fds(int over, const int *fds, int count, const char *text)
{
    char control[CMSG_SPACE(sizeof(int) * 8)] = {0};
    struct iovec iov = {(char *)text, strlen(text)};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
                         .msg_controllen = CMSG_SPACE(sizeof(int) * count)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(sizeof(int) * count);
    memcpy(CMSG_DATA(c), fds, sizeof(int) * count);
    return sendmsg(over, &msg, 0);
}

static int take_fds(int over, int *fds, int room, int flags)
{
    char control[CMSG_SPACE(sizeof(int) * 8)], text[100];
    struct iovec iov = {text, sizeof text};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
                         .msg_controllen = CMSG_SPACE(sizeof(int) * room)};
    if (recvmsg(over, &msg, flags) <= 0) return -1;
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    if (c == NULL) return 0;
    int count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(fds, CMSG_DATA(c), sizeof(int) * count);
    return count;
}

static int take_fd(int over, int flags)
{
    int fd = -1;
    return take_fds(over, &fd, 1, flags) == 1 ? fd : -1;
}

static void open_channel(void) { SAY(socketpair(AF_UNIX, SOCK_STREAM, 0, channel)); }

PAIR(rights_to_child, "a child that was forked before gets the connection, and goes on with it")
{
    open_channel();
    pid_t child = spawn();
    if (child == 0) {
        close(a);
        int got = take_fd(channel[1], 0);
        say("%s", got >= 0 ? "got it" : "got nothing");
        RECV(got, 100, 0);
        SEND(got, "from the child", 0);
        _exit(0);
    }
    xsend(b, "for the child", 13, 0);
    send_fds(channel[0], &a, 1, "x");
    reap(child);
    RECV(b, 100, 0);
    SEND(a, " and the parent", 0);
    RECV(b, 100, 0);
}

PAIR(rights_then_close, "the sender closes at once: the connection is the receiver's")
{
    open_channel();
    pid_t child = spawn();
    if (child == 0) {
        close(a);
        nap(100);
        int got = take_fd(channel[1], 0);
        SEND(got, "mine now", 0);
        nap(50);
        _exit(0);
    }
    SAY(send_fds(channel[0], &a, 1, "x"));
    SAY(close(a));
    MASK(b);
    reap(child);
    RECV(b, 100, 0);
    AWAIT(b, POLLRDHUP);
    RECV(b, 100, 0);
}

PAIR(rights_of_departed, "a connection that leaves the stack while it is on its way is the receiver's all the same")
{
    open_channel();
    pid_t child = spawn();
    if (child == 0) {
        close(a);
        nap(400);
        int got = take_fd(channel[1], 0);
        RECV(got, 100, 0);
        SEND(got, "mine now", 0);
        nap(50);
        _exit(0);
    }
    xsend(b, "for the child", 13, 0);
    SAY(send_fds(channel[0], &a, 1, "x"));
    SETOPT(a, SOL_SOCKET, SO_MARK, 7); // only the kernel has marks
    SAY(close(a));
    reap(child);
    RECV(b, 100, 0);
    AWAIT(b, POLLRDHUP);
}

CASE(rights_new_connection, "connections that were accepted after the fork go to the child one by one")
{
    int l = listener();
    open_channel();
    pid_t child = spawn();
    if (child == 0) {
        for (int i = 0; i < 4; i++) {
            int got = take_fd(channel[1], 0);
            char text[20];
            ssize_t r = recv(got, text, sizeof text, 0);
            if (send(got, text, r, 0) != r) say("child: send");
            close(got);
        }
        _exit(0);
    }
    for (int i = 0; i < 4; i++) {
        int c = dial(port_of(l)), b = accept(l, NULL, NULL);
        SAY(send_fds(channel[0], &b, 1, "x"));
        SAY(close(b));
        SEND(c, "hello", 0);
        RECV(c, 5, MSG_WAITALL);
        RECV(c, 5, 0);
        SAY(close(c));
    }
    reap(child);
}

CASE(rights_listener, "a child gets the listener and accepts")
{
    int l = listener(), port = port_of(l);
    open_channel();
    pid_t child = spawn();
    if (child == 0) {
        close(l);
        int got = take_fd(channel[1], 0);
        if (write(channel[1], "y", 1) != 1) say("child: write");
        int b = accept(got, NULL, NULL);
        send(b, "accepted elsewhere", 18, 0);
        _exit(0);
    }
    SAY(send_fds(channel[0], &l, 1, "x"));
    SAY(close(l));
    // Until it has come nobody has it, and who dials then gets the kernel's connection.
    if (read(channel[0], bytes, 1) != 1) say("the child did not answer");
    int c = dial(port);
    RECV(c, 100, 0);
    AWAIT(c, POLLRDHUP);
    RECV(c, 100, 0);
    reap(child);
}

CASE(rights_listener_on_its_way, "who dials while a listener is in a message is accepted by whoever takes it out")
{
    int l = listener(), port = port_of(l), c = socket(AF_INET, SOCK_STREAM, 0);
    open_channel();
    pid_t child = spawn();
    if (child == 0) {
        close(l);
        if (write(channel[1], "y", 1) != 1) say("child: write");
        nap(100);
        int got = take_fd(channel[1], 0), b = accept(got, NULL, NULL);
        send(b, "accepted elsewhere", 18, 0);
        _exit(0);
    }
    if (read(channel[0], bytes, 1) != 1) say("the child did not answer");
    SAY(send_fds(channel[0], &l, 1, "x"));
    SAY(close(l));
    SAY(connect_to(c, port));
    RECV(c, 100, 0);
    AWAIT(c, POLLRDHUP);
    RECV(c, 100, 0);
    reap(child);
}

PAIR(rights_to_itself, "a process sends itself a descriptor: a duplicate")
{
    open_channel();
    SAY(send_fds(channel[0], &a, 1, "x"));
    int got = take_fd(channel[1], MSG_CMSG_CLOEXEC);
    say("flags %d", fcntl(got, F_GETFD));
    SEND(got, "by the copy", 0);
    RECV(b, 100, 0);
    SAY(close(a));
    SEND(b, "still", 0);
    RECV(got, 100, 0);
    SAY(close(got));
    AWAIT(b, POLLIN);
    RECV(b, 100, 0);
}

PAIR(rights_peek, "a message that is peeked at gives a descriptor each time")
{
    open_channel();
    SAY(send_fds(channel[0], &a, 1, "x"));
    int first = take_fd(channel[1], MSG_PEEK), second = take_fd(channel[1], 0);
    SAY(close(a));
    SEND(first, "one ", 0);
    SAY(close(first));
    SEND(second, "two", 0);
    RECV(b, 100, 0);
    SAY(close(second));
    AWAIT(b, POLLIN);
}

CASE(rights_mixed, "a file, a connection and a pipe in one message")
{
    int a, b, fds[3], got[8], ends[2];
    local_pair(&a, &b);
    open_channel();
    if (pipe(ends)) return;
    fds[0] = open("/dev/null", O_RDONLY), fds[1] = a, fds[2] = ends[1];
    pid_t child = spawn();
    if (child == 0) {
        say("%d came", take_fds(channel[1], got, 8, 0));
        SAY(read(got[0], bytes, 1));
        SEND(got[1], "socket", 0);
        SAY(write(got[2], "pipe", 4));
        _exit(0);
    }
    send_fds(channel[0], fds, 3, "x");
    reap(child);
    RECV(b, 100, 0);
    SAY(read(ends[0], bytes, 4));
}

PAIR(rights_fails, "a message that cannot be sent changes nothing")
{
    open_channel();
    SAY(close(channel[1]));
    SAY(send_fds(channel[0], &a, 1, "x"));
    SEND(a, "unharmed", 0);
    RECV(b, 100, 0);
    SAY(close(a));
    AWAIT(b, POLLIN);
}

PAIR(rights_of_exec, "a helper that was started by exec with the channel gets the connection")
{
    open_channel();
    pid_t child = spawn();
    if (child == 0) {
        char number[16];
        snprintf(number, sizeof number, "%d", channel[1]);
        setenv("CHANNEL", number, 1);
        fcntl(a, F_SETFD, FD_CLOEXEC);
        execl("/proc/self/exe", "oracle", "play", "helper", (char *)NULL);
        _exit(9);
    }
    nap(100);
    xsend(b, "for the helper", 14, 0);
    send_fds(channel[0], &a, 1, "x");
    close(a);
    reap(child);
    RECV(b, 100, 0);
    RECV(b, 100, 0);
}

void play_helper(void)
{
    int got = take_fd(atoi(getenv("CHANNEL")), 0);
    RECV(got, 100, 0);
    SEND(got, "from the helper", 0);
}
