# what holds without a profile: a short spin that adapts, none when both ends share a CPU
ACCEL_SPIN_US=-1
