// Large transfers: every byte in its place, blocking and not, by sendfile and splice too.
#include "oracle.h"

PAIR(bulk_blocking, "8 MB blocking, one way")
{
    later_pump(0, b, 1, 8 << 20);
    SAY(xsink(a, 1, 8 << 20));
    SAY(join_later());
    MASK(a);
}

PAIR(bulk_blocking_out, "8 MB blocking, the other way, ended by close")
{
    later_sink(0, b, 2, 9 << 20);
    SAY(xpump(a, 2, 8 << 20));
    SAY(close(a));
    SAY(join_later());
}

PAIR(bulk_nonblocking, "8 MB with both ends non-blocking")
{
    nonblock(a);
    SAY(xnonblock(b));
    later_pump(0, b, 3, 8 << 20);
    SAY(xsink(a, 3, 8 << 20));
    SAY(join_later());
    RECV(a, 1, 0);
}

PAIR(bulk_small_buffers, "2 MB through the smallest buffers")
{
    SETOPT(b, SOL_SOCKET, SO_SNDBUF, 1);
    SETOPT(a, SOL_SOCKET, SO_RCVBUF, 20000);
    later_pump(0, b, 4, 2 << 20);
    SAY(xsink(a, 4, 2 << 20));
    SAY(join_later());
}

CASE(bulk_both_ways, "4 MB each way at once")
{
    int a, b;
    local_pair(&a, &b);
    later_pump(0, b, 5, 4 << 20);
    later_sink(0, b, 6, 4 << 20);
    later_pump(0, a, 6, 4 << 20);
    SAY(xsink(a, 5, 4 << 20));
    SAY(join_later());
    MASK(a);
    MASK(b);
}

PAIR(bulk_odd_sizes, "writes and reads of odd sizes keep the order")
{
    unsigned char block[3000];
    uint64_t sent = 0, got = 0;
    long out = 0, in = 0;
    for (int i = 1; i < 400; i++) {
        long size = i * 37 % 2999 + 1;
        for (long j = 0; j < size; j++) block[j] = (unsigned char)(i + j * 3);
        if (send(a, block, size, 0) != size) say("short send");
        for (long j = 0; j < size; j++) sent = sent * 31 + block[j];
        out += size;
        while (in < out - 5000 || (i == 399 && in < out)) {
            long r = xrecv(b, block, 1 + (size_t)(in % 1777), 0);
            if (r <= 0) return;
            for (long j = 0; j < r; j++) got = got * 31 + block[j];
            in += r;
        }
    }
    say("%ld bytes, same sum %d", in, got == sent);
}

PAIR(bulk_waitall, "1 MB in one MSG_WAITALL recv")
{
    static char big[1 << 20];
    later_pump(0, b, 7, sizeof big);
    DATA(recv(a, big, sizeof big, MSG_WAITALL), big);
    join_later();
}

PAIR(bulk_big_sends, "6 MB offered to send as a whole, taken in parts")
{
    static char big[6 << 20];
    for (size_t i = 0; i < sizeof big; i++) big[i] = (char)(i * i >> 7);
    uint64_t sum = 0;
    nonblock(a);
    long sent = 0, got = 0;
    while (got < (long)sizeof big) {
        long r = sent < (long)sizeof big ? send(a, big + sent, sizeof big - sent, 0) : 0;
        if (r > 0) sent += r;
        r = xrecv(b, bytes, 100000, MSG_DONTWAIT);
        for (long i = 0; i < r; i++) sum = sum * 31 + (unsigned char)bytes[i];
        if (r > 0) got += r;
        else if (r == 0) break;
    }
    say("sent %ld got %ld sum %016llx", sent, got, (unsigned long long)sum);
}

static int temporary_file(long size)
{
    int fd = memfd_create("oracle", 0);
    unsigned char block[4096];
    for (long at = 0; at < size; at += sizeof block) {
        long n = size - at < (long)sizeof block ? size - at : (long)sizeof block;
        for (long i = 0; i < n; i++) block[i] = (unsigned char)((at + i) * 7 >> 3);
        if (write(fd, block, n) != n) say("temporary file: %s", errno_name(errno));
    }
    lseek(fd, 0, SEEK_SET);
    return fd;
}

static long drained;

static void drain_all(void *fd)
{
    long r;
    while ((r = recv((int)(intptr_t)fd, bytes, sizeof bytes, 0)) > 0) drained += r;
}

CASE(bulk_one_send, "one blocking send of 6 MB is taken whole")
{
    static char big[6 << 20];
    int a, b;
    local_pair(&a, &b);
    later_call(60, drain_all, (void *)(intptr_t)b);
    SAY(send(a, big, sizeof big, 0));
    SAY(close(a));
    join_later();
    say("drained %ld", drained);
}

PAIR(sendfile_position, "sendfile without an offset moves the file's position")
{
    int file = temporary_file(100);
    SAY(sendfile(a, file, NULL, 30));
    SAY(lseek(file, 0, SEEK_CUR));
    SAY(sendfile(a, file, NULL, 200));
    SAY(sendfile(a, file, NULL, 200));
    RECV(b, 100, MSG_WAITALL);
}

PAIR(sendfile_offset, "sendfile with an offset moves the offset and not the position")
{
    int file = temporary_file(100);
    off_t offset = 60;
    SAY(sendfile(a, file, &offset, 20));
    say("offset %ld", (long)offset);
    SAY(sendfile(a, file, &offset, 100));
    say("offset %ld", (long)offset);
    SAY(sendfile(a, file, &offset, 100));
    offset = 1000;
    SAY(sendfile(a, file, &offset, 10));
    say("offset %ld", (long)offset);
    offset = -1;
    SAY(sendfile(a, file, &offset, 10));
    SAY(lseek(file, 0, SEEK_CUR));
    RECV(b, 40, MSG_WAITALL);
}

PAIR(sendfile_errors, "sendfile with wrong descriptors, pointers and states")
{
    int file = temporary_file(100), p[2];
    SAY(pipe(p));
    SAY(sendfile(a, -1, NULL, 10));
    SAY(sendfile(a, 777, NULL, 10));
    SAY(sendfile(a, p[0], NULL, 10));
    SAY(sendfile(a, a, NULL, 10));
    SAY(sendfile(a, file, (off_t *)8, 10));
    SAY(sendfile(a, file, NULL, 0));
    SAY(sendfile(file, a, NULL, 10));
    int only_write = open("/proc/self/comm", O_WRONLY);
    SAY(sendfile(a, only_write, NULL, 10));
    SAY(shutdown(a, SHUT_WR));
    SAY(sendfile(a, file, NULL, 10));
    SAY(lseek(file, 0, SEEK_CUR));
    int fresh = socket(AF_INET, SOCK_STREAM, 0);
    SAY(sendfile(fresh, file, NULL, 10));
    SAY(sendfile(listener(), file, NULL, 10));
    (void)b;
}

PAIR(sendfile_big, "sendfile of 6 MB in the parts that fit")
{
    int file = temporary_file(6 << 20);
    static char big[6 << 20];
    long sent = 0;
    nonblock(a);
    long got = 0, r;
    while (got < (long)sizeof big) {
        if (sent < (long)sizeof big && (r = sendfile(a, file, NULL, sizeof big - sent)) > 0) sent += r;
        r = xrecv(b, bytes, 100000, MSG_DONTWAIT);
        if (r == 0) break;
        if (r > 0) {
            memcpy(big + got, bytes, r);
            got += r;
        }
    }
    say("sent %ld, position %ld, %s", sent, (long)lseek(file, 0, SEEK_CUR), data_text(big, got));
}

PAIR(sendfile_full, "sendfile into a full pipe: EAGAIN when non-blocking")
{
    int file = temporary_file(100000);
    nonblock(a);
    say("filled %s", fill(a) > 0 ? "yes" : "no");
    SAY(sendfile(a, file, NULL, 100000));
    SAY(lseek(file, 0, SEEK_CUR));
    (void)b;
}

CASE(sendfile_blocking_thread, "a blocking sendfile of 4 MB to a thread that reads")
{
    int a, b, file = temporary_file(4 << 20);
    local_pair(&a, &b);
    static struct { int fd; uint64_t sum; long total; } reading;
    reading.fd = b;
    void read_all(void *unused)
    {
        (void)unused;
        static unsigned char block[30000];
        long r;
        while ((r = recv(reading.fd, block, sizeof block, 0)) > 0) {
            for (long i = 0; i < r; i++) reading.sum = reading.sum * 31 + block[i];
            reading.total += r;
        }
    }
    later_call(0, read_all, NULL);
    SAY(sendfile(a, file, NULL, 5 << 20));
    SAY(close(a));
    join_later();
    say("total %ld sum %016llx", reading.total, (unsigned long long)reading.sum);
}

PAIR(splice_in, "splice from a pipe into a socket")
{
    int p[2];
    SAY(pipe(p));
    SAY(write(p[1], "through a pipe", 14));
    SAY(splice(p[0], NULL, a, NULL, 7, 0));
    SAY(splice(p[0], NULL, a, NULL, 100, SPLICE_F_MORE));
    SAY(splice(p[0], NULL, a, NULL, 100, SPLICE_F_NONBLOCK));
    AWAIT(b, POLLIN);
    nap(250);
    RECV(b, 100, 0);
    SAY(close(p[1]));
    SAY(splice(p[0], NULL, a, NULL, 100, 0));
}

PAIR(splice_out, "splice from a socket into a pipe")
{
    int p[2];
    SAY(pipe(p));
    SEND(b, "out of a socket", 0);
    SAY(splice(a, NULL, p[1], NULL, 6, 0));
    SAY(splice(a, NULL, p[1], NULL, 100, SPLICE_F_NONBLOCK));
    nonblock(a);
    SAY(splice(a, NULL, p[1], NULL, 100, 0));
    SAY(fcntl(a, F_SETFL, 0));
    DATA(read(p[0], bytes, 100), bytes);
    later_send(40, b, "late");
    SAY(splice(a, NULL, p[1], NULL, 100, 0));
    join_later();
    DATA(read(p[0], bytes, 100), bytes);
    SAY(xclose(b));
    AWAIT(a, POLLIN);
    SAY(splice(a, NULL, p[1], NULL, 100, 0));
}

PAIR(splice_errors, "splice that cannot be: two sockets, offsets, no pipe")
{
    int p[2], file = temporary_file(10);
    SAY(pipe(p));
    loff_t offset = 0;
    SAY(splice(a, NULL, a, NULL, 10, 0));
    SAY(splice(file, NULL, a, NULL, 10, 0));
    SAY(splice(p[0], NULL, a, &offset, 10, 0));
    SAY(splice(a, &offset, p[1], NULL, 10, 0));
    SAY(splice(a, NULL, p[0], NULL, 10, SPLICE_F_NONBLOCK));
    SAY(splice(-1, NULL, a, NULL, 10, 0));
    SAY(splice(p[0], NULL, a, NULL, 0, 0));
    SAY(write(p[1], "x", 1));
    SAY(shutdown(a, SHUT_WR));
    SAY(splice(p[0], NULL, a, NULL, 1, 0));
    (void)b;
}
