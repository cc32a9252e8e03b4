# what holds without a profile: a short spin that adapts, none when both ends share a CPU

# At most 50 us, and less where spinning has not paid of late.
ACCEL_SPIN_US=-1
