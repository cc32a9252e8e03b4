# redis-server: one thread that answers many clients in turns

# Spinning decides how fast few clients are served: with one, 0 gave 42 thousand GETs a second and the adaptive spin 433
# (kernel: 34); with 50 clients every value gave the same. `accel bench local --case redis --set ACCEL_SPIN_US=0` shows it.
ACCEL_SPIN_US=-1

# A connection's replies wait here for a slow client, before redis counts them against client-output-buffer-limit. With
# maxclients (10,000) of them full, 256 KiB are 2.5 GiB.
ACCEL_SNDBUF=262144

# Room for that: address space, of which only what is used becomes memory.
ACCEL_LOCAL_MB=4096
