/*
 * Ring mode: frames are copied into a ring of the stack's (BPF_MAP_TYPE_RINGBUF), super-frames in one piece. A generic
 * XDP program has the kernel copy each frame that is cloned or has little room before it (all of TCP's) to hand it one
 * that may be changed, and then again into the socket's memory. The other end is src/Accel.Os/Links/FrameRing.cs.
 */
#ifndef ACCEL_RING_H
#define ACCEL_RING_H

#include <linux/bpf.h>
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

/* Wakes who sleeps if the ring was empty, and only then: who is awake keeps the last record for itself. */
static __always_inline int ring_copy(struct __sk_buff *skb, void *ring, __u32 length, __u32 lost, const __u32 room)
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
    bpf_ringbuf_submit(to, 0);
    return 1;
}

/* The room of a record must be a constant, so there are some sizes of it. False: no room. */
static __always_inline int ring_put(struct __sk_buff *skb, void *ring, __u32 slot)
{
    __u32 length = skb->len;
    __u32 *lost = bpf_map_lookup_elem(&rings_full, &slot);
    if (!lost)
        return 0;
    int done = length <= 112 ? ring_copy(skb, ring, length, *lost, 112)
        : length <= 496 ? ring_copy(skb, ring, length, *lost, 496)
        : length <= 1520 ? ring_copy(skb, ring, length, *lost, 1520)
        : length <= 4592 ? ring_copy(skb, ring, length, *lost, 4592)
        : length <= 9200 ? ring_copy(skb, ring, length, *lost, 9200)
        : length <= 18416 ? ring_copy(skb, ring, length, *lost, 18416)
        : length <= 36848 ? ring_copy(skb, ring, length, *lost, 36848)
        : ring_copy(skb, ring, length, *lost, 65648);
    if (!done)
        __sync_fetch_and_add(lost, 1);
    return done;
}

#endif
