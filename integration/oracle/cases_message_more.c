// sendmsg and recvmsg with control data and flags; MSG_WAITALL, MSG_PEEK, MSG_TRUNC together; pieces of all sizes.
#include "oracle.h"

static long receive(int fd, struct iovec *iov, int count, int flags, struct msghdr *message)
{
    *message = (struct msghdr){.msg_iov = iov, .msg_iovlen = count};
    return recvmsg(fd, message, flags);
}

PAIR(msg_flags_returned, "msg_flags of a stream is what was asked, or nothing")
{
    static const int flags[] = {0, MSG_PEEK, MSG_DONTWAIT, MSG_WAITALL, MSG_TRUNC, MSG_NOSIGNAL, MSG_CMSG_CLOEXEC};
    struct msghdr message;
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        struct iovec iov = {bytes, 2};
        SEND(b, "xy", 0);
        xpoll(a, POLLIN, 1000);
        long r = receive(a, &iov, 1, flags[i], &message);
        say("flags %x: %ld, msg_flags %x", flags[i], r, message.msg_flags);
        if (flags[i] == MSG_PEEK) recv(a, bytes, 2, 0);
    }
}

PAIR(msg_peek_waitall, "MSG_PEEK with MSG_WAITALL waits for all and leaves it")
{
    SEND(b, "abc", 0);
    later_send(40, b, "def");
    TIMED(DATA(recv(a, bytes, 6, MSG_PEEK | MSG_WAITALL), bytes), 40);
    join_later();
    RECV(a, 100, 0);
}

PAIR(msg_peek_trunc, "MSG_PEEK with MSG_TRUNC throws nothing away")
{
    SEND(b, "abcdef", 0);
    AWAIT(a, POLLIN);
    SAY(recv(a, bytes, 4, MSG_PEEK | MSG_TRUNC));
    RECV(a, 100, 0);
}

PAIR(msg_trunc_null, "MSG_TRUNC needs no buffer")
{
    SEND(b, "abcdef", 0);
    AWAIT(a, POLLIN);
    SAY(recv(a, NULL, 4, MSG_TRUNC));
    RECV(a, 100, 0);
    SAY(recv(a, NULL, 4, MSG_TRUNC | MSG_DONTWAIT));
}

PAIR(msg_trunc_waitall, "MSG_TRUNC with MSG_WAITALL throws away as much as was asked")
{
    SEND(b, "abc", 0);
    later_send(40, b, "defghi");
    TIMED(recv(a, bytes, 6, MSG_TRUNC | MSG_WAITALL), 40);
    join_later();
    RECV(a, 100, 0);
}

PAIR(msg_waitall_dontwait, "MSG_WAITALL with MSG_DONTWAIT does not wait")
{
    SEND(b, "abc", 0);
    AWAIT(a, POLLIN);
    RECV(a, 10, MSG_WAITALL | MSG_DONTWAIT);
    RECV(a, 10, MSG_WAITALL | MSG_DONTWAIT);
}

PAIR(msg_waitall_lowat, "MSG_WAITALL with SO_RCVLOWAT")
{
    SETOPT(a, SOL_SOCKET, SO_RCVLOWAT, 4);
    SEND(b, "ab", 0);
    later_send(40, b, "cdef");
    TIMED(DATA(recv(a, bytes, 6, MSG_WAITALL), bytes), 40);
    join_later();
    SEND(b, "xy", 0);
    SAY(recv(a, bytes, 2, 0));
}

PAIR(msg_waitall_shutdown, "MSG_WAITALL ends with what there is when this end shuts down")
{
    SEND(b, "abc", 0);
    later_shutdown(40, a, SHUT_RD);
    TIMED(DATA(recv(a, bytes, 10, MSG_WAITALL), bytes), 40);
    join_later();
}

PAIR(msg_waitall_pieces, "MSG_WAITALL over several pieces")
{
    char x[2], y[3], z[4];
    struct iovec iov[3] = {{x, 2}, {y, 3}, {z, 4}};
    struct msghdr message;
    SEND(b, "abc", 0);
    later_send(40, b, "defghi");
    TIMED(receive(a, iov, 3, MSG_WAITALL, &message), 40);
    join_later();
    say("%.2s %.3s %.4s", x, y, z);
}

PAIR(msg_peek_pieces, "MSG_PEEK into several pieces, then reading across them")
{
    char x[2] = "", y[3] = "";
    struct iovec iov[2] = {{x, 2}, {y, 3}};
    struct msghdr message;
    SEND(b, "abcdefg", 0);
    AWAIT(a, POLLIN);
    SAY(receive(a, iov, 2, MSG_PEEK, &message));
    say("%.2s %.3s", x, y);
    RECV(a, 3, 0);
    SAY(receive(a, iov, 2, MSG_PEEK, &message));
    say("%.2s %.2s", x, y);
}

PAIR(msg_empty_pieces, "pieces of no bytes among others")
{
    struct iovec out[4] = {{"", 0}, {"ab", 2}, {NULL, 0}, {"c", 1}};
    char x[1], y[5];
    struct iovec in[4] = {{x, 0}, {x, 1}, {NULL, 0}, {y, 5}};
    struct msghdr message = {.msg_iov = out, .msg_iovlen = 4};
    SAY(sendmsg(a, &message, 0));
    AWAIT(b, POLLIN);
    RECV(b, 10, 0);
    SEND(b, "xyz", 0);
    AWAIT(a, POLLIN);
    SAY(receive(a, in, 4, 0, &message));
    say("%.1s %.2s", x, y);
    struct iovec none[2] = {{x, 0}, {y, 0}};
    SAY(receive(a, none, 2, MSG_DONTWAIT, &message));
    message = (struct msghdr){.msg_iov = none, .msg_iovlen = 2};
    SAY(sendmsg(a, &message, 0));
}

PAIR(msg_no_pieces, "sendmsg and recvmsg without pieces")
{
    struct msghdr message = {0};
    SAY(sendmsg(a, &message, 0));
    SAY(recvmsg(a, &message, MSG_DONTWAIT));
    SEND(b, "x", 0);
    AWAIT(a, POLLIN);
    message = (struct msghdr){0};
    SAY(recvmsg(a, &message, 0));
    RECV(a, 10, 0);
}

PAIR(msg_many_pieces, "a thousand pieces and one more")
{
    static struct iovec iov[1025];
    for (int i = 0; i < 1025; i++) iov[i] = (struct iovec){bytes + i, 1};
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = 1024};
    memset(bytes, 'm', 1025);
    SAY(sendmsg(a, &message, 0));
    xpoll(b, POLLIN, 1000);
    nap(20);
    SAY(xrecv(b, bytes, 5000, 0));
    message.msg_iovlen = 1025;
    SAY(sendmsg(a, &message, 0));
    SAY(recvmsg(a, &message, MSG_DONTWAIT));
    SAY(writev(a, iov, 1025));
    SAY(readv(a, iov, 1025));
}

PAIR(msg_control_ignored, "recvmsg with room for control data: there is none")
{
    char control[256];
    struct iovec iov = {bytes, 10};
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    SEND(b, "x", 0);
    AWAIT(a, POLLIN);
    SAY(recvmsg(a, &message, 0));
    say("control %zu, name %u, flags %x", message.msg_controllen, message.msg_namelen, message.msg_flags);
}

PAIR(msg_inq, "TCP_INQ tells what is left")
{
    char control[256];
    struct iovec iov = {bytes, 3};
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    SETOPT(a, IPPROTO_TCP, TCP_INQ, 1);
    GETOPT(a, IPPROTO_TCP, TCP_INQ);
    SEND(b, "abcdefgh", 0);
    AWAIT(a, POLLIN);
    for (size_t room = sizeof control; ; room = 10) {
        message.msg_controllen = room;
        SAY(recvmsg(a, &message, 0));
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        bool told = c && c->cmsg_level == IPPROTO_TCP && c->cmsg_type == TCP_CM_INQ;
        say("told: %d, flags %x, length %zu", told ? *(int *)CMSG_DATA(c) : -1, message.msg_flags,
            message.msg_controllen);
        if (room < sizeof control) break;
    }
}

PAIR(msg_timestamp, "SO_TIMESTAMP on a stream")
{
    char control[256];
    struct iovec iov = {bytes, 10};
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    SETOPT(a, SOL_SOCKET, SO_TIMESTAMP, 1);
    GETOPT(a, SOL_SOCKET, SO_TIMESTAMP);
    SETOPT(a, SOL_SOCKET, SO_TIMESTAMP, 0);
    SEND(b, "x", 0);
    AWAIT(a, POLLIN);
    SAY(recvmsg(a, &message, 0));
}

PAIR(msg_errqueue, "MSG_ERRQUEUE of a stream without errors")
{
    struct msghdr message = {0};
    char control[64];
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    SAY(recvmsg(a, &message, MSG_ERRQUEUE));
    SEND(b, "x", 0);
    AWAIT(a, POLLIN);
    SAY(recvmsg(a, &message, MSG_ERRQUEUE));
    RECV(a, 10, 0);
}

PAIR(msg_unknown_send_flags, "flags that streams do not know")
{
    SEND(a, "dontroute", MSG_DONTROUTE);
    SEND(a, "eor", MSG_EOR);
    SEND(a, "confirm", MSG_CONFIRM);
    SEND(a, "batch", MSG_BATCH);
    SEND(a, "proxy", 0x10);
    SEND(a, "high", 0x100000);
    AWAIT(b, POLLIN);
    nap(20);
    RECV(b, 100, 0);
}

PAIR(msg_scm_rights_refused, "descriptors cannot be sent by a stream of the network")
{
    char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec iov = {"x", 1};
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    *c = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
    SAY(sendmsg(a, &message, 0));
    nap(10);
    RECV(b, 10, MSG_DONTWAIT);
}

PAIR(msg_mmsg_stream, "sendmmsg and recvmmsg on a stream")
{
    struct iovec out[3] = {{"one", 3}, {"two", 3}, {"three", 5}};
    struct mmsghdr messages[3] = {0};
    for (int i = 0; i < 3; i++) messages[i].msg_hdr = (struct msghdr){.msg_iov = &out[i], .msg_iovlen = 1};
    SAY(sendmmsg(a, messages, 3, 0));
    say("%u %u %u", messages[0].msg_len, messages[1].msg_len, messages[2].msg_len);
    AWAIT(b, POLLIN);
    nap(20);
    RECV(b, 100, 0);
    SEND(b, "abcdefgh", 0);
    AWAIT(a, POLLIN);
    char x[3], y[3], z[3];
    struct iovec in[3] = {{x, 3}, {y, 3}, {z, 3}};
    for (int i = 0; i < 3; i++) messages[i].msg_hdr = (struct msghdr){.msg_iov = &in[i], .msg_iovlen = 1};
    SAY(recvmmsg(a, messages, 3, MSG_DONTWAIT, NULL));
    say("%.3s %.3s %.2s", x, y, z);
}

PAIR(msg_nosignal, "MSG_NOSIGNAL and SIGPIPE, by each call that sends")
{
    SAY(shutdown(a, SHUT_WR));
    struct iovec iov = {"x", 1};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    struct mmsghdr many = {.msg_hdr = message};
    SAY(send(a, "x", 1, 0));
    SAY(send(a, "x", 1, MSG_NOSIGNAL));
    SAY(sendmsg(a, &message, 0));
    SAY(sendmsg(a, &message, MSG_NOSIGNAL));
    SAY(sendmmsg(a, &many, 1, 0));
    SAY(sendmmsg(a, &many, 1, MSG_NOSIGNAL));
    SAY(write(a, "x", 1));
    SAY(writev(a, &iov, 1));
    SAY(sendto(a, "x", 1, 0, NULL, 0));
    (void)b;
}

PAIR(msg_pread, "pread, pwrite and lseek on a socket")
{
    SEND(b, "x", 0);
    AWAIT(a, POLLIN);
    SAY(pread(a, bytes, 1, 0));
    SAY(pwrite(a, "x", 1, 0));
    SAY(lseek(a, 0, SEEK_CUR));
    struct iovec iov = {bytes, 1};
    SAY(preadv(a, &iov, 1, 0));
    SAY(preadv2(a, &iov, 1, -1, 0));
    SAY(ftruncate(a, 0));
    SAY(fsync(a));
}

PAIR(msg_peek_off, "SO_PEEK_OFF moves where MSG_PEEK looks")
{
    SEND(b, "abcdef", 0);
    AWAIT(a, POLLIN);
    GETOPT(a, SOL_SOCKET, SO_PEEK_OFF);
    SETOPT(a, SOL_SOCKET, SO_PEEK_OFF, 2);
    RECV(a, 2, MSG_PEEK);
    RECV(a, 2, MSG_PEEK);
    RECV(a, 1, 0);
    RECV(a, 2, MSG_PEEK | MSG_DONTWAIT);
    GETOPT(a, SOL_SOCKET, SO_PEEK_OFF);
    SETOPT(a, SOL_SOCKET, SO_PEEK_OFF, -1);
    RECV(a, 10, MSG_PEEK);
}

PAIR(msg_zerocopy, "SO_ZEROCOPY and MSG_ZEROCOPY")
{
    SETOPT(a, SOL_SOCKET, SO_ZEROCOPY, 1);
    GETOPT(a, SOL_SOCKET, SO_ZEROCOPY);
    SEND(a, "zero", 0x4000000);
    AWAIT(b, POLLIN);
    RECV(b, 10, 0);
}

PAIR(msg_stdio, "fdopen: a program that uses stdio on a socket")
{
    FILE *out = fdopen(dup(a), "w"), *in = fdopen(a, "r");
    fprintf(out, "line %d\nrest", 1);
    fflush(out);
    AWAIT(b, POLLIN);
    RECV(b, 100, 0);
    SEND(b, "first\nsecond\n", 0);
    SAY(xshutdown(b, SHUT_WR));
    char line[50];
    while (fgets(line, sizeof line, in)) say("read %s", data_text(line, (long)strlen(line)));
    say("eof %d", feof(in) != 0);
    say("close %d %d", fclose(out), fclose(in));
}

PAIR(msg_dprintf, "dprintf and putc-wise output")
{
    say("%d", dprintf(a, "%s %d", "number", 42));
    AWAIT(b, POLLIN);
    RECV(b, 100, 0);
}
