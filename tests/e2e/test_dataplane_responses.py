"""Responses of boxes that write, break or close at the worst moment, to clients that read late or not at all:
the other side must get the right bytes, and no state may stay behind."""

import contextlib
import os
import socket
import threading
import time

import pytest

from dataplane import OK, box, metric, nothing_stays  # noqa: F401 (a fixture)
from harness import RawOrigin


# ---- responses


@pytest.mark.parametrize("framing", ["length", "close", "chunked"])
@pytest.mark.parametrize("size", [65400, 65536, 200_000, 3_000_000])
def test_a_response_whose_head_and_body_come_at_once(edge, framing, size):
    body = os.urandom(size)
    head = {
        "length": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size,
        "close": b"HTTP/1.1 200 OK\r\n\r\n",
        "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % size,
    }[framing]
    tail = b"\r\n0\r\n\r\n" if framing == "chunked" else b""

    def handler(conn):
        while conn.read_request() is not None:
            time.sleep(0.05)
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
            conn.send(head + body + tail)
            if framing == "close":
                return

    with box(edge, handler) as (_, host):
        for kind in ("plain", "tls"):
            with edge.connect(kind, host) as client:
                answer = client.request(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode(), timeout=10)
                assert answer.complete and answer.body == body


def test_what_came_before_a_bad_chunk_is_right(edge):
    """The response is cut, and the bytes before the cut are the box's."""
    good = os.urandom(200_000)

    def handler(conn):
        conn.read_request()
        conn.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for at in range(0, len(good), 1000):
            conn.send(b"%x\r\n%s\r\n" % (1000, good[at : at + 1000]))
        conn.send(b"nonsense\r\n")
        conn.read_to_end()

    with box(edge, handler) as (_, host):
        for kind in ("plain", "tls"):
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            with edge.connect(kind, host) as client:
                client.send(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
                time.sleep(0.3)
                answer = client.read_message(request_method="GET")
                assert not answer.complete
                assert good.startswith(answer.body)
                assert len(answer.body) == len(good)


def test_a_head_response_with_a_late_body_spoils_nothing(edge):
    """A box that sends a body to HEAD, a moment later: the next request must not read it as its answer."""

    def handler(conn):
        while (request := conn.read_request()) is not None:
            if request.method == "HEAD":
                conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 41\r\n\r\n")
                time.sleep(0.002)
                conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad")
            else:
                conn.send(OK)

    with box(edge, handler) as (_, host), edge.connect() as client:
        for _ in range(50):
            assert client.request(f"HEAD / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode(), "HEAD").status == 200
            answer = client.request(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert answer.status == 200 and answer.body == b"ok"


def test_a_complete_answer_survives_the_boxs_reset(edge):
    """The box answers without reading the upload and closes, which resets the connection; the client is slow."""
    body = os.urandom(300_000)

    def handler(conn):
        conn.read_head()
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        conn.send(b"HTTP/1.1 413 X\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        time.sleep(0.3)  # all of it is in the edge's socket
        # closed with unread bytes: RST

    with box(edge, handler) as (origin, host):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        sock.connect(("127.0.0.1", edge.port["plain"]))
        sock.sendall(f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000000\r\n\r\n".encode() + b"x" * 20000)
        origin.wait_connections(1)[0].done.wait(10)
        time.sleep(1.5)
        got = b""
        with sock:
            sock.settimeout(10)
            while len(got) < len(body) and (piece := sock.recv(4096)):
                got += piece
                time.sleep(0.0005)
            got = got.split(b"\r\n\r\n", 1)[1]
            while len(got) < len(body) and (piece := sock.recv(65536)):
                got += piece
        assert got == body


@pytest.mark.parametrize("kind", ["plain", "tls"])
def test_a_slow_reader_is_not_one_that_does_not_read(make_edge, origin, kind):
    """The kernel's queue is long: such a client needs longer between two reads of it than the time allowed
    without progress."""
    edge = make_edge(config={"timeouts": {"write_idle": "1s"}})
    host = edge.create_preview(origin)
    with edge.connect(kind, host) as client:
        client.send(f"GET /bytes?n=30000000 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        time.sleep(0.3)
        until = time.monotonic() + 5
        while time.monotonic() < until:
            assert client.sock.recv(20_000)
            time.sleep(0.05)
        assert metric(edge, "exchanges_open") == 1
        edge.wait_until(lambda: metric(edge, "exchanges_open") == 0, what="the end of one that does not read")


# ---- bounds


@pytest.mark.parametrize("kind", ["plain", "tls"])
def test_what_is_held_for_clients_and_boxes_that_do_not_read(edge, kind):
    """At most 64 KiB per direction, as memory of the buffer, whatever the number of pieces."""
    count = 20
    held = threading.Event()

    def handler(conn):
        if conn.read_head().method == "GET":
            conn.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            with contextlib.suppress(TimeoutError, OSError):
                conn.sock.settimeout(2)
                while not held.is_set():
                    conn.sock.send(b"1\r\nx\r\n" * 1000)
        held.wait(20)

    with RawOrigin(handler, record=False) as origin:
        origin.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        host = edge.create_preview(origin)
        clients = []
        for i in range(count):
            client = edge.connect(kind, host)
            clients.append(client)
            if i % 2 == 0:
                client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                client.send(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            else:
                client.send(f"POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
                client.sock.settimeout(0.2)
                with contextlib.suppress(TimeoutError, OSError):
                    while True:
                        client.send(b"1\r\nx\r\n" * 1000)
        most, until = 0, time.monotonic() + 4
        while time.monotonic() < until:
            most = max(most, metric(edge, "buffered_bytes"))
            time.sleep(0.2)
        assert 0 < most <= count * 2 * 65536 * 2
        held.set()
        for client in clients:
            client.reset()
    edge.command("preview", "delete", "box", origin.port)
