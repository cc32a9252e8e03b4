// sendfile, splice, tee, copies and looks between sockets and other kinds of descriptors.
#include "oracle.h"

static int file_with(const char *text)
{
    FILE *file = tmpfile();
    fputs(text, file);
    fflush(file);
    rewind(file);
    return fileno(file);
}

PAIR(kinds_sendfile_from_pipe, "sendfile from a pipe, an eventfd and a directory")
{
    int ends[2], event = eventfd(1, 0), folder = open("/", O_RDONLY);
    if (pipe(ends)) return;
    SAY(write(ends[1], "piped", 5));
    SAY(sendfile(a, ends[0], NULL, 5));
    SAY(sendfile(a, event, NULL, 8));
    SAY(sendfile(a, folder, NULL, 8));
    nap(10);
    RECV(b, 100, MSG_DONTWAIT);
}

PAIR(kinds_sendfile_past_end, "sendfile beyond the end of a file, and of nothing")
{
    int file = file_with("0123456789");
    off_t at = 8;
    SAY(sendfile(a, file, &at, 100));
    say("at %ld", (long)at);
    SAY(sendfile(a, file, &at, 100));
    at = 0;
    SAY(sendfile(a, file, &at, 0));
    at = -1;
    SAY(sendfile(a, file, &at, 5));
    AWAIT(b, POLLIN);
    RECV(b, 100, 0);
}

PAIR(kinds_sendfile_closed, "sendfile into a socket that was shut down")
{
    int file = file_with("0123456789");
    SAY(shutdown(a, SHUT_WR));
    SAY(sendfile(a, file, NULL, 10));
    say("position %ld", (long)lseek(file, 0, SEEK_CUR));
    (void)b;
}

PAIR(kinds_sendfile_from_socket, "sendfile from a socket to a file, and to a socket")
{
    int file = file_with("");
    SEND(b, "x", 0);
    AWAIT(a, POLLIN);
    SAY(sendfile(file, a, NULL, 1));
    SAY(sendfile(a, a, NULL, 1));
    RECV(a, 10, 0);
}

PAIR(kinds_splice_loop, "socket to pipe to the same socket: an echo")
{
    int ends[2];
    if (pipe(ends)) return;
    SEND(b, "echo me", 0);
    AWAIT(a, POLLIN);
    SAY(splice(a, NULL, ends[1], NULL, 100, 0));
    SAY(splice(ends[0], NULL, a, NULL, 7, 0));
    AWAIT(b, POLLIN);
    RECV(b, 100, 0);
}

PAIR(kinds_splice_nonblock, "SPLICE_F_NONBLOCK is for the pipe, O_NONBLOCK for the socket")
{
    int ends[2];
    if (pipe(ends)) return;
    later_send(40, b, "y");
    TIMED(splice(a, NULL, ends[1], NULL, 100, SPLICE_F_NONBLOCK), 40);
    join_later();
    SAY(read(ends[0], bytes, 10));
    SAY(splice(ends[0], NULL, a, NULL, 100, SPLICE_F_NONBLOCK));
    nonblock(a);
    SAY(splice(a, NULL, ends[1], NULL, 100, 0));
    fcntl(ends[1], F_SETPIPE_SZ, 4096);
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    while (write(ends[1], bytes, 4096) > 0) { }
    SEND(b, "x", 0);
    AWAIT(a, POLLIN);
    SAY(splice(a, NULL, ends[1], NULL, 100, SPLICE_F_NONBLOCK));
    RECV(a, 10, MSG_DONTWAIT);
}

PAIR(kinds_splice_end, "splice at the end of the stream")
{
    int ends[2];
    if (pipe(ends)) return;
    SEND(b, "last", 0);
    SAY(xshutdown(b, SHUT_WR));
    AWAIT(a, POLLRDHUP);
    SAY(splice(a, NULL, ends[1], NULL, 100, 0));
    SAY(splice(a, NULL, ends[1], NULL, 100, 0));
    SAY(read(ends[0], bytes, 100));
}

PAIR(kinds_splice_waits, "a blocking splice waits for data")
{
    int ends[2];
    if (pipe(ends)) return;
    later_send(40, b, "late");
    TIMED(splice(a, NULL, ends[1], NULL, 100, 0), 40);
    join_later();
    DATA(read(ends[0], bytes, 100), bytes);
}

PAIR(kinds_splice_offsets, "splice with offsets, and between wrong kinds")
{
    int ends[2], file = file_with("abc");
    if (pipe(ends)) return;
    loff_t at = 0;
    SAY(splice(a, &at, ends[1], NULL, 1, 0));
    SAY(splice(ends[0], NULL, a, &at, 1, 0));
    SAY(splice(a, NULL, a, NULL, 1, 0));
    SAY(splice(file, NULL, a, NULL, 1, 0));
    SAY(splice(a, NULL, ends[0], NULL, 1, 0));
    (void)b;
}

PAIR(kinds_tee, "tee works on pipes alone; what it copied goes into the socket")
{
    int one[2], two[2];
    if (pipe(one) || pipe(two)) return;
    SAY(write(one[1], "both ways", 9));
    SAY(tee(one[0], two[1], 9, 0));
    SAY(splice(two[0], NULL, a, NULL, 9, 0));
    AWAIT(b, POLLIN);
    RECV(b, 100, 0);
    SAY(tee(a, two[1], 9, 0));
    SAY(tee(one[0], a, 9, 0));
    SAY(splice(one[0], NULL, a, NULL, 9, SPLICE_F_MORE));
    SEND(a, "!", 0);
    nap(20);
    RECV(b, 100, 0);
}

PAIR(kinds_vmsplice, "vmsplice into a pipe, splice into the socket")
{
    int ends[2];
    if (pipe(ends)) return;
    static char text[] = "pages of the program";
    struct iovec iov = {text, sizeof text - 1};
    SAY(vmsplice(ends[1], &iov, 1, 0));
    SAY(splice(ends[0], NULL, a, NULL, 100, 0));
    AWAIT(b, POLLIN);
    RECV(b, 100, 0);
    SAY(vmsplice(a, &iov, 1, 0));
}

PAIR(kinds_copy_file_range, "copy_file_range knows no sockets")
{
    int file = file_with("abc");
    SAY(copy_file_range(file, NULL, a, NULL, 3, 0));
    SAY(copy_file_range(a, NULL, file, NULL, 3, 0));
    (void)b;
}

PAIR(kinds_fstat, "fstat, F_GETFL and /proc say socket")
{
    struct stat st;
    char path[64], target[64] = "";
    SAY(fstat(a, &st));
    say("socket %d, size %ld, links %ld", S_ISSOCK(st.st_mode), (long)st.st_size, (long)st.st_nlink);
    snprintf(path, sizeof path, "/proc/self/fd/%d", a);
    say("readlink %d, socket:[ %d", readlink(path, target, sizeof target - 1) > 0, !strncmp(target, "socket:[", 8));
    say("F_GETFL %x", fcntl(a, F_GETFL));
    say("isatty %d %s", isatty(a), errno_name(errno));
    SAY(open(path, O_RDONLY));
    (void)b;
}

PAIR(kinds_poll_all, "poll over a socket, pipe, file, eventfd, listener and a closed number")
{
    int ends[2], file = file_with("x"), event = eventfd(0, 0), l = listener(), gone = dup(a);
    if (pipe(ends)) return;
    close(gone);
    struct pollfd fds[7] = {{a, POLLIN, 0}, {ends[0], POLLIN, 0}, {file, POLLIN | POLLOUT, 0},
        {event, POLLIN | POLLOUT, 0},
        {l, POLLIN, 0}, {gone, POLLIN, 0}, {-1, POLLIN, 0}};
    for (int turn = 0; turn < 3; turn++) {
        say("poll %d", poll(fds, 7, 0));
        for (int i = 0; i < 7; i++) say("  %d: %s", i, poll_text(fds[i].revents));
        if (turn == 0) SEND(b, "x", 0);
        if (turn == 0) AWAIT(a, POLLIN);
        if (turn == 1) SAY(write(ends[1], "y", 1));
    }
}

PAIR(kinds_poll_wakes, "poll over many kinds is woken by each")
{
    int ends[2], event = eventfd(0, 0);
    if (pipe(ends)) return;
    struct pollfd fds[3] = {{a, POLLIN, 0}, {ends[0], POLLIN, 0}, {event, POLLIN, 0}};
    later_send(40, b, "x");
    TIMED(poll(fds, 3, 3000), 40);
    join_later();
    say("%s %s %s", poll_text(fds[0].revents), poll_text(fds[1].revents), poll_text(fds[2].revents));
    RECV(a, 1, 0);
    void fill_pipe(void *fd) { if (write((int)(intptr_t)fd, "p", 1) != 1) say("pipe?"); }
    later_call(40, fill_pipe, (void *)(intptr_t)ends[1]);
    TIMED(poll(fds, 3, 3000), 40);
    join_later();
    say("%s %s %s", poll_text(fds[0].revents), poll_text(fds[1].revents), poll_text(fds[2].revents));
    SAY(read(ends[0], bytes, 1));
    TIMED(poll(fds, 3, 30), 30);
}

PAIR(kinds_select_all, "select over a socket, pipe and eventfd")
{
    int ends[2], event = eventfd(0, 0);
    if (pipe(ends)) return;
    for (int turn = 0; turn < 3; turn++) {
        fd_set in, out, except;
        struct timeval time = {0, 0};
        int max = (a > ends[1] ? a : ends[1]) > event ? (a > ends[1] ? a : ends[1]) : event;
        FD_ZERO(&in);
        FD_SET(a, &in);
        FD_SET(ends[0], &in);
        FD_SET(event, &in);
        FD_ZERO(&out);
        FD_SET(a, &out);
        FD_SET(ends[1], &out);
        FD_ZERO(&except);
        FD_SET(a, &except);
        int n = select(max + 1, &in, &out, &except, &time);
        say("select %d: in %d%d%d out %d%d except %d", n, FD_ISSET(a, &in) != 0, FD_ISSET(ends[0], &in) != 0,
            FD_ISSET(event, &in) != 0, FD_ISSET(a, &out) != 0, FD_ISSET(ends[1], &out) != 0, FD_ISSET(a, &except) != 0);
        if (turn == 0) SEND(b, "x", 0);
        if (turn == 0) AWAIT(a, POLLIN);
        if (turn == 1) SAY(eventfd_write(event, 1));
    }
}

PAIR(kinds_unix_between, "a UNIX pair beside a connection, in one poll and one epoll")
{
    int pair[2], ep = epoll_create1(0);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) return;
    SAY(ep_add(ep, a, EPOLLIN, 1));
    SAY(ep_add(ep, pair[0], EPOLLIN, 2));
    SAY(write(pair[1], "u", 1));
    EPOLL(ep, 4, 0);
    SEND(b, "x", 0);
    AWAIT(a, POLLIN);
    SAY(read(pair[0], bytes, 1));
    EPOLL(ep, 4, 0);
    SAY(close(pair[1]));
    EPOLL(ep, 1, 0);
    RECV(a, 1, 0);
    EPOLL(ep, 4, 0);
}
