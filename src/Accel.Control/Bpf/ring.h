/*
 * Ring mode: frames are copied into a ring of the stack's (BPF_MAP_TYPE_RINGBUF), super-frames in one piece. A generic
 * XDP program has the kernel copy each frame that is cloned or has little room before it (all of TCP's) to hand it one
 * that may be changed, and then again into the socket's memory. The other end is src/Accel.Os/Links/FrameRing.cs.
 */
#ifndef ACCEL_RING_H
#define ACCEL_RING_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "steering.h"

/* What acceld makes is larger: this is only what the verifier is shown. */
struct frame_ring {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 4096);
};

/* By slot. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    __uint(max_entries, MAX_SLOTS);
    __type(key, __u32);
    __array(values, struct frame_ring);
} rings SEC(".maps");

/* Frames that found no room, by slot. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, MAX_SLOTS);
    __type(key, __u32);
    __type(value, __u32);
} rings_full SEC(".maps");

struct ring_record {
    __u32 length;
    __u32 lost; /* frames of this slot so far: what rings_full says */
    __u8 frame[];
};

/* How a stack that sleeps is woken: the ring's own way is an interrupt to this CPU itself (irq_work), which in a
 * virtual machine costs 4.7 us and wakes all who wait. The bell is a packet socket of the stack's, to which the frame,
 * which nobody needs any more, goes on: tagged twice, so that it is nothing for the kernel (802.1ad), and nothing for a
 * VLAN of this interface (4095 cannot be one). It has room for one frame: more do not ring it more. */
struct bell {
    __u64 consumed; /* up to where the stack had consumed when it was rung */
    __u64 rung_at;
    __u64 quiet_until; /* nobody came: somebody takes the frames away */
    __u64 present;
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, MAX_SLOTS);
    __type(key, __u32);
    __type(value, struct bell);
} bells SEC(".maps");

#define BELL_VLAN 4095
#define BELL_PATIENCE 100000000ull
#define BELL_QUIET 10000000000ull

enum put {
    PUT_FULL,
    PUT_DONE,
    PUT_RINGS, /* and the frame is the bell's */
};

static __always_inline int ring_copy(struct __sk_buff *skb, void *ring, __u32 length, __u32 lost, const __u32 room,
    __u64 wakes)
{
    struct ring_record *to = bpf_ringbuf_reserve(ring, sizeof *to + room, 0);
    if (!to)
        return 0;
    asm volatile("" : "+r"(length));
    if (length == 0 || length > room || bpf_skb_load_bytes(skb, 0, to->frame, length) < 0) {
        bpf_ringbuf_discard(to, BPF_RB_NO_WAKEUP);
        return 0;
    }
    to->length = length;
    to->lost = lost;
    bpf_ringbuf_submit(to, wakes);
    return 1;
}

/* The ring's own way, with an empty record. */
static __always_inline void interrupt(void *ring)
{
    void *nothing = bpf_ringbuf_reserve(ring, 8, 0);
    if (nothing)
        bpf_ringbuf_discard(nothing, BPF_RB_FORCE_WAKEUP);
}

/* A record was written. Who is awake keeps a part of the last record's bytes for itself; who sleeps has said that all
 * is consumed, which is a multiple of 8, and looked at the ring after that. If that has not changed since before the
 * record was begun, and others lay before it, then who wrote the first of those has rung, or does so. */
static __always_inline enum put wake(struct __sk_buff *skb, void *ring, __u32 slot, struct bell *bell,
    __u64 consumed_before, __u64 others)
{
    __u64 consumed = bpf_ringbuf_query(ring, BPF_RB_CONS_POS);
    if (consumed & 7)
        return PUT_DONE;
    __u64 now = bpf_ktime_get_ns();
    if (consumed == consumed_before && others) {
        if (consumed == bell->consumed && now - bell->rung_at > BELL_PATIENCE) {
            bell->quiet_until = now + BELL_QUIET;
            interrupt(ring);
        }
        return PUT_DONE;
    }
    bell->consumed = consumed;
    bell->rung_at = now;
    if (!bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021AD), slot)
        && !bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021AD), BELL_VLAN))
        return PUT_RINGS;
    interrupt(ring);
    return PUT_DONE;
}

/* The room of a record must be a constant, so there are some sizes of it. */
static __always_inline enum put ring_put(struct __sk_buff *skb, void *ring, __u32 slot)
{
    __u32 length = skb->len;
    __u32 *lost = bpf_map_lookup_elem(&rings_full, &slot);
    struct bell *bell = bpf_map_lookup_elem(&bells, &slot);
    if (!lost || !bell)
        return PUT_FULL;
    int rings = bell->present && (!bell->quiet_until || bpf_ktime_get_ns() > bell->quiet_until);
    /* 0: the kernel wakes whoever polls the ring if all before this record is consumed. */
    __u64 consumed = 0, others = 0, wakes = 0;
    if (rings) {
        consumed = bpf_ringbuf_query(ring, BPF_RB_CONS_POS);
        others = bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA);
        wakes = BPF_RB_NO_WAKEUP;
    }
    int done = length <= 112 ? ring_copy(skb, ring, length, *lost, 112, wakes)
        : length <= 496 ? ring_copy(skb, ring, length, *lost, 496, wakes)
        : length <= 1520 ? ring_copy(skb, ring, length, *lost, 1520, wakes)
        : length <= 4592 ? ring_copy(skb, ring, length, *lost, 4592, wakes)
        : length <= 9200 ? ring_copy(skb, ring, length, *lost, 9200, wakes)
        : length <= 18416 ? ring_copy(skb, ring, length, *lost, 18416, wakes)
        : length <= 36848 ? ring_copy(skb, ring, length, *lost, 36848, wakes)
        : ring_copy(skb, ring, length, *lost, 65648, wakes);
    if (!done)
        __sync_fetch_and_add(lost, 1);
    return !done ? PUT_FULL : rings ? wake(skb, ring, slot, bell, consumed, others) : PUT_DONE;
}

#endif
