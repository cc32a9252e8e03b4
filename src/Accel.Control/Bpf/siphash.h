/* SipHash-2-4 over 64-bit words, as src/Accel.Core/Tcp/SipHash.cs has it: what makes a SYN cookie a secret. */
#ifndef ACCEL_SIPHASH_H
#define ACCEL_SIPHASH_H

#include <linux/types.h>

struct siphash {
    __u64 v0, v1, v2, v3;
    __u32 words;
};

static __always_inline __u64 rotate_left(__u64 word, int by)
{
    return word << by | word >> (64 - by);
}

static __always_inline void siphash_round(struct siphash *h)
{
    h->v0 += h->v1;
    h->v1 = rotate_left(h->v1, 13) ^ h->v0;
    h->v0 = rotate_left(h->v0, 32);
    h->v2 += h->v3;
    h->v3 = rotate_left(h->v3, 16) ^ h->v2;
    h->v0 += h->v3;
    h->v3 = rotate_left(h->v3, 21) ^ h->v0;
    h->v2 += h->v1;
    h->v1 = rotate_left(h->v1, 17) ^ h->v2;
    h->v2 = rotate_left(h->v2, 32);
}

static __always_inline struct siphash siphash_begin(__u64 key0, __u64 key1)
{
    struct siphash h = {
        .v0 = key0 ^ 0x736f6d6570736575ull,
        .v1 = key1 ^ 0x646f72616e646f6dull,
        .v2 = key0 ^ 0x6c7967656e657261ull,
        .v3 = key1 ^ 0x7465646279746573ull,
    };
    return h;
}

static __always_inline void siphash_add(struct siphash *h, __u64 word)
{
    h->v3 ^= word;
    siphash_round(h);
    siphash_round(h);
    h->v0 ^= word;
    h->words++;
}

/* Of a copy: what was hashed so far may go on in another way. */
static __always_inline __u64 siphash_finish(struct siphash h)
{
    siphash_add(&h, (__u64)h.words * 8 << 56);
    h.v2 ^= 0xFF;
    siphash_round(&h);
    siphash_round(&h);
    siphash_round(&h);
    siphash_round(&h);
    return h.v0 ^ h.v1 ^ h.v2 ^ h.v3;
}

#endif
