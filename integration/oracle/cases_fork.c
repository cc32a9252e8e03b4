// fork: both sides go on with all sockets; a connection ends when the last of them closes it.
#include "oracle.h"

PAIR(fork_child_uses, "the child reads and writes the parent's connection")
{
    SEND(b, "for the child", 0);
    pid_t child = spawn();
    if (child == 0) {
        RECV(a, 100, 0);
        SEND(a, "from the child", 0);
        _exit(0);
    }
    reap(child);
    RECV(b, 100, 0);
    SEND(a, "from the parent", 0);
    RECV(b, 100, 0);
    MASK(b);
}

PAIR(fork_parent_closes, "no end of file until the last of the two closes")
{
    struct barrier step = barrier_make();
    pid_t child = spawn();
    if (child == 0) {
        barrier_wait_parent(&step);
        SEND(a, "still open", 0);
        barrier_tell_parent(&step);
        barrier_wait_parent(&step);
        SAY(close(a));
        barrier_tell_parent(&step);
        barrier_wait_parent(&step);
        _exit(0);
    }
    SAY(close(a));
    MASK(b);
    barrier_tell_child(&step);
    barrier_wait_child(&step);
    RECV(b, 100, 0);
    MASK(b);
    barrier_tell_child(&step);
    barrier_wait_child(&step);
    AWAIT(b, POLLIN);
    RECV(b, 100, 0);
    barrier_tell_child(&step);
    reap(child);
}

PAIR(fork_child_closes, "the child closes, the parent goes on")
{
    pid_t child = spawn();
    if (child == 0) {
        SAY(close(a));
        _exit(0);
    }
    reap(child);
    MASK(b);
    SEND(a, "unharmed", 0);
    RECV(b, 100, 0);
    SEND(b, "both ways", 0);
    RECV(a, 100, 0);
}

PAIR(fork_child_exits, "a child that touches nothing and exits changes nothing")
{
    pid_t child = spawn();
    if (child == 0) _exit(3);
    reap(child);
    SEND(a, "unharmed", 0);
    RECV(b, 100, 0);
    child = spawn();
    if (child == 0) exit(4);
    reap(child);
    SEND(b, "again", 0);
    RECV(a, 100, 0);
}

PAIR(fork_child_killed, "a killed child that held the connection changes nothing for the parent")
{
    struct barrier step = barrier_make();
    pid_t child = spawn();
    if (child == 0) {
        SEND(a, "c", 0);
        barrier_tell_parent(&step);
        pause();
    }
    barrier_wait_child(&step);
    kill(child, SIGKILL);
    reap(child);
    RECV(b, 10, 0);
    nap(80);
    MASK(b);
    SEND(a, "p", 0);
    RECV(b, 10, 0);
    SAY(close(a));
    AWAIT(b, POLLIN);
}

PAIR(fork_parent_only_holder_killed, "the child lives on with the connection and is then killed: end of file")
{
    struct barrier step = barrier_make();
    pid_t child = spawn();
    if (child == 0) {
        barrier_tell_parent(&step);
        pause();
    }
    barrier_wait_child(&step);
    SAY(close(a));
    nap(30);
    MASK(b);
    kill(child, SIGKILL);
    reap(child);
    AWAIT(b, POLLIN);
    RECV(b, 10, 0);
}

PAIR(fork_shutdown_is_shared, "shutdown by the child ends it for the parent too")
{
    pid_t child = spawn();
    if (child == 0) {
        SAY(shutdown(a, SHUT_WR));
        _exit(0);
    }
    reap(child);
    AWAIT(b, POLLIN);
    RECV(b, 10, 0);
    SEND(a, "x", 0);
    SEND(b, "half is left", 0);
    RECV(a, 100, 0);
}

PAIR(fork_flags_are_shared, "O_NONBLOCK and options set by the child hold for the parent")
{
    pid_t child = spawn();
    if (child == 0) {
        nonblock(a);
        SETOPT(a, IPPROTO_TCP, TCP_NODELAY, 1);
        SAY(fcntl(a, F_SETFD, 1));
        _exit(0);
    }
    reap(child);
    say("flags %#x, cloexec %d", fcntl(a, F_GETFL), fcntl(a, F_GETFD));
    GETOPT(a, IPPROTO_TCP, TCP_NODELAY);
    RECV(a, 1, 0);
    (void)b;
}

CASE(fork_prefork, "three children accept from the parent's listener")
{
    int l = listener(), c[6];
    pid_t children[3];
    for (int i = 0; i < 3; i++) {
        children[i] = spawn();
        if (children[i] != 0) continue;
        for (int j = 0; j < 2; j++) {
            int b = accept(l, NULL, NULL);
            char text[10];
            ssize_t r = recv(b, text, sizeof text, 0);
            if (send(b, text, r, 0) != r) say("child: send");
            close(b);
        }
        _exit(0);
    }
    for (int i = 0; i < 6; i++) {
        c[i] = dial(port_of(l));
        SEND(c[i], "echo", 0);
        RECV(c[i], 10, 0);
        RECV(c[i], 10, 0);
    }
    for (int i = 0; i < 3; i++) reap(children[i]);
}

CASE(fork_listener_kept, "the parent closes its listener, the child still accepts")
{
    int l = listener(), port = port_of(l);
    pid_t child = spawn();
    if (child == 0) {
        int b = accept(l, NULL, NULL);
        send(b, "from the child", 14, 0);
        _exit(recv(b, bytes, 10, 0) == 0 ? 0 : 1);
    }
    SAY(close(l));
    int c = dial(port);
    RECV(c, 100, 0);
    SAY(close(c));
    reap(child);
    c = socket(AF_INET, SOCK_STREAM, 0);
    SAY(connect_to(c, port));
}

CASE(fork_per_connection, "a forking server: parent closes the connection, child serves it")
{
    int l = listener();
    for (int i = 0; i < 5; i++) {
        int c = dial(port_of(l)), b = accept(l, NULL, NULL);
        pid_t child = spawn();
        if (child == 0) {
            close(l);
            close(c);
            char text[20];
            ssize_t r;
            while ((r = recv(b, text, sizeof text, 0)) > 0)
                if (send(b, text, r, 0) != r) say("child: send");
            _exit(7);
        }
        close(b);
        SEND(c, "hello child", 0);
        RECV(c, 11, MSG_WAITALL);
        SAY(shutdown(c, SHUT_WR));
        RECV(c, 10, 0);
        reap(child);
        close(c);
    }
}

CASE(fork_connect_in_child, "the child connects to the parent's listener")
{
    int l = listener(), port = port_of(l);
    pid_t child = spawn();
    if (child == 0) {
        int c = dial(port);
        char text[30];
        send(c, "child here", 10, 0);
        ssize_t r = recv(c, text, sizeof text, 0);
        _exit(r == 12 ? 0 : 1);
    }
    int b = FD(accept(l, NULL, NULL));
    RECV(b, 100, 0);
    SEND(b, "welcome here", 0);
    AWAIT(b, POLLRDHUP);
    RECV(b, 100, 0);
    reap(child);
}

CASE(fork_two_children_talk, "two children, who share nothing but the listener, talk to each other")
{
    int l = listener(), port = port_of(l);
    pid_t server = spawn();
    if (server == 0) {
        int b = accept(l, NULL, NULL);
        long got = xsink(b, 5, 1 << 20);
        _exit(got == 1 << 20 ? 0 : 1);
    }
    pid_t client = spawn();
    if (client == 0) {
        int c = dial(port);
        long sent = xpump(c, 5, 1 << 20);
        shutdown(c, SHUT_WR);
        char byte;
        recv(c, &byte, 1, 0);
        _exit(sent == 1 << 20 ? 0 : 1);
    }
    SAY(close(l));
    reap(server);
    reap(client);
}

PAIR(fork_pair_split, "parent and child each keep one end of a pair")
{
    if (b & REMOTE) {
        SEND(a, "one end is elsewhere already", 0);
        RECV(b, 100, 0);
        return;
    }
    pid_t child = spawn();
    if (child == 0) {
        close(a);
        char text[100];
        ssize_t r = recv(b, text, sizeof text, 0);
        send(b, text, r, 0);
        send(b, " and back", 9, 0);
        _exit(0);
    }
    SAY(close(b));
    SEND(a, "there", 0);
    RECV(a, 14, MSG_WAITALL);
    RECV(a, 10, 0);
    reap(child);
}

PAIR(fork_blocked_child, "the child blocks in recv on the connection, the parent goes on with it afterwards")
{
    int results[2], got = 0;
    if (pipe(results)) return;
    pid_t child = spawn();
    for (int i = 0; i < 2 && child == 0; i++) {
        char byte = 0;
        ssize_t r = recv(a, &byte, 1, 0);
        if (r != 1) break;
        if (write(results[1], "1", 1) != 1) _exit(1);
    }
    if (child == 0) _exit(0);
    nap(30);
    SEND(b, "x", 0);
    SEND(b, "y", 0);
    struct pollfd set = {results[0], POLLIN, 0};
    while (poll(&set, 1, 200) == 1 && read(results[0], bytes, 1) == 1) got++;
    say("the child got %d", got);
    reap(child);
    SEND(b, "z", 0);
    RECV(a, 10, 0);
}

PAIR(fork_epoll_shared, "an epoll set made before fork works in the child and in the parent")
{
    int ep = epoll_create1(0);
    SAY(ep_add(ep, a, EPOLLIN, 1));
    pid_t child = spawn();
    if (child == 0) {
        EPOLL(ep, 4, 3000);
        RECV(a, 10, 0);
        SEND(a, "seen", 0);
        _exit(0);
    }
    nap(30);
    xsend(b, "wake", 4, 0);
    reap(child);
    RECV(b, 10, 0);
    EPOLL(ep, 4, 0);
    SEND(b, "again", 0);
    EPOLL(ep, 4, 1000);
    RECV(a, 10, 0);
}

PAIR(fork_epoll_child_closes, "the child closes its copy: the registration stays for the parent")
{
    int ep = epoll_create1(0);
    SAY(ep_add(ep, a, EPOLLIN, 1));
    pid_t child = spawn();
    if (child == 0) {
        SAY(close(a));
        _exit(0);
    }
    reap(child);
    SEND(b, "x", 0);
    EPOLL(ep, 4, 1000);
    pid_t other = spawn();
    if (other == 0) {
        SAY(close(ep));
        _exit(0);
    }
    reap(other);
    EPOLL(ep, 4, 1000);
    RECV(a, 10, 0);
}

PAIR(fork_epoll_own, "parent and child each make a set for the same socket")
{
    struct barrier step = barrier_make();
    pid_t child = spawn();
    int ep = epoll_create1(0);
    if (child == 0) {
        SAY(ep_add(ep, a, EPOLLIN | EPOLLET, 1));
        barrier_tell_parent(&step);
        barrier_wait_parent(&step);
        EPOLL(ep, 4, 1000);
        barrier_tell_parent(&step);
        _exit(0);
    }
    barrier_wait_child(&step);
    SAY(ep_add(ep, a, EPOLLIN, 2));
    SEND(b, "x", 0);
    EPOLL(ep, 4, 1000);
    barrier_tell_child(&step);
    barrier_wait_child(&step);
    reap(child);
    EPOLL(ep, 4, 0);
}

static void *allocate_a_lot(void *unused)
{
    (void)unused;
    for (int i = 0; i < 20000; i++) {
        char *p = malloc(1 + (size_t)i % 5000);
        p[0] = 1;
        free(p);
    }
    return NULL;
}

PAIR(fork_child_allocates, "the child allocates, starts threads, opens sockets of its own")
{
    pid_t child = spawn();
    if (child == 0) {
        pthread_t thread;
        pthread_create(&thread, NULL, allocate_a_lot, NULL);
        allocate_a_lot(NULL);
        pthread_join(thread, NULL);
        int c, d;
        local_pair(&c, &d);
        SEND(c, "own pair", 0);
        RECV(d, 100, 0);
        SEND(a, "done", 0);
        _exit(0);
    }
    reap(child);
    RECV(b, 100, 0);
}

PAIR(fork_grandchild, "three generations use one connection")
{
    pid_t child = spawn();
    if (child == 0) {
        pid_t grandchild = spawn();
        if (grandchild == 0) {
            SEND(a, "grandchild", 0);
            _exit(0);
        }
        reap(grandchild);
        SEND(a, " child", 0);
        _exit(0);
    }
    reap(child);
    SEND(a, " parent", 0);
    RECV(b, 100, 0);
    SAY(close(a));
    AWAIT(b, POLLIN);
}

PAIR(fork_while_threads_read, "fork while another thread is blocked on a socket")
{
    later_send(120, b, "late");
    later_recv(0, a, 10);
    nap(20);
    pid_t child = spawn();
    if (child == 0) {
        int c, d;
        local_pair(&c, &d);
        SEND(c, "child's own", 0);
        RECV(d, 100, 0);
        _exit(0);
    }
    reap(child);
    say("the thread got %ld", join_later());
}

PAIR(vfork_exec, "vfork and exec leave the parent's connection alone")
{
    SAY(fcntl(a, F_SETFD, FD_CLOEXEC));
    pid_t child = vfork();
    if (child == 0) {
        execl("/bin/true", "true", (char *)NULL);
        _exit(9);
    }
    reap(child);
    SEND(a, "unharmed", 0);
    RECV(b, 100, 0);
    SAY(system("exit 5") >> 8);
    SEND(b, "still", 0);
    RECV(a, 100, 0);
}

CASE(fork_daemonize, "a server that forks away from its parent serves on")
{
    int l = listener(), port = port_of(l);
    struct barrier step = barrier_make();
    pid_t child = spawn();
    if (child == 0) {
        pid_t daemon = fork();
        if (daemon > 0) _exit(0);
        prctl(PR_SET_PDEATHSIG, 0);
        setsid();
        barrier_tell_parent(&step);
        struct pollfd wait = {l, POLLIN, 0};
        if (poll(&wait, 1, 3000) != 1) _exit(1);
        int b = accept(l, NULL, NULL);
        send(b, "from the daemon", 15, 0);
        _exit(0);
    }
    reap(child);
    barrier_wait_child(&step);
    SAY(close(l));
    int c = dial(port);
    RECV(c, 100, 0);
    AWAIT(c, POLLRDHUP);
    RECV(c, 100, 0);
}
