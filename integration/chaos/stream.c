#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct stream streams[MOST_STREAMS];
int count, me;
uint64_t chance;
bool may_be_broken;

uint32_t next(void)
{
    chance ^= chance >> 12;
    chance ^= chance << 25;
    chance ^= chance >> 27;
    return (uint32_t)((chance * 2685821657736338717u) >> 32);
}

uint32_t upto(uint32_t bound) { return (uint32_t)(((uint64_t)next() * bound) >> 32); }

int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void say(const char *format, ...)
{
    char line[400];
    int length = snprintf(line, sizeof line, "%d/%d ", me, getpid());
    va_list arguments;
    va_start(arguments, format);
    length += vsnprintf(line + length, sizeof line - (size_t)length - 1, format, arguments);
    va_end(arguments);
    if (length > (int)sizeof line - 2) length = sizeof line - 2;
    line[length++] = '\n';
    if (write(1, line, (size_t)length) < 0) _exit(9);
}

// Both names, to find it in what the stack and the kernel say.
static const char *name_of(int fd)
{
    static char text[100];
    struct sockaddr_in own = {0}, peer = {0};
    char a[INET_ADDRSTRLEN], b[INET_ADDRSTRLEN];
    socklen_t length = sizeof own;
    getsockname(fd, SA(own), &length);
    length = sizeof peer;
    getpeername(fd, SA(peer), &length);
    snprintf(text, sizeof text, "%s:%d-%s:%d", inet_ntop(AF_INET, &own.sin_addr, a, sizeof a), ntohs(own.sin_port),
        inet_ntop(AF_INET, &peer.sin_addr, b, sizeof b), ntohs(peer.sin_port));
    return text;
}

static unsigned char pattern(uint32_t seed, uint64_t at)
{
    return (unsigned char)(((at + seed) * 2654435761u + (at >> 12) * 40503u) >> 13);
}

void forget(int i)
{
    close(streams[i].fd);
    streams[i] = streams[--count];
}

struct stream *begin(int fd)
{
    static const uint32_t lengths[] = {0, 1, 100, 5000, 70000, 400000, 2000000};
    struct stream *s = &streams[count++];
    memset(s, 0, sizeof *s);
    s->fd = fd;
    s->out_seed = next();
    s->out_length = lengths[upto(7)] + upto(300);
    s->moved_ms = now_ms();
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    return s;
}

static void broken(struct stream *s, const char *what)
{
    if (!may_be_broken) say("WRONG %s of %s: %s after %llu in, %llu of %llu out", what, name_of(s->fd), strerror(errno),
        (unsigned long long)s->in_done, (unsigned long long)s->out_done, (unsigned long long)s->out_length);
}

// What is sent next; false: the stream is gone.
static bool push(struct stream *s)
{
    unsigned char block[PIECE];
    uint64_t total = HELLO + s->out_length;
    while (s->out_done < total) {
        uint32_t most = 1 + upto(upto(3) ? PIECE : 50), n = 0;
        for (; n < most && s->out_done + n < total; n++) {
            uint64_t at = s->out_done + n;
            if (at < 4) block[n] = (unsigned char)(s->out_seed >> (8 * at));
            else if (at < 12) block[n] = (unsigned char)(s->out_length >> (8 * (at - 4)));
            else if (at < HELLO) block[n] = 'h';
            else block[n] = pattern(s->out_seed, at - HELLO);
        }
        ssize_t sent;
        if (upto(3) == 0) {
            struct iovec two[2] = {{block, n / 2}, {block + n / 2, n - n / 2}};
            sent = writev(s->fd, two, 2);
        } else {
            sent = send(s->fd, block, n, MSG_NOSIGNAL);
        }
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0 && errno == EAGAIN) return true;
        if (sent < 0) {
            broken(s, "send");
            return false;
        }
        s->out_done += (uint64_t)sent;
        s->moved_ms = now_ms();
        if (upto(4) == 0) return true;
    }
    if (!s->out_shut && shutdown(s->fd, SHUT_WR) < 0 && errno != ENOTCONN) broken(s, "shutdown");
    s->out_shut = true;
    return true;
}

static bool check(struct stream *s, const unsigned char *data, ssize_t n)
{
    for (ssize_t i = 0; i < n; i++) {
        if (s->in_hello < HELLO) {
            s->hello[s->in_hello++] = data[i];
            if (s->in_hello < HELLO) continue;
            memcpy(&s->in_seed, s->hello, 4);
            memcpy(&s->in_length, s->hello + 4, 8);
            if (s->hello[12] != 'h' || s->hello[15] != 'h') {
                say("WRONG byte in a greeting");
                return false;
            }
            continue;
        }
        if (s->in_done >= s->in_length || data[i] != pattern(s->in_seed, s->in_done)) {
            say("WRONG byte %llu of %llu: %02x", (unsigned long long)s->in_done, (unsigned long long)s->in_length,
                data[i]);
            return false;
        }
        s->in_done++;
    }
    return true;
}

static bool pull(struct stream *s)
{
    unsigned char block[PIECE];
    for (;;) {
        size_t most = 1 + upto(upto(3) ? PIECE : 20);
        ssize_t n;
        if (upto(8) == 0) {
            // Looking does not take.
            unsigned char peeked[64], taken[64];
            ssize_t p = recv(s->fd, peeked, 1 + upto(64), MSG_PEEK);
            if (p > 0) {
                n = recv(s->fd, taken, (size_t)p, 0);
                if (n != p || memcmp(peeked, taken, (size_t)p) != 0) {
                    say("WRONG peek: %zd, then %zd", p, n);
                    return false;
                }
                if (!check(s, taken, n)) return false;
                s->moved_ms = now_ms();
                continue;
            }
            n = p;
        } else {
            n = upto(2) ? read(s->fd, block, most) : recv(s->fd, block, most, 0);
        }
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) return true;
        if (n < 0) {
            broken(s, "receive");
            return false;
        }
        s->moved_ms = now_ms();
        if (n == 0) {
            s->in_ended = true;
            bool whole = s->in_hello == HELLO && s->in_done == s->in_length;
            if (!whole) {
                errno = 0;
                broken(s, "early end");
            }
            return whole;
        }
        if (!check(s, block, n)) return false;
        if (upto(6) == 0) return true;
    }
}

short wanted(const struct stream *s)
{
    return (short)((s->in_ended ? 0 : POLLIN) | (s->out_shut ? 0 : POLLOUT));
}

bool move(struct stream *s, int revents)
{
    bool alive = push(s) && (s->in_ended || pull(s));
    if (!alive || (s->in_ended && s->out_shut)) return false;
    if (now_ms() - s->moved_ms < SILENCE_MS) return true;
    say("WRONG silence of %s: %llu of %llu in, %llu of %llu out, shut %d, ended %d, revents %x", name_of(s->fd),
        (unsigned long long)s->in_done, (unsigned long long)s->in_length, (unsigned long long)s->out_done,
        (unsigned long long)s->out_length, s->out_shut, s->in_ended, revents);
    return false;
}

int finish(void)
{
    while (count > 0) {
        struct pollfd fds[MOST_STREAMS];
        for (int i = 0; i < count; i++) fds[i] = (struct pollfd){streams[i].fd, wanted(&streams[i]), 0};
        int ready = poll(fds, (nfds_t)count, 500);
        if (ready < 0 && errno != EINTR) say("WRONG poll: %s", strerror(errno));
        for (int i = count - 1; i >= 0; i--)
            if (!move(&streams[i], ready > 0 ? fds[i].revents : 0)) forget(i);
    }
    return 0;
}

void write_state(const struct stream *s, char *out, size_t size)
{
    int at = snprintf(out, size, "%d %u %u %llu %llu %llu %llu %d %d %d ", s->fd, s->out_seed, s->in_seed,
        (unsigned long long)s->out_length, (unsigned long long)s->out_done, (unsigned long long)s->in_length,
        (unsigned long long)s->in_done, s->in_hello, s->out_shut, s->in_ended);
    for (int i = 0; i < HELLO; i++) at += snprintf(out + at, size - (size_t)at, "%02x", s->hello[i]);
}

bool read_state(struct stream *s, const char *text)
{
    unsigned long long ol, od, il, id;
    int shut, ended, at = 0;
    memset(s, 0, sizeof *s);
    if (sscanf(text, "%d %u %u %llu %llu %llu %llu %d %d %d %n", &s->fd, &s->out_seed, &s->in_seed, &ol, &od, &il, &id,
            &s->in_hello, &shut, &ended, &at) < 10) return false;
    s->out_length = ol;
    s->out_done = od;
    s->in_length = il;
    s->in_done = id;
    s->out_shut = shut;
    s->in_ended = ended;
    for (int i = 0; i < HELLO; i++) {
        unsigned byte;
        if (sscanf(text + at + 2 * i, "%2x", &byte) != 1) return false;
        s->hello[i] = (unsigned char)byte;
    }
    s->moved_ms = now_ms();
    return true;
}
