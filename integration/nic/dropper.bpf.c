/* Loses frames of an interface as they come in (dropper.c), before any other program of the hook sees them. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

enum { NEXT = -1, DROP = 2 }; /* TCX_NEXT, TCX_DROP */

const volatile __u64 seed, threshold; /* lost are hashes below, of 2^32 */
struct {
    __u64 frames, lost;
} counts;

char LICENSE[] SEC("license") = "GPL";

/* By number and seed, whichever CPU a frame comes on (splitmix64). */
SEC("tc")
int drop(struct __sk_buff *skb)
{
    (void)skb;
    __u64 hash = seed + __sync_fetch_and_add(&counts.frames, 1) * 0x9e3779b97f4a7c15ull;
    hash = (hash ^ hash >> 30) * 0xbf58476d1ce4e5b9ull;
    hash = (hash ^ hash >> 27) * 0x94d049bb133111ebull;
    if ((hash ^ hash >> 31) >> 32 >= threshold)
        return NEXT;
    __sync_fetch_and_add(&counts.lost, 1);
    return DROP;
}
