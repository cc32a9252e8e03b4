/*
 * SYN cookies (RFC 4987 3.6) in the name of a stack, on the interface: nothing of a flood comes as far as the stack,
 * and who means it gets in by the ACK that brings the cookie back, which the stack takes as it takes its own. So what
 * stands here is src/Accel.Core/Tcp/SynCookie.cs and TcpOpen.CookieAnswer() again, bit for bit; a test compares them.
 */
#ifndef ACCEL_COOKIES_H
#define ACCEL_COOKIES_H

#include "frame.h"
#include "siphash.h"
#include "steering.h"
#include "target.h"

/* By the name that a listener has: an address and a port, or a family's unspecified one. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, MAX_EXACT);
    __type(key, struct exact_key);
    __type(value, struct syn_answer);
} answers SEC(".maps");

#define TCP_HEADER 20
#define TCP_HEADER_MOST 60
#define TCP_CHECKSUM_AT 16

#define OPTION_END 0
#define OPTION_NOP 1
#define OPTION_MSS 2
#define OPTION_WINDOW_SCALE 3
#define OPTION_SACK_PERMITTED 4
#define OPTION_TIMESTAMPS 8

#define DEFAULT_MSS 536 /* RFC 9293 3.7.1 */
#define DEFAULT_TTL 64
#define MOST_SCALE 14 /* RFC 7323 2.3 */

#define ECN_MASK 3
#define MINUTE (60 * SECOND)
#define MILLISECOND (SECOND / 1000)
#define COUNT_BITS 24
#define TS_BITS 6
#define TS_NO_SCALE 0xF
#define TS_SACK 0x10
#define TS_ECN 0x20

/* A SYN: its header, which is read bounds and all before its options are; and what these say. */
struct syn {
    __u8 bytes[TCP_HEADER_MOST + 4];
    __u32 at, end;
    __u32 ts_value;
    __u16 mss;
    __u8 scale;
    __u8 offers; /* ANSWER_* */
    __u8 ecn;
    __u8 is_partial; /* its checksum is the pseudo header's: the sender's kernel left the rest to a device */
};

static __always_inline __u16 folded(__u64 sum)
{
    sum = (sum & 0xFFFFFFFF) + (sum >> 32);
    sum = (sum & 0xFFFF) + (sum >> 16);
    sum = (sum & 0xFFFF) + (sum >> 16);
    sum = (sum & 0xFFFF) + (sum >> 16);
    return sum;
}

/* What is before an IPv4 address in its IPv6 form adds 0xFFFF, which is nothing. */
static __always_inline __u32 pseudo_sum(struct names *to, __u32 length)
{
    __be32 rest[2] = { bpf_htonl(length), bpf_htonl(IPPROTO_TCP) };
    return bpf_csum_diff(0, 0, rest, sizeof rest, bpf_csum_diff(0, 0, to->source, 32, 0));
}

/* RFC 1122 3.2.1.3, RFC 4291 2.5 and 2.7, as the stack; and never to a group, or to this host itself. */
static __always_inline int is_martian(const struct names *to, const struct ethhdr *ethernet)
{
    __u8 first = to->is_v6 ? to->source[0] : to->source[3];
    if (ethernet->h_source[0] & 1)
        return 1;
    if (to->source[3] == to->address[3] && to->source[2] == to->address[2] && to->source[1] == to->address[1]
        && to->source[0] == to->address[0])
        return 1;
    if (!to->is_v6)
        return first == 0 || first == 127 || first >= 224;
    if (first == 0xFF)
        return 1;
    return !to->source[0] && !to->source[1]
        && (to->source[2] == bpf_htonl(0xFFFF) || (!to->source[2] && !(to->source[3] & bpf_htonl(~1u))));
}

/* One option; false at the end of the list. A broken list counts up to where it breaks, as in the stack. Global, as
 * others below: the verifier then looks at it once, and not for each way that leads here. */
__noinline int read_option(struct syn *syn)
{
    if (!syn)
        return 0;
    __u32 at = syn->at;
    if (at >= syn->end || at >= TCP_HEADER_MOST)
        return 0;
    __u8 kind = syn->bytes[at];
    if (kind == OPTION_END)
        return 0;
    if (kind == OPTION_NOP) {
        syn->at = at + 1;
        return 1;
    }
    __u32 length = syn->bytes[at + 1];
    if (at + 2 > syn->end || length < 2 || at + length > syn->end || at > TCP_HEADER_MOST - 2)
        return 0;
    syn->at = at + length;
    /* So that nothing is read beyond the end: timestamps are ten bytes. */
    if (kind == OPTION_TIMESTAMPS && length == 10 && at <= TCP_HEADER_MOST - 10) {
        syn->offers |= ANSWER_TIMESTAMPS;
        syn->ts_value = (__u32)syn->bytes[at + 2] << 24 | (__u32)syn->bytes[at + 3] << 16
            | (__u32)syn->bytes[at + 4] << 8 | syn->bytes[at + 5];
    } else if (kind == OPTION_MSS && length == 4 && at <= TCP_HEADER_MOST - 4) {
        __u16 mss = (__u16)syn->bytes[at + 2] << 8 | syn->bytes[at + 3];
        if (mss)
            syn->mss = mss;
    } else if (kind == OPTION_WINDOW_SCALE && length == 3 && at <= TCP_HEADER_MOST - 3) {
        __u8 scale = syn->bytes[at + 2];
        syn->scale = scale > MOST_SCALE ? MOST_SCALE : scale;
        syn->offers |= ANSWER_SCALE;
    } else if (kind == OPTION_SACK_PERMITTED && length == 2) {
        syn->offers |= ANSWER_SACK;
    }
    return 1;
}

/* Reads the TCP header. True if it is a SYN that a listener would take. */
static __always_inline int read_syn(void *ctx, const int is_skb, struct names *to,
    const struct interface_config *own, __u32 offset, __u32 length, struct syn *syn)
{
    struct tcphdr *tcp = (void *)syn->bytes;
    if (frame_load(ctx, is_skb, offset, syn->bytes, TCP_HEADER) < 0)
        return 0;
    __u32 header = tcp->doff * 4;
    if (header < TCP_HEADER || header > TCP_HEADER_MOST || header > length)
        return 0;
    if (header > TCP_HEADER
        && frame_load(ctx, is_skb, offset + TCP_HEADER, syn->bytes + TCP_HEADER, header - TCP_HEADER) < 0)
        return 0;
    /* RFC 9293 3.10.7.2; SYN with FIN is dropped, as in Linux. */
    if (tcp->fin || tcp->rst || !tcp->source)
        return 0;
    __u32 pseudo = pseudo_sum(to, length);
    syn->is_partial = (own->flags & INTERFACE_PARTIAL_CHECKSUMS) && tcp->check == folded(pseudo);
    /* The sum over data (RFC 7413), which is not taken, is left out: what is wrong in it costs nobody anything. */
    if (!syn->is_partial && header == length
        && folded(bpf_csum_diff(0, 0, (__be32 *)syn->bytes, TCP_HEADER_MOST, pseudo)) != 0xFFFF)
        return 0;
    syn->mss = DEFAULT_MSS;
    syn->at = TCP_HEADER;
    syn->end = header;
    syn->ecn = tcp->ece && tcp->cwr;
    for (int i = 0; i < TCP_HEADER_MOST - TCP_HEADER; i++)
        if (!read_option(syn))
            break;
    return 1;
}

static __always_inline struct siphash hash_names(struct siphash hash, const struct names *to)
{
    if (to->is_v6) {
        const __u64 *local = (const __u64 *)to->address, *remote = (const __u64 *)to->source;
        siphash_add(&hash, local[0]);
        siphash_add(&hash, remote[0]);
        if (local[1] | remote[1]) {
            siphash_add(&hash, local[1]);
            siphash_add(&hash, remote[1]);
        }
    } else {
        siphash_add(&hash, to->address[3]);
        siphash_add(&hash, to->source[3]);
    }
    return hash;
}

/* The largest of few sizes that is not above the peer's: SynCookie.Sizes4, Sizes6. */
static __always_inline __u32 size_index(__u16 mss, __u8 is_v6)
{
    if (is_v6)
        return mss >= 9000 - 60 ? 3 : mss >= 1500 - 60 ? 2 : mss >= 1480 - 60 ? 1 : 0;
    return mss >= 1460 ? 3 : mss >= 1440 ? 2 : mss >= 1300 ? 1 : 0;
}

__noinline __u32 make_cookie(struct names *to, const struct syn_answer *how, const struct syn *syn, __u64 now)
{
    if (!to || !how || !syn)
        return 0;
    const struct tcphdr *tcp = (const void *)syn->bytes;
    struct siphash names = hash_names(siphash_begin(how->cookie_key[0], how->cookie_key[1]), to);
    struct siphash always = names;
    __u64 ports = (__u64)bpf_ntohs(tcp->dest) << 16 | bpf_ntohs(tcp->source);
    __u64 minutes = (__u32)(now / MINUTE);
    siphash_add(&always, ports);
    siphash_add(&names, ports | (minutes ? minutes + 1 : 0) << 32);
    return (__u32)siphash_finish(always) + bpf_ntohl(tcp->seq) + ((__u32)minutes << COUNT_BITS)
        + (((__u32)siphash_finish(names) + size_index(syn->mss, to->is_v6)) & ((1u << COUNT_BITS) - 1));
}

/* TSval: what the SYN offered in its low bits, and never later than now. */
__noinline __u32 make_timestamp(struct names *to, const struct syn_answer *how, __u32 agreed, __u32 scale, __u64 now_ns)
{
    if (!to || !how)
        return 0;
    __u32 now = now_ns / MILLISECOND;
    __u32 low = agreed & ANSWER_SCALE ? scale : TS_NO_SCALE;
    if (agreed & ANSWER_SACK)
        low |= TS_SACK;
    if (agreed & ANSWER_ECN)
        low |= TS_ECN;
    __u32 value = now >> TS_BITS << TS_BITS | low;
    if (value > now)
        value -= 1u << TS_BITS;
    struct siphash names = hash_names(siphash_begin(how->timestamp_key[0], how->timestamp_key[1]), to);
    return value + (__u32)siphash_finish(names);
}

/* A SYN-ACK's TCP header, with the options in Linux's order. */
struct syn_ack {
    struct tcphdr tcp;
    __be32 options[5];
};

static __always_inline __u32 fill(struct syn_ack *reply, struct names *to, const struct syn_answer *how,
    const struct interface_config *own, const struct syn *syn, __u8 tos)
{
    const struct tcphdr *tcp = (const void *)syn->bytes;
    __u64 now = bpf_ktime_get_ns();
    __u32 agreed = syn->offers & how->offers;
    if ((agreed & ANSWER_TIMESTAMPS) && (how->offers & ANSWER_ECN) && syn->ecn && (tos & ECN_MASK) != ECN_MASK)
        agreed |= ANSWER_ECN;
    __u32 mss = own->mtu - (to->is_v6 ? 60 : 40);
    if (how->max_segment && how->max_segment < mss)
        mss = how->max_segment;
    __u32 length = TCP_HEADER + 4;
    reply->tcp.source = tcp->dest;
    reply->tcp.dest = tcp->source;
    reply->tcp.seq = bpf_htonl(make_cookie(to, how, syn, now));
    reply->tcp.ack_seq = bpf_htonl(bpf_ntohl(tcp->seq) + 1);
    reply->tcp.syn = reply->tcp.ack = 1;
    reply->tcp.window = bpf_htons(how->window);
    reply->options[0] = bpf_htonl(OPTION_MSS << 24 | 4 << 16 | mss);
    /* What cannot be written into the cookie's timestamp is not offered. */
    if (agreed & ANSWER_TIMESTAMPS) {
        reply->tcp.ece = !!(agreed & ANSWER_ECN);
        reply->options[1] = bpf_htonl((agreed & ANSWER_SACK ? OPTION_SACK_PERMITTED << 24 | 2 << 16
            : OPTION_NOP << 24 | OPTION_NOP << 16) | OPTION_TIMESTAMPS << 8 | 10);
        reply->options[2] = bpf_htonl(make_timestamp(to, how, agreed, syn->scale, now));
        reply->options[3] = bpf_htonl(syn->ts_value);
        length += 12;
        if (agreed & ANSWER_SCALE) {
            reply->options[4] = bpf_htonl(OPTION_NOP << 24 | OPTION_WINDOW_SCALE << 16 | 3 << 8 | how->scale);
            length += 4;
        }
    }
    reply->tcp.doff = length / 4;
    return length;
}

static __always_inline void write_ipv4(struct iphdr *ip, struct names *to, const struct syn_answer *how, __u32 length)
{
    *ip = (struct iphdr){
        .version = 4,
        .ihl = 5,
        .tos = how->tos & ~ECN_MASK,
        .tot_len = bpf_htons(sizeof *ip + length),
        .frag_off = bpf_htons(0x4000),
        .ttl = how->ttl ? how->ttl : DEFAULT_TTL,
        .protocol = IPPROTO_TCP,
        .saddr = to->address[3],
        .daddr = to->source[3],
    };
    ip->check = ~folded(bpf_csum_diff(0, 0, (__be32 *)ip, sizeof *ip, 0));
}

static __always_inline void write_ipv6(struct ipv6hdr *ip, struct names *to, const struct syn_answer *how,
    __u32 length)
{
    __u8 class = how->tos & ~ECN_MASK;
    *(__be32 *)ip = bpf_htonl(6u << 28 | (__u32)class << 20);
    ip->payload_len = bpf_htons(length);
    ip->nexthdr = IPPROTO_TCP;
    ip->hop_limit = how->ttl ? how->ttl : DEFAULT_TTL;
    __builtin_memcpy(&ip->saddr, to->address, 16);
    __builtin_memcpy(&ip->daddr, to->source, 16);
}

/* Bytes of the TCP segment, and the type of service; 0 if there is anything unusual about the packet. */
static __always_inline __u32 read_ip(void *at, void *end, const struct names *to, __u8 *tos)
{
    if (to->is_v6) {
        struct ipv6hdr *ip = at;
        if ((void *)(ip + 1) > end || ip->nexthdr != IPPROTO_TCP)
            return 0;
        *tos = bpf_ntohl(*(__be32 *)ip) >> 20;
        return bpf_ntohs(ip->payload_len);
    }
    struct iphdr *ip = at;
    if ((void *)(ip + 1) > end || ip->ihl != 5)
        return 0;
    if (folded(bpf_csum_diff(0, 0, (__be32 *)ip, sizeof *ip, 0)) != 0xFFFF)
        return 0;
    __u32 length = bpf_ntohs(ip->tot_len);
    *tos = ip->tos;
    return length > sizeof *ip ? length - sizeof *ip : 0;
}

/* Makes of a SYN the SYN-ACK that answers it, in its place. False if it is not one to be answered. */
static __always_inline int answer_syn(void *ctx, const int is_skb, void *data, void *end, __u32 frame,
    struct names *to, const struct syn_answer *how, const struct interface_config *own)
{
    struct ethhdr *ethernet = data;
    if ((void *)(ethernet + 1) > end || is_martian(to, ethernet))
        return 0;
    __u8 tos = 0;
    __u32 length = read_ip(ethernet + 1, end, to, &tos);
    __u32 offset = sizeof *ethernet + (to->is_v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr));
    struct syn syn = { };
    if (!length || offset + length > frame || !read_syn(ctx, is_skb, to, own, offset, length, &syn))
        return 0;

    struct syn_ack reply = { };
    length = fill(&reply, to, how, own, &syn, tos);
    __u32 pseudo = pseudo_sum(to, length);
    reply.tcp.check = syn.is_partial ? folded(pseudo)
        : (__u16)~folded(bpf_csum_diff(0, 0, (__be32 *)&reply, sizeof reply, pseudo));

    /* One after the other, where the SYN was: there are 512 bytes of stack for all that is called. */
    void *lower = syn.bytes;
    struct ethhdr *back = lower;
    back->h_proto = ethernet->h_proto;
    __builtin_memcpy(back->h_dest, ethernet->h_source, ETH_ALEN);
    __builtin_memcpy(back->h_source, own->mac, ETH_ALEN);
    if (offset + length != frame && frame_resize(ctx, is_skb, frame, offset + length) < 0)
        return 0;
    if (frame_store(ctx, is_skb, 0, lower, sizeof *back) < 0)
        return 0;
    if (to->is_v6)
        write_ipv6(lower, to, how, length);
    else
        write_ipv4(lower, to, how, length);
    long stored = to->is_v6 ? frame_store(ctx, is_skb, sizeof *back, lower, sizeof(struct ipv6hdr))
        : frame_store(ctx, is_skb, sizeof *back, lower, sizeof(struct iphdr));
    if (stored < 0)
        return 0;
    return frame_store(ctx, is_skb, offset, &reply, length) == 0;
}

__noinline int answer_xdp(struct xdp_md *ctx, struct names *to, const struct syn_answer *how,
    const struct interface_config *own)
{
    if (!to || !how || !own)
        return 0;
    void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
    return answer_syn(ctx, 0, data, end, bpf_xdp_get_buff_len(ctx), to, how, own);
}

__noinline int answer_skb(struct __sk_buff *skb, struct names *to, const struct syn_answer *how,
    const struct interface_config *own)
{
    if (!to || !how || !own)
        return 0;
    void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
    return answer_syn(skb, 1, data, end, skb->len, to, how, own);
}

/* What the listener of that name would answer; null if it has not said. */
static __always_inline const struct syn_answer *find_answer(const struct names *to, __u16 port, __u64 entry)
{
    struct exact_key key = { .port = port };
    __builtin_memcpy(key.address, to->address, 16);
    const struct syn_answer *how = bpf_map_lookup_elem(&answers, &key);
    if (!how) {
        key.address[0] = key.address[1] = key.address[3] = 0;
        key.address[2] = to->is_v6 ? 0 : bpf_htonl(0xFFFF);
        how = bpf_map_lookup_elem(&answers, &key);
    }
    return how && how->slot == (entry & PORT_SLOT) ? how : 0;
}

#endif
