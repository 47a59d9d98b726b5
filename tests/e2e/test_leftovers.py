"""Leftovers of an exchange on a connection to an app never become part of another client's exchange: unread
bodies, trailers, bytes behind an answer without a body."""

import contextlib
import fcntl
import os
import pathlib
import signal
import struct
import subprocess
import sys
import termios
import threading

import pytest

from api_world import api_config, call
from h2origin import H2Origin
from harness import PORTS, ROOT, SLOW, PATIENCE, RawOrigin

VENV = ROOT / "build/venv"
ROUNDS = 5
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def _has(package):
    return bool(list(VENV.glob(f"lib/python3*/site-packages/{package}")))


SERVERS = [
    pytest.param("http.server", id="http.server"),
    pytest.param("flask", id="flask", marks=pytest.mark.skipif(not _has("flask"), reason="Flask is not in build/venv")),
]


@contextlib.contextmanager
def app_of(edge, kind):
    """The app's preview; the app listens before the tests begin."""
    port = PORTS.take()
    python = sys.executable if kind == "http.server" else str(VENV / "bin/python")
    with subprocess.Popen([python, str(ROOT / "tests/e2e/leftover_app.py"), kind, str(port)],
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            host = edge.create_preview(port)
            edge.wait_until(lambda: edge.get(host, "/up").status == 200, PATIENCE * SLOW, "the app's start")
            yield host
        finally:
            process.kill()


def stowaway(method, host, chunked):
    """A request whose body is the beginning of another one, which the next client's head would complete."""
    inside = b"GET /chosen HTTP/1.1\r\nHost: x\r\nX-Swallow: "
    head = f"{method} /first HTTP/1.1\r\nHost: {host}\r\n"
    if chunked:
        return (head + "Transfer-Encoding: chunked\r\n\r\n").encode() + b"%x\r\n%s\r\n0\r\n\r\n" % (len(inside), inside)
    return (head + f"Content-Length: {len(inside)}\r\n\r\n").encode() + inside


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "GET"])
@pytest.mark.parametrize("kind", SERVERS)
def test_an_unread_body_is_nobodys_request(make_edge, kind, method, chunked):
    edge = make_edge(workers=1)  # both clients meet in one pool
    with app_of(edge, kind) as host:
        for i in range(ROUNDS):
            with edge.connect("plain") as one, edge.connect("plain") as other:
                assert one.request(stowaway(method, host, chunked), method).status == 200
                mine = other.request(f"GET /mine HTTP/1.1\r\nHost: {host}\r\nCookie: me={i}\r\n\r\n".encode())
                assert mine.body == f"/mine me={i}".encode()


@pytest.mark.skipif(not _has("aiohttp"), reason="aiohttp is not in build/venv")
def test_trailers_are_no_fields_of_the_next_request(make_edge):
    edge = make_edge(workers=1)
    with app_of(edge, "aiohttp") as host:
        for _ in range(ROUNDS):
            with edge.connect("plain") as one, edge.connect("plain") as other:
                one.send(f"POST /first HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n"
                         "Expect: 100-continue\r\n\r\n".encode())
                assert one.read_message().status == 100
                one.send(b"2\r\nhi\r\n0\r\nX-Trailing: 1\r\n\r\n")
                assert one.read_message().body == b"/first -"
                second = other.request(f"GET /mine HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
                assert second.body == b"/mine -"


def test_trailers_go_to_apps_over_http2_only(make_edge):
    edge = make_edge(workers=1)
    # Apps that name fields as CGI does read `_` as `-`.
    sent = ["X-Sum: 5", "x_forwarded_for: 6.6.6.6", "X_Request_Id: 1", "Content_Length: 9", "X-Named: 1",
            "authorization_: fine"]
    with H2Origin() as h2c, RawOrigin(OK) as plain:
        for origin, options in ((h2c, ["--protocol", "h2c"]), (plain, [])):
            host = edge.create_preview(origin, "box", *options)
            with edge.connect("plain") as client:
                client.send(f"POST /echo HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n"
                            "Connection: X-Named\r\n\r\n".encode())
                origin.wait_connections(1)
                if origin is plain:  # the head goes before the body has come: chunked
                    edge.wait_until(lambda: plain.received, PATIENCE, "the head")
                client.send(("2\r\nhi\r\n0\r\n" + "\r\n".join(sent) + "\r\n\r\n").encode())
                assert client.read_message().status == 200
        got = h2c.calls[0].trailers
        assert [name for name, _ in got] == ["x-sum", "authorization_"]
        assert plain.requests[0].trailers == [] and plain.requests[0].body == b"hi"
        assert plain.received.endswith(b"2\r\nhi\r\n0\r\n\r\n")


WITHOUT_BODY = {
    "head": ("HEAD", b"HTTP/1.1 200 OK\r\n\r\n"),
    "204": ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
    "304": ("GET", b"HTTP/1.1 304 Not Modified\r\n\r\n"),
}


@pytest.mark.parametrize("kind", WITHOUT_BODY)
def test_late_bytes_behind_an_answer_without_a_body(make_edge, kind):
    """The app sends a body at the worst time: when it has the next request."""
    method, head = WITHOUT_BODY[kind]

    def app(conn):
        conn.read_request()
        conn.send(head if conn.index == 0 else OK)
        if conn.read_request() is not None:
            conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen" + OK)

    edge = make_edge(workers=1)
    with RawOrigin(app) as origin:
        host = edge.create_preview(origin)
        assert edge.get(host, method=method).status in (200, 204, 304)
        assert edge.get(host, "/mine").body == b"ok"
        assert [len(conn.requests) for conn in origin.connections] == [1, 1]


def has_arrived(sock):
    """The peer's kernel has all sent bytes."""
    return struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))[0] == 0


def is_stopped(pid):
    return pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] == "T"


WEBSOCKET = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
             "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==")
NEXT = {**{method: (method, ()) for method in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "POST", "PATCH")},
        "PUT-empty": ("PUT", ("Content-Length: 0",)), "websocket": ("GET", WEBSOCKET)}


@pytest.mark.parametrize("kind", NEXT)
def test_a_pooled_connection_is_looked_at_before_it_is_used(make_edge, kind):
    """The app sends bytes on an idle connection. They and the next request lie in the worker's sockets when
    it continues, and it reads the request first (libh2o's loop takes the last socket of a turn first): the
    request goes to the app on a separate connection."""
    late, sent = threading.Event(), threading.Event()

    def app(conn):
        requests = 0
        while conn.read_request() is not None:
            conn.send(OK)
            requests += 1
            if conn.index == 0 and requests == 2:
                assert late.wait(PATIENCE)
                conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen")
                while not has_arrived(conn.sock):
                    pass
                sent.set()

    edge = make_edge(workers=1)
    method, fields = NEXT[kind]
    with RawOrigin(app) as origin, edge.connect("plain") as client:
        host = edge.create_preview(origin)
        for _ in range(2):
            assert client.request(f"GET /first HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()).body == b"ok"
        assert [len(conn.requests) for conn in origin.connections] == [2]  # it is used again
        (worker,) = edge.pids("worker")
        os.kill(worker, signal.SIGSTOP)
        try:
            edge.wait_until(lambda: is_stopped(worker), what="the worker's stop")
            late.set()
            assert sent.wait(PATIENCE)
            client.send("\r\n".join((f"{method} /mine HTTP/1.1", f"Host: {host}", *fields, "", "")).encode())
            edge.wait_until(lambda: has_arrived(client.sock), what="the request")
        finally:
            os.kill(worker, signal.SIGCONT)
        answer = client.read_message(request_method=method)
        assert answer.body != b"stolen"
        if kind != "websocket":
            assert (answer.status, answer.body) == (200, b"" if method == "HEAD" else b"ok")
        origin.wait_requests(3)
        assert [[message.target for message in conn.requests] for conn in origin.connections] == [["/first"] * 2,
                                                                                              ["/mine"]]


@pytest.mark.parametrize("pooled", [True, False])
def test_servers_of_an_upstream_are_trusted_unless_they_are_not(make_edge, pooled):
    with RawOrigin(OK) as server:
        edge = make_edge(workers=1, config=api_config([server.port], upstream={"pool_after_body": pooled}))
        for _ in range(4):
            assert call(edge, method="POST", body=b"hi").status == 200
        assert len(server.connections) == (1 if pooled else 4)
        assert all((request.get("Connection") == "close") is not pooled for request in server.requests)


def test_an_app_may_close_first(make_edge):
    """The app is asked to close first; if it does, the TIME_WAIT is its own."""
    ended = []

    def app(conn):
        request = conn.read_request()
        conn.send(OK)
        conn.half_close()
        ended.append((request.get("Connection"), conn.wait_closed()))

    edge = make_edge(workers=1)
    with RawOrigin(app) as origin:
        host = edge.create_preview(origin)
        for _ in range(3):
            assert edge.get(host, method="POST", body=b"hi").status == 200
        origin.wait(lambda _: len(ended) == 3)
        assert [close for close, _ in ended] == ["close"] * 3
