# nginx: several workers with an event loop each, many keep-alive connections, files that are longer than a packet

# With 32 busy connections 20 us gave as many requests as the adaptive spin and as 1000 us (137 thousand a second), and 0
# gave 81 thousand (kernel: 50); a worker without work frees its CPU for the others soonest this way.
# `accel bench local --case nginx --profile nginx` shows it.
ACCEL_SPIN_US=20

# Thousands of keep-alive connections, each with a response under way: address space, memory only as needed.
ACCEL_LOCAL_MB=4096
