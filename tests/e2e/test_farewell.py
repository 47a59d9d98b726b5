"""Connections that the edge has ended and whose last bytes the client does not take (edge/farewell.h)."""

import contextlib
import socket
import sys
import time
from pathlib import Path

import pytest

import tcp_table
from harness import PATIENCE, ROOT

sys.path.append(str(Path(ROOT, "bench/lib")))
import attacks  # noqa: E402

SIZE = 90_000  # the kernel takes all of it, so that the exchange is complete
BOXES = [{"id": "box", "address": "127.0.0.1"}]


def ended(edge, kind="plain"):
    """The rows of a listener's connections whose direction the edge has ended and the client has not acknowledged."""
    return [row for row in tcp_table.rows()
            if row.local[1] == edge.port[kind] and row.state in (tcp_table.FIN_WAIT1, tcp_table.CLOSING)]


def unread(edge, host, source="127.0.0.1", size=SIZE):
    """A connection with a complete response that its client does not read."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(PATIENCE)
    sock.bind((source, 0))
    sock.connect(("127.0.0.1", edge.port["plain"]))
    sock.sendall(f"GET /bytes?n={size} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    return sock


def unread_http2(edge, host):
    sock = attacks.Target(edge, host, "").connect_h2(window=1 << 30, receive_buffer=4096)
    sock.sendall(attacks.frame(attacks.HEADERS, attacks.END_STREAM | attacks.END_HEADERS, 1,
                               attacks.head(host, f"/bytes?n={SIZE}")))
    edge.wait_for_line(status=200)
    sock.sendall(attacks.frame(7, payload=bytes(8)))  # GOAWAY: the last stream is over
    return sock


def make(make_edge, origin, write_idle="60s", **config):
    config = {"limits": {"connections_per_client": 0, **config.pop("limits", {})},
              "timeouts": {"write_idle": write_idle, **config.pop("timeouts", {})}, **config}
    edge = make_edge(workers=1, kinds=("plain", "tls"), boxes=BOXES, config=config)
    return edge, edge.create_preview(origin)


def read_rest(sock):
    """The number of bytes that still come."""
    size = 0
    with contextlib.suppress(OSError):
        while data := sock.recv(65536):
            size += len(data)
    return size


@pytest.mark.parametrize("kind, begin", [("plain", unread), ("tls", unread_http2)])
def test_a_client_that_takes_nothing_is_reset(make_edge, origin, kind, begin):
    """Before, the kernel kept the bytes for minutes."""
    edge, host = make(make_edge, origin, "1s")
    with begin(edge, host) as sock:
        edge.wait_until(lambda: ended(edge, kind), what="the edge to end the connection")
        edge.wait_until(lambda: not ended(edge, kind), what="a reset")
        assert read_rest(sock) < SIZE


def test_a_slow_reader_gets_everything(make_edge, origin):
    """For longer than `write_idle`, but not without progress."""
    edge, host = make(make_edge, origin, "2s")
    with unread(edge, host) as sock:
        edge.wait_until(lambda: ended(edge), what="the edge to end the connection")
        size, begin = 0, time.monotonic()
        while data := sock.recv(SIZE // 16):
            size += len(data)
            if time.monotonic() - begin < 6:
                time.sleep(0.4)
        assert size > SIZE
    edge.wait_until(lambda: not ended(edge), what="the end")


def test_one_address_has_its_part(make_edge, origin):
    """Of 8 MiB: 2 MiB for all, 256 KiB for an address. Another address is not concerned."""
    edge, host = make(make_edge, origin, limits={"memory": "8MiB"})
    with contextlib.ExitStack() as stack:
        other = stack.enter_context(unread(edge, host, "127.0.0.2"))
        edge.wait_until(lambda: len(ended(edge)) == 1, what="the edge to end the connection")
        for n in range(20):
            stack.enter_context(unread(edge, host))
            edge.wait_for_line(count=n + 2, status=200)
        edge.wait_until(lambda: all(row.inode for row in ended(edge)), what="none to be the kernel's alone")
        mine = [row.sending for row in ended(edge) if row.remote[0] == "127.0.0.1"]
        assert mine and sum(mine) <= 256 * 1024
        assert read_rest(other) > SIZE


def test_a_drain_does_not_wait_for_it(make_edge, origin):
    edge, host = make(make_edge, origin, timeouts={"drain": "120s"})
    with unread(edge, host) as sock:
        edge.wait_until(lambda: ended(edge), what="the edge to end the connection")
        edge.stop()
        assert read_rest(sock) > SIZE  # the kernel still sends it
