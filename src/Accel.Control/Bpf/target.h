/* Where a segment or datagram comes from and goes to. */
#ifndef ACCEL_TARGET_H
#define ACCEL_TARGET_H

#include <linux/types.h>

/* In network byte order, IPv4 as ::ffff:a.b.c.d. */
struct names {
    __u32 source[4];
    __u32 address[4];
    __u32 is_v6;
};

struct target {
    struct names names;
    void *transport;
    __u8 protocol;
};

#endif
