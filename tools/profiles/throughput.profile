# bulk and many connections: sleeps soon, large buffers so that neither end waits for the other
ACCEL_SPIN_US=20
ACCEL_SNDBUF=4194304
ACCEL_RCVBUF=4194304
