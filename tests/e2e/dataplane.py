"""Shared parts of the tests of the data path: boxes that answer with a few bytes, tunnels through the edge,
and the edge's gauges."""

import base64
import contextlib
import hashlib
import socket

import pytest

from harness import RawOrigin

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
KEY = base64.b64encode(b"0123456789abcdef").decode()
HANDSHAKE = (
    "GET /ws HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
)


def accept_for(request):
    """The 101 that a box gives to `request`."""
    key = request.get("sec-websocket-key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(key.encode()).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


@contextlib.contextmanager
def box(edge, handler, **kw):
    with RawOrigin(handler, **kw) as origin:
        host = edge.create_preview(origin)
        try:
            yield origin, host
        finally:
            edge.command("preview", "delete", "box", origin.port)


def open_tunnel(edge, host, kind="plain"):
    client = edge.connect(kind, host)
    client.send(HANDSHAKE.format(host=host).encode())
    assert client.read_message(request_method="GET").status == 101
    return client


def metric(edge, name):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(edge.admin_socket))
        sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n")
        text = b"".join(iter(lambda: sock.recv(65536), b"")).decode()
    for line in text.splitlines():
        if line.startswith(f"boxedge_{name} "):
            return int(line.split()[1])
    raise KeyError(name)


GAUGES = ("exchanges_open", "tunnels_open", "buffered_bytes")


@pytest.fixture(autouse=True)
def nothing_stays(request):
    """After each test: no exchange, no tunnel, no buffered byte is left."""
    yield
    if "edge" in request.fixturenames:
        edge = request.getfixturevalue("edge")
        edge.wait_until(lambda: all(metric(edge, name) == 0 for name in GAUGES), 15,
                        f"{GAUGES} back at zero")
