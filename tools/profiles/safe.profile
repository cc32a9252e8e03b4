# least CPU and no surprises: never spins, small buffers
ACCEL_SPIN_US=0
ACCEL_SNDBUF=262144
ACCEL_RCVBUF=131072
