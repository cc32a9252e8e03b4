// Buffers on the stack are filled before they are read; clearing them first would cost more than most steps.
[module: System.Runtime.CompilerServices.SkipLocalsInit]
