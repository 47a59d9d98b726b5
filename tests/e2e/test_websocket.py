"""WebSockets through the edge: the handshake's rules, then RFC 6455 through the tunnel, over HTTP/1.1 and HTTP/2."""

import asyncio
import base64
import hashlib
import os
import struct
import threading

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest
import websockets

from harness import PATIENCE, SANITIZED, HttpOrigin, RawOrigin, WebSocketOrigin

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
KEY = base64.b64encode(b"0123456789abcdef")


def accept_of(key):
    return base64.b64encode(hashlib.sha1(key + GUID).digest())


def handshake(host, *fields, version=b"13", key=KEY, method=b"GET", path=b"/ws", protocol=b"HTTP/1.1"):
    lines = [method + b" " + path + b" " + protocol, b"Host: " + host.encode(), b"Upgrade: websocket",
             b"Connection: Upgrade", *fields]
    if version is not None:
        lines.append(b"Sec-WebSocket-Version: " + version)
    if key is not None:
        lines.append(b"Sec-WebSocket-Key: " + key)
    return b"\r\n".join(lines) + b"\r\n\r\n"


def frame(payload=b"", opcode=1, fin=True, mask=b"\x01\x02\x03\x04", length=None):
    """A client's frame; `length` writes another length than the payload's."""
    n = len(payload) if length is None else length
    head = bytes([(0x80 if fin else 0) | opcode])
    bit = 0x80 if mask else 0
    if n < 126:
        head += bytes([bit | n])
    elif n < 65536:
        head += bytes([bit | 126]) + struct.pack("!H", n)
    else:
        head += bytes([bit | 127]) + struct.pack("!Q", n)
    if mask:
        payload = bytes(b ^ mask[i % 4] for i, b in enumerate(payload)) if len(payload) < 100_000 else payload
        head += mask
    return head + payload


def accepting(then):
    """A box that accepts the handshake and runs `then(conn)`."""
    def box(conn):
        message = conn.read_request()
        conn.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                  b"Sec-WebSocket-Accept: " + accept_of(message.get("sec-websocket-key").encode()) + b"\r\n\r\n")
        then(conn)

    return box


def echo_bytes(conn):
    while data := conn.read_some(timeout=60):
        conn.send(data)


@pytest.fixture
def ws_origin():
    with WebSocketOrigin() as running:
        yield running


def connect(edge, host, path="/", kind="tls", **kw):
    options = {"host": "127.0.0.1", "port": edge.port[kind], "max_size": None, "ping_interval": None,
               "open_timeout": PATIENCE, "close_timeout": PATIENCE}
    if kind == "tls":
        options |= {"ssl": edge.context(("http/1.1",)), "server_hostname": host}
    return websockets.connect(f"{'wss' if kind == 'tls' else 'ws'}://{host}{path}", **{**options, **kw})


# ---- the handshake


@pytest.mark.parametrize("kind", ["plain", "tls"])
def test_echo_with_the_websockets_package(edge, ws_origin, kind):
    host = edge.create_preview(ws_origin)

    async def main():
        async with connect(edge, host, "/chat?room=1", kind, subprotocols=None, extra_headers={"X-Mine": "1"}) as ws:
            for message in ("", "hello", "é" * 1000, os.urandom(10), os.urandom(70_000), os.urandom(1_000_000)):
                await ws.send(message)
                assert await ws.recv() == message
            pong = await ws.ping(b"are you there")
            await asyncio.wait_for(pong, PATIENCE)
            await ws.close(4001, "done with it")

    asyncio.run(main())
    edge.wait_until(lambda: ws_origin.closes, what="the close")
    assert ws_origin.closes == [(4001, "done with it")]
    path, headers = ws_origin.handshakes[0]
    assert path == "/chat?room=1" and headers["X-Mine"] == "1" and headers["Host"].split(":")[0] == host
    line = edge.wait_for_line(host=host if kind == "plain" else host, status=101)
    assert line["tunnel"] and line["end"] == "complete"
    assert line["request_bytes"] > 1_070_000 and line["response_bytes"] > 1_070_000


def test_subprotocols_and_extensions_pass(edge):
    with WebSocketOrigin(subprotocols=["chat.v2"]) as origin:
        host = edge.create_preview(origin)

        async def main():
            async with connect(edge, host, subprotocols=["chat.v1", "chat.v2"], compression="deflate") as ws:
                assert ws.subprotocol == "chat.v2"
                assert any(e.name == "permessage-deflate" for e in ws.extensions)
                await ws.send("x" * 100_000)
                assert await ws.recv() == "x" * 100_000

        asyncio.run(main())


@pytest.mark.parametrize("change, status", [
    ({"version": b"12"}, {400, 426}), ({"version": None}, {400, 426}), ({"key": None}, {400}),
    ({"key": b"short"}, {400}), ({"method": b"POST"}, {400, 405}),
])
def test_bad_handshakes_are_refused(edge, change, status):
    """Refused by the edge, or passed on as plain requests without the upgrade: never a tunnel."""
    with HttpOrigin() as origin:
        host = edge.create_preview(origin)
        with edge.connect("plain") as client:
            response = client.request(handshake(host, **change))
            assert response.status != 101
            for request in origin.requests:
                assert request.get("upgrade") is None
            assert response.status in status or response.status == 200


def test_other_upgrades_are_removed(edge):
    with HttpOrigin() as origin:
        host = edge.create_preview(origin)
        response = edge.get(host, "/echo", fields=["Upgrade: h2c, other", "Connection: Upgrade"])
        assert response.status == 200
        assert origin.requests[0].get("upgrade") is None


def test_an_upgrade_in_http_1_0_is_none(edge):
    with HttpOrigin() as origin:
        host = edge.create_preview(origin)
        with edge.connect("plain") as client:
            assert client.request(handshake(host, protocol=b"HTTP/1.0")).status != 101


@pytest.mark.parametrize("answer", [
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: d3Jvbmc=\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
    + accept_of(KEY) + b"\r\n\r\n",
])
def test_a_101_that_is_no_acceptance_is_a_502(edge, answer):
    def box(conn):
        conn.read_request()
        conn.send(answer)
        conn.read_to_end(10)

    with RawOrigin(box) as origin:
        host = edge.create_preview(origin)
        with edge.connect("plain") as client:
            assert client.request(handshake(host)).status == 502


@pytest.mark.parametrize("status", [200, 401, 403, 404, 426, 503])
def test_a_box_that_refuses(edge, status):
    """The box's own refusal reaches the client, with its body, and the connection stays open if it may."""
    def box(conn):
        while conn.read_request() is not None:
            conn.send(b"HTTP/1.1 %d No\r\nContent-Length: 4\r\nX-Why: so\r\n\r\nnope" % status)

    with RawOrigin(box) as origin:
        host = edge.create_preview(origin)
        with edge.connect("plain") as client:
            response = client.request(handshake(host))
            assert (response.status, response.body, response.get("x-why")) == (status, b"nope", "so")


def test_an_upgrade_never_gets_a_redirect_or_a_page(edge):
    with edge.connect("redirect") as client:
        assert client.request(handshake("box-3000.preview.box.localhost")).status == 403
    with edge.connect("plain") as client:
        response = client.request(handshake("box-1.preview.box.localhost", b"Accept: text/html"))
        assert response.status == 404 and "json" in response.get("content-type")


# ---- the tunnel


def test_bytes_behind_the_handshake_arrive(edge):
    """A client may send before it has the 101, a box right behind it."""
    def then(conn):
        conn.send(b"\x81\x05first")
        echo_bytes(conn)

    with RawOrigin(accepting(then)) as origin:
        host = edge.create_preview(origin)
        with edge.connect("plain") as client:
            client.send(handshake(host) + frame(b"early"))
            assert client.read_head().status == 101
            assert client.read_exactly(7) == b"\x81\x05first"
            assert client.read_exactly(len(frame(b"early"))) == frame(b"early")


def test_frames_in_single_bytes(edge):
    data = frame(b"a" * 200) + frame(b"", 9) + frame(b"part", 1, fin=False) + frame(b"rest", 0) + frame(b"\x03\xe8", 8)
    with RawOrigin(accepting(echo_bytes)) as origin:
        host = edge.create_preview(origin)
        with edge.connect("plain") as client:
            assert client.request(handshake(host)).status == 101
            client.send_slowly(data)
            assert client.read_exactly(len(data)) == data


@pytest.mark.parametrize("kind", ["plain", "tls"])
def test_half_close_by_the_client(edge, kind):
    """The client's end reaches the box, which still sends; its bytes reach the client."""
    def then(conn):
        got = conn.read_to_end()
        conn.send(b"you sent %d" % len(got))

    with RawOrigin(accepting(then)) as origin:
        host = edge.create_preview(origin)
        with edge.connect(kind, host) as client:
            assert client.request(handshake(host)).status == 101
            client.send(frame(b"last words"))
            client.half_close()
            assert client.read_to_end() == b"you sent %d" % len(frame(b"last words"))
            assert client.ended == "eof"


@pytest.mark.parametrize("kind", ["plain", "tls"])
def test_half_close_by_the_box(edge, kind):
    def then(conn):
        conn.send(b"\x81\x03bye")
        conn.half_close()
        conn.after = conn.read_to_end()

    with RawOrigin(accepting(then)) as origin:
        host = edge.create_preview(origin)
        with edge.connect(kind, host) as client:
            assert client.request(handshake(host)).status == 101
            assert client.read_to_end() == b"\x81\x03bye"
            client.send(frame(b"still here"))
            client.half_close()
            assert origin.connections[0].done.wait(10)
            assert origin.connections[0].after == frame(b"still here")


def test_a_reset_by_either_side_ends_the_other(edge):
    with RawOrigin(accepting(lambda conn: conn.read_to_end(60))) as origin:
        host = edge.create_preview(origin)
        client = edge.connect("plain")
        assert client.request(handshake(host)).status == 101
        client.reset()
        assert origin.connections[0].done.wait(10)
    go = threading.Event()

    def resets(conn):
        go.wait(10)
        conn.reset()

    with RawOrigin(accepting(resets)) as origin:
        host = edge.create_preview(origin)
        with edge.connect("plain") as client:
            assert client.request(handshake(host)).status == 101
            go.set()
            assert client.wait_closed() in ("eof", "reset")


def test_a_client_that_vanishes_while_the_box_does_not_read(edge):
    """Its bytes are stuck in the edge, reads are paused; its departure is still noticed."""
    release = threading.Event()
    with RawOrigin(accepting(lambda conn: release.wait(60))) as origin:
        host = edge.create_preview(origin)
        client = edge.connect("plain")
        assert client.request(handshake(host)).status == 101
        fill_up(client)
        client.reset()
        line = edge.wait_for_line(host=host, timeout=10)
        assert line["end"] == "client_gone"
        release.set()


def fill_up(client):
    """Sends until no more is accepted for a while; the number sent."""
    client.sock.settimeout(1.0)
    sent = 0
    try:
        while sent < 64 << 20:
            sent += client.sock.send(b"\x00" * 65536)
    except TimeoutError:
        pass
    client.sock.settimeout(PATIENCE)
    return sent


def test_backpressure_both_ways(make_edge):
    """Neither side reads: the edge holds at most its bound; when they read, every byte arrives."""
    edge = make_edge(kinds=("plain",))
    release = threading.Event()
    total = 96 << 20

    def then(conn):
        sender = threading.Thread(target=lambda: conn.sock.sendall(b"\x55" * total), daemon=True)
        sender.start()
        release.wait(60)
        got = 0
        while piece := conn.sock.recv(1 << 20):
            got += len(piece)
        conn.got = got
        sender.join()

    with RawOrigin(accepting(then)) as origin:
        host = edge.create_preview(origin)
        with edge.connect("plain") as client:
            assert client.request(handshake(host)).status == 101
            before = edge.rss_kib()
            sent = fill_up(client)
            assert sent < 64 << 20, "nothing pushed back"
            assert SANITIZED or edge.rss_kib() - before < 2048
            release.set()
            reader = threading.Thread(target=lambda: setattr(client, "seen", len(client.read_exactly(total, 60))))
            reader.start()
            client.half_close()
            reader.join(70)
            assert client.seen == total
            assert origin.connections[0].done.wait(10)
            assert origin.connections[0].got == sent


@pytest.mark.parametrize("size", [65535, 65536, 5_000_000])
def test_big_frames(edge, ws_origin, size):
    host = edge.create_preview(ws_origin)

    async def main():
        async with connect(edge, host) as ws:
            data = os.urandom(size)
            await ws.send(data)
            assert await ws.recv() == data

    asyncio.run(main())


@pytest.mark.parametrize("code, reason", [(1000, ""), (1001, "away"), (1011, "oops"), (3000, "x" * 123), (4999, "é")])
def test_close_codes_of_the_box(edge, code, reason):
    async def closes(ws):
        await ws.recv()
        await ws.close(code, reason)

    with WebSocketOrigin(closes) as origin:
        host = edge.create_preview(origin)

        async def main():
            async with connect(edge, host) as ws:
                await ws.send("go")
                with pytest.raises(websockets.ConnectionClosed):
                    await ws.recv()
                assert (ws.close_code, ws.close_reason) == (code, reason)

        asyncio.run(main())


def test_the_edge_judges_no_frames(edge):
    """Violations of RFC 6455 are between the client and the box: bytes pass unchanged."""
    data = frame(b"x", mask=b"") + b"\xff\xff\xff\xff" + frame(b"", 3) + frame(b"", 1, length=1 << 62)
    with RawOrigin(accepting(echo_bytes)) as origin:
        host = edge.create_preview(origin)
        with edge.connect("plain") as client:
            assert client.request(handshake(host)).status == 101
            client.send(data)
            assert client.read_exactly(len(data)) == data


def test_five_hundred_tunnels(edge, ws_origin):
    host = edge.create_preview(ws_origin)

    async def main():
        sockets = await asyncio.gather(*(connect(edge, host, kind="plain") for _ in range(500)))
        await asyncio.gather(*(ws.send(str(i)) for i, ws in enumerate(sockets)))
        assert await asyncio.gather(*(ws.recv() for ws in sockets)) == [str(i) for i in range(500)]
        await asyncio.gather(*(ws.close() for ws in sockets))

    asyncio.run(main())


def test_tunnels_close_when_the_edge_drains(make_edge):
    edge = make_edge(kinds=("plain",), config={"timeouts": {"drain": "500ms"}})
    with RawOrigin(accepting(echo_bytes)) as origin:
        host = edge.create_preview(origin)
        with edge.connect("plain") as client:
            assert client.request(handshake(host)).status == 101
            client.send(frame(b"hello"))
            client.read_exactly(len(frame(b"hello")))
            edge.process.terminate()
            rest = client.read_to_end()
            assert client.ended in ("eof", "reset")
            # A Close frame of the edge's own, "service restart".
            assert rest[:1] == b"\x88" and rest[2:4] == struct.pack("!H", 1012), rest
        edge.process.wait(PATIENCE)
        edge.process = None


# ---- over HTTP/2 (RFC 8441)


class Over2:
    """A tunnel over HTTP/2, driven by hand with the h2 package."""

    def __init__(self, edge, host):
        self.host = host
        self.sock = edge.context(("h2",)).wrap_socket(edge.socket("tls"), server_hostname=host)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.push()
        self.data, self.ended, self.status, self.was_reset, self.settled = {}, set(), {}, {}, False
        self.until(lambda: self.settled)

    def push(self):
        self.sock.sendall(self.h2.data_to_send())

    def until(self, predicate):
        while not predicate():
            data = self.sock.recv(65536)
            if not data:
                raise ConnectionError("closed")
            for event in self.h2.receive_data(data):
                stream = getattr(event, "stream_id", None)
                if isinstance(event, h2.events.RemoteSettingsChanged):
                    self.settled = True
                elif isinstance(event, h2.events.ResponseReceived):
                    self.status[stream] = dict(event.headers)[":status"]
                elif isinstance(event, h2.events.DataReceived):
                    self.data[stream] = self.data.get(stream, b"") + event.data
                    if event.flow_controlled_length:
                        self.h2.acknowledge_received_data(event.flow_controlled_length, stream)
                elif isinstance(event, h2.events.StreamEnded):
                    self.ended.add(stream)
                elif isinstance(event, h2.events.StreamReset):
                    self.was_reset[stream] = event.error_code
            self.push()

    def open(self, host=None, *fields, protocol="websocket"):
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, [
            (":method", "CONNECT"), (":protocol", protocol), (":scheme", "https"), (":path", "/ws"),
            (":authority", host or self.host), ("sec-websocket-version", "13"), *fields])
        self.push()
        self.until(lambda: stream in self.status or stream in self.was_reset)
        return stream

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()


def test_over_http2(edge):
    with RawOrigin(accepting(echo_bytes)) as origin:
        host = edge.create_preview(origin)
        with Over2(edge, host) as c:
            assert c.h2.remote_settings[h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL] == 1
            streams = [c.open() for _ in range(5)]
            assert all(c.status[s] == "200" for s in streams)
            for i, s in enumerate(streams):
                c.h2.send_data(s, frame(b"hello %d" % i))
            c.push()
            for i, s in enumerate(streams):
                want = frame(b"hello %d" % i)
                c.until(lambda: len(c.data.get(s, b"")) >= len(want))
                assert c.data[s] == want
            # The client's end is passed on; the box then ends too.
            c.h2.send_data(streams[0], b"", end_stream=True)
            c.push()
            c.until(lambda: streams[0] in c.ended)
            # A reset of one tunnel ends its connection to the box, and no other.
            c.h2.reset_stream(streams[1])
            c.push()
            assert origin.wait_connections(5)[1].done.wait(10)
            assert not origin.connections[2].done.is_set()
        assert origin.connections[4].done.wait(10)
        request = origin.requests[0]
        assert request.method == "GET" and request.get("upgrade").lower() == "websocket"
        assert request.get("sec-websocket-key") and request.get("sec-websocket-version") == "13"


def test_over_http2_a_box_that_refuses(edge):
    with HttpOrigin() as origin:
        host = edge.create_preview(origin)
        with Over2(edge, host) as c:
            stream = c.open()
            # The box answered 200 without accepting: that must not look like an accepted tunnel.
            assert c.status.get(stream) != "200" or stream in c.was_reset
            other = c.open(protocol="connect-udp")
            assert c.status.get(other, "reset")[:1] in "45r"
