/* What becomes of the frames that come in on an interface (faults.c), before any other program of the hook sees them:
 * some are lost, some come in late. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

enum { NEXT = -1, DROP = 2 }; /* TCX_NEXT, TCX_DROP */
enum { FRAME_MAX = 1600, SLOTS = 256, AT_ONCE = 4, LATE = 0xfa17 };

/* As in faults.c. */
const volatile struct {
    __u64 seed, loss, reorder; /* hashes below, of 2^32 */
    __u64 delay_ns;            /* of the reordered */
    __u32 clock;               /* the type of frames that are there only to have others released */
} options;
struct {
    __u64 frames, lost, reordered;
    __u64 put, taken; /* of those that wait: who raises one owns the slot */
} state;

/* Frames that wait, a ring. A length says that the slot is full. */
struct held {
    __u64 due;
    __u32 length;
    __u8 bytes[FRAME_MAX];
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, SLOTS);
    __type(key, __u32);
    __type(value, struct held);
} waiting SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct held);
} own SEC(".maps");

char LICENSE[] SEC("license") = "GPL";

/* The bytes of a frame, and then the length. */
static __always_inline int copy(struct __sk_buff *skb, struct held *to)
{
    __u32 length = skb->len;
    asm volatile("" : "+r"(length));
    if (length < ETH_HLEN || length > FRAME_MAX || bpf_skb_load_bytes(skb, 0, to->bytes, length) < 0)
        return 0;
    __sync_lock_test_and_set(&to->length, length);
    return 1;
}

static __always_inline int become(struct __sk_buff *skb, const struct held *from)
{
    __u32 length = from->length;
    asm volatile("" : "+r"(length));
    if (length < ETH_HLEN || length > FRAME_MAX)
        return 0;
    return !bpf_skb_change_tail(skb, length, 0) && !bpf_skb_store_bytes(skb, 0, from->bytes, length, 0);
}

/* False: there is no place, the frame goes on. */
static __always_inline int hold(struct __sk_buff *skb)
{
    __u64 number = state.put;
    __u32 slot = number % SLOTS;
    struct held *to = bpf_map_lookup_elem(&waiting, &slot);
    if (!to || to->length || skb->len < ETH_HLEN || skb->len > FRAME_MAX
        || __sync_val_compare_and_swap(&state.put, number, number + 1) != number)
        return 0;
    to->due = bpf_ktime_get_ns() + options.delay_ns;
    if (copy(skb, to))
        return 1;
    to->length = 1; /* no frame: whoever comes for it passes over it */
    return 0;
}

/* What is due comes in as a copy of this frame with other bytes. */
static __always_inline void release(struct __sk_buff *skb)
{
    __u64 now = bpf_ktime_get_ns();
    __u32 none = 0;
    struct held *this = bpf_map_lookup_elem(&own, &none);
    int released = 0;
    for (int i = 0; this && i < AT_ONCE; i++) {
        __u64 number = state.taken;
        __u32 slot = number % SLOTS;
        struct held *late = bpf_map_lookup_elem(&waiting, &slot);
        if (!late || !late->length || late->due > now || (!released && !copy(skb, this))
            || __sync_val_compare_and_swap(&state.taken, number, number + 1) != number)
            break;
        released++;
        if (become(skb, late)) {
            skb->mark = LATE;
            bpf_clone_redirect(skb, skb->ifindex, BPF_F_INGRESS);
            skb->mark = 0;
        }
        late->length = 0;
    }
    if (released)
        become(skb, this);
}

SEC("tc")
int faults(struct __sk_buff *skb)
{
    if (skb->mark == LATE) {
        skb->mark = 0;
        return NEXT;
    }
    if (options.reorder)
        release(skb);
    if (skb->protocol == bpf_htons(options.clock))
        return DROP;
    /* By number and seed, whichever CPU a frame comes on (splitmix64). */
    __u64 hash = options.seed + __sync_fetch_and_add(&state.frames, 1) * 0x9e3779b97f4a7c15ull;
    hash = (hash ^ hash >> 30) * 0xbf58476d1ce4e5b9ull;
    hash = (hash ^ hash >> 27) * 0x94d049bb133111ebull;
    hash = (hash ^ hash >> 31) >> 32;
    if (hash < options.loss) {
        __sync_fetch_and_add(&state.lost, 1);
        return DROP;
    }
    if (hash >= options.loss + options.reorder || !hold(skb))
        return NEXT;
    __sync_fetch_and_add(&state.reordered, 1);
    return DROP;
}
