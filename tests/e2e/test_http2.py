"""HTTP/2 towards clients, by Python's h2 and by hand-made frames: valid requests, refusals, bounds."""

import errno
import hashlib
import json
import signal
import socket
import threading
import time

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from bounds import AttackBounds
from h2wire import (CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, PRIORITY, RST_STREAM,
                    SETTINGS, WINDOW_UPDATE, Client, Frames, frame)
from harness import PATIENCE, SANITIZED, SLOW, HttpOrigin, RawOrigin

CALM = ErrorCodes.ENHANCE_YOUR_CALM


def json_of(answer):
    return json.loads(bytes(answer.body))


# ---- valid requests


def test_requests(edge, preview):
    with Client(edge, preview) as client:
        answer = client.get("/echo?a=%20b", fields=[("x-one", "1"), ("x-one", "2"), ("cookie", "a=1"), ("cookie", "b=2")])
        assert answer.status == 200 and answer.ended and answer.reset is None
        got = json_of(answer)
        fields = [(k.lower(), v) for k, v in got["fields"]]
        assert got["target"] == "/echo?a=%20b" and got["method"] == "GET"
        assert [v for k, v in fields if k == "x-one"] == ["1", "2"]
        assert [v for k, v in fields if k == "cookie"] == ["a=1; b=2"]
        assert dict(fields)["host"] == f"{preview}:{edge.port['tls']}"
        assert int(answer.fields["content-length"]) == len(answer.body)
        assert "date" in answer.fields
        assert not {"connection", "transfer-encoding", "keep-alive"} & set(answer.fields)
        head = client.get("/bytes?n=1234", method="HEAD")
        assert head.status == 200 and head.fields["content-length"] == "1234" and not head.body
        assert client.get("/status?code=204").status == 204
        assert client.settings[SettingCodes.MAX_CONCURRENT_STREAMS] == 128
        assert client.settings[SettingCodes.ENABLE_CONNECT_PROTOCOL] == 1
    edge.wait_for_line(http="2", port=int(preview.split(".")[0].split("-")[1]), status=200, end="complete", tls=True)


def test_many_streams_at_once(edge, preview):
    with Client(edge, preview) as client:
        client.get("/status?code=200")
        streams = [client.request(f"/bytes?n={1000 * i}&chunked=1") for i in range(100)]
        for i, stream in enumerate(streams):
            answer = client.finish(stream)
            assert hashlib.sha256(answer.body).hexdigest() == HttpOrigin.pattern_sha256(1000 * i)


def test_large_bodies_both_ways(edge, preview):
    size = 20_000_000
    with Client(edge, preview, keep=False) as client:
        down = client.request(f"/bytes?n={size}")
        assert client.finish(down, 60 * SLOW).body_bytes == size
        client.keep = True
        body = HttpOrigin.PATTERN * (size // len(HttpOrigin.PATTERN))
        up = client.request("/echo", "POST", [("content-length", str(len(body)))], end=False)
        assert client.send(up, body, end=True, timeout=60 * SLOW) == len(body)
        got = json_of(client.finish(up))
        assert got["body_bytes"] == len(body) and got["body_sha256"] == hashlib.sha256(body).hexdigest()


def test_trailers(edge, preview):
    with Client(edge, preview) as client:
        answer = client.get("/bytes?n=10&trailer=1")
        assert answer.trailers == {"x-trailer": "after"} and answer.body_bytes == 10
        up = client.request("/echo", "POST", end=False)
        client.send(up, b"abc")
        client.h2.send_headers(up, [("x-sum", "7")], end_stream=True)
        client.flush()
        # Apps over HTTP/1 get none (those over HTTP/2: test_h2c_origin.py).
        seen = json_of(client.finish(up))
        assert seen["trailers"] == [] and seen["body_bytes"] == 3


def test_expect_and_1xx(edge):
    def handler(conn):
        conn.read_request()
        conn.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with RawOrigin(handler) as origin, Client(edge, edge.create_preview(origin)) as client:
        up = client.request("/", "POST", [("expect", "100-continue"), ("content-length", "3")], end=False)
        client.until(lambda: client.answer(up).informational)
        assert client.answer(up).informational[0][":status"] == "100"
        client.send(up, b"abc", end=True)
        answer = client.finish(up)
        assert answer.status == 200
        assert answer.informational[1] == {":status": "103", "link": "</a.css>"}


def test_streams_as_it_comes(edge, preview):
    with Client(edge, preview) as client:
        stream = client.request("/sse?n=20")
        client.until(lambda: client.answer(stream).body_bytes > 0)
        assert not client.answer(stream).ended
        assert bytes(client.finish(stream).body).count(b"data:") == 20


def test_plain_listener_knows_no_http2(edge, preview):
    with Frames(edge, preview, "plain") as client:
        client.sock.settimeout(PATIENCE)
        assert client.sock.recv(100).startswith(b"HTTP/1.1 ")


# ---- refusals

RESET_HEADS = {
    "no method": {"method": None},
    "no path": {"path": None},
    "no scheme": {"scheme": None},
    "empty path": {"path": ""},
    "upper case": {"fields": [("X-A", "b")]},
    "space in name": {"fields": [("x a", "b")]},
    "line in value": {"fields": [("x-a", "b\r\nx-b: c")]},
    "zero in value": {"fields": [("x-a", "b\0c")]},
    "connection": {"fields": [("connection", "close")]},
    "upgrade": {"fields": [("upgrade", "h2c")]},
    "transfer-encoding": {"fields": [("transfer-encoding", "chunked")]},
    "te": {"fields": [("te", "gzip")]},
    "second path": {"fields": [(":path", "/x")]},
    "late pseudo": {"fields": [("x-a", "b"), (":x", "c")]},
    "length without body": {"fields": [("content-length", "4")]},
    "request line": {"path": "/ HTTP/1.1\r\nHost: evil\r\n\r\nGET /"},
}
REFUSED_HEADS = {
    "two lengths": ({"fields": [("content-length", "0"), ("content-length", "0")]}, 400),
    "fragment": ({"path": "/a#b"}, 400),
    "other host": ({"fields": [("host", "evil.example")]}, 400),
    "user in authority": ({"fields": [("host", "a@b")]}, 400),
    "two authorizations": ({"fields": [("authorization", "a"), ("authorization", "b")]}, 400),
    "expectation": ({"fields": [("expect", "wonders")]}, 417),
    "CONNECT": ({"method": "CONNECT", "path": None, "scheme": None}, 501),
    "101 fields": ({"fields": [("x-a", "b")] * 101}, 431),
    "33 KiB": ({"fields": [("x-a", "b" * 33000)]}, 431),
    "no such preview": ({"authority": "none-1.preview.box.localhost"}, 404),
    "no host of ours": ({"authority": "example.org"}, 421),
}


def test_bad_heads(edge):
    """One connection outlives them all, and the box sees none."""
    with RawOrigin() as origin:
        host = edge.create_preview(origin)
        with Frames(edge, host) as client:
            stream = 1
            for what, head in RESET_HEADS.items():
                client.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, client.head(**head)))
                got = client.read_until(RST_STREAM, stream)
                assert got is not None and int.from_bytes(got[3], "big") == ErrorCodes.PROTOCOL_ERROR, what
                stream += 2
            for what, (head, status) in REFUSED_HEADS.items():
                block = client.head(**head)
                pieces = [block[i : i + 16000] for i in range(0, len(block), 16000)]
                out = frame(HEADERS, END_STREAM | (END_HEADERS if len(pieces) == 1 else 0), stream, pieces[0])
                for i, piece in enumerate(pieces[1:], 2):
                    out += frame(CONTINUATION, END_HEADERS if i == len(pieces) else 0, stream, piece)
                client.send(out)
                got = client.read_until(HEADERS, stream)
                assert got is not None and dict(got[3])[":status"] == str(status), what
                stream += 2
            assert not origin.requests
            client.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, client.head()))
            assert dict(client.read_until(HEADERS, stream)[3])[":status"] == "200"
            assert len(origin.requests) == 1


def test_data_must_match_the_length(edge, preview):
    with Frames(edge, preview) as client:
        for stream, body in ((1, b"abc"), (3, b"abcdef")):
            client.send(frame(HEADERS, END_HEADERS, stream, client.head([("content-length", "5")], "POST"))
                        + frame(DATA, END_STREAM, stream, body))
            got = client.read_until(RST_STREAM, stream)
            assert int.from_bytes(got[3], "big") == ErrorCodes.PROTOCOL_ERROR


def test_cut_responses(edge):
    with RawOrigin(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf") as origin:
        origin.handler = lambda conn: (conn.read_request(), conn.send(
            b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"))
        with Client(edge, edge.create_preview(origin)) as client:
            answer = client.get()
            assert answer.reset == ErrorCodes.INTERNAL_ERROR and not answer.ended
            assert client.get().status == 200  # the connection continues


def test_a_body_that_has_come_waits_for_its_end(edge, preview):
    """An app may answer once Content-Length bytes have arrived: a client whose END_STREAM follows in a
    separate frame is not reset."""
    with Frames(edge, preview) as client:
        head = client.head([("content-length", "5")], "POST", "/echo")
        client.send(frame(HEADERS, END_HEADERS, 1, head) + frame(DATA, 0, 1, b"12345"))
        while not client.read_until(DATA, 1)[1] & END_STREAM:
            pass
        client.send(frame(DATA, END_STREAM, 1) + frame(HEADERS, END_HEADERS | END_STREAM, 3, client.head()))
        seen = []
        while not seen or (seen[-1][0], seen[-1][2]) != (HEADERS, 3):
            seen.append(client.read())
        assert not [one for one in seen if one[0] in (RST_STREAM, GOAWAY)]
        client.send(frame(HEADERS, END_HEADERS, 5, client.head([("content-length", "5")], "POST", "/echo"))
                    + frame(DATA, 0, 5, b"12345"))
        got = client.read_until(RST_STREAM, 5)  # and one whose end never comes is released
        assert int.from_bytes(got[3], "big") == ErrorCodes.NO_ERROR


def test_a_refused_upload(edge):
    """The response is complete, then the stream is reset with NO_ERROR; the rest of the body does no harm."""
    with Client(edge, f"none-1.{edge.config['preview_domain']}") as client:
        up = client.request("/", "POST", end=False)
        client.send(up, b"x" * 65535)
        answer = client.finish(up)
        assert answer.status == 404 and answer.ended
        client.until(lambda: answer.reset is not None)
        assert answer.reset == ErrorCodes.NO_ERROR
        assert client.get().status == 404


def test_a_client_that_resets_frees_the_box(edge):
    gone = threading.Event()

    def handler(conn):
        conn.read_request()
        conn.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
        conn.sock.settimeout(PATIENCE)
        if conn.sock.recv(1) == b"":
            gone.set()

    with RawOrigin(handler) as origin:
        host = edge.create_preview(origin)
        with Client(edge, host) as client:
            stream = client.request()
            client.until(lambda: client.answer(stream).body_bytes == 1)
            client.h2.reset_stream(stream, ErrorCodes.CANCEL)
            client.flush()
            assert gone.wait(PATIENCE)
            edge.wait_for_line(port=origin.port, path="/", end="client_gone")


# ---- streams beside each other


def test_a_held_upload_stalls_nobody(edge, preview):
    """An upload that its box does not read stops at its bound; another preview on the same connection
    receives a large one meanwhile."""
    go_on = threading.Event()

    def handler(conn):
        conn.read_until(b"\r\n\r\n")
        go_on.wait(PATIENCE * SLOW)

    with RawOrigin(handler) as origin:
        held_host = edge.create_preview(origin)
        port = edge.port["tls"]
        with Client(edge, preview) as client:
            authority = f"{held_host}:{port}"
            held = client.request("/", "POST", end=False, authority=authority)
            # The kernel's buffers on the way to the box take some; then it stops.
            sent = client.send(held, b"x" * 50_000_000, timeout=2)
            assert sent < 20_000_000
            body = HttpOrigin.PATTERN * 16
            up = client.request("/echo", "POST", end=False)
            assert client.send(up, body, end=True) == len(body)
            assert json_of(client.finish(up))["body_bytes"] == len(body)
            go_on.set()


def test_an_unread_download_stalls_nobody(edge, preview):
    with Client(edge, preview, consume=False, keep=False) as client:
        client.h2.increment_flow_control_window(10_000_000)
        client.flush()
        big = client.request("/bytes?n=5000000")
        client.until(lambda: client.answer(big).body_bytes == 65535)
        small = client.get("/bytes?n=1000")
        assert small.body_bytes == 1000 and small.ended
        assert client.answer(big).body_bytes == 65535
        client.h2.increment_flow_control_window(5_000_000, big)
        client.flush()
        assert client.finish(big).body_bytes == 5_000_000


def test_downloads_share_the_connection(edge, preview):
    """A download that never ends does not keep a later one waiting, though neither is "incremental"."""
    with Client(edge, preview, keep=False) as client:
        endless = client.request("/bytes?n=400000000")
        client.until(lambda: client.answer(endless).body_bytes > 1_000_000)
        later = client.request("/bytes?n=2000000")
        assert client.finish(later).body_bytes == 2_000_000
        assert not client.answer(endless).ended


# ---- how connections end


def test_drain_finishes_streams(make_edge, origin):
    edge = make_edge(config={"timeouts": {"drain": "20s"}})
    host = edge.create_preview(origin)
    with Frames(edge, host) as client:
        client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, client.head(path="/slow?ms=1500")))
        origin.wait_requests(1)
        edge.process.send_signal(signal.SIGTERM)
        notice, last = client.read_until(GOAWAY), client.read_until(GOAWAY)
        assert notice[3][:8] == b"\x7f\xff\xff\xff\0\0\0\0"
        assert last[3][:8] == b"\0\0\0\1\0\0\0\0"
        assert dict(client.read_until(HEADERS, 1)[3])[":status"] == "200"
        while (got := client.read()) is not None:
            assert got[0] in (DATA, PING, SETTINGS)
    assert edge.process.wait(PATIENCE * SLOW) == 0
    edge.process = None


def test_timeouts(make_edge, origin):
    edge = make_edge(config={"timeouts": {"keep_alive": "1s", "head": "1s", "body_idle": "1s", "write_idle": "1s"}})
    host = edge.create_preview(origin)
    with Client(edge, host) as idle:
        assert idle.get("/status?code=200").status == 200
        idle.until_eof()
        assert idle.goaways == [0]
    with Frames(edge, host, begin=False) as silent:
        assert silent.goaway() in (None, ErrorCodes.PROTOCOL_ERROR)
    with Frames(edge, host) as slow:
        slow.send(frame(HEADERS, 0, 1, slow.head()))
        assert slow.goaway() == ErrorCodes.PROTOCOL_ERROR
    with Client(edge, host) as upload:
        stream = upload.request("/echo", "POST", end=False)
        upload.send(stream, b"some")
        assert upload.finish(stream).status == 408
    with Client(edge, host, consume=False) as stalled:
        stream = stalled.request("/bytes?n=1000000")
        assert stalled.finish(stream).reset == ErrorCodes.CANCEL
        assert stalled.answer(stream).body_bytes == 65535


def test_a_client_that_takes_nothing_is_ended_by_a_reset(make_edge, origin):
    """A FIN would wait behind unread bytes, and the kernel would keep them all for minutes."""
    edge = make_edge(config={"timeouts": {"write_idle": "1s"}})
    host = edge.create_preview(origin)
    with Frames(edge, host, begin=False) as client:
        client.send(PREFACE + frame(SETTINGS, 0, 0, b"\0\4\x7f\xff\xff\xff")
                    + frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\0\0"))
        client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, client.head(path="/bytes?n=100000000")))
        assert edge.wait_for_line(host=f"{host}:{edge.port['tls']}")["end"] == "client_gone"
        edge.wait_until(lambda: client.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET,
                        what="the reset")


# ---- hostile clients


class Bounds(AttackBounds):
    def ask(self):
        with Client(self.edge, self.host) as client:
            assert client.get("/status?code=200").status == 200


@pytest.fixture(name="attacked")
def _attacked(make_edge, origin):
    edge = make_edge()
    return edge, edge.create_preview(origin)


def until_calm(client, unit, most, batch=50):
    """Sends `unit(n)` up to `most` times; the edge must end the connection with ENHANCE_YOUR_CALM. Kernels
    may hold all sent bytes while the edge waits for its turn of the CPU."""
    n = 0
    while n < most:
        if not client.send(b"".join(unit(i) for i in range(n, n + batch))):
            break
        n += batch
    client.sock.settimeout(PATIENCE)
    try:
        code = client.goaway()
    except OSError:
        code = None
    assert code in (CALM, None)
    assert code == CALM or client.closed, "never refused"


def get_block(edge, host, path=b"/slow?ms=300"):
    """A GET without the dynamic table, so that it can be sent any number of times."""
    authority = f"{host}:{edge.port['tls']}".encode()
    return b"\x82\x87\x04" + bytes([len(path)]) + path + b"\x01" + bytes([len(authority)]) + authority


FLOODS = {
    "resets": lambda block: lambda n: frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, block)
    + frame(RST_STREAM, 0, 2 * n + 1, b"\0\0\0\x08"),
    "resets provoked by heads": lambda block: lambda n: frame(
        HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, b"\x82"),
    "resets provoked by windows": lambda block: lambda n: frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, block)
    + frame(WINDOW_UPDATE, 0, 2 * n + 1, b"\x7f\xff\xff\xff"),
    "resets provoked by lengths": lambda block: lambda n: frame(
        HEADERS, END_HEADERS, 2 * n + 1, block + b"\x0f\x0d\x015") + frame(DATA, END_STREAM, 2 * n + 1, b"x"),
    "SETTINGS": lambda block: lambda n: frame(SETTINGS),
    "PING": lambda block: lambda n: frame(PING, 0, 0, b"12345678"),
    "PRIORITY": lambda block: lambda n: frame(PRIORITY, 0, 2 * n + 1, b"\0\0\0\0\1"),
    "WINDOW_UPDATE": lambda block: lambda n: frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1"),
    "empty DATA": lambda block: lambda n: (frame(HEADERS, END_HEADERS, 1, block) if n == 0 else b"")
    + frame(DATA, 0, 1),
    "CONTINUATION": lambda block: lambda n: frame(HEADERS, 0, 1, block) if n == 0 else frame(CONTINUATION, 0, 1),
    "unknown frames": lambda block: lambda n: frame(0x55),
    "empty heads over the limit": lambda block: lambda n: frame(
        HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, block + b"\x00\x01x\x01y" * 101),
}


@pytest.mark.parametrize("what", FLOODS)
def test_floods(attacked, what):
    edge, host = attacked
    with Bounds(edge, host) as bounds, Frames(edge, host) as client:
        until_calm(client, FLOODS[what](get_block(edge, host)), 100_000)
        bounds.check()


def test_hpack_reference_bomb(attacked):
    """Heads of 16 KiB that decode to 60 MB each."""
    edge, host = attacked
    with Bounds(edge, host, mib=16, cpu=2.0):
        for _ in range(10):
            with Frames(edge, host) as client:
                block = get_block(edge, host) + b"\x40\x01x\x7f\xa1\x1e" + b"v" * 4000 + b"\xbe" * 12000
                client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block))
                assert client.goaway() == CALM


def test_pings_that_are_not_read(attacked):
    """The edge ends the connection, or reads no more of it while its answers find no room: it never collects
    them."""
    edge, host = attacked
    with Bounds(edge, host) as bounds, Frames(edge, host) as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sock.settimeout(3 * SLOW)
        try:
            until_calm(client, lambda n: frame(PING, 0, 0, b"12345678"), 1_000_000, batch=500)
        except TimeoutError:
            pass  # not read any more: timeouts.write_idle ends it
        bounds.check()


def test_responses_that_are_not_read(attacked):
    """128 downloads on each of 7 connections with wide windows whose sockets nobody reads: nearly all of
    limits.origin_connections_per_client, of which the other client, from the same address, needs one."""
    edge, host = attacked
    with Bounds(edge, host, mib=160) as bounds:
        clients = []
        for _ in range(7):
            client = Frames(edge, host, begin=False)
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.send(PREFACE + frame(SETTINGS, 0, 0, b"\0\4\x7f\xff\xff\xff")
                        + frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\0\0"))
            client.encoder.header_table_size = 0
            for stream in range(1, 256, 2):
                client.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, client.head(path="/bytes?n=100000000")))
            clients.append(client)
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            bounds.check()
        for client in clients:
            client.sock.close()


def test_zero_windows(attacked):
    """Bodies wait for windows that never open: at most 64 KiB a stream are held, and all of it is
    released."""
    edge, host = attacked
    with Bounds(edge, host, mib=100) as bounds:
        idle = edge.open_fds("worker")
        clients = [Client(edge, host, settings={SettingCodes.INITIAL_WINDOW_SIZE: 0}) for _ in range(5)]
        for client in clients:
            client.until(lambda c=client: c.settings)
            for _ in range(100):
                client.request("/bytes?n=10000000")
        edge.wait_until(lambda: edge.open_fds("worker") >= idle + 500, what="connecting")
        bounds.check()
        for client in clients:
            client.sock.close()
        edge.wait_until(lambda: edge.open_fds("worker") <= idle + 5, what="letting go")


def test_held_uploads_are_bounded(attacked):
    """100 uploads on one connection, which their box never reads."""
    edge, well = attacked
    never = threading.Event()

    def handler(conn):
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        conn.read_until(b"\r\n\r\n")
        never.wait(PATIENCE * SLOW)

    with RawOrigin(handler) as origin:
        host = edge.create_preview(origin)
        with Bounds(edge, well, mib=64) as bounds, Client(edge, host) as client:
            for _ in range(100):
                client.send(client.request("/", "POST", end=False), b"x" * 65535, timeout=0.2)
            bounds.check()
        never.set()


def test_busy_clients_are_not_hit(attacked):
    """8,000 requests on one connection as fast as possible, each fifth cancelled, with a window update for
    each DATA frame on stream and connection."""
    edge, host = attacked
    block = get_block(edge, host, b"/bytes?n=1000")
    total = 2_000 if SANITIZED else 8_000
    with Frames(edge, host) as client:
        for first in range(0, total, 50):
            out, waited = b"", set()
            for n in range(first, first + 50):
                out += frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, block)
                if n % 5 == 4:
                    out += frame(RST_STREAM, 0, 2 * n + 1, b"\0\0\0\x08")
                else:
                    waited.add(2 * n + 1)
            client.send(out)
            while waited:
                kind, flags, stream, payload = client.read()
                assert kind not in (GOAWAY, RST_STREAM)
                if kind == DATA and payload:
                    size = len(payload).to_bytes(4, "big")
                    client.send(frame(WINDOW_UPDATE, 0, 0, size) + frame(WINDOW_UPDATE, 0, stream, size))
                if kind in (DATA, HEADERS) and flags & END_STREAM:
                    waited.discard(stream)
