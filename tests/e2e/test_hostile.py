"""Hostile clients over HTTP/1: each attack is bounded in count and time, and judged by the costs of the edge
(memory, CPU, descriptors) and by the service for others meanwhile."""

import contextlib
import resource
import socket
import threading
import time

import pytest

import tcp_table
from bounds import AttackBounds
from harness import PATIENCE, SANITIZED, SLOW, HttpOrigin, RawOrigin, Stream, WireError

MANY = 200


def alive(edge, host, within=3.0):
    """Another client's request is answered promptly."""
    begin = time.monotonic()
    assert edge.get(host, "/echo").status == 200
    assert time.monotonic() - begin < within * SLOW


def raw_socket(edge, kind="plain", receive_buffer=None):
    sock = socket.socket()
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(PATIENCE)
    sock.connect(("127.0.0.1", edge.port[kind]))
    return sock


def close_all(sockets):
    for sock in sockets:
        sock.close()


class Bounds(AttackBounds):
    def ask(self):
        alive(self.edge, self.host)


@pytest.fixture
def target(make_edge, origin):
    """An edge with short timeouts and a preview on it."""
    edge = make_edge(workers=1, kinds=("plain", "tls"), config={
        "timeouts": {"head": "1s", "handshake": "1s", "body_idle": "1s", "write_idle": "1s", "keep_alive": "2s"},
        "limits": {"connections_per_client": 0}})
    edge.host_name = edge.create_preview(origin)
    alive(edge, edge.host_name, 5)
    return edge


def test_slow_heads(target):
    """A byte now and then: the head's time counts from its first byte, not from the last."""
    with Bounds(target, target.host_name, mib=8, cpu=2.0) as bounds:
        sockets = [raw_socket(target) for _ in range(MANY)]
        end = time.monotonic() + 1.5 * SLOW
        text = f"GET / HTTP/1.1\r\nHost: {target.host_name}\r\nX: ".encode()
        i = 0
        while time.monotonic() < end:
            for sock in sockets:
                with contextlib.suppress(OSError):
                    sock.send(text[i : i + 1] or b"y", socket.MSG_NOSIGNAL)
            i += 1
            bounds.check()
        for sock in sockets:
            stream = Stream(sock)
            with contextlib.suppress(WireError):
                assert stream.read_head(timeout=5 * SLOW).status == 408
            assert stream.wait_closed(5 * SLOW) in ("eof", "reset")
    close_all(sockets)


def test_half_handshakes(target):
    """Connections to the TLS port that send nothing, or only a beginning."""
    with Bounds(target, target.host_name, mib=16, cpu=1.0) as bounds:
        sockets = [raw_socket(target, "tls") for _ in range(MANY)]
        for i, sock in enumerate(sockets):
            if i % 3 == 1:
                sock.send(b"\x16\x03\x01\x02\x00\x01\x00")
            elif i % 3 == 2:
                sock.send(b"GET / HTTP/1.1\r\n\r\n")
        bounds.check()
        for sock in sockets:
            assert Stream(sock).wait_closed(5 * SLOW) in ("eof", "reset")
    close_all(sockets)


def test_slow_bodies(target, origin):
    sockets = []
    with Bounds(target, target.host_name, mib=16, cpu=1.0) as bounds:
        for _ in range(MANY):
            sock = raw_socket(target)
            sock.send(f"POST /echo HTTP/1.1\r\nHost: {target.host_name}\r\nContent-Length: 1000\r\n\r\nabc".encode())
            sockets.append(sock)
        bounds.check()
        for sock in sockets:
            stream = Stream(sock)
            with contextlib.suppress(WireError):
                assert stream.read_head(5 * SLOW).status == 408
            assert stream.wait_closed(5 * SLOW) in ("eof", "reset")
    # The box got no request that looks whole.
    assert all(r.method == "GET" or not r.complete for r in origin.requests)
    close_all(sockets)


@pytest.mark.parametrize("kind", ["plain", "tls"])
def test_clients_that_never_read(target, kind):
    """Each asks for much and reads nothing: the edge holds little for it, and cuts it."""
    request = f"GET /bytes?n=100000000 HTTP/1.1\r\nHost: {target.host_name}\r\n\r\n".encode()
    start = len(target.access.lines)
    streams = []
    with Bounds(target, target.host_name, mib=15, cpu=2.0) as bounds:
        for _ in range(60):
            sock = raw_socket(target, kind, 4096)
            streams.append(Stream(sock, target.context() if kind == "tls" else None, target.host_name))
            streams[-1].send(request)
        bounds.check()
        lines = target.wait_for_line(lambda l: l.get("path", "").startswith("/bytes"), start=start, count=60,
                                     timeout=8 * SLOW)
    assert all(line["end"] == "client_gone" for line in lines)
    for stream in streams:
        stream.close()


def test_a_client_that_reads_slowly_is_not_cut(target):
    """write_idle counts only a complete lack of progress; a slow client is allowed."""
    sock = raw_socket(target, receive_buffer=4096)
    stream = Stream(sock)
    stream.send(f"GET /bytes?n=300000 HTTP/1.1\r\nHost: {target.host_name}\r\nConnection: close\r\n\r\n".encode())
    got, end = 0, time.monotonic() + 2.5
    while time.monotonic() < end:
        time.sleep(0.05)
        got += len(sock.recv(2048))
    got += len(stream.read_to_end())
    assert got > 300_000
    stream.close()


def test_idle_connections(make_edge, origin):
    """Ten thousand kept connections: the cost of each, no CPU time, and service for others."""
    count = 1000 if SANITIZED else 10_000
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < count + 500:
        pytest.skip(f"{count} connections need a higher limit of open files (ulimit -Hn)")
    edge = make_edge(workers=1, kinds=("plain",), config={"limits": {"connections_per_client": 0}})
    host = edge.create_preview(origin)
    alive(edge, host, 5)
    request = f"GET /status?code=204 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    before = edge.rss_kib("worker")
    sockets = []
    try:
        for _ in range(count):
            sock = raw_socket(edge)
            sock.sendall(request)
            data = b""
            while b"\r\n\r\n" not in data:
                data += sock.recv(4096)
            sockets.append(sock)
        each = (edge.rss_kib("worker") - before) / count
        assert SANITIZED or each < 2.0, f"{each:.2f} KiB for an idle connection"
        cpu = edge.cpu_seconds()
        time.sleep(1)  # the test measures a second of idleness
        assert edge.cpu_seconds() - cpu < 0.05 * SLOW
        alive(edge, host)
        for sock in sockets[:: count // 100]:
            sock.sendall(request)
            assert sock.recv(4096).startswith(b"HTTP/1.1 204")
    finally:
        close_all(sockets)
    edge.wait_until(lambda: edge.open_fds() < 200, what="closing their descriptors")


def test_connections_of_one_client_are_limited(make_edge, origin):
    edge = make_edge(workers=2, kinds=("plain",), config={"limits": {"connections_per_client": 50}})
    host = edge.create_preview(origin)
    streams = [edge.connect("plain") for _ in range(80)]
    open_now = 0
    for stream in streams:
        try:
            if stream.request(f"GET /echo HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()).status == 200:
                open_now += 1
        except (WireError, ConnectionError):
            pass
    assert 40 <= open_now <= 50
    for stream in streams:
        stream.close()
    edge.wait_until(lambda: served(edge, host), what="room after they left")


def served(edge, host):
    with contextlib.suppress(WireError, ConnectionError):
        return edge.get(host, "/echo").status == 200
    return False


@pytest.mark.parametrize("head", [
    b"GET /", b"GET / HTTP/1.1\r\nHost: HOST\r\nX: ", b"GET / HTTP/1.1\r\nHost: HOST\r\n", b"\r\n", b"\r\n\r\n",
])
@pytest.mark.parametrize("flood", [b"a" * 65536, b"a: b\r\n" * 10000, b"\r\n" * 30000])
def test_heads_without_end(target, head, flood):
    with Bounds(target, target.host_name, mib=4, cpu=3.0):
        for _ in range(20):
            sock = raw_socket(target)
            try:
                sock.sendall(head.replace(b"HOST", target.host_name.encode()))
                for _ in range(64):  # 4 MiB, if allowed
                    sock.sendall(flood)
            except (BrokenPipeError, ConnectionResetError):
                pass
            with contextlib.suppress(ConnectionResetError):
                assert Stream(sock).wait_closed(5 * SLOW) in ("eof", "reset")
            sock.close()


def test_chunk_extensions_without_end(target):
    head = f"POST /echo HTTP/1.1\r\nHost: {target.host_name}\r\nTransfer-Encoding: chunked\r\n\r\n1;".encode()
    with Bounds(target, target.host_name, mib=4, cpu=2.0):
        for _ in range(20):
            sock = raw_socket(target)
            try:
                sock.sendall(head)
                for _ in range(64):
                    sock.sendall(b"a" * 65536)
            except (BrokenPipeError, ConnectionResetError):
                pass
            assert Stream(sock).wait_closed(5 * SLOW) in ("eof", "reset")
            sock.close()


def test_tiny_chunks(target):
    """A million bytes as chunks of one byte: allowed, but it must not cost much."""
    with Bounds(target, target.host_name, mib=8, cpu=3.0), target.connect("plain") as client:
        client.send(f"POST /echo HTTP/1.1\r\nHost: {target.host_name}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        client.send(b"1\r\nx\r\n" * 200_000 + b"0\r\n\r\n")
        assert b'"body_bytes": 200000' in client.read_message(request_method="POST", timeout=60).body


def test_pipelining_without_reading(target):
    """Requests are sent for as long as they are accepted, responses never read."""
    request = f"GET /bytes?n=20000 HTTP/1.1\r\nHost: {target.host_name}\r\n\r\n".encode() * 100
    sockets = []
    with Bounds(target, target.host_name, mib=8) as bounds:
        for _ in range(10):
            sock = raw_socket(target, receive_buffer=4096)
            sock.settimeout(0.3)
            with contextlib.suppress(TimeoutError, ConnectionError):
                for _ in range(1000):
                    sock.sendall(request)
            sockets.append(sock)
        bounds.check()
        target.wait_for_line(end="client_gone", count=10)  # cut by write_idle, each in one of its responses
    close_all(sockets)


def unread_by_the_edge(sock):
    """The client's bytes that wait in the kernel for the edge, from the kernel's table of connections."""
    row = tcp_table.of_ports(sock.getpeername()[1], sock.getsockname()[1])
    return row.received if row else 0


def send_until_paused(sock):
    """Sends body until the edge stops reading it, but few enough bytes that a FIN still reaches it."""
    deadline, since, last = time.monotonic() + 3 * PATIENCE, time.monotonic(), 0
    while last == 0 or time.monotonic() - since < 0.2:  # the same bytes stay in the queue for a while: reading is paused
        assert time.monotonic() < deadline, "the edge never stopped reading"
        waiting = unread_by_the_edge(sock)
        if waiting == 0:
            sock.sendall(b"x" * 32768)
        if waiting != last:
            last, since = waiting, time.monotonic()


@pytest.mark.parametrize("how", ["reset", "close"])
def test_clients_that_vanish_while_their_reads_are_paused(make_edge, how):
    """A box reads no body, so the edge has stopped reading; it notices the client's departure within a second
    or so, and closes the box's connection."""
    edge = make_edge(workers=1, kinds=("plain",))
    release = threading.Event()
    with RawOrigin(lambda conn: release.wait(200), receive_buffer=4096) as stuck, HttpOrigin() as origin:
        other = edge.create_preview(origin)
        host = edge.create_preview(stuck)
        sockets = []
        with Bounds(edge, other, mib=8, cpu=1.0) as bounds:
            for _ in range(3):
                sock = raw_socket(edge)
                sock.sendall(f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000000000\r\n\r\n".encode())
                send_until_paused(sock)
                sockets.append(sock)
            bounds.check()
            fds = edge.open_fds()
            for sock in sockets:
                if how == "reset":
                    Stream(sock).reset()
                else:
                    sock.close()
            lines = edge.wait_for_line(host=host, count=3, timeout=3 * SLOW)
            assert all(line["end"] == "client_gone" for line in lines)
            edge.wait_until(lambda: edge.open_fds() <= fds - 6, what="closing both sides")
        release.set()


def test_uploads_that_stop_while_held(make_edge, origin):
    """Clients stop sending although the box would read more: they are cut after body_idle, and the box sees
    that."""
    edge = make_edge(workers=1, kinds=("plain",), config={"timeouts": {"body_idle": "300ms"}})
    other = edge.create_preview(origin)
    with RawOrigin(lambda conn: conn.read_request(timeout=30)) as box, Bounds(edge, other, mib=16, cpu=1.0) as bounds:
        host = edge.create_preview(box)
        clients = [edge.connect("plain") for _ in range(50)]
        for client in clients:
            client.send(f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000000\r\n\r\n".encode() + b"x" * 100_000)
        bounds.check()
        for client in clients:
            with contextlib.suppress(WireError):
                assert client.read_head().status == 408
            assert client.wait_closed() in ("eof", "reset")
            client.close()
        edge.wait_until(lambda: len(box.connections) == 50, what="the box's 50th connection")
        assert all(conn.done.wait(PATIENCE * SLOW) for conn in box.connections)


def test_connections_that_come_and_go(target):
    """Thousands of connections opened and dropped in every way leave no descriptor and no memory behind."""
    with Bounds(target, target.host_name, mib=8) as bounds:
        fds = target.open_fds()
        for i in range(3000 if not SANITIZED else 600):
            sock = raw_socket(target, "plain" if i % 4 else "tls")
            if i % 3 == 1:
                sock.send(b"GET / HTTP/1.1\r\nHost: ")
            elif i % 3 == 2:
                sock.send(f"GET /bytes?n=50000 HTTP/1.1\r\nHost: {target.host_name}\r\n\r\n".encode())
            if i % 2:
                Stream(sock).reset()
            else:
                sock.close()
        bounds.check()
        target.wait_until(lambda: target.open_fds() <= fds + 4, what="closing their descriptors")


def test_boxes_that_hang(make_edge, origin):
    """A hundred requests wait for a silent box; others are served promptly."""
    edge = make_edge(workers=1, kinds=("plain",))
    host = edge.create_preview(origin)
    with RawOrigin(lambda conn: conn.wait_closed(60)) as stuck, Bounds(edge, host, mib=8, cpu=1.0) as bounds:
        stuck_host = edge.create_preview(stuck)
        clients = [edge.connect("plain") for _ in range(100)]
        for client in clients:
            client.send(f"GET / HTTP/1.1\r\nHost: {stuck_host}\r\n\r\n".encode())
        stuck.wait_connections(100)
        bounds.check()
        for client in clients:
            client.reset()  # a FIN would be a half-close: they would still want their responses
        edge.wait_for_line(host=stuck_host, count=100)
        for conn in stuck.connections:
            assert conn.done.wait(10)


def test_a_box_that_sends_faster_than_the_client_reads(target, origin):
    """A gibibyte is on offer; the edge holds its bound and no more."""
    with Bounds(target, target.host_name, mib=2) as bounds, target.connect("plain") as client:
        client.send(f"GET /bytes?n=1000000000 HTTP/1.1\r\nHost: {target.host_name}\r\n\r\n".encode())
        client.read_exactly(1_000_000)
        bounds.check()


def test_memory_is_shed_before_it_runs_out(make_edge, origin):
    """Over limits.memory new requests get 503 with Retry-After, and running ones continue."""
    edge = make_edge(workers=1, kinds=("plain",), config={"limits": {"memory": "4MiB", "connections_per_client": 0}})
    host = edge.create_preview(origin)
    alive(edge, host, 5)
    request = f"GET /bytes?n=10000000 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    first = edge.connect("plain")
    first.send(request)
    streams = []
    refused = None
    while refused is None and len(streams) < 300:  # of which each holds 64 KiB at most
        streams.append(Stream(raw_socket(edge, receive_buffer=4096)))
        streams[-1].send(request)
        response = edge.get(host, "/echo")
        refused = response if response.status == 503 else None
    assert refused is not None and refused.get("retry-after") and b'"overloaded"' in refused.body
    assert SANITIZED or edge.rss_kib("worker") < 64 * 1024
    assert len(first.read_message(request_method="GET").body) == 10_000_000
    first.close()
    for stream in streams:
        stream.close()
    edge.wait_until(lambda: edge.get(host, "/echo").status == 200, what="service after they left")
