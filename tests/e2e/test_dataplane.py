"""The data path under peers that do what they should not, or do it at the worst moment: what comes out on the other
side must be right to the byte, and nothing may stay behind."""

import base64
import contextlib
import os
import socket
import ssl
import threading
import time

import pytest

import h2wire
from harness import SANITIZED, Edge, HttpOrigin, RawOrigin, WireError
from origins import reset_on_close

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
KEY = base64.b64encode(b"0123456789abcdef").decode()
HANDSHAKE = (
    "GET /ws HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
)


def accept_for(request):
    """The 101 that a box gives to `request`."""
    import hashlib

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


# ---- heads


def test_an_oversized_head_that_came_in_parts_is_logged_as_it_was(edge):
    host = edge.host(1)
    with edge.connect() as client:
        client.send(f"DELETE /large HTTP/1.1\r\nHost: {host}\r\nX: ".encode() + b"a" * 20000)
        time.sleep(0.05)
        client.send(b"a" * 20000 + b"\r\n\r\n")
        assert client.read_message(request_method="DELETE").status == 431
    line = edge.wait_for_line(path="/large")
    assert line["method"] == "DELETE" and line["status"] == 431


def test_a_refused_request_can_be_read_while_its_rest_still_comes(edge):
    """Closing with unread bytes would reset the connection and take the answer with it."""
    with box(edge, OK) as (_, host):
        with edge.connect() as client:
            client.send(f"POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n".encode())
            time.sleep(0.2)
            for _ in range(20):
                client.send(b"x" * 1000)
                time.sleep(0.005)
            assert client.read_message(request_method="POST").status == 400
            assert client.wait_closed() == "eof"


def test_connection_names_many_fields(edge):
    """What Connection names is removed, or the request is refused, however long the list is."""
    seen = []

    def handler(conn):
        while (request := conn.read_request()) is not None:
            seen.append(request)
            conn.send(OK)

    with box(edge, handler) as (_, host):
        names = ", ".join(f"a{i}" for i in range(100))
        answer = edge.get(host, fields=[f"Connection: {names}, x-hop", "X-Hop: secret"])
        assert answer.status == 400 or seen[0].get("x-hop") is None


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
    """A box that sends a body to HEAD, a moment later: the next request must not take it for its answer."""

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
        time.sleep(0.3)  # it is all in the edge's socket
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
    """The kernel's queue is long: between two moments in which it takes more, such a client needs longer than one may
    take nothing at all."""
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
        edge.wait_until(lambda: metric(edge, "exchanges_open") == 0, 10, "the end of one that does not read")


# ---- requests


def test_an_upload_whose_client_half_closes_while_it_is_held(edge):
    """FIN behind a complete upload is no departure, even where the edge has taken only a part of it."""
    body = os.urandom(400_000)
    go = threading.Event()

    def handler(conn):
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        conn.read_head()
        go.wait(10)
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        assert conn.read_exactly(len(body)) == body
        conn.send(OK)

    for kind in ("plain", "tls"):
        for size in (110_000, 150_000, 170_000, 200_000, 400_000):
            go.clear()
            part = body[:size]

            def handler(conn, part=part):
                conn.read_head()
                go.wait(10)
                assert conn.read_exactly(len(part)) == part
                conn.send(OK)

            with RawOrigin(handler) as origin:
                origin.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
                host = edge.create_preview(origin)
                with edge.connect(kind, host) as client:
                    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
                    client.send(f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: {size}\r\n\r\n".encode() + part)
                    client.half_close()
                    time.sleep(1.3)  # the edge looks for departures once a second
                    go.set()
                    assert client.read_answer("POST").status == 200, (kind, size)
                edge.command("preview", "delete", "box", origin.port)


def test_pipelined_requests_with_bodies(edge, preview):
    import json

    one = f"POST /echo HTTP/1.1\r\nHost: {preview}\r\nContent-Length: %d\r\n\r\n"
    sizes = [0, 1, 40_000, 90_000, 7, 120_000, 300_000, 3]
    data = b"".join((one % n).encode() + b"b" * n for n in sizes)
    with edge.connect() as client:
        sender = threading.Thread(target=client.send, args=(data,))
        sender.start()
        for n in sizes:
            answer = client.read_message(request_method="POST")
            assert answer.status == 200 and json.loads(answer.body)["body_bytes"] == n
        sender.join()


@pytest.mark.parametrize("together", [True, False])
def test_an_empty_line_behind_a_body_begins_no_request(make_edge, origin, together):
    """Old clients send one (RFC 9112 section 2.2): the connection is idle after it, not in the middle of a head."""
    edge = make_edge(config={"timeouts": {"head": "300ms", "keep_alive": "5s"}})
    host = edge.create_preview(origin)
    post = f"POST /echo HTTP/1.1\r\nHost: {host}\r\nContent-Length: 3\r\n\r\nabc".encode()
    with edge.connect() as client:
        for _ in range(2):
            client.send(post + (b"\r\n" if together else b""))
            assert client.read_message(request_method="POST").status == 200
            if not together:
                client.send(b"\r\n")
            assert client.is_silent(1)


def test_one_access_line_for_each_request(edge):
    """With what was sent and how it ended, also for requests that were refused, cut, or left by their client."""

    def handler(conn):
        while (request := conn.read_request()) is not None:
            if request.target.startswith("/cut"):
                conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
                return
            if request.target.startswith("/hang"):
                conn.read_to_end()
                return
            conn.send(OK)

    with box(edge, handler) as (origin, host):
        start = len(edge.access.lines)
        post = "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Length: 5\r\n{}\r\nhello"
        get = "GET {} HTTP/1.1\r\nHost: {}\r\n{}\r\n"
        for data, close in (
            (post.format("/a?preview_token=geheim&x=1", host, "Authorization: Bearer geheim\r\nCookie: a=geheim\r\n"), 0),
            (get.format("/nobody", edge.host(1), "X-Preview-Token: geheim\r\n"), 0),
            (get.format("/foreign", "elsewhere.test", ""), 0),
            (get.format("/folded", host, "A: b\r\n c\r\n"), 0),
            (get.format("/cut", host, ""), 0),
            (post.format("/chunk", host, "").replace("Content-Length: 5", "Transfer-Encoding: chunked"), 0),
            (get.format("/hang", host, ""), 1),
        ):
            with edge.connect() as client:
                client.send(data.encode())
                if close:
                    origin.wait(lambda o: any(r.target == "/hang" for r in o.requests))
                    client.reset()
                else:
                    client.read_message(request_method=data.split(" ")[0])
        lines = edge.wait_for_line(start=start, count=7)
        edge.get(host, "/last")
        edge.wait_for_line(path="/last", start=start)
        lines = [line for line in edge.access.lines[start:] if line["path"] != "/last"]
    found = sorted((x["path"], x["status"], x["request_bytes"], x["response_bytes"] if x["status"] == 200 else None,
                    x["end"], x.get("reason")) for x in lines)
    assert found == [
        ("/a?preview_token=***&x=1", 200, 5, 2, "complete", None),
        ("/chunk", 400, 0, None, "complete", "bad_chunk"),
        ("/cut", 200, 0, 3, "cut", "origin_closed"),
        ("/folded", 400, 0, None, "complete", "bad_request"),
        ("/foreign", 421, 0, None, "complete", "wrong_host"),
        ("/hang", 0, 0, None, "client_gone", None),
        ("/nobody", 404, 0, None, "complete", "preview_not_found"),
    ]
    assert "geheim" not in str(lines)


# ---- tunnels


@pytest.mark.parametrize("kind", ["plain", "tls"])
@pytest.mark.parametrize("size", [10, 1_000_000])
def test_the_box_half_closes_first_and_goes_on_reading(edge, kind, size):
    sent = os.urandom(size)
    got = []

    def handler(conn):
        conn.send(accept_for(conn.read_request()) + b"last words")
        conn.half_close()
        time.sleep(0.2)
        got.append(conn.read_to_end())

    with box(edge, handler) as (origin, host):
        with open_tunnel(edge, host, kind) as client:
            assert client.read_to_end() == b"last words" and client.ended == "eof"
            client.send(sent)
            client.half_close()
            assert origin.connections[0].done.wait(10)
        assert got == [sent]


@pytest.mark.parametrize("kind", ["plain", "tls"])
def test_no_byte_is_lost_where_both_ended_and_the_box_reads_late(edge, kind):
    sent = os.urandom(2_000_000)
    got = []
    read_on = threading.Event()

    def handler(conn):
        conn.send(accept_for(conn.read_request()))
        conn.half_close()
        read_on.wait(10)
        got.append(conn.read_to_end())

    with RawOrigin(handler) as origin:
        origin.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        host = edge.create_preview(origin)
        with open_tunnel(edge, host, kind) as client:
            assert client.read_to_end() == b""
            sender = threading.Thread(target=lambda: (client.send(sent), client.half_close()))
            sender.start()
            time.sleep(0.3)
            read_on.set()
            sender.join()
            assert origin.connections[0].done.wait(20)
        assert len(got[0]) == len(sent) and got == [sent]
        edge.command("preview", "delete", "box", origin.port)


@pytest.mark.parametrize("kind", ["plain", "tls"])
def test_no_byte_is_lost_where_both_ended_and_the_client_reads_late(edge, kind):
    sent = os.urandom(2_000_000)

    def handler(conn):
        conn.send(accept_for(conn.read_request()))
        assert conn.read_to_end() == b"bye"
        conn.send(sent)
        conn.half_close()

    with box(edge, handler) as (_, host), open_tunnel(edge, host, kind) as client:
        client.send(b"bye")
        client.half_close()
        time.sleep(0.3)
        assert client.read_to_end() == sent
        assert client.ended == "eof"


def test_a_box_that_ended_and_does_not_read_is_left_in_time(make_edge):
    """Both sides have ended; what the client sent still waits for a box that never takes it: not for ever."""
    edge = make_edge(config={"timeouts": {"write_idle": "1s"}})
    held = threading.Event()

    def handler(conn):
        conn.send(accept_for(conn.read_request()))
        conn.half_close()
        held.wait(30)

    def taken():
        return metric(edge, "request_body_bytes_total")

    with RawOrigin(handler) as origin:
        origin.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        host = edge.create_preview(origin)
        with open_tunnel(edge, host) as client:  # how much fits between this client and the box
            client.sock.setblocking(False)
            before, capacity, until = 0, 1, time.monotonic() + 10
            while capacity != before and time.monotonic() < until:
                before = capacity
                deadline = time.monotonic() + 0.5
                while time.monotonic() < deadline:
                    try:
                        client.sock.send(bytes(65536))
                    except BlockingIOError:
                        time.sleep(0.02)
                capacity = taken()
            client.reset()
        edge.wait_until(lambda: metric(edge, "tunnels_open") == 0, 5, "the first tunnel's end")
        with open_tunnel(edge, host) as client:
            client.send(bytes(capacity - 20_000))
            client.half_close()
            edge.wait_until(lambda: taken() == 2 * capacity - 20_000, 5, "all being taken")
            assert metric(edge, "tunnels_open") == 1
            edge.wait_until(lambda: metric(edge, "tunnels_open") == 0, 10, "the tunnel's end")
        held.set()


@pytest.mark.parametrize("kind", ["plain", "tls"])
def test_a_box_that_half_closes_and_then_breaks(edge, kind):
    """The client, which still sends, is told that nobody listens any more."""

    def handler(conn):
        conn.send(accept_for(conn.read_request()))
        conn.half_close()
        conn.read_exactly(1)
        reset_on_close(conn.sock)

    with box(edge, handler) as (_, host), open_tunnel(edge, host, kind) as client:
        assert client.read_to_end() == b""
        with pytest.raises(ConnectionError):
            for _ in range(500):
                client.send(bytes(1000))
                time.sleep(0.01)
    assert edge.wait_for_line(host=host)["end"] == "cut"


def test_a_drained_tunnel_whose_box_has_ended(make_edge):
    """Nothing can be said to the client any more: the edge must end well."""
    edge = make_edge(config={"timeouts": {"drain": "1s"}})

    def handler(conn):
        conn.send(accept_for(conn.read_request()) + b"\x82\x01x")
        conn.half_close()
        conn.read_to_end()

    with RawOrigin(handler) as origin:
        host = edge.create_preview(origin)
        clients = [open_tunnel(edge, host, kind) for kind in ("plain", "tls")]
        for client in clients:
            assert client.read_to_end() == b"\x82\x01x"
        edge.stop()


def test_a_drained_tunnel_whose_both_sides_have_ended(make_edge):
    """The client has not read all yet when its turn to be told comes."""
    edge = make_edge(config={"timeouts": {"drain": "3s"}})
    frame = b"\x82\x7f" + (30_000_000).to_bytes(8, "big")

    def handler(conn):
        conn.send(accept_for(conn.read_request()))
        conn.read_to_end()
        conn.send(frame + bytes(30_000_000))

    with RawOrigin(handler) as origin:
        host = edge.create_preview(origin)
        client = open_tunnel(edge, host)
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.half_close()
        edge.stop()


def test_a_tunnel_that_opens_while_the_edge_drains_is_closed_with_1012(make_edge):
    edge = make_edge(config={"timeouts": {"drain": "4s"}})
    go = threading.Event()

    def handler(conn):
        request = conn.read_request()
        go.wait(10)
        conn.send(accept_for(request))
        conn.read_to_end()

    with RawOrigin(handler) as origin:
        host = edge.create_preview(origin)
        with edge.connect() as client:
            client.send(HANDSHAKE.format(host=host).encode())
            origin.wait_requests(1)
            edge.process.terminate()
            edge.stderr.wait_for(lambda line: "drain" in line, 5)
            time.sleep(0.2)
            go.set()
            assert client.read_message(request_method="GET").status == 101
            frame = client.read_to_end()
            assert frame[:4] == b"\x88" + bytes([frame[1]]) + (1012).to_bytes(2, "big")
    assert edge.process.wait(15) == 0
    edge._collect()
    edge.process = None
    edge.check_reports()


def open_h2_tunnel(client):
    stream = client.request("/ws", "CONNECT", [(":protocol", "websocket"), ("sec-websocket-version", "13")], end=False)
    while client.answer(stream).status is None:
        client.turn()
    assert client.answer(stream).status == 200
    return stream


@pytest.mark.parametrize("order", ["box first", "client first", "client first, box reads late"])
def test_both_ends_of_an_http2_tunnel(edge, order):
    sent, answered = os.urandom(500_000), os.urandom(500_000)
    got = []
    read_on = threading.Event()

    def handler(conn):
        conn.send(accept_for(conn.read_request()))
        if order == "client first":
            got.append(conn.read_to_end())
            conn.send(answered)
            return
        conn.send(answered)
        conn.half_close()
        read_on.wait(10)
        got.append(conn.read_to_end())

    with RawOrigin(handler) as origin:
        if "late" in order:
            origin.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        host = edge.create_preview(origin)
        with h2wire.Client(edge, host, validate=False) as client:
            stream = open_h2_tunnel(client)
            if order == "box first":
                while not client.answer(stream).ended:
                    client.turn()
                read_on.set()
            elif order == "client first":
                read_on.set()
            else:
                threading.Timer(1, read_on.set).start()
            client.send(stream, sent, end=True)
            while not client.answer(stream).ended:
                client.turn()
            assert client.answer(stream).body == answered
            assert origin.connections[0].done.wait(10)
            assert client.answer(stream).reset is None
        assert got == [sent]
        edge.command("preview", "delete", "box", origin.port)


def test_drained_http2_tunnels(make_edge):
    """One whose box has ended, one in the middle of a frame, one between frames."""
    edge = make_edge(config={"timeouts": {"drain": "1500ms"}})
    first = {"/ended": b"\x82\x01x", "/within": b"\x82\x05x", "/between": b"\x82\x01x"}

    def handler(conn):
        request = conn.read_request()
        conn.send(accept_for(request) + first[request.target])
        if request.target == "/ended":
            conn.half_close()
        conn.read_to_end()

    with RawOrigin(handler) as origin:
        host = edge.create_preview(origin)
        with h2wire.Client(edge, host, validate=False) as client:
            streams = {}
            for path, data in first.items():
                streams[path] = client.request(path, "CONNECT", [(":protocol", "websocket"),
                                                                 ("sec-websocket-version", "13")], end=False)
                while client.answer(streams[path]).body != data:
                    client.turn()
            edge.process.terminate()
            client.sock.settimeout(10)
            rest = b""  # the h2 package takes nothing after GOAWAY
            with contextlib.suppress(ssl.SSLError):  # the other two are cut at the deadline
                while piece := client.sock.recv(65536):
                    rest += piece
        goodbye = h2wire.frame(h2wire.DATA, stream=streams["/between"], payload=b"\x88\x13\x03\xf4the edge restarts")
        assert rest.count(goodbye[9:]) == 1 and goodbye[5:] in rest
    assert edge.process.wait(15) == 0
    edge._collect()
    edge.process = None
    edge.check_reports()


@pytest.mark.parametrize("extra, body", [
    ("Content-Length: 38\r\n", b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n\r\n"),
    ("Transfer-Encoding: chunked\r\n", b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("", b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"),
])
@pytest.mark.parametrize("status", [101, 200, 426])
def test_a_handshake_smuggles_nothing(edge, extra, body, status):
    """What comes behind a handshake goes into the tunnel, or is a request to the edge: never a second one to the box."""

    def handler(conn):
        request = conn.read_request()
        if status == 101:
            conn.send(accept_for(request))
            conn.after = conn.read_exactly(len(body))
            return
        conn.send(b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\nok" % status)
        conn.after = conn.read_to_end()

    with box(edge, handler) as (origin, host), edge.connect() as client:
        head = HANDSHAKE.format(host=host).encode()[:-2] + extra.encode() + b"\r\n"
        client.send(head + body)
        answer = client.read_message(request_method="GET")
        if extra:
            assert answer.status == 400
            assert not origin.connections
            return
        assert answer.status == status
        if status != 101:
            assert client.read_message(request_method="GET").status == 421
            client.close()
        assert origin.connections[0].done.wait(10)
        assert origin.connections[0].after == (body if status == 101 else b"")


# ---- every byte


@pytest.mark.parametrize("how", ["fin", "half", "reset"])
def test_clients_that_leave_at_each_byte(edge, preview, how):
    request = (f"POST /echo HTTP/1.1\r\nHost: {preview}\r\nTransfer-Encoding: chunked\r\n\r\n"
               "3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n").encode()
    for n in range(len(request) + 1):
        with edge.connect() as client:
            client.send(request[:n])
            if how == "reset":
                client.reset()
            elif how == "half":
                client.half_close()
                if n == len(request):
                    assert client.read_answer("POST").status == 200
                else:
                    assert client.read_to_end() == b""
    assert edge.get(preview, "/echo").status == 200


def test_responses_that_come_in_two_pieces_at_each_byte(edge):
    answers = [
        b"HTTP/1.1 103 E\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nhel\r\n2\r\nlo\r\n0\r\nX-T: 1\r\n\r\n",
    ]
    plan = [(a, n) for a in answers for n in range(1, len(a))]

    def handler(conn):
        while (request := conn.read_request()) is not None:
            answer, n = plan[int(request.target[1:])]
            conn.send(answer[:n])
            time.sleep(0.002)
            conn.send(answer[n:])

    with box(edge, handler) as (origin, host), edge.connect() as client:
        for i in range(len(plan)):
            answer = client.request(f"GET /{i} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert answer.status == 200 and answer.body == b"hello", plan[i]
        assert len(origin.connections) == 1


def test_boxes_that_leave_at_each_byte(edge):
    """A cut answer is never taken for a whole one."""
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"

    def handler(conn):
        n, how = map(int, conn.read_request().target[1:].split("/"))
        conn.send(answer[:n])
        if how:
            reset_on_close(conn.sock)

    with box(edge, handler) as (_, host):
        for n in range(len(answer)):
            for how in (0, 1):
                with edge.connect() as client:
                    got = client.request(f"POST /{n}/{how} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
                    assert got.status == 502 or not got.complete, (n, how)
                line = edge.wait_for_line(path=f"/{n}/{how}")
                assert (line["status"], line["end"]) in ((502, "complete"), (200, "cut")), line


# ---- bounds


@pytest.mark.parametrize("kind", ["plain", "tls"])
def test_what_is_held_for_clients_and_boxes_that_do_not_read(edge, kind):
    """At most 64 KiB a direction, as memory that a buffer occupies, whatever the number of pieces."""
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


# ---- sent again


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_box_that_closes_at_the_worst_moment(edge, method):
    """Each connection answers a few requests and closes a moment later, sometimes by reset. No GET is lost, and no
    POST comes twice."""
    import random

    rounds = 150 if SANITIZED else 500
    seen, lock = {}, threading.Lock()

    def handler(conn):
        rng = random.Random(conn.index)
        for _ in range(rng.randint(1, 3)):
            request = conn.read_request()
            if request is None:
                return
            with lock:
                seen[request.target] = seen.get(request.target, 0) + 1
            conn.send(OK)
            pause = rng.choice([0, 0, 0.0001, 0.0005, 0.001])
            if pause:
                time.sleep(pause)
        if rng.random() < 0.3:
            reset_on_close(conn.sock)

    failures = []

    def client_thread(number, host):
        body = b"hello" if method == "POST" else b""
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        with edge.connect() as client:
            for i in range(rounds):
                head = f"{method} /{number}/{i} HTTP/1.1\r\nHost: {host}\r\n{length}\r\n"
                answer = client.request(head.encode() + body)
                if answer.status != 200:
                    failures.append((number, i, answer.status, answer.body))

    with box(edge, handler) as (_, host):
        threads = [threading.Thread(target=client_thread, args=(n, host)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if method == "GET":
        assert not failures
        assert len(seen) == 4 * rounds
    else:
        assert max(seen.values()) == 1, "a POST came twice"
        assert all(status == 502 for _, _, status, _ in failures)


# ---- connections


def test_the_kernel_watches_over_clients_that_say_nothing(edge):
    """Nothing of ours bounds a quiet tunnel, so that a client that vanished must be found by keep-alive probes."""
    with edge.socket() as sock:
        mine = "%04X" % sock.getsockname()[1]
        theirs = "%04X" % edge.port["plain"]

        def probed():
            for line in open("/proc/net/tcp", encoding="ascii").read().splitlines()[1:]:
                fields = line.split()
                if fields[1].endswith(":" + theirs) and fields[2].endswith(":" + mine):
                    return fields[5].startswith("02:")  # the keep-alive timer runs
            return False

        edge.wait_until(probed, 5, "keep-alive")
