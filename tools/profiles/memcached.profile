# memcached: a few threads that answer short requests of many clients

# Threads wait in turns: each looks for as long as a wake-up costs, and then leaves the CPU to the others.
ACCEL_SPIN_US=20

# Items are 1 MiB at most and mostly far below: a client that reads slowly holds no more than this.
ACCEL_SNDBUF=1048576

# Thousands of clients (-c): address space, memory only as needed.
ACCEL_LOCAL_MB=4096
