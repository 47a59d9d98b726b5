"""Chromium closes its connections (ERR_NETWORK_CHANGED) whenever an address or an interface of this machine
is added or removed, as parallel tests do when they bring up boxes. It learns of that over netlink, so it gets
none."""

import ctypes
import platform
import struct

PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2
AF_NETLINK, EAFNOSUPPORT = 16, 97
SOCKET = {"x86_64": 41, "aarch64": 198}
LOAD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06
ERRNO, ALLOW = 0x00050000, 0x7FFF0000


class _Program(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def without_netlink():
    """For preexec_fn: sockets of AF_NETLINK cannot be created from here on."""
    number = SOCKET.get(platform.machine())
    if number is None:
        return
    steps = [(LOAD, 0, 0, 0), (JUMP_EQUAL, 0, 3, number), (LOAD, 0, 0, 16), (JUMP_EQUAL, 0, 1, AF_NETLINK),
             (RETURN, 0, 0, ERRNO | EAFNOSUPPORT), (RETURN, 0, 0, ALLOW)]
    program = _Program(len(steps), b"".join(struct.pack("HBBI", *step) for step in steps))
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0)
