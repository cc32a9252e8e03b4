/* What the program on the interface and acceld tell each other through maps. Mirrored in Steering/PortEntry.cs and
 * Steering/SteeringMaps.cs. */
#ifndef ACCEL_STEERING_H
#define ACCEL_STEERING_H

#define MAX_SLOTS 128
#define MAX_QUEUES 64
#define MAX_ADDRESSES 4096
#define MAX_EXACT 16384

/* SYNs that a CPU steers in a second, and at once: more than any stack can make connections of. While more than that
 * come it is a flood, and each that is answered takes time from the connections that there are: then so many. */
#define SYNS_PER_SECOND 100000
#define SYNS_PER_SECOND_OF_FLOOD 8000
#define SYN_BURST 1000

/* An entry of the table of ports; 0: the kernel's. */
#define PORT_SLOT 0xFFFFull         /* the stack's slot plus one */
#define PORT_LISTENER (1ull << 16)  /* new connections too; kept for the tools */
#define PORT_MIXED (1ull << 17)     /* the kernel has connections on this port: look for its own first */
#define PORT_EXACT (1ull << 18)     /* look into the table of exact addresses first */
#define PORT_TAGGED (1ull << 19)    /* only for the address whose fold is in the high half */
#define PORT_NOT_V6 (1ull << 20)
#define PORT_NOT_V4 (1ull << 21)
#define PORT_LEAVING (1ull << 22)   /* its listener has closed: connections that begin are the kernel's */
#define PORT_TAG_SHIFT 32

struct exact_key {
    __u32 address[4]; /* IPv4 as ::ffff:a.b.c.d */
    __u16 port;       /* network byte order */
    __u8 udp;
    __u8 unused;
};

/* Of the interface that the program runs on. */
struct interface_config {
    __u8 mac[6];
    __u16 up; /* 0: everything to the kernel */
};

struct slot_holder {
    __u64 stack; /* 0: free */
    __u32 uid;
    __u32 unused;
};

/* What became of frames. */
enum count {
    COUNT_STEERED,
    COUNT_STEERED_BYTES,
    COUNT_NOT_IP,
    COUNT_OTHER_MAC,
    COUNT_NOT_OURS,   /* not an address of this namespace */
    COUNT_FRAGMENT,
    COUNT_OTHER_PROTOCOL,
    COUNT_KERNEL_PORT,
    COUNT_KERNEL_CONNECTION, /* steered port, but the connection is the kernel's */
    COUNT_NO_SOCKET,  /* the stack has no socket on the queue: the kernel answers */
    COUNT_SYN_DROPPED, /* more SYNs than a stack can answer */
    COUNTS,
};

#endif
