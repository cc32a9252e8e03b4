# haproxy: two connections for each request, threads that share the CPUs, and traffic that is only passed on

# A thread without work frees its CPU soon, since the server behind it may need it; the value is nginx's, measured there.
ACCEL_SPIN_US=20

# What comes from one side waits for the other: both directions get what haproxy itself takes at a time (16 KiB) many
# times over, and no more, since there are two connections for each client.
ACCEL_SNDBUF=524288
ACCEL_RCVBUF=524288

# Twice the connections: address space, memory only as needed.
ACCEL_LOCAL_MB=8192
