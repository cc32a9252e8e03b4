/* What the program on the interface and acceld tell each other through maps. Mirrored in Steering/PortEntry.cs and
 * Steering/SteeringMaps.cs. */
#ifndef ACCEL_STEERING_H
#define ACCEL_STEERING_H

#define MAX_SLOTS 128
#define MAX_QUEUES 64
#define MAX_ADDRESSES 4096
#define MAX_EXACT 16384

/* SYNs of a flood are answered in the stack's name. Where that cannot be, each that the stack answers takes time from
 * the connections that there are: so many then come through on a CPU in a second, and at once. */
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
    __u16 flags; /* INTERFACE_*; 0: everything to the kernel */
    __u32 mtu;
    __u32 most_syns; /* on a CPU in a second: more is a flood */
};

#define INTERFACE_UP 1
#define INTERFACE_ANSWERS 2           /* what the program sends back leaves */
#define INTERFACE_PARTIAL_CHECKSUMS 4 /* of peers on this host: the pseudo header's alone */

/* What a listener's SYN-ACK with a cookie is made from. Keys in the order in which the hashes take them. */
struct syn_answer {
    __u64 cookie_key[2];
    __u64 timestamp_key[2];
    __u16 slot; /* as in an entry of the table of ports */
    __u16 window;
    __u16 max_segment; /* TCP_MAXSEG; 0: what the MTU says */
    __u8 ttl;          /* 0: the default */
    __u8 tos;
    __u8 scale;
    __u8 offers;       /* ANSWER_* */
    __u8 owner;        /* acceld's */
    __u8 unused[5];
};

#define ANSWER_SCALE 2
#define ANSWER_SACK 4
#define ANSWER_TIMESTAMPS 8
#define ANSWER_ECN 16

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
    COUNT_NO_SOCKET,  /* the stack has no socket on the queue, or no ring: the kernel answers */
    COUNT_SYN_DROPPED, /* of a flood, at a listener whose SYNs the program cannot answer */
    COUNT_SYN_ANSWERED, /* of a flood, with a cookie */
    COUNT_SYN_UNFIT,   /* of a flood, and not to be answered: martian, broken, unusual */
    COUNT_RING_FULL,   /* ring mode: no room in the stack's ring, or a frame beyond all measure */
    COUNTS,
};

#endif
