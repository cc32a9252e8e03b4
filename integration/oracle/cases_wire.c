// Across a wire: what packets have, and what can happen to a connection to another host.
#include "oracle.h"

// As linux/tcp.h has it, which does not go with netinet/tcp.h, whose own is shorter.
struct info {
    uint8_t tcpi_state; uint8_t tcpi_ca_state; uint8_t tcpi_retransmits; uint8_t tcpi_probes; uint8_t tcpi_backoff;
    uint8_t tcpi_options; uint8_t tcpi_snd_wscale : 4, tcpi_rcv_wscale : 4;
    uint8_t tcpi_delivery_rate_app_limited:1, tcpi_fastopen_client_fail:2; uint32_t tcpi_rto; uint32_t tcpi_ato;
    uint32_t tcpi_snd_mss; uint32_t tcpi_rcv_mss; uint32_t tcpi_unacked; uint32_t tcpi_sacked; uint32_t tcpi_lost;
    uint32_t tcpi_retrans; uint32_t tcpi_fackets; uint32_t tcpi_last_data_sent; uint32_t tcpi_last_ack_sent;
    uint32_t tcpi_last_data_recv; uint32_t tcpi_last_ack_recv; uint32_t tcpi_pmtu; uint32_t tcpi_rcv_ssthresh;
    uint32_t tcpi_rtt; uint32_t tcpi_rttvar; uint32_t tcpi_snd_ssthresh; uint32_t tcpi_snd_cwnd;
    uint32_t tcpi_advmss; uint32_t tcpi_reordering; uint32_t tcpi_rcv_rtt; uint32_t tcpi_rcv_space;
    uint32_t tcpi_total_retrans; uint64_t tcpi_pacing_rate; uint64_t tcpi_max_pacing_rate;
    uint64_t tcpi_bytes_acked; uint64_t tcpi_bytes_received; uint32_t tcpi_segs_out; uint32_t tcpi_segs_in;
    uint32_t tcpi_notsent_bytes; uint32_t tcpi_min_rtt; uint32_t tcpi_data_segs_in; uint32_t tcpi_data_segs_out;
    uint64_t tcpi_delivery_rate; uint64_t tcpi_busy_time; uint64_t tcpi_rwnd_limited; uint64_t tcpi_sndbuf_limited;
    uint32_t tcpi_delivered; uint32_t tcpi_delivered_ce; uint64_t tcpi_bytes_sent; uint64_t tcpi_bytes_retrans;
    uint32_t tcpi_dsack_dups; uint32_t tcpi_reord_seen; uint32_t tcpi_rcv_ooopack; uint32_t tcpi_snd_wnd;
};

static struct info info_of(int fd)
{
    struct info info = {0};
    socklen_t length = sizeof info;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length)) say("TCP_INFO: %s", errno_name(errno));
    return info;
}

ACROSS(wire_info_fresh, "TCP_INFO of a new connection")
{
    struct info i = info_of(a);
    say("state %u ca %u retransmits %u probes %u backoff %u options %x", i.tcpi_state, i.tcpi_ca_state,
        i.tcpi_retransmits, i.tcpi_probes, i.tcpi_backoff, i.tcpi_options);
    say("snd_mss %u advmss %u pmtu %u", i.tcpi_snd_mss, i.tcpi_advmss, i.tcpi_pmtu);
    say("unacked %u sacked %u lost %u retrans %u fackets %u", i.tcpi_unacked, i.tcpi_sacked, i.tcpi_lost,
        i.tcpi_retrans, i.tcpi_fackets);
    say("ssthresh %u cwnd %u reordering %u total_retrans %u", i.tcpi_snd_ssthresh, i.tcpi_snd_cwnd, i.tcpi_reordering,
        i.tcpi_total_retrans);
    say("segs in %u out %u, data in %u out %u", i.tcpi_segs_in, i.tcpi_segs_out, i.tcpi_data_segs_in,
        i.tcpi_data_segs_out);
    say("acked %llu received %llu notsent %u", (unsigned long long)i.tcpi_bytes_acked,
        (unsigned long long)i.tcpi_bytes_received, i.tcpi_notsent_bytes);
    say("times: rtt %d, rto of 200 ms to 1 s %d, wscale %d", i.tcpi_rtt > 0 && i.tcpi_rtt < 500000,
        i.tcpi_rto >= 200000 && i.tcpi_rto <= 1000000, i.tcpi_snd_wscale > 0 && i.tcpi_rcv_wscale > 0);
    say("max pacing rate %llx", (unsigned long long)i.tcpi_max_pacing_rate);
    (void)b;
}

ACROSS(wire_info_counts, "TCP_INFO counts bytes and segments")
{
    SEND(a, "0123456789", 0);
    AWAIT(b, POLLIN);
    RECV(b, 100, 0);
    SEND(b, "answer", 0);
    AWAIT(a, POLLIN);
    nap(60);
    struct info i = info_of(a);
    say("acked %llu received %llu sent %llu retransmitted %llu", (unsigned long long)i.tcpi_bytes_acked,
        (unsigned long long)i.tcpi_bytes_received, (unsigned long long)i.tcpi_bytes_sent,
        (unsigned long long)i.tcpi_bytes_retrans);
    say("data segs in %u out %u, delivered %u, unacked %u", i.tcpi_data_segs_in, i.tcpi_data_segs_out,
        i.tcpi_delivered, i.tcpi_unacked);
    say("since: sent %d received %d ack %d", i.tcpi_last_data_sent >= 50 && i.tcpi_last_data_sent < 3000,
        i.tcpi_last_data_recv >= 50 && i.tcpi_last_data_recv < 3000,
        i.tcpi_last_ack_recv >= 50 && i.tcpi_last_ack_recv < 3000);
    RECV(a, 10, 0);
}

ACROSS(wire_info_room, "TCP_INFO into buffers of any length")
{
    static const socklen_t rooms[] = {0, 1, 7, 8, 100, 104, 192, 232, 280, 512, 4096};
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++) {
        char block[4096];
        memset(block, 0x5a, sizeof block);
        socklen_t length = rooms[i];
        int r = getsockopt(a, IPPROTO_TCP, TCP_INFO, block, &length);
        socklen_t touched = sizeof block;
        while (touched > 0 && block[touched - 1] == 0x5a) touched--;
        say("%u: %d, length %u, beyond it %s", rooms[i], r, length, touched > length ? "TOUCHED" : "untouched");
    }
    socklen_t wrong = (socklen_t)-1;
    SAY(getsockopt(a, IPPROTO_TCP, TCP_INFO, bytes, &wrong));
    (void)b;
}

ACROSS(wire_maxseg, "TCP_MAXSEG is the segment size in use")
{
    GETOPT(a, IPPROTO_TCP, TCP_MAXSEG);
    SETOPT(a, IPPROTO_TCP, TCP_MAXSEG, 600);
    GETOPT(a, IPPROTO_TCP, TCP_MAXSEG);
    SETOPT(a, IPPROTO_TCP, TCP_MAXSEG, 10);
    (void)b;
}

ABROAD(wire_maxseg_before, "TCP_MAXSEG set before connect() bounds the segments")
{
    int l = xsocket(AF_INET, SOCK_STREAM), c = socket(AF_INET, SOCK_STREAM, 0);
    SAY(xbind(l, far_ip, 0));
    SAY(xlisten(l, 5));
    SETOPT(c, IPPROTO_TCP, TCP_MAXSEG, 600);
    struct sockaddr_in to = at4(far_ip, xport(l));
    SAY(connect(c, SA(to), sizeof to));
    expect_local(c);
    GETOPT(c, IPPROTO_TCP, TCP_MAXSEG);
    struct info i = info_of(c);
    say("snd_mss %u advmss %u", i.tcpi_snd_mss, i.tcpi_advmss);
    int s = xaccept(l);
    say("there %ld", xgetopt(s, IPPROTO_TCP, TCP_MAXSEG));
}

ACROSS(wire_mtu, "IP_MTU of a connection is the path's")
{
    GETOPT(a, IPPROTO_IP, IP_MTU);
    GETOPT(a, IPPROTO_IP, IP_MTU_DISCOVER);
    (void)b;
}

ACROSS(wire_outq, "SIOCOUTQ and SIOCOUTQNSD while the peer does not read")
{
    say("idle %ld", xioctl(a, TIOCOUTQ));
    nonblock(a);
    long sent = fill(a);
    long queued = xioctl(a, TIOCOUTQ), unsent = xioctl(a, 0x894B);
    say("queued %d unsent %d, in order %d", queued > 0, unsent > 0, queued >= unsent && queued < sent);
    struct info i = info_of(a);
    say("notsent agrees %d", i.tcpi_notsent_bytes == unsent);
    long got = 0;
    while (got < sent) {
        long r = xrecv(b, bytes, sizeof bytes, 0);
        if (r <= 0) break;
        got += r;
    }
    nap(100);
    say("all %d, then queued %ld", got == sent, xioctl(a, TIOCOUTQ));
}

ABROAD(wire_no_host, "connect() to an address where nobody is: EHOSTUNREACH")
{
    int c = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = at4("10.77.0.99", 80);
    TIMED(connect(c, SA(to), sizeof to), 3000);
    ERROR(c);
}

ABROAD(wire_no_host_nonblocking, "the same without blocking")
{
    int c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in to = at4("10.77.0.98", 80);
    SAY(connect(c, SA(to), sizeof to));
    MASK(c);
    SAY(connect(c, SA(to), sizeof to));
    SAY(send(c, "x", 1, MSG_NOSIGNAL));
    RECV(c, 1, 0);
    say("ended: %s", poll_text(xpoll(c, POLLOUT, 6000)));
    SAY(connect(c, SA(to), sizeof to));
    ERROR(c);
}

ABROAD(wire_no_net, "connect() where no route leads: ENETUNREACH")
{
    int c = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = at4("203.0.113.5", 80);
    TIMED(connect(c, SA(to), sizeof to), 0);
    ERROR(c);
    MASK(c);
    int six = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 to6 = at6("2001:db8::5", 80);
    TIMED(connect(six, SA(to6), sizeof to6), 0);
}

// A port of the far host whose listener takes no SYN: its queue is full.
static int silent_port(int *keep)
{
    int l = xsocket(AF_INET, SOCK_STREAM);
    xbind(l, far_ip, 0);
    xlisten(l, 0);
    int port = xport(l);
    for (int i = 0; i < 2; i++) {
        keep[i] = xsocket(AF_INET, SOCK_STREAM);
        xnonblock(keep[i]);
        xconnect(keep[i], far_ip, port);
    }
    nap(20);
    return port;
}

ABROAD(wire_connect_timeout, "no answer to the SYN: ETIMEDOUT after TCP_SYNCNT tries")
{
    int keep[2], port = silent_port(keep), c = socket(AF_INET, SOCK_STREAM, 0);
    SETOPT(c, IPPROTO_TCP, TCP_SYNCNT, 1);
    struct sockaddr_in to = at4(far_ip, port);
    TIMED(connect(c, SA(to), sizeof to), 3000);
    ERROR(c);
    MASK(c);
}

ABROAD(wire_connect_user_timeout, "TCP_USER_TIMEOUT bounds connect()")
{
    int keep[2], port = silent_port(keep), c = socket(AF_INET, SOCK_STREAM, 0);
    SETOPT(c, IPPROTO_TCP, TCP_USER_TIMEOUT, 1500);
    struct sockaddr_in to = at4(far_ip, port);
    TIMED(connect(c, SA(to), sizeof to), 1400);
    ERROR(c);
}

ABROAD(wire_connect_sndtimeo, "SO_SNDTIMEO bounds a call of connect(), not the attempt")
{
    int keep[2], port = silent_port(keep), c = socket(AF_INET, SOCK_STREAM, 0);
    struct timeval time = {0, 100000};
    SAY(setsockopt(c, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time));
    struct sockaddr_in to = at4(far_ip, port);
    TIMED(connect(c, SA(to), sizeof to), 100);
    SAY(connect(c, SA(to), sizeof to));
    MASK(c);
    struct info i = info_of(c);
    say("state %u", i.tcpi_state);
    SAY(shutdown(c, SHUT_WR));
    MASK(c);
}

ABROAD(wire_connect_closed, "close() of a socket whose SYN nobody answers")
{
    int keep[2], port = silent_port(keep), c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), ep = epoll_create1(0);
    struct sockaddr_in to = at4(far_ip, port);
    SAY(ep_add(ep, c, EPOLLIN | EPOLLOUT, 1));
    EPOLL(ep, 4, 0);
    SAY(connect(c, SA(to), sizeof to));
    EPOLL(ep, 4, 0);
    MASK(c);
    SAY(close(c));
    EPOLL(ep, 4, 0);
    int d = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    SAY(connect(d, SA(to), sizeof to));
    SAY(xclose(keep[0]));
    SAY(shutdown(d, SHUT_RDWR));
    MASK(d);
}

ACROSS(wire_keepalive, "keepalive of a living peer changes nothing")
{
    SETOPT(a, SOL_SOCKET, SO_KEEPALIVE, 1);
    SETOPT(a, IPPROTO_TCP, TCP_KEEPIDLE, 1);
    SETOPT(a, IPPROTO_TCP, TCP_KEEPINTVL, 1);
    SETOPT(a, IPPROTO_TCP, TCP_KEEPCNT, 1);
    nap(2500);
    struct info i = info_of(a);
    say("state %u, probes were sent %d", i.tcpi_state, i.tcpi_segs_out >= 2);
    SEND(b, "alive", 0);
    RECV(a, 10, 0);
}

ACROSS(wire_cork_segments, "TCP_CORK and MSG_MORE make one segment of several writes, TCP_NODELAY each its own")
{
    uint32_t before = info_of(a).tcpi_data_segs_out;
    SETOPT(a, IPPROTO_TCP, TCP_CORK, 1);
    SEND(a, "one", 0);
    SEND(a, "two", 0);
    SETOPT(a, IPPROTO_TCP, TCP_CORK, 0);
    AWAIT(b, POLLIN);
    say("corked: %u", info_of(a).tcpi_data_segs_out - before);
    before = info_of(a).tcpi_data_segs_out;
    SEND(a, "three", MSG_MORE);
    SEND(a, "four", 0);
    nap(10);
    say("more: %u", info_of(a).tcpi_data_segs_out - before);
    before = info_of(a).tcpi_data_segs_out;
    SETOPT(a, IPPROTO_TCP, TCP_NODELAY, 1);
    SEND(a, "five", 0);
    SEND(a, "six", 0);
    say("at once: %u", info_of(a).tcpi_data_segs_out - before);
    nap(20);
    RECV(b, 100, 0);
}

// An epoll set that has just said that the corked socket can be written to.
static int corked_loop(int a)
{
    int ep = epoll_create1(0);
    SAY(ep_add(ep, a, EPOLLOUT, 1));
    SETOPT(a, IPPROTO_TCP, TCP_CORK, 1);
    EPOLL(ep, 4, 0);
    return ep;
}

ACROSS(wire_cork_events, "under a cork an event loop's bytes leave all the same: full segments soon, the rest in time")
{
    int ep = corked_loop(a);
    SAY(send(a, bytes, 3000, 0));
    nap(20);
    RECV(b, 5000, 0);
    nap(300);
    RECV(b, 5000, 0);
    EPOLL(ep, 4, 0);
    SAY(send(a, bytes, 2000, MSG_MORE));
    EPOLL(ep, 4, 20);
    RECV(b, 5000, 0);
    SEND(a, "end", MSG_MORE);
    SAY(shutdown(a, SHUT_WR));
    AWAIT(b, POLLRDHUP);
    RECV(b, 5000, 0);
    RECV(b, 5000, 0);
}

ACROSS(wire_cork_close, "close() pulls the cork of an event loop")
{
    corked_loop(a);
    SEND(a, "end", 0);
    SAY(close(a));
    AWAIT(b, POLLRDHUP);
    RECV(b, 5000, 0);
    RECV(b, 5000, 0);
}

ACROSS(wire_ephemeral, "a port that is chosen lies in the kernel's range")
{
    int low = 0, high = 0;
    FILE *range = fopen("/proc/sys/net/ipv4/ip_local_port_range", "r");
    if (!range || fscanf(range, "%d %d", &low, &high) != 2) return;
    int connecting = peer_port_of(a) > 0 ? port_of(a) : 0;
    say("in range: %d", connecting >= low && connecting <= high);
    (void)b;
}

ABROAD(wire_wildcard, "an accepted socket of a wildcard listener has the address that was called")
{
    struct sockaddr_in any = at4("0.0.0.0", 0), name = {0};
    int l = socket(AF_INET, SOCK_STREAM, 0);
    SAY(bind(l, SA(any), sizeof any));
    SAY(listen(l, 5));
    int c = xsocket(AF_INET, SOCK_STREAM);
    SAY(xconnect(c, near_ip, port_of(l)));
    socklen_t length = sizeof name;
    int s = FD(accept(l, SA(name), &length));
    expect_local(s);
    say("from %s", address_text(&name, length, xport(c)));
    getsockname(s, SA(name), &length);
    say("at %s", address_text(&name, length, port_of(l)));
    getsockname(l, SA(name), &length);
    say("listening at %s", address_text(&name, length, port_of(l)));
    struct sockaddr_in again = at4("0.0.0.0", port_of(l)), other = at4(near_ip, port_of(l));
    int d = socket(AF_INET, SOCK_STREAM, 0);
    SAY(bind(d, SA(again), sizeof again));
    SAY(bind(d, SA(other), sizeof other));
}

static void names6(const char *who, int fd, int own, int peer)
{
    struct sockaddr_storage s = {0};
    socklen_t length = sizeof s;
    int r = getsockname(fd, SA(s), &length);
    say("%s sockname: %s", who, r ? errno_name(errno) : address_text(&s, length, own));
    length = sizeof s;
    r = getpeername(fd, SA(s), &length);
    say("%s peername: %s", who, r ? errno_name(errno) : address_text(&s, length, peer));
}

ABROAD(wire_mapped, "an IPv6 socket to an IPv4 host, and an IPv6 listener with an IPv4 client")
{
    int l = xsocket(AF_INET, SOCK_STREAM), c = socket(AF_INET6, SOCK_STREAM, 0);
    SAY(xbind(l, far_ip, 0));
    SAY(xlisten(l, 5));
    char text[80];
    snprintf(text, sizeof text, "::ffff:%s", far_ip);
    struct sockaddr_in6 to = at6(text, xport(l));
    SAY(connect(c, SA(to), sizeof to));
    expect_local(c);
    names6("client", c, port_of(c), xport(l));
    int s = xaccept(l);
    SEND(s, "hello", 0);
    RECV(c, 10, 0);
    GETOPT(c, IPPROTO_IPV6, IPV6_V6ONLY);
    int l6 = listener6("::", 0), d = xsocket(AF_INET, SOCK_STREAM);
    SAY(xconnect(d, near_ip, port_of(l6)));
    int s6 = FD(accept(l6, NULL, NULL));
    expect_local(s6);
    names6("server", s6, port_of(l6), xport(d));
    SEND(d, "mapped", 0);
    RECV(s6, 10, 0);
}

ABROAD(wire_ipv6, "IPv6 to another host: names, data, end, refusal")
{
    int l = xsocket(AF_INET6, SOCK_STREAM), c = socket(AF_INET6, SOCK_STREAM, 0);
    SAY(xbind(l, far_ip6, 0));
    SAY(xlisten(l, 5));
    struct sockaddr_in6 to = at6(far_ip6, xport(l));
    SAY(connect(c, SA(to), sizeof to));
    expect_local(c);
    names6("client", c, port_of(c), xport(l));
    int s = xaccept(l);
    SEND(s, "six", 0);
    RECV(c, 10, 0);
    SEND(c, "answer", 0);
    RECV(s, 10, 0);
    GETOPT(c, IPPROTO_TCP, TCP_MAXSEG);
    SAY(xclose(s));
    AWAIT(c, POLLIN);
    RECV(c, 10, 0);
    SAY(xclose(l));
    int d = socket(AF_INET6, SOCK_STREAM, 0);
    SAY(connect(d, SA(to), sizeof to));
    int l6 = listener6(near_ip6, 1), e = xsocket(AF_INET6, SOCK_STREAM);
    SAY(xconnect(e, near_ip6, port_of(l6)));
    int s6 = FD(accept(l6, NULL, NULL));
    expect_local(s6);
    names6("server", s6, port_of(l6), xport(e));
    SEND(e, "in", 0);
    RECV(s6, 10, 0);
}
