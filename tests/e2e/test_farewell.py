"""Connections that the edge has ended and whose last bytes the client, or the app, does not read
(edge/exchange/farewell.h)."""

import contextlib
import errno
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

import tcp_table
from harness import PATIENCE, ROOT, RawOrigin

sys.path.append(str(Path(ROOT, "bench/lib")))
import attacks  # noqa: E402

SIZE = 90_000  # the kernel takes all of it, so that the exchange is complete
BOXES = [{"id": "box", "address": "127.0.0.1"}, {"id": "other", "address": "127.0.0.1"}]


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
    """The number of bytes that still arrive."""
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


# ---- whole requests that their app does not read


class Unreading(RawOrigin):
    """An app that reads nothing until its test allows it."""

    def __init__(self):
        self.over = threading.Event()
        super().__init__(lambda conn: self.over.wait(60), receive_buffer=4096)

    def __exit__(self, *exception):
        self.over.set()
        return super().__exit__(*exception)

    def rows(self):
        """Of the edge's ends of its connections."""
        return [row for row in tcp_table.rows() if row.remote[1] == self.port and row.inode != 0]

    def ended(self):
        """The rows of the connections whose direction the edge has ended; some may be the kernel's alone."""
        return [row for row in tcp_table.rows()
                if row.remote[1] == self.port and row.state in (tcp_table.FIN_WAIT1, tcp_table.CLOSING)]


def upload(edge, app, host, source="127.0.0.1"):
    """The kernel takes all of it; then the client leaves. Returns the app's end."""
    count = len(app.connections)
    with socket.create_connection(("127.0.0.1", edge.port["plain"]), PATIENCE, (source, 0)) as sock:
        sock.sendall(f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: {SIZE}\r\n\r\n".encode() + bytes(SIZE))
        app.wait(lambda _: len(app.connections) > count)
        box = app.connections[count].sock

        def whole():
            ends = [row for row in tcp_table.rows() if row.local[1] == app.port and row.remote == box.getpeername()]
            mine = [row for row in app.rows() if row.local == box.getpeername()]
            return ends and mine and ends[0].received + mine[0].sending >= SIZE

        edge.wait_until(whole, what="the upload to be whole")
    return box


def test_an_app_that_takes_nothing_is_reset(make_edge):
    """Before, the kernel kept the bytes for minutes."""
    with Unreading() as app:
        edge, host = make(make_edge, app, "1s")
        box = upload(edge, app, host)
        edge.wait_until(app.ended, what="the edge to end the connection")
        assert all(row.inode for row in app.ended())
        edge.wait_until(lambda: box.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET, what="the reset")
        assert not app.ended()


def test_a_slow_app_gets_the_whole_request(make_edge):
    """For longer than `write_idle`, but not without progress. A reset could lose a request that had arrived
    whole."""
    with Unreading() as app:
        edge, host = make(make_edge, app, "5s")
        box = upload(edge, app, host)
        edge.wait_until(app.ended, what="the edge to end the connection")
        size, begin = 0, time.monotonic()
        while data := box.recv(SIZE // 16):
            size += len(data)
            if time.monotonic() - begin < 11:
                time.sleep(0.7)
        assert size > SIZE
        edge.wait_until(lambda: not app.ended(), what="the end")


@pytest.mark.parametrize("source", ["127.0.0.1", "127.1.0.{}"], ids=["one address", "one box"])
def test_requests_have_their_part(make_edge, source):
    """Of 8 MiB: 256 KiB for a client address, and for a box. Others are not concerned."""
    with Unreading() as app, Unreading() as fine:
        edge, host = make(make_edge, app, limits={"memory": "8MiB"})
        other = upload(edge, fine, edge.create_preview(fine, "other"), "127.0.0.2")
        edge.wait_until(fine.ended, what="the edge to end the connection")
        for n in range(10):
            upload(edge, app, host, source.format(n + 1))
            edge.wait_until(lambda: not [row for row in app.rows() if row.state == tcp_table.ESTABLISHED],
                            what="the edge to end the connection")
        assert all(row.inode for row in app.ended())
        sending = [row.sending for row in app.ended()]
        assert sending and sum(sending) <= 256 * 1024
        assert read_rest(other) > SIZE
