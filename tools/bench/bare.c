// An echo of datagrams without any protocol: it exchanges the addresses of a frame and sends it back. No stack above
// packet sockets can answer sooner, so it says how much there is to gain on a machine.
//   bare spin|block   on the address in LOAD_ADDRESS; says "port N", echoes until it is ended
// "spin" looks at a mapped ring of frames again and again, "block" sleeps in recv().
#include "load.h"

#include <ifaddrs.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/mman.h>

enum { FRAMES = 128, FRAME_BYTES = 2048, MAC = 6, HEADERS = 42, IP_SOURCE = 26, UDP_SOURCE = 34, UDP_SUM = 40 };

static int interface_of(struct in_addr address)
{
    struct ifaddrs *all;
    int found = 0;
    if (getifaddrs(&all) < 0) fail("getifaddrs");
    for (struct ifaddrs *i = all; i != NULL && found == 0; i = i->ifa_next)
        if (i->ifa_addr != NULL && i->ifa_addr->sa_family == AF_INET
            && ((struct sockaddr_in *)i->ifa_addr)->sin_addr.s_addr == address.s_addr)
            found = (int)if_nametoindex(i->ifa_name);
    freeifaddrs(all);
    if (found == 0) fail("no interface has LOAD_ADDRESS");
    return found;
}

static void filter(int s, struct sock_filter *code, size_t count)
{
    struct sock_fprog program = { (unsigned short)count, code };
    if (setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) < 0) fail("SO_ATTACH_FILTER");
}

// The kernel's socket keeps the port and hears nothing: else the kernel would say that nobody is there.
static int keep_port(void)
{
    struct sock_filter nothing[] = { BPF_STMT(BPF_RET | BPF_K, 0) };
    struct sockaddr_in a;
    socklen_t length = sizeof a;
    int s = open_server(SOCK_DGRAM, 0);
    filter(s, nothing, 1);
    if (getsockname(s, (struct sockaddr *)&a, &length) < 0) fail("getsockname");
    return ntohs(a.sin_port);
}

static int open_packet(int interface, int protocol)
{
    struct sockaddr_ll a = { .sll_family = AF_PACKET, .sll_protocol = htons((uint16_t)protocol),
                             .sll_ifindex = interface };
    int s = socket(AF_PACKET, SOCK_RAW, 0);
    if (s < 0) fail("packet socket");
    if (bind(s, (struct sockaddr *)&a, sizeof a) < 0) fail("bind to the interface");
    return s;
}

static int open_receiving(int interface, int port)
{
    struct sock_filter datagrams[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 23), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, 2),
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 36), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)port, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, 0), BPF_STMT(BPF_RET | BPF_K, FRAME_BYTES),
    };
    int s = open_packet(interface, ETH_P_IP);
    filter(s, datagrams, sizeof datagrams / sizeof *datagrams);
    return s;
}

static unsigned char *map_ring(int s)
{
    int version = TPACKET_V2;
    struct tpacket_req ring = { .tp_block_size = FRAMES * FRAME_BYTES, .tp_block_nr = 1,
                                .tp_frame_size = FRAME_BYTES, .tp_frame_nr = FRAMES };
    if (setsockopt(s, SOL_PACKET, PACKET_VERSION, &version, sizeof version) < 0) fail("PACKET_VERSION");
    if (setsockopt(s, SOL_PACKET, PACKET_RX_RING, &ring, sizeof ring) < 0) fail("PACKET_RX_RING");
    void *at = mmap(NULL, FRAMES * FRAME_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, s, 0);
    if (at == MAP_FAILED) fail("mmap");
    return at;
}

static void exchange(unsigned char *a, unsigned char *b, size_t size)
{
    unsigned char kept[MAC];
    memcpy(kept, a, size);
    memcpy(a, b, size);
    memcpy(b, kept, size);
}

static void answer(int s, unsigned char *frame, size_t length)
{
    if (length < HEADERS) return;
    exchange(frame, frame + MAC, MAC);
    exchange(frame + IP_SOURCE, frame + IP_SOURCE + 4, 4);
    exchange(frame + UDP_SOURCE, frame + UDP_SOURCE + 2, 2);
    memset(frame + UDP_SUM, 0, 2); // none: IPv4 allows that
    if (send(s, frame, length, 0) < 0 && errno != ENOBUFS) fail("send");
}

static void spin(int in, int out)
{
    unsigned char *ring = map_ring(in), frame[FRAME_BYTES];
    for (unsigned at = 0;; at = (at + 1) % FRAMES) {
        struct tpacket2_hdr *h = (struct tpacket2_hdr *)(ring + at * FRAME_BYTES);
        while ((__atomic_load_n(&h->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER) == 0) relax();
        size_t length = h->tp_snaplen;
        memcpy(frame, (unsigned char *)h + h->tp_mac, length);
        __atomic_store_n(&h->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
        answer(out, frame, length);
    }
}

static void block(int in, int out)
{
    unsigned char frame[FRAME_BYTES];
    for (;;) {
        ssize_t n = recv(in, frame, sizeof frame, 0);
        if (n < 0) fail("recv");
        answer(out, frame, (size_t)n);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: bare spin|block\n");
        return 2;
    }
    int interface = interface_of(load_address(0).sin_addr);
    int out = open_packet(interface, 0), in = open_receiving(interface, keep_port());
    (strcmp(argv[1], "spin") == 0 ? spin : block)(in, out);
}
