/*
 * Decides for each frame of an accelerated interface: a stack, or the kernel as ever. Whatever is in any way unusual is
 * the kernel's. It answers and drops nothing but SYNs of a flood (cookies.h): a stack that is gone falls through to the
 * kernel, which answers. One decision, two programs that come by it: accel_steer (XDP) sends frames to the stack's
 * AF_XDP socket, accel_copy (tc, ring mode) copies them into its ring.
 */
#include <stddef.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define SECOND 1000000000ull

#include "cookies.h"
#include "frame.h"
#include "ring.h"
#include "steering.h"
#include "target.h"

#define MAX_EXTENSIONS 4

/* 134 ms. */
#define SYN_WINDOW_BITS 27

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 2 * 65536);
    __type(key, __u32);
    __type(value, __u64);
} ports SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, MAX_EXACT);
    __type(key, struct exact_key);
    __type(value, __u64);
} exact SEC(".maps");

/* Address (IPv4 as ::ffff:a.b.c.d) to the index of the interface that has it; 0: any may receive for it. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, MAX_ADDRESSES);
    __uint(key_size, 16);
    __uint(value_size, 4);
} addresses SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_XSKMAP);
    __uint(max_entries, MAX_SLOTS * MAX_QUEUES);
    __type(key, __u32);
    __type(value, __u32);
} xsks SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct interface_config);
} link_config SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, COUNTS);
    __type(key, __u32);
    __type(value, __u64);
} counts SEC(".maps");

/* How many SYNs came on this CPU in the present window of time; and how many of a flood may still be steered, as of
 * when. */
struct syn_budget {
    __u64 at;
    __u64 left;
    __u64 window;
    __u64 seen;
};

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct syn_budget);
} syns SEC(".maps");

/* The window with which the flood ends that some CPU has seen. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u64);
} flood SEC(".maps");

/* Who has which slot. Not looked at here: acceld finds it again through the program after it died. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, MAX_SLOTS);
    __type(key, __u32);
    __type(value, struct slot_holder);
} slots SEC(".maps");

static __always_inline void add(enum count what, __u64 amount)
{
    __u32 key = what;
    __u64 *count = bpf_map_lookup_elem(&counts, &key);
    if (count)
        *count += amount;
}

/* What becomes of a frame. */
enum verdict {
    PASS,
    DROP,
    ANSWER,
    DELIVER,
};

struct decision {
    struct target to;
    const struct syn_answer *how;
    struct interface_config *own;
    __u32 slot;
};

static __always_inline enum verdict pass(enum count why)
{
    add(why, 1);
    return PASS;
}

/* -1, or why the kernel gets it. */
static __always_inline int parse_v4(struct target *to, void *at, void *end)
{
    struct iphdr *ip = at;
    if ((void *)(ip + 1) > end || ip->version != 4 || ip->ihl < 5)
        return COUNT_NOT_IP;
    if (ip->frag_off & bpf_htons(0x3FFF))
        return COUNT_FRAGMENT;
    to->names.source[0] = to->names.source[1] = to->names.address[0] = to->names.address[1] = 0;
    to->names.source[2] = to->names.address[2] = bpf_htonl(0xFFFF);
    to->names.source[3] = ip->saddr;
    to->names.address[3] = ip->daddr;
    to->protocol = ip->protocol;
    to->transport = at + ip->ihl * 4;
    to->names.is_v6 = 0;
    return -1;
}

static __always_inline int parse_v6(struct target *to, void *at, void *end)
{
    struct ipv6hdr *ip = at;
    if ((void *)(ip + 1) > end || ip->version != 6)
        return COUNT_NOT_IP;
    __builtin_memcpy(to->names.source, &ip->saddr, 16);
    __builtin_memcpy(to->names.address, &ip->daddr, 16);
    to->names.is_v6 = 1;
    __u8 next = ip->nexthdr;
    at = ip + 1;
    for (int i = 0; i < MAX_EXTENSIONS; i++) {
        if (next == IPPROTO_TCP || next == IPPROTO_UDP)
            break;
        if (next == IPPROTO_FRAGMENT)
            return COUNT_FRAGMENT;
        /* Routing headers may say that this host is not the end of the way. */
        if (next != IPPROTO_HOPOPTS && next != IPPROTO_DSTOPTS)
            return COUNT_OTHER_PROTOCOL;
        __u8 *extension = at;
        if ((void *)(extension + 2) > end)
            return COUNT_NOT_IP;
        next = extension[0];
        at += ((__u32)extension[1] + 1) * 8;
    }
    to->protocol = next;
    to->transport = at;
    return -1;
}

/* A connection of the kernel's own on a port that a stack has too. */
static __always_inline int is_of_kernel(void *ctx, const struct target *to, __u16 source, __u16 port)
{
    struct bpf_sock_tuple tuple;
    __u32 size;
    if (to->names.is_v6) {
        __builtin_memcpy(tuple.ipv6.saddr, to->names.source, 16);
        __builtin_memcpy(tuple.ipv6.daddr, to->names.address, 16);
        tuple.ipv6.sport = source;
        tuple.ipv6.dport = port;
        size = sizeof(tuple.ipv6);
    } else {
        tuple.ipv4.saddr = to->names.source[3];
        tuple.ipv4.daddr = to->names.address[3];
        tuple.ipv4.sport = source;
        tuple.ipv4.dport = port;
        size = sizeof(tuple.ipv4);
    }
    struct bpf_sock *found = bpf_skc_lookup_tcp(ctx, &tuple, size, BPF_F_CURRENT_NETNS, 0);
    if (!found)
        return 0;
    int connected = found->state != BPF_TCP_LISTEN;
    bpf_sk_release(found);
    return connected;
}

/* True while more SYNs come than can be meant, and for a window after. It is what comes that counts, not what was
 * steered: those who only connect often are not held down by having once been too many. A sender may be on another CPU
 * by now than when it was noticed; and answering slows one down that is on this host, which does not end the flood. */
static __always_inline int is_flood(struct syn_budget *budget, __u64 now, __u32 most_per_second)
{
    __u32 zero = 0;
    __u64 *end = bpf_map_lookup_elem(&flood, &zero);
    if (!end)
        return 0;
    __u64 window = now >> SYN_WINDOW_BITS, most = ((__u64)most_per_second << SYN_WINDOW_BITS) / SECOND;
    if (window != budget->window) {
        budget->window = window;
        budget->seen = 0;
    }
    int goes_on = window < *end;
    if (++budget->seen > (goes_on ? most / 2 : most) && *end != window + 2)
        *end = window + 2;
    return window < *end;
}

/* A flood of SYNs would take a stack's time, and the room in its ring, from the connections that it has. */
static __always_inline int may_open(struct syn_budget *budget, __u64 now)
{
    const __u64 each = SECOND / SYNS_PER_SECOND_OF_FLOOD;
    __u64 earned = (now - budget->at) / each;
    if (earned) {
        budget->at += earned * each;
        budget->left = budget->left + earned > SYN_BURST ? SYN_BURST : budget->left + earned;
    }
    if (!budget->left)
        return 0;
    budget->left--;
    return 1;
}

static __always_inline enum verdict decide(void *ctx, void *data, void *end, __u32 interface_index,
    struct decision *out)
{
    struct ethhdr *ethernet = data;
    if ((void *)(ethernet + 1) > end)
        return pass(COUNT_NOT_IP);

    __u32 zero = 0;
    struct interface_config *own = bpf_map_lookup_elem(&link_config, &zero);
    if (!own || !own->flags)
        return pass(COUNT_OTHER_MAC);
    /* Broadcast, multicast, and frames for somebody else behind a bridge or a tap. */
    if (__builtin_memcmp(ethernet->h_dest, own->mac, 4)
        || __builtin_memcmp(ethernet->h_dest + 4, own->mac + 4, 2))
        return pass(COUNT_OTHER_MAC);
    out->own = own;

    /* A tagged frame is for another interface: one that can be accelerated itself. */
    struct target *to = &out->to;
    int why;
    if (ethernet->h_proto == bpf_htons(ETH_P_IP))
        why = parse_v4(to, ethernet + 1, end);
    else if (ethernet->h_proto == bpf_htons(ETH_P_IPV6))
        why = parse_v6(to, ethernet + 1, end);
    else
        return pass(COUNT_NOT_IP);
    if (why >= 0)
        return pass(why);
    if (to->protocol != IPPROTO_TCP && to->protocol != IPPROTO_UDP)
        return pass(COUNT_OTHER_PROTOCOL);

    /* Both begin with the ports. */
    struct tcphdr *tcp = to->transport;
    struct udphdr *udp = to->transport;
    if ((void *)(udp + 1) > end)
        return pass(COUNT_NOT_IP);
    __u16 source = udp->source, port = udp->dest;
    __u32 index = bpf_ntohs(port) | (to->protocol == IPPROTO_UDP ? 65536 : 0);
    __u64 *slot = bpf_map_lookup_elem(&ports, &index);
    __u64 entry = slot ? *slot : 0;
    if (!entry)
        return pass(COUNT_KERNEL_PORT);

    __u32 *interface = bpf_map_lookup_elem(&addresses, to->names.address);
    if (!interface || (*interface && *interface != interface_index))
        return pass(COUNT_NOT_OURS);

    if (entry & PORT_EXACT) {
        struct exact_key key = { .port = port, .udp = to->protocol == IPPROTO_UDP };
        __builtin_memcpy(key.address, to->names.address, 16);
        __u64 *one = bpf_map_lookup_elem(&exact, &key);
        if (one)
            entry = *one;
    }
    if (entry & PORT_TAGGED) {
        const __u32 *words = to->names.address;
        __u32 fold = to->names.is_v6 ? words[0] ^ words[1] ^ words[2] ^ words[3] : words[3];
        if (fold != entry >> PORT_TAG_SHIFT)
            return pass(COUNT_KERNEL_PORT);
    }
    if (!(entry & PORT_SLOT) || (entry & (to->names.is_v6 ? PORT_NOT_V6 : PORT_NOT_V4)))
        return pass(COUNT_KERNEL_PORT);

    const struct syn_answer *how = 0;
    if (to->protocol == IPPROTO_TCP) {
        if ((void *)(tcp + 1) > end)
            return pass(COUNT_NOT_IP);
        /* Who listens now: another program's socket, or none, and then the kernel refuses. */
        if ((entry & PORT_LEAVING) && tcp->syn && !tcp->ack)
            return pass(COUNT_KERNEL_PORT);
        struct syn_budget *budget = tcp->syn && !tcp->ack ? bpf_map_lookup_elem(&syns, &zero) : 0;
        __u64 now = budget ? bpf_ktime_get_ns() : 0;
        if (budget && is_flood(budget, now, own->most_syns)) {
            how = own->flags & INTERFACE_ANSWERS ? find_answer(&to->names, port, entry) : 0;
            if (!how && !may_open(budget, now)) {
                add(COUNT_SYN_DROPPED, 1);
                return DROP;
            }
        }
        /* A SYN too: the kernel's TIME-WAIT of that name would get what follows it. The kernel takes such a SYN for its
         * own listener, or refuses it, by RFC 6191. */
        if (is_of_kernel(ctx, to, source, port))
            return pass(COUNT_KERNEL_CONNECTION);
    }

    out->how = how;
    out->slot = (entry & PORT_SLOT) - 1;
    return how ? ANSWER : DELIVER;
}

static __always_inline void count_steered(__u64 bytes)
{
    add(COUNT_STEERED, 1);
    add(COUNT_STEERED_BYTES, bytes);
}

SEC("xdp.frags")
int accel_steer(struct xdp_md *ctx)
{
    void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
    struct decision decision = { };
    enum verdict verdict = decide(ctx, data, end, ctx->ingress_ifindex, &decision);
    if (verdict == PASS)
        return XDP_PASS;
    if (verdict == DROP)
        return XDP_DROP;
    __u32 queue = ctx->rx_queue_index;
    if (queue >= MAX_QUEUES)
        goto no_socket;
    __u32 socket = decision.slot * MAX_QUEUES + queue;
    if (verdict == ANSWER && bpf_map_lookup_elem(&xsks, &socket)) {
        int answered = answer_xdp(ctx, &decision.to.names, decision.how, decision.own);
        add(answered ? COUNT_SYN_ANSWERED : COUNT_SYN_UNFIT, 1);
        return answered ? XDP_TX : XDP_DROP;
    }
    long action = bpf_redirect_map(&xsks, socket, XDP_PASS);
    if (action != XDP_REDIRECT)
        goto no_socket;
    count_steered(end - data);
    return action;
no_socket:
    add(COUNT_NO_SOCKET, 1);
    return XDP_PASS;
}

/* How much of a frame is looked at where it lies. */
static __always_inline __u32 headers_of(void *data, void *end)
{
    struct ethhdr *ethernet = data;
    struct iphdr *v4 = data + sizeof *ethernet;
    struct ipv6hdr *v6 = data + sizeof *ethernet;
    if ((void *)(v4 + 1) <= end && ethernet->h_proto == bpf_htons(ETH_P_IP) && v4->ihl == 5)
        return sizeof *ethernet + sizeof *v4 + sizeof(struct tcphdr);
    if ((void *)(v6 + 1) <= end && ethernet->h_proto == bpf_htons(ETH_P_IPV6)
        && (v6->nexthdr == IPPROTO_TCP || v6->nexthdr == IPPROTO_UDP))
        return sizeof *ethernet + sizeof *v6 + sizeof(struct tcphdr);
    return HEADERS_LOOKED_AT;
}

SEC("tc")
int accel_copy(struct __sk_buff *skb)
{
    void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
    /* Not more than need be: the kernel's TCP keeps a copy of what it sends, whose headers would be copied first. */
    __u32 headers = headers_of(data, end);
    if (headers > skb->len)
        headers = skb->len;
    if (end - data < headers)
        bpf_skb_pull_data(skb, headers);
    /* So that both are read again in either case: the verifier forgets what they were. */
    asm volatile("" ::: "memory");
    data = (void *)(long)skb->data;
    end = (void *)(long)skb->data_end;
    /* The tag is not in the frame any more. */
    if (skb->vlan_present) {
        add(COUNT_NOT_IP, 1);
        return TCX_NEXT;
    }
    struct decision decision = { };
    enum verdict verdict = decide(skb, data, end, skb->ifindex, &decision);
    if (verdict == PASS)
        return TCX_NEXT;
    if (verdict == DROP)
        return TCX_DROP;
    /* The socket that the stack sends over goes with its last process, and needs no acceld. Its ring is still here. */
    __u32 socket = decision.slot * MAX_QUEUES;
    void *ring = bpf_map_lookup_elem(&rings, &decision.slot);
    if (!ring || !bpf_map_lookup_elem(&xsks, &socket)) {
        add(COUNT_NO_SOCKET, 1);
        return TCX_NEXT;
    }
    if (verdict == ANSWER) {
        int answered = answer_skb(skb, &decision.to.names, decision.how, decision.own);
        add(answered ? COUNT_SYN_ANSWERED : COUNT_SYN_UNFIT, 1);
        return answered ? bpf_redirect(skb->ifindex, 0) : TCX_DROP;
    }
    count_steered(skb->len);
    enum put put = ring_put(skb, ring, decision.slot);
    if (put == PUT_FULL)
        add(COUNT_RING_FULL, 1);
    return put == PUT_RINGS ? TCX_PASS : TCX_DROP;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
