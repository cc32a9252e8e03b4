# bulk and many connections: sleeps soon, large buffers so that neither end waits for the other

# A stream that is never empty needs no long look; one that is empty for longer than a wake-up takes frees the CPU.
ACCEL_SPIN_US=20

# A writer goes on while the reader computes: 4 MiB are half a millisecond at the 8 GB/s of the local path.
ACCEL_SNDBUF=4194304
ACCEL_RCVBUF=4194304
