#!/usr/bin/python3
"""confined.py [--no-exec-memory] -- PROGRAM...   runs a program as a systemd unit that lists what it may do is run:

SystemCallFilter=@system-service, SystemCallErrorNumber=EPERM, RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6,
NoNewPrivileges, and with --no-exec-memory MemoryDenyWriteExecute. The filter is there before the program is.
"""
import ctypes
import errno
import os
import re
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
NUMBERS = "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD, EQUAL, GREATER_EQUAL, SET, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, KILL, ERROR = 0x7FFF0000, 0x80000000, 0x00050000
ARCH_X86_64 = 0xC000003E
AF_UNIX, AF_INET, AF_INET6 = 1, 2, 10
NR_OFFSET, ARCH_OFFSET, ARGUMENT_OFFSET = 0, 4, 16


def numbers():
    with open(NUMBERS, encoding="ascii") as f:
        return {name: int(nr) for name, nr in re.findall(r"#define __NR_(\w+) (\d+)", f.read())}


def allowed():
    """What `systemd-analyze syscall-filter @system-service` says, in all its sets (systemd 252)."""
    with open(os.path.join(HERE, "system_service.txt"), encoding="ascii") as f:
        names = f.read().split()
    known = numbers()
    return sorted(known[name] for name in names if name in known)


def statement(code, value):
    return (code, 0, 0, value)


def unless(code, value, skip):
    """Skips so many statements unless the comparison holds."""
    return (code, 0, skip, value)


def program(no_exec_memory):
    nr = numbers()
    rules = [statement(LOAD, ARCH_OFFSET), (EQUAL, 1, 0, ARCH_X86_64), statement(RETURN, KILL),
             statement(LOAD, NR_OFFSET)]
    families = [(EQUAL, 3 - i, 0, family) for i, family in enumerate((AF_UNIX, AF_INET, AF_INET6))]
    rules += [unless(EQUAL, nr["socket"], 6), statement(LOAD, ARGUMENT_OFFSET), *families,
              statement(RETURN, ERROR | errno.EAFNOSUPPORT), statement(LOAD, NR_OFFSET)]
    if no_exec_memory:
        third = ARGUMENT_OFFSET + 16
        for call, bits in (("mmap", None), ("mprotect", 4), ("pkey_mprotect", 4)):
            checks = [statement(LOAD, third)]
            if bits is None:  # PROT_WRITE and PROT_EXEC together
                checks += [(SET, 0, 2, 2), (SET, 0, 1, 4), statement(RETURN, ERROR | errno.EPERM)]
            else:
                checks += [(SET, 0, 1, bits), statement(RETURN, ERROR | errno.EPERM)]
            rules += [unless(EQUAL, nr[call], len(checks)), *checks, statement(LOAD, NR_OFFSET)]
    for one in allowed():
        rules += [unless(EQUAL, one, 1), statement(RETURN, ALLOW)]
    return rules + [statement(RETURN, ERROR | errno.EPERM)]


def confine(no_exec_memory):
    rules = program(no_exec_memory)
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *rule) for rule in rules))
    filtering = ctypes.create_string_buffer(struct.pack("@HP", len(rules), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, filtering):
        raise OSError(ctypes.get_errno(), "the filter was not taken")


def main():
    arguments = sys.argv[1:]
    no_exec_memory = arguments[0] == "--no-exec-memory"
    argv = arguments[arguments.index("--") + 1:]
    os.environ.update(pair.split("=", 1) for pair in os.environ.pop("CONFINED_ENV", "").split() if pair)
    confine(no_exec_memory)
    os.execvp(argv[0], argv)


main()
