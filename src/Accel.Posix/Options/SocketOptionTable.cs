using Accel.Core.Memory;
using static Accel.Posix.OptionVerdict;
using static Accel.Posix.SettingRule;

namespace Accel.Posix;

/// <summary>
/// Every option of the levels that TCP and UDP sockets know, and what becomes of it: the only place where that is
/// said. A test holds it against the headers of this machine, and integration/oracle sets and reads every one.
/// </summary>
public static class SocketOptionTable
{
    public static readonly OptionRow[] Rows =
    [
        new(So.SOL_SOCKET, 1, "SO_DEBUG", Mirrored, Mirrored),
        new(So.SOL_SOCKET, 2, "SO_REUSEADDR", Kept, Mirrored),
        new(So.SOL_SOCKET, 3, "SO_TYPE", Mirrored, Mirrored),
        new(So.SOL_SOCKET, 4, "SO_ERROR", Answered, Mirrored),
        new(So.SOL_SOCKET, 5, "SO_DONTROUTE", Mirrored, KernelSends),
        new(So.SOL_SOCKET, 6, "SO_BROADCAST", Mirrored, Mirrored),
        new(So.SOL_SOCKET, 7, "SO_SNDBUF", Own, Mirrored),
        new(So.SOL_SOCKET, 8, "SO_RCVBUF", Own, Own),
        new(So.SOL_SOCKET, 9, "SO_KEEPALIVE", Kept, Mirrored),
        new(So.SOL_SOCKET, 10, "SO_OOBINLINE", Kept, Mirrored),
        new(So.SOL_SOCKET, 11, "SO_NO_CHECK", Mirrored, Mirrored),
        new(So.SOL_SOCKET, 12, "SO_PRIORITY", Mirrored, Mirrored),
        new(So.SOL_SOCKET, 13, "SO_LINGER", Own, Own),
        new(So.SOL_SOCKET, 14, "SO_BSDCOMPAT", Mirrored, Mirrored),
        new(So.SOL_SOCKET, 15, "SO_REUSEPORT", Mirrored, Own),
        new(So.SOL_SOCKET, 16, "SO_PASSCRED", Mirrored, Mirrored),
        new(So.SOL_SOCKET, 17, "SO_PEERCRED", Mirrored, Mirrored),
        new(So.SOL_SOCKET, 18, "SO_RCVLOWAT", Own, Own),
        new(So.SOL_SOCKET, 19, "SO_SNDLOWAT", Mirrored, Mirrored),
        new(So.SOL_SOCKET, 20, "SO_RCVTIMEO", Own, Own),
        new(So.SOL_SOCKET, 21, "SO_SNDTIMEO", Own, Own),
        new(So.SOL_SOCKET, 25, "SO_BINDTODEVICE", NeedsKernel, NeedsKernel),
        new(So.SOL_SOCKET, 26, "SO_ATTACH_FILTER", NeedsKernel, NeedsKernel),
        new(So.SOL_SOCKET, 27, "SO_DETACH_FILTER", Mirrored, Mirrored),
        new(So.SOL_SOCKET, 28, "SO_PEERNAME", Answered, Mirrored),
        new(So.SOL_SOCKET, 29, "SO_TIMESTAMP", NeedsKernel, Own),
        new(So.SOL_SOCKET, 30, "SO_ACCEPTCONN", Answered, Mirrored),
        new(So.SOL_SOCKET, 31, "SO_PEERSEC", Mirrored, Mirrored),
        new(So.SOL_SOCKET, 32, "SO_SNDBUFFORCE", Own, Mirrored),
        new(So.SOL_SOCKET, 33, "SO_RCVBUFFORCE", Own, Own),
        new(So.SOL_SOCKET, 34, "SO_PASSSEC", Mirrored, Mirrored),
        new(So.SOL_SOCKET, 35, "SO_TIMESTAMPNS", NeedsKernel, Own),
        new(So.SOL_SOCKET, 36, "SO_MARK", NeedsKernel, NeedsKernel),
        new(So.SOL_SOCKET, 37, "SO_TIMESTAMPING", NeedsKernel, NeedsKernel),
        new(So.SOL_SOCKET, 38, "SO_PROTOCOL", Mirrored, Mirrored),
        new(So.SOL_SOCKET, 39, "SO_DOMAIN", Mirrored, Mirrored),
        new(So.SOL_SOCKET, 40, "SO_RXQ_OVFL", Mirrored, Own),
        new(So.SOL_SOCKET, 41, "SO_WIFI_STATUS", Mirrored, Mirrored),
        new(So.SOL_SOCKET, 42, "SO_PEEK_OFF", NeedsKernel, NeedsKernel),
        new(So.SOL_SOCKET, 43, "SO_NOFCS", Mirrored, Mirrored),
        new(So.SOL_SOCKET, 44, "SO_LOCK_FILTER", Mirrored, Mirrored),
        new(So.SOL_SOCKET, 45, "SO_SELECT_ERR_QUEUE", Mirrored, Mirrored),
        new(So.SOL_SOCKET, 46, "SO_BUSY_POLL", Mirrored, Mirrored),
        new(So.SOL_SOCKET, 47, "SO_MAX_PACING_RATE", NeedsKernel, Mirrored),
        new(So.SOL_SOCKET, 48, "SO_BPF_EXTENSIONS", Mirrored, Mirrored),
        new(So.SOL_SOCKET, 49, "SO_INCOMING_CPU", Mirrored, Mirrored),
        new(So.SOL_SOCKET, 50, "SO_ATTACH_BPF", NeedsKernel, NeedsKernel),
        new(So.SOL_SOCKET, 51, "SO_ATTACH_REUSEPORT_CBPF", NeedsKernel, NeedsKernel),
        new(So.SOL_SOCKET, 52, "SO_ATTACH_REUSEPORT_EBPF", NeedsKernel, NeedsKernel),
        new(So.SOL_SOCKET, 53, "SO_CNX_ADVICE", Mirrored, Mirrored),
        new(So.SOL_SOCKET, 55, "SO_MEMINFO", Mirrored, Mirrored),
        new(So.SOL_SOCKET, 56, "SO_INCOMING_NAPI_ID", Mirrored, Mirrored),
        new(So.SOL_SOCKET, 57, "SO_COOKIE", Mirrored, Mirrored),
        new(So.SOL_SOCKET, 59, "SO_PEERGROUPS", Mirrored, Mirrored),
        new(So.SOL_SOCKET, 60, "SO_ZEROCOPY", Kept, Mirrored, ZeroOrOne),
        new(So.SOL_SOCKET, 61, "SO_TXTIME", NeedsKernel, KernelSends),
        new(So.SOL_SOCKET, 62, "SO_BINDTOIFINDEX", NeedsKernel, NeedsKernel),
        new(So.SOL_SOCKET, 63, "SO_TIMESTAMP_NEW", NeedsKernel, NeedsKernel),
        new(So.SOL_SOCKET, 64, "SO_TIMESTAMPNS_NEW", NeedsKernel, NeedsKernel),
        new(So.SOL_SOCKET, 65, "SO_TIMESTAMPING_NEW", NeedsKernel, NeedsKernel),
        new(So.SOL_SOCKET, 66, "SO_RCVTIMEO_NEW", Own, Own),
        new(So.SOL_SOCKET, 67, "SO_SNDTIMEO_NEW", Own, Own),
        new(So.SOL_SOCKET, 68, "SO_DETACH_REUSEPORT_BPF", Mirrored, Mirrored),
        new(So.SOL_SOCKET, 69, "SO_PREFER_BUSY_POLL", Mirrored, Mirrored),
        new(So.SOL_SOCKET, 70, "SO_BUSY_POLL_BUDGET", Mirrored, Mirrored),
        new(So.SOL_SOCKET, 71, "SO_NETNS_COOKIE", Mirrored, Mirrored),
        new(So.SOL_SOCKET, 72, "SO_BUF_LOCK", Mirrored, Mirrored),
        new(So.SOL_SOCKET, 73, "SO_RESERVE_MEM", Mirrored, Mirrored),
        new(So.SOL_SOCKET, 74, "SO_TXREHASH", Mirrored, Mirrored),
        new(So.SOL_SOCKET, 75, "SO_RCVMARK", Mirrored, NeedsKernel),
        new(So.SOL_SOCKET, 76, "SO_PASSPIDFD", Mirrored, Mirrored),
        new(So.SOL_SOCKET, 77, "SO_PEERPIDFD", Mirrored, Mirrored),
        new(So.SOL_SOCKET, 78, "SO_DEVMEM_LINEAR", Mirrored, Mirrored),
        new(So.SOL_SOCKET, 79, "SO_DEVMEM_DMABUF", Mirrored, Mirrored),
        new(So.SOL_SOCKET, 80, "SO_DEVMEM_DONTNEED", Mirrored, Mirrored),
        new(So.SOL_SOCKET, 82, "SO_RCVPRIORITY", Mirrored, NeedsKernel),
        new(So.SOL_SOCKET, 83, "SO_PASSRIGHTS", Mirrored, Mirrored),
        new(So.SOL_SOCKET, 84, "SO_INQ", Mirrored, Mirrored),

        new(So.IPPROTO_TCP, 1, "TCP_NODELAY", Kept, Mirrored),
        new(So.IPPROTO_TCP, 2, "TCP_MAXSEG", Own, Mirrored),
        new(So.IPPROTO_TCP, 3, "TCP_CORK", Kept, Mirrored),
        new(So.IPPROTO_TCP, 4, "TCP_KEEPIDLE", Own, Mirrored),
        new(So.IPPROTO_TCP, 5, "TCP_KEEPINTVL", Own, Mirrored),
        new(So.IPPROTO_TCP, 6, "TCP_KEEPCNT", Own, Mirrored),
        new(So.IPPROTO_TCP, 7, "TCP_SYNCNT", Own, Mirrored),
        new(So.IPPROTO_TCP, 8, "TCP_LINGER2", Own, Mirrored),
        new(So.IPPROTO_TCP, 9, "TCP_DEFER_ACCEPT", Mirrored, Mirrored),
        new(So.IPPROTO_TCP, 10, "TCP_WINDOW_CLAMP", Own, Mirrored, NotZero),
        new(So.IPPROTO_TCP, 11, "TCP_INFO", Answered, Mirrored),
        new(So.IPPROTO_TCP, 12, "TCP_QUICKACK", Own, Mirrored),
        new(So.IPPROTO_TCP, 13, "TCP_CONGESTION", Own, Mirrored),
        new(So.IPPROTO_TCP, 14, "TCP_MD5SIG", NeedsKernel, Mirrored),
        new(So.IPPROTO_TCP, 15, "TCP_COOKIE_TRANSACTIONS", Mirrored, Mirrored),
        new(So.IPPROTO_TCP, 16, "TCP_THIN_LINEAR_TIMEOUTS", Mirrored, Mirrored),
        new(So.IPPROTO_TCP, 17, "TCP_THIN_DUPACK", Mirrored, Mirrored),
        new(So.IPPROTO_TCP, 18, "TCP_USER_TIMEOUT", Own, Mirrored),
        new(So.IPPROTO_TCP, 19, "TCP_REPAIR", NeedsKernel, Mirrored),
        new(So.IPPROTO_TCP, 20, "TCP_REPAIR_QUEUE", Mirrored, Mirrored),
        new(So.IPPROTO_TCP, 21, "TCP_QUEUE_SEQ", Mirrored, Mirrored, UnderRepair),
        new(So.IPPROTO_TCP, 22, "TCP_REPAIR_OPTIONS", Mirrored, Mirrored),
        new(So.IPPROTO_TCP, 23, "TCP_FASTOPEN", Mirrored, Mirrored, BeforeConnecting),
        new(So.IPPROTO_TCP, 24, "TCP_TIMESTAMP", Mirrored, Mirrored),
        new(So.IPPROTO_TCP, 25, "TCP_NOTSENT_LOWAT", Mirrored, Mirrored),
        new(So.IPPROTO_TCP, 26, "TCP_CC_INFO", Mirrored, Mirrored),
        new(So.IPPROTO_TCP, 27, "TCP_SAVE_SYN", NeedsKernel, Mirrored),
        new(So.IPPROTO_TCP, 28, "TCP_SAVED_SYN", Mirrored, Mirrored),
        new(So.IPPROTO_TCP, 29, "TCP_REPAIR_WINDOW", Mirrored, Mirrored),
        new(So.IPPROTO_TCP, 30, "TCP_FASTOPEN_CONNECT", NeedsKernel, Mirrored, BeforeConnecting),
        new(So.IPPROTO_TCP, 31, "TCP_ULP", Refused, Mirrored, WithoutModule),
        new(So.IPPROTO_TCP, 32, "TCP_MD5SIG_EXT", NeedsKernel, Mirrored),
        new(So.IPPROTO_TCP, 33, "TCP_FASTOPEN_KEY", Mirrored, Mirrored),
        new(So.IPPROTO_TCP, 34, "TCP_FASTOPEN_NO_COOKIE", Mirrored, Mirrored, BeforeConnecting),
        new(So.IPPROTO_TCP, 35, "TCP_ZEROCOPY_RECEIVE", Refused, Mirrored),
        new(So.IPPROTO_TCP, 36, "TCP_INQ", Kept, Mirrored),
        new(So.IPPROTO_TCP, 37, "TCP_TX_DELAY", NeedsKernel, Mirrored),
        new(So.IPPROTO_TCP, 38, "TCP_AO_ADD_KEY", NeedsKernel, Mirrored),
        new(So.IPPROTO_TCP, 39, "TCP_AO_DEL_KEY", Mirrored, Mirrored),
        new(So.IPPROTO_TCP, 40, "TCP_AO_INFO", NeedsKernel, Mirrored),
        new(So.IPPROTO_TCP, 41, "TCP_AO_GET_KEYS", Mirrored, Mirrored),
        new(So.IPPROTO_TCP, 42, "TCP_AO_REPAIR", Mirrored, Mirrored),
        new(So.IPPROTO_TCP, 43, "TCP_IS_MPTCP", Mirrored, Mirrored),
        new(So.IPPROTO_TCP, 44, "TCP_RTO_MAX_MS", Mirrored, Mirrored),
        new(So.IPPROTO_TCP, 45, "TCP_RTO_MIN_US", Mirrored, Mirrored),
        new(So.IPPROTO_TCP, 46, "TCP_DELACK_MAX_US", Mirrored, Mirrored),

        new(So.IPPROTO_IP, 1, "IP_TOS", Own, Own),
        new(So.IPPROTO_IP, 2, "IP_TTL", Own, Own),
        new(So.IPPROTO_IP, 3, "IP_HDRINCL", Mirrored, Mirrored),
        new(So.IPPROTO_IP, 4, "IP_OPTIONS", NeedsKernel, KernelSends),
        new(So.IPPROTO_IP, 5, "IP_ROUTER_ALERT", Mirrored, Mirrored),
        new(So.IPPROTO_IP, 6, "IP_RECVOPTS", Mirrored, NeedsKernel),
        new(So.IPPROTO_IP, 7, "IP_RETOPTS", Mirrored, NeedsKernel),
        new(So.IPPROTO_IP, 8, "IP_PKTINFO", Mirrored, Own),
        new(So.IPPROTO_IP, 9, "IP_PKTOPTIONS", Mirrored, Mirrored),
        new(So.IPPROTO_IP, 10, "IP_MTU_DISCOVER", Mirrored, Own),
        new(So.IPPROTO_IP, 11, "IP_RECVERR", Mirrored, Mirrored),
        new(So.IPPROTO_IP, 12, "IP_RECVTTL", Mirrored, Own),
        new(So.IPPROTO_IP, 13, "IP_RECVTOS", Mirrored, Own),
        new(So.IPPROTO_IP, 14, "IP_MTU", Mirrored, Mirrored),
        new(So.IPPROTO_IP, 15, "IP_FREEBIND", NeedsKernel, NeedsKernel),
        new(So.IPPROTO_IP, 16, "IP_IPSEC_POLICY", NeedsKernel, NeedsKernel),
        new(So.IPPROTO_IP, 17, "IP_XFRM_POLICY", NeedsKernel, NeedsKernel),
        new(So.IPPROTO_IP, 18, "IP_PASSSEC", Mirrored, NeedsKernel),
        new(So.IPPROTO_IP, 19, "IP_TRANSPARENT", NeedsKernel, NeedsKernel),
        new(So.IPPROTO_IP, 20, "IP_RECVORIGDSTADDR", Mirrored, NeedsKernel),
        new(So.IPPROTO_IP, 21, "IP_MINTTL", NeedsKernel, NeedsKernel),
        new(So.IPPROTO_IP, 22, "IP_NODEFRAG", Mirrored, Mirrored),
        new(So.IPPROTO_IP, 23, "IP_CHECKSUM", Mirrored, NeedsKernel),
        new(So.IPPROTO_IP, 24, "IP_BIND_ADDRESS_NO_PORT", Mirrored, Mirrored),
        new(So.IPPROTO_IP, 25, "IP_RECVFRAGSIZE", Mirrored, NeedsKernel),
        new(So.IPPROTO_IP, 26, "IP_RECVERR_RFC4884", Mirrored, Mirrored),
        new(So.IPPROTO_IP, 32, "IP_MULTICAST_IF", Mirrored, Mirrored),
        new(So.IPPROTO_IP, 33, "IP_MULTICAST_TTL", Mirrored, Mirrored),
        new(So.IPPROTO_IP, 34, "IP_MULTICAST_LOOP", Mirrored, Mirrored),
        new(So.IPPROTO_IP, 35, "IP_ADD_MEMBERSHIP", Mirrored, Mirrored),
        new(So.IPPROTO_IP, 36, "IP_DROP_MEMBERSHIP", Mirrored, Mirrored),
        new(So.IPPROTO_IP, 37, "IP_UNBLOCK_SOURCE", Mirrored, Mirrored),
        new(So.IPPROTO_IP, 38, "IP_BLOCK_SOURCE", Mirrored, Mirrored),
        new(So.IPPROTO_IP, 39, "IP_ADD_SOURCE_MEMBERSHIP", Mirrored, Mirrored),
        new(So.IPPROTO_IP, 40, "IP_DROP_SOURCE_MEMBERSHIP", Mirrored, Mirrored),
        new(So.IPPROTO_IP, 41, "IP_MSFILTER", Mirrored, Mirrored),
        new(So.IPPROTO_IP, 42, "MCAST_JOIN_GROUP", Mirrored, Mirrored),
        new(So.IPPROTO_IP, 43, "MCAST_BLOCK_SOURCE", Mirrored, Mirrored),
        new(So.IPPROTO_IP, 44, "MCAST_UNBLOCK_SOURCE", Mirrored, Mirrored),
        new(So.IPPROTO_IP, 45, "MCAST_LEAVE_GROUP", Mirrored, Mirrored),
        new(So.IPPROTO_IP, 46, "MCAST_JOIN_SOURCE_GROUP", Mirrored, Mirrored),
        new(So.IPPROTO_IP, 47, "MCAST_LEAVE_SOURCE_GROUP", Mirrored, Mirrored),
        new(So.IPPROTO_IP, 48, "MCAST_MSFILTER", Mirrored, Mirrored),
        new(So.IPPROTO_IP, 49, "IP_MULTICAST_ALL", Mirrored, Mirrored),
        new(So.IPPROTO_IP, 50, "IP_UNICAST_IF", NeedsKernel, NeedsKernel),
        new(So.IPPROTO_IP, 51, "IP_LOCAL_PORT_RANGE", Mirrored, Mirrored),
        new(So.IPPROTO_IP, 52, "IP_PROTOCOL", Mirrored, Mirrored),

        new(So.IPPROTO_IPV6, 1, "IPV6_ADDRFORM", NeedsKernel, NeedsKernel),
        new(So.IPPROTO_IPV6, 2, "IPV6_2292PKTINFO", Mirrored, NeedsKernel),
        new(So.IPPROTO_IPV6, 3, "IPV6_2292HOPOPTS", Mirrored, NeedsKernel),
        new(So.IPPROTO_IPV6, 4, "IPV6_2292DSTOPTS", Mirrored, NeedsKernel),
        new(So.IPPROTO_IPV6, 5, "IPV6_2292RTHDR", Mirrored, NeedsKernel),
        new(So.IPPROTO_IPV6, 6, "IPV6_2292PKTOPTIONS", Mirrored, Mirrored),
        new(So.IPPROTO_IPV6, 7, "IPV6_CHECKSUM", Mirrored, Mirrored),
        new(So.IPPROTO_IPV6, 8, "IPV6_2292HOPLIMIT", Mirrored, NeedsKernel),
        new(So.IPPROTO_IPV6, 9, "IPV6_NEXTHOP", Mirrored, Mirrored),
        new(So.IPPROTO_IPV6, 10, "IPV6_AUTHHDR", Mirrored, Mirrored),
        new(So.IPPROTO_IPV6, 11, "IPV6_FLOWINFO", Mirrored, NeedsKernel),
        new(So.IPPROTO_IPV6, 16, "IPV6_UNICAST_HOPS", Own, Own),
        new(So.IPPROTO_IPV6, 17, "IPV6_MULTICAST_IF", Mirrored, Mirrored),
        new(So.IPPROTO_IPV6, 18, "IPV6_MULTICAST_HOPS", Mirrored, Mirrored),
        new(So.IPPROTO_IPV6, 19, "IPV6_MULTICAST_LOOP", Mirrored, Mirrored),
        new(So.IPPROTO_IPV6, 20, "IPV6_ADD_MEMBERSHIP", Mirrored, Mirrored),
        new(So.IPPROTO_IPV6, 21, "IPV6_DROP_MEMBERSHIP", Mirrored, Mirrored),
        new(So.IPPROTO_IPV6, 22, "IPV6_ROUTER_ALERT", Mirrored, Mirrored),
        new(So.IPPROTO_IPV6, 23, "IPV6_MTU_DISCOVER", Mirrored, Own),
        new(So.IPPROTO_IPV6, 24, "IPV6_MTU", Mirrored, Mirrored),
        new(So.IPPROTO_IPV6, 25, "IPV6_RECVERR", Mirrored, Mirrored),
        new(So.IPPROTO_IPV6, 26, "IPV6_V6ONLY", Mirrored, Mirrored),
        new(So.IPPROTO_IPV6, 27, "IPV6_JOIN_ANYCAST", Mirrored, Mirrored),
        new(So.IPPROTO_IPV6, 28, "IPV6_LEAVE_ANYCAST", Mirrored, Mirrored),
        new(So.IPPROTO_IPV6, 29, "IPV6_MULTICAST_ALL", Mirrored, Mirrored),
        new(So.IPPROTO_IPV6, 30, "IPV6_ROUTER_ALERT_ISOLATE", Mirrored, Mirrored),
        new(So.IPPROTO_IPV6, 31, "IPV6_RECVERR_RFC4884", Mirrored, Mirrored),
        new(So.IPPROTO_IPV6, 32, "IPV6_FLOWLABEL_MGR", Mirrored, Mirrored),
        new(So.IPPROTO_IPV6, 33, "IPV6_FLOWINFO_SEND", NeedsKernel, KernelSends),
        new(So.IPPROTO_IPV6, 34, "IPV6_IPSEC_POLICY", NeedsKernel, NeedsKernel),
        new(So.IPPROTO_IPV6, 35, "IPV6_XFRM_POLICY", NeedsKernel, NeedsKernel),
        new(So.IPPROTO_IPV6, 36, "IPV6_HDRINCL", Mirrored, Mirrored),
        new(So.IPPROTO_IPV6, 42, "MCAST_JOIN_GROUP", Mirrored, Mirrored),
        new(So.IPPROTO_IPV6, 43, "MCAST_BLOCK_SOURCE", Mirrored, Mirrored),
        new(So.IPPROTO_IPV6, 44, "MCAST_UNBLOCK_SOURCE", Mirrored, Mirrored),
        new(So.IPPROTO_IPV6, 45, "MCAST_LEAVE_GROUP", Mirrored, Mirrored),
        new(So.IPPROTO_IPV6, 46, "MCAST_JOIN_SOURCE_GROUP", Mirrored, Mirrored),
        new(So.IPPROTO_IPV6, 47, "MCAST_LEAVE_SOURCE_GROUP", Mirrored, Mirrored),
        new(So.IPPROTO_IPV6, 48, "MCAST_MSFILTER", Mirrored, Mirrored),
        new(So.IPPROTO_IPV6, 49, "IPV6_RECVPKTINFO", Mirrored, Own),
        new(So.IPPROTO_IPV6, 50, "IPV6_PKTINFO", NeedsKernel, KernelSends),
        new(So.IPPROTO_IPV6, 51, "IPV6_RECVHOPLIMIT", Mirrored, Own),
        new(So.IPPROTO_IPV6, 52, "IPV6_HOPLIMIT", Mirrored, Mirrored),
        new(So.IPPROTO_IPV6, 53, "IPV6_RECVHOPOPTS", Mirrored, NeedsKernel),
        new(So.IPPROTO_IPV6, 54, "IPV6_HOPOPTS", NeedsKernel, KernelSends),
        new(So.IPPROTO_IPV6, 55, "IPV6_RTHDRDSTOPTS", NeedsKernel, KernelSends),
        new(So.IPPROTO_IPV6, 56, "IPV6_RECVRTHDR", Mirrored, NeedsKernel),
        new(So.IPPROTO_IPV6, 57, "IPV6_RTHDR", NeedsKernel, KernelSends),
        new(So.IPPROTO_IPV6, 58, "IPV6_RECVDSTOPTS", Mirrored, NeedsKernel),
        new(So.IPPROTO_IPV6, 59, "IPV6_DSTOPTS", NeedsKernel, KernelSends),
        new(So.IPPROTO_IPV6, 60, "IPV6_RECVPATHMTU", Mirrored, Mirrored),
        new(So.IPPROTO_IPV6, 61, "IPV6_PATHMTU", Mirrored, Mirrored),
        new(So.IPPROTO_IPV6, 62, "IPV6_DONTFRAG", Mirrored, Mirrored),
        new(So.IPPROTO_IPV6, 66, "IPV6_RECVTCLASS", Mirrored, Own),
        new(So.IPPROTO_IPV6, 67, "IPV6_TCLASS", Own, Own),
        new(So.IPPROTO_IPV6, 70, "IPV6_AUTOFLOWLABEL", Mirrored, Mirrored),
        new(So.IPPROTO_IPV6, 72, "IPV6_ADDR_PREFERENCES", Mirrored, Mirrored),
        new(So.IPPROTO_IPV6, 73, "IPV6_MINHOPCOUNT", NeedsKernel, NeedsKernel),
        new(So.IPPROTO_IPV6, 74, "IPV6_RECVORIGDSTADDR", Mirrored, NeedsKernel),
        new(So.IPPROTO_IPV6, 75, "IPV6_TRANSPARENT", NeedsKernel, NeedsKernel),
        new(So.IPPROTO_IPV6, 76, "IPV6_UNICAST_IF", NeedsKernel, NeedsKernel),
        new(So.IPPROTO_IPV6, 77, "IPV6_RECVFRAGSIZE", Mirrored, NeedsKernel),
        new(So.IPPROTO_IPV6, 78, "IPV6_FREEBIND", NeedsKernel, NeedsKernel),

        new(So.IPPROTO_UDP, 1, "UDP_CORK", Mirrored, KernelSends),
        new(So.IPPROTO_UDP, 100, "UDP_ENCAP", Mirrored, NeedsKernel),
        new(So.IPPROTO_UDP, 101, "UDP_NO_CHECK6_TX", Mirrored, KernelSends),
        new(So.IPPROTO_UDP, 102, "UDP_NO_CHECK6_RX", Mirrored, Mirrored),
        new(So.IPPROTO_UDP, 103, "UDP_SEGMENT", Mirrored, KernelSends),
        new(So.IPPROTO_UDP, 104, "UDP_GRO", Mirrored, Mirrored),
    ];

    private const int Levels = 5, Names = 128;

    // By level and name: the row plus one. By row: the place of a kept flag plus one.
    private static readonly byte[] s_rows = Index();
    private static readonly byte[] s_places = Places();

    /// <summary>Places of kept flags in <see cref="Core.Stack.Socket.Options"/>.</summary>
    public static readonly int Inline = PlaceOf(Find(So.SOL_SOCKET, So.OOBINLINE));

    public static readonly int Unread = PlaceOf(Find(So.IPPROTO_TCP, So.TCP_INQ));
    public static readonly int ZeroCopy = PlaceOf(Find(So.SOL_SOCKET, So.ZEROCOPY));
    public static readonly int Keepalive = PlaceOf(Find(So.SOL_SOCKET, So.KEEPALIVE));
    public static readonly int NoDelay = PlaceOf(Find(So.IPPROTO_TCP, So.TCP_NODELAY));
    public static readonly int Cork = PlaceOf(Find(So.IPPROTO_TCP, So.TCP_CORK));

    /// <summary>
    /// Row of an option, or -1: one that is newer than this table, which is the kernel socket's affair.
    /// </summary>
    public static int Find(int level, int name)
    {
        int place = LevelOf(level);
        return place < 0 || (uint)name >= Names ? -1 : s_rows[place * Names + name] - 1;
    }

    public static OptionVerdict OfTcp(int row) => row < 0 ? Mirrored : Rows[row].Tcp;

    public static SettingRule RuleOf(int row) => row < 0 ? AskKernel : Rows[row].Rule;

    public static OptionVerdict OfUdp(int row) => row < 0 ? Mirrored : Rows[row].Udp;

    /// <summary>Place of a kept flag among those that a socket keeps; -1: it is none.</summary>
    public static int PlaceOf(int row) => row < 0 ? -1 : s_places[row] - 1;

    private static int LevelOf(int level) => level switch
    {
        So.SOL_SOCKET => 0,
        So.IPPROTO_TCP => 1,
        So.IPPROTO_IP => 2,
        So.IPPROTO_IPV6 => 3,
        So.IPPROTO_UDP => 4,
        _ => -1,
    };

    [ColdPath]
    private static byte[] Index()
    {
        byte[] rows = new byte[Levels * Names];
        for (int i = 0; i < Rows.Length; i++)
            rows[LevelOf(Rows[i].Level) * Names + Rows[i].Name] = checked((byte)(i + 1));
        return rows;
    }

    [ColdPath]
    private static byte[] Places()
    {
        byte[] places = new byte[Rows.Length];
        byte count = 0;
        for (int i = 0; i < Rows.Length; i++)
            places[i] = Rows[i].Tcp == Kept ? ++count : (byte)0;
        return places;
    }
}
