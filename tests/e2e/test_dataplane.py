"""The data path under peers that do what they should not, or do it at the worst moment: what comes out on the other
side must be right to the byte, and nothing may stay behind."""

import base64
import contextlib
import os
import socket
import threading
import time

import pytest

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
                    assert client.read_message(request_method="POST").status == 200, (kind, size)
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
