"""Tunnels whose peers half-close them, break them, or read late, and under a draining edge: no byte may be
lost, and no state may stay behind."""

import contextlib
import os
import socket
import ssl
import threading
import time

import pytest

import h2wire
import tcp_table
from dataplane import HANDSHAKE, accept_for, box, metric, nothing_stays, open_tunnel  # noqa: F401 (a fixture)
from harness import PATIENCE, SLOW, RawOrigin
from origins import reset_on_close


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


def in_kernel(box_sock):
    """Bytes on their way to the box that the kernel has: the edge's send queue and the box's receive
    queue."""
    box, edge = box_sock.getsockname()[1], box_sock.getpeername()[1]
    ends = tcp_table.of_ports(edge, box), tcp_table.of_ports(box, edge)
    return (ends[0].sending if ends[0] else 0) + (ends[1].received if ends[1] else 0)


def fill(edge, client, box_sock):
    """Sends until bytes wait in the edge for a box that does not read, and none before the edge; the number
    sent. Kernels differ between connections, so the test asks."""
    def taken():
        return metric(edge, "request_body_bytes_total")

    sent, before = 0, taken()
    while sent - in_kernel(box_sock) < 16384:
        client.send(bytes(32768))  # the waiting bytes stay below the 64 KiB at which the edge stops reading
        sent += 32768
        edge.wait_until(lambda: taken() == before + sent, what=f"{sent} bytes to be taken")
    return sent


def test_a_box_that_ended_and_does_not_read_is_left_in_time(make_edge):
    """Both sides have ended; the client's bytes still wait for a box that never reads them: not forever."""
    edge = make_edge(config={"timeouts": {"write_idle": "3s"}})
    held = threading.Event()

    def handler(conn):
        conn.send(accept_for(conn.read_request()))
        conn.half_close()
        held.wait(10 * PATIENCE * SLOW)

    with RawOrigin(handler) as origin:
        origin.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        host = edge.create_preview(origin)
        with open_tunnel(edge, host) as client:
            sent = fill(edge, client, origin.connections[0].sock)
            client.half_close()
            line = edge.wait_for_line(host=host, timeout=PATIENCE * SLOW)
        assert (line["request_bytes"], line["duration_ms"] >= 3000) == (sent, True), line
        held.set()


@pytest.mark.parametrize("kind", ["plain", "tls"])
def test_a_box_that_half_closes_and_then_breaks(edge, kind):
    """The client, which still sends, learns that no one reads any more."""

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
    """No frame can reach the client any more: the edge must still end cleanly."""
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
    """The client has unread bytes when its Close frame is due."""
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
    """Bytes behind a handshake go into the tunnel, or are a request to the edge: never a second one to the
    box."""

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
