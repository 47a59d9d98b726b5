"""The kernel's table of TCP connections over IPv4 (/proc/net/tcp, proc(5)). It may lack a row while others
are added and removed."""

import socket
from pathlib import Path
from typing import NamedTuple

ESTABLISHED, FIN_WAIT1, CLOSING = 1, 4, 11
KEEP_ALIVE = 2  # Row.timer: its timer runs


class Row(NamedTuple):
    local: tuple  # (address, port)
    remote: tuple
    state: int
    sending: int   # bytes that the other side has not acknowledged
    received: int  # bytes that nobody has read
    timer: int
    inode: int     # of the socket; 0: it belongs to no process any more


def _end(text):
    address, port = text.split(":")
    return socket.inet_ntoa(bytes.fromhex(address)[::-1]), int(port, 16)


def rows():
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        _, local, remote, state, queues, timer, _, _, _, inode = line.split()[:10]
        sending, received = (int(queue, 16) for queue in queues.split(":"))
        yield Row(_end(local), _end(remote), int(state, 16), sending, received, int(timer.split(":")[0], 16), int(inode))


def of_ports(local, remote):
    """The row of one end of a connection of this machine, by the ports; None: no such row."""
    return next((row for row in rows() if (row.local[1], row.remote[1]) == (local, remote)), None)
