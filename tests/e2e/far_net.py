"""Two network namespaces with a slow path between them, so that TCP itself is far away (far_link.c).

`near` has the address NEAR and its own loopback, `far` has FAR. `with net.near():` moves the calling thread
into it, and everything that it starts meanwhile."""

import contextlib
import ctypes
import fcntl
import os
import pathlib
import shutil
import struct
import subprocess

SOURCE = pathlib.Path(__file__).with_name("far_link.c")
NEAR, FAR = "192.0.2.1", "192.0.2.2"
CLONE_NEWNET = 0x40000000
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000


class Unavailable(Exception):
    """Such a path cannot be made here; the sentence gives the reason."""


def _call(function, *args):
    if function(*args) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class FarNet:
    """`round_trip_ms` of the path. It reports missing abilities before it makes anything."""

    def __init__(self, directory, round_trip_ms):
        if os.geteuid() != 0:
            raise Unavailable("network namespaces need root")
        for tool in ("gcc", "ip"):
            if shutil.which(tool) is None:
                raise Unavailable(f"there is no {tool}")
        if not os.path.exists("/dev/net/tun"):
            raise Unavailable("there is no /dev/net/tun")
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.stack = contextlib.ExitStack()
        try:
            program = pathlib.Path(directory, "far_link")
            subprocess.run(["gcc", "-O2", "-Wall", "-Werror", "-o", program, SOURCE], check=True, timeout=60)
            ends = [self._end(*addresses) for addresses in ((NEAR, FAR), (FAR, NEAR))]
            (self.near_fd, near_tun), (self.far_fd, far_tun) = ends
            link = subprocess.Popen([program, str(near_tun), str(far_tun), str(round_trip_ms * 500)],
                                    stdin=subprocess.PIPE, pass_fds=(near_tun, far_tun))
            self.stack.callback(link.wait, 10)
            self.stack.callback(link.stdin.close)
        except OSError as error:
            self.stack.close()
            raise Unavailable(f"a path with a delay cannot be made here: {error}") from error

    @contextlib.contextmanager
    def _back(self):
        """The thread returns from any namespace."""
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield
        finally:
            _call(self.libc.setns, before, CLONE_NEWNET)
            os.close(before)

    def _end(self, address, other):
        with self._back():
            _call(self.libc.unshare, CLONE_NEWNET)
            namespace = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            self.stack.callback(os.close, namespace)
            tun = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
            self.stack.callback(os.close, tun)
            fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", b"path", IFF_TUN | IFF_NO_PI))
            for words in ("link set lo up", f"address add {address} peer {other} dev path",
                          "link set path up mtu 1500 txqueuelen 10000"):
                if subprocess.run(["ip", *words.split()], check=False, timeout=20).returncode != 0:
                    raise OSError(f"ip {words}")
            return namespace, tun

    @contextlib.contextmanager
    def _entered(self, namespace):
        with self._back():
            _call(self.libc.setns, namespace, CLONE_NEWNET)
            yield

    def near(self):
        return self._entered(self.near_fd)

    def far(self):
        return self._entered(self.far_fd)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stack.close()
