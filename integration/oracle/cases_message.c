// Messages and vectors: iovec limits, bad pointers and descriptors, names, control data, recvmmsg and sendmmsg.
#include "oracle.h"

static char *bad = (char *)8;

PAIR(writev_readv, "vectors in, vectors out, borders forgotten")
{
    struct iovec out[4] = {{"ab", 2}, {"", 0}, {"cdef", 4}, {"g", 1}};
    SAY(writev(a, out, 4));
    char first[3], second[10];
    RECV(b, 2, 0);
    SEND(b, "0123456789", 0);
    struct iovec in[2] = {{first, 3}, {second, 10}};
    SAY(readv(a, in, 2));
    say("%s", data_text(first, 3));
    say("%s", data_text(second, 7));
    RECV(b, 10, 0);
}

static char *unmapped(void)
{
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(page, 8192);
    return page;
}

PAIR(faults_unmapped, "a buffer in a page that was unmapped: EFAULT both ways, and the connection goes on")
{
    char *gone = unmapped();
    SAY(send(a, gone, 10, 0));
    SEND(b, "kept", 0);
    SAY(recv(a, gone, 10, 0));
    char *readonly = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    SAY(recv(a, readonly, 4, 0));
    RECV(a, 10, 0);
    SEND(a, "after", 0);
    RECV(b, 10, 0);
}

PAIR(iov_counts, "no vectors, too many, negative counts")
{
    static struct iovec many[1100];
    for (int i = 0; i < 1100; i++) many[i] = (struct iovec){"x", 1};
    SAY(writev(a, many, 0));
    SAY(readv(a, many, 0));
    SAY(writev(a, many, -1));
    SAY(readv(a, many, -1));
    SAY(writev(a, many, 1024));
    SAY(writev(a, many, 1025));
    SAY(readv(a, many, 1025));
    struct msghdr message = {.msg_iov = many, .msg_iovlen = 1025};
    SAY(sendmsg(a, &message, 0));
    SAY(recvmsg(a, &message, MSG_DONTWAIT));
    message.msg_iovlen = 0;
    SAY(sendmsg(a, &message, 0));
    SAY(recvmsg(a, &message, MSG_DONTWAIT));
    message.msg_iovlen = 1024;
    SAY(sendmsg(a, &message, 0));
    RECV(b, 4096, MSG_DONTWAIT);
}

PAIR(iov_lengths, "vectors whose lengths overflow")
{
    char byte = 'x';
    struct iovec iov[2] = {{&byte, (size_t)-1}, {&byte, 1}};
    SAY(writev(a, iov, 2));
    SAY(readv(a, iov, 2));
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = 2};
    SAY(sendmsg(a, &message, 0));
    SAY(recvmsg(a, &message, MSG_DONTWAIT));
    (void)b;
}

PAIR(faults_send, "sending from where nothing is mapped")
{
    SAY(send(a, bad, 10, 0));
    SAY(write(a, bad, 10));
    SAY(write(a, NULL, 1));
    struct iovec iov[2] = {{"good", 4}, {bad, 4}};
    SAY(writev(a, (struct iovec *)bad, 1));
    SAY(writev(a, iov + 1, 1));
    struct msghdr message = {.msg_iov = iov + 1, .msg_iovlen = 1};
    SAY(sendmsg(a, &message, 0));
    SAY(sendmsg(a, (struct msghdr *)bad, 0));
    message.msg_iov = (struct iovec *)bad;
    SAY(sendmsg(a, &message, 0));
    SEND(a, "after", 0);
    RECV(b, 10, 0);
}

PAIR(faults_recv, "receiving to where nothing is mapped: EFAULT and the bytes stay")
{
    SEND(b, "kept", 0);
    SAY(recv(a, bad, 10, 0));
    SAY(read(a, bad, 4));
    SAY(read(a, NULL, 1));
    SAY(recv(a, bad, 10, MSG_PEEK));
    struct iovec iov = {bad, 10};
    SAY(readv(a, &iov, 1));
    SAY(readv(a, (struct iovec *)bad, 1));
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    SAY(recvmsg(a, &message, 0));
    SAY(recvmsg(a, (struct msghdr *)bad, 0));
    RECV(a, 10, 0);
}

PAIR(faults_empty, "a bad buffer on an empty non-blocking socket: EAGAIN comes first")
{
    nonblock(a);
    SAY(recv(a, bad, 10, 0));
    SAY(read(a, bad, 10));
    SAY(xclose(b));
    AWAIT(a, POLLIN);
    SAY(recv(a, bad, 10, 0));
}

CASE(bad_descriptors, "every call on closed and out-of-range descriptors")
{
    int ep = epoll_create1(0), fds[] = {-1, 900, 1 << 20, socket(AF_INET, SOCK_STREAM, 0)};
    close(fds[3]);
    for (int i = 0; i < 4; i++) {
        int fd = fds[i];
        struct iovec iov = {bytes, 1};
        struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
        struct sockaddr_in s;
        socklen_t length = sizeof s;
        int value = 0;
        SAY(send(fd, "x", 1, 0));
        SAY(recv(fd, bytes, 1, 0));
        SAY(sendmsg(fd, &message, 0));
        SAY(recvmsg(fd, &message, 0));
        SAY(readv(fd, &iov, 1));
        SAY(writev(fd, &iov, 1));
        SAY(shutdown(fd, SHUT_WR));
        SAY(getsockname(fd, SA(s), &length));
        SAY(getpeername(fd, SA(s), &length));
        SAY(getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &length));
        SAY(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, 4));
        SAY(ioctl(fd, FIONREAD, &value));
        SAY(fcntl(fd, F_GETFL));
        SAY(close(fd));
        SAY(dup(fd));
        SAY(dup2(fd, 70));
        SAY(ep_add(ep, fd, EPOLLIN, 0));
        SAY(sendfile(fd, 0, NULL, 1));
    }
}

CASE(socket_calls_on_files, "socket calls on a file and a pipe: ENOTSOCK")
{
    int file = open("/dev/null", O_RDWR), p[2];
    SAY(pipe(p));
    int fds[2] = {file, p[0]};
    for (int i = 0; i < 2; i++) {
        int fd = fds[i], value = 0;
        socklen_t length = sizeof value;
        SAY(send(fd, "x", 1, 0));
        SAY(recv(fd, bytes, 1, 0));
        SAY(shutdown(fd, 0));
        SAY(getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &length));
        SAY(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, 4));
    }
}

PAIR(file_calls_on_socket, "file calls on a connected socket")
{
    SEND(b, "data", 0);
    SAY(lseek(a, 0, SEEK_SET));
    SAY(pread(a, bytes, 4, 0));
    SAY(pwrite(a, "x", 1, 0));
    SAY(ftruncate(a, 0));
    SAY(fsync(a));
    struct iovec iov = {bytes, 4};
    SAY(preadv(a, &iov, 1, 0));
    DATA(preadv2(a, &iov, 1, -1, 0), bytes);
    iov.iov_base = "two";
    iov.iov_len = 3;
    SAY(pwritev2(a, &iov, 1, -1, 0));
    RECV(b, 10, 0);
    struct stat st;
    SAY(fstat(a, &st));
    say("type %o, size %ld, links %ld", st.st_mode & S_IFMT, (long)st.st_size, (long)st.st_nlink);
    void *map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, a, 0);
    say("mmap: %s", map == MAP_FAILED ? errno_name(errno) : "mapped");
}

PAIR(preadv2_nowait, "preadv2 and RWF_NOWAIT on an empty socket")
{
    struct iovec iov = {bytes, 10};
    SAY(preadv2(a, &iov, 1, -1, RWF_NOWAIT));
    SEND(b, "now", 0);
    DATA(preadv2(a, &iov, 1, -1, RWF_NOWAIT), bytes);
}

PAIR(sendto_address_ignored, "sendto and sendmsg with an address on a connected socket")
{
    struct sockaddr_in other = at4("127.0.0.1", 9);
    SAY(sendto(a, "one", 3, 0, SA(other), sizeof other));
    RECV(b, 10, MSG_DONTWAIT);
    struct iovec iov = {"two", 3};
    struct msghdr message = {.msg_name = &other, .msg_namelen = sizeof other, .msg_iov = &iov, .msg_iovlen = 1};
    SAY(sendmsg(a, &message, 0));
    RECV(b, 10, MSG_DONTWAIT);
    SAY(sendto(a, "three", 5, 0, (struct sockaddr *)bad, 3));
    SAY(sendto(a, "four", 4, 0, SA(other), 200));
    SAY(sendto(a, "five", 4, 0, SA(other), 0));
    RECV(b, 10, MSG_DONTWAIT);
}

PAIR(recvfrom_address, "recvfrom on TCP fills no address")
{
    SEND(b, "abc", 0);
    struct sockaddr_in s;
    memset(&s, 0xee, sizeof s);
    socklen_t length = sizeof s;
    DATA(recvfrom(a, bytes, 10, 0, SA(s), &length), bytes);
    say("length %u, %s", length, data_text(&s, sizeof s));
    SEND(b, "def", 0);
    DATA(recvfrom(a, bytes, 10, 0, SA(s), NULL), bytes);
    SEND(b, "ghi", 0);
    length = (socklen_t)-1;
    DATA(recvfrom(a, bytes, 10, MSG_DONTWAIT, SA(s), &length), bytes);
    DATA(recvfrom(a, bytes, 10, MSG_DONTWAIT, NULL, &length), bytes);
}

PAIR(recvmsg_fields, "what recvmsg writes to its message: name length, control length, flags")
{
    SEND(b, "abc", 0);
    char name[32], control[64];
    struct iovec iov = {bytes, 100};
    struct msghdr message = {.msg_name = name, .msg_namelen = sizeof name, .msg_iov = &iov, .msg_iovlen = 1,
        .msg_control = control, .msg_controllen = sizeof control, .msg_flags = 0x77};
    DATA(recvmsg(a, &message, 0), bytes);
    say("name length %u, control %zu, flags %#x", message.msg_namelen, message.msg_controllen, message.msg_flags);
    message.msg_controllen = sizeof control;
    SEND(b, "def", 0);
    SAY(recvmsg(a, &message, MSG_CMSG_CLOEXEC));
    say("name length %u, control %zu, flags %#x", message.msg_namelen, message.msg_controllen, message.msg_flags);
    SAY(recvmsg(a, &message, MSG_DONTWAIT));
    SAY(xclose(b));
    AWAIT(a, POLLIN);
    message.msg_namelen = sizeof name;
    message.msg_controllen = sizeof control;
    SAY(recvmsg(a, &message, 0));
    say("name length %u, control %zu, flags %#x", message.msg_namelen, message.msg_controllen, message.msg_flags);
}

PAIR(sendmsg_control, "sendmsg with control data that TCP does not know, or that is cut short")
{
    char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec iov = {"x", 1};
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    int fd = 1;
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    SAY(sendmsg(a, &message, 0));
    c->cmsg_type = 0x7777;
    SAY(sendmsg(a, &message, 0));
    c->cmsg_level = IPPROTO_IP;
    c->cmsg_type = IP_TTL;
    SAY(sendmsg(a, &message, 0));
    message.msg_controllen = 4;
    SAY(sendmsg(a, &message, 0));
    message.msg_control = NULL;
    message.msg_controllen = 0;
    SAY(sendmsg(a, &message, 0));
    say("arrived: %s", poll_text(xpoll(b, ALL_EVENTS, 100)));
    RECV(b, 100, 0);
}

PAIR(mmsg, "sendmmsg and recvmmsg")
{
    struct iovec out[3] = {{"one", 3}, {"two", 3}, {"three", 5}};
    struct mmsghdr messages[3] = {0};
    for (int i = 0; i < 3; i++) messages[i].msg_hdr = (struct msghdr){.msg_iov = &out[i], .msg_iovlen = 1};
    SAY(sendmmsg(a, messages, 3, 0));
    say("lengths %u %u %u", messages[0].msg_len, messages[1].msg_len, messages[2].msg_len);
    RECV(b, 100, MSG_DONTWAIT);
    SEND(b, "abcdefghij", 0);
    char parts[3][4] = {0};
    for (int i = 0; i < 3; i++) {
        out[i] = (struct iovec){parts[i], 4};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &out[i], .msg_iovlen = 1};
    }
    SAY(recvmmsg(a, messages, 3, MSG_DONTWAIT, NULL));
    say("lengths %u %u %u: %.4s %.4s %.2s", messages[0].msg_len, messages[1].msg_len, messages[2].msg_len, parts[0],
        parts[1], parts[2]);
    SAY(recvmmsg(a, messages, 3, MSG_DONTWAIT, NULL));
    SEND(b, "pq", 0);
    SAY(recvmmsg(a, messages, 3, MSG_WAITFORONE, NULL));
    SAY(sendmmsg(a, messages, 0, 0));
    SAY(shutdown(a, SHUT_WR));
    SAY(sendmmsg(a, messages, 2, 0));
    SAY(sendmmsg(a, messages, 2, MSG_NOSIGNAL));
}

static char vectors_out[1000][1049], vectors_in[700][1500];
static int vectors_reader;

static void read_vectors(void *unused)
{
    (void)unused;
    static struct iovec to[700];
    for (long at = 0; at < (long)sizeof vectors_out; ) {
        int count = 0;
        for (long p = at; count < 700 && p < (long)sizeof vectors_in; count++) {
            long n = 1500 - p % 1500;
            to[count] = (struct iovec){(char *)vectors_in + p, (size_t)n};
            p += n;
        }
        long r = readv(vectors_reader, to, count);
        if (r <= 0) break;
        at += r;
    }
}

CASE(huge_vectors, "a megabyte in a thousand vectors, received through other vectors")
{
    static struct iovec iov[1000];
    int a;
    local_pair(&a, &vectors_reader);
    for (int i = 0; i < 1000; i++) {
        for (int j = 0; j < 1049; j++) vectors_out[i][j] = (char)(i * 7 + j * 13 + (i * j >> 5));
        iov[i] = (struct iovec){vectors_out[i], 1049};
    }
    later_call(0, read_vectors, NULL);
    long sent = 0;
    for (int i = 0; i < 1000; ) {
        ssize_t r = writev(a, iov + i, 1000 - i);
        if (r <= 0) break;
        sent += r;
        while (i < 1000 && r >= (long)iov[i].iov_len) r -= iov[i++].iov_len;
        if (i < 1000) {
            iov[i].iov_base = (char *)iov[i].iov_base + r;
            iov[i].iov_len -= r;
        }
    }
    close(a);
    join_later();
    say("sent %ld, same bytes %d", sent, !memcmp(vectors_out, vectors_in, sizeof vectors_out));
}
