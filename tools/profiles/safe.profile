# least CPU and no surprises: never spins, small buffers

# CPU time is what the program itself uses: top and cgroup limits mean what they mean on the kernel.
ACCEL_SPIN_US=0

# As much as the kernel gives a connection that has not grown yet, so that memory per connection is no larger.
ACCEL_SNDBUF=262144
ACCEL_RCVBUF=131072
