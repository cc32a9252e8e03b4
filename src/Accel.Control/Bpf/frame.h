/* A frame as either kind of program has it: struct xdp_md of XDP, struct __sk_buff of tc. Which one is known when
 * this is compiled, so nothing is asked at run time. */
#ifndef ACCEL_FRAME_H
#define ACCEL_FRAME_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* linux/bpf.h has them since 6.6. */
#define TCX_NEXT (-1)
#define TCX_PASS 0
#define TCX_DROP 2

/* Ethernet, IPv6 with some extensions, TCP: more is not looked at where it lies. */
#define HEADERS_LOOKED_AT 128

static __always_inline long frame_load(void *ctx, const int is_skb, __u32 at, void *to, __u32 bytes)
{
    return is_skb ? bpf_skb_load_bytes(ctx, at, to, bytes) : bpf_xdp_load_bytes(ctx, at, to, bytes);
}

/* Not by a pointer into the packet: a tc program that writes through one pays for it with every frame. */
static __always_inline long frame_store(void *ctx, const int is_skb, __u32 at, void *from, __u32 bytes)
{
    return is_skb ? bpf_skb_store_bytes(ctx, at, from, bytes, BPF_F_RECOMPUTE_CSUM)
        : bpf_xdp_store_bytes(ctx, at, from, bytes);
}

static __always_inline long frame_resize(void *ctx, const int is_skb, __u32 before, __u32 after)
{
    return is_skb ? bpf_skb_change_tail(ctx, after, 0) : bpf_xdp_adjust_tail(ctx, (int)after - (int)before);
}

#endif
