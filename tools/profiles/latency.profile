# lowest latency: spins up to 100 ms before it sleeps; give each program a CPU of its own
ACCEL_SPIN_US=100000
