# lowest latency: spins up to 100 ms before it sleeps; give each program a CPU of its own

# A sleep costs the two wake-ups of a round trip (18 us against 0.4 us between spinning ends, README, Figures), so
# blocking calls look at their sockets until a pause of 100 ms says that nothing is going on. The CPU is busy meanwhile.
ACCEL_SPIN_US=100000
