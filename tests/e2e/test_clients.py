"""Third-party Python clients: httpx, and h2 driven by hand."""

import asyncio
import hashlib
import json
import os
import socket
import ssl
import threading

import h2.config
import h2.connection
import h2.events
import httpx
import pytest

from harness import PATIENCE, HttpOrigin, RawOrigin


@pytest.fixture(params=[False, True], ids=["http1", "http2"])
def client(request, edge, monkeypatch):
    """Makes httpx clients for which every name is 127.0.0.1."""
    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _host, *a, **kw: resolve("127.0.0.1", *a, **kw))

    def make():
        transport = httpx.AsyncHTTPTransport(verify=edge.context(None), http1=not request.param, http2=request.param)
        return httpx.AsyncClient(transport=transport, timeout=PATIENCE)

    make.version = "HTTP/2" if request.param else "HTTP/1.1"
    return make


def test_httpx_many_at_once(client, edge, preview):
    async def main():
        async with client() as c:
            async def one(i):
                data = os.urandom(1000 * i)
                r = await c.post(edge.url(preview, f"/echo?i={i}"), content=data)
                assert r.status_code == 200 and r.http_version == client.version
                assert r.json()["body_sha256"] == hashlib.sha256(data).hexdigest()

            await asyncio.gather(*(one(i) for i in range(50)))

    asyncio.run(main())


def test_httpx_streams_both_ways(client, edge, preview):
    async def main():
        async with client() as c:
            async def pieces():
                for _ in range(40):
                    yield b"x" * 25_000

            r = await c.put(edge.url(preview, "/echo"), content=pieces())
            assert r.json()["body_bytes"] == 1_000_000
            async with c.stream("GET", edge.url(preview, "/bytes?n=5000000")) as r:
                digest = hashlib.sha256()
                async for piece in r.aiter_raw():
                    digest.update(piece)
            assert digest.hexdigest() == HttpOrigin.pattern_sha256(5_000_000)

    asyncio.run(main())


def test_httpx_leaves_in_the_middle(client, edge, preview):
    """A client that stops reading a download and closes: the memory of its exchange is released."""
    async def main():
        async with client() as c:
            async with c.stream("GET", edge.url(preview, "/bytes?n=500000000")) as r:
                async for _ in r.aiter_raw():
                    break

    start = len(edge.access.lines)
    asyncio.run(main())
    line = edge.wait_for_line(lambda l: l.get("path", "").startswith("/bytes?n=500000000"), start=start)
    assert line["end"] == "client_gone" and line["response_bytes"] < 500_000_000


class H2:
    """An HTTP/2 client by the h2 package, driven by hand."""

    def __init__(self, edge, host):
        self.host = host
        context = edge.context(("h2",))
        raw = edge.socket("tls")
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = context.wrap_socket(raw, server_hostname=host)
        assert self.sock.selected_alpn_protocol() == "h2"
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.h2.initiate_connection()
        # Room on the connection for all: only a stream's window holds its bytes back.
        self.h2.increment_flow_control_window(16 << 20)
        self.push()

    def push(self):
        self.sock.sendall(self.h2.data_to_send())

    def request(self, path="/", method="GET", fields=(), end=True, authority=None):
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, [(":method", method), (":scheme", "https"),
                                      (":authority", authority or self.host), (":path", path), *fields], end_stream=end)
        self.push()
        return stream

    def events(self):
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionError("closed")
        found = self.h2.receive_data(data)
        self.push()
        return found

    def response(self, stream, acknowledge=True):
        """(headers, body, trailers); raises if the stream was reset."""
        headers, body, trailers = None, b"", None
        while True:
            for event in self.events():
                if getattr(event, "stream_id", None) != stream:
                    continue
                if isinstance(event, h2.events.ResponseReceived):
                    headers = dict(event.headers)
                elif isinstance(event, h2.events.DataReceived):
                    body += event.data
                    if acknowledge and event.flow_controlled_length:
                        self.h2.acknowledge_received_data(event.flow_controlled_length, stream)
                        self.push()
                elif isinstance(event, h2.events.TrailersReceived):
                    trailers = dict(event.headers)
                elif isinstance(event, h2.events.StreamReset):
                    raise ConnectionResetError(event.error_code)
                elif isinstance(event, h2.events.StreamEnded):
                    return headers, body, trailers

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()


def test_h2_trailers(edge, preview):
    with H2(edge, preview) as c:
        stream = c.request("/echo", "POST", [("te", "trailers")], end=False)
        c.h2.send_data(stream, b"hello")
        c.h2.send_headers(stream, [("x-sum", "5")], end_stream=True)
        c.push()
        headers, body, _ = c.response(stream)
        seen = json.loads(body)
        assert headers[":status"] == "200" and seen["body_bytes"] == 5
        assert seen["trailers"] == []  # of an app over HTTP/1
        headers, body, trailers = c.response(c.request("/bytes?n=10&trailer=1", fields=[("te", "trailers")]))
        assert body == HttpOrigin.PATTERN[:10] and trailers == {"x-trailer": "after"}


def test_h2_cookie_crumbs_are_joined(edge, preview):
    with H2(edge, preview) as c:
        _, body, _ = c.response(c.request("/echo", fields=[("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")]))
        fields = json.loads(body)["fields"]
        assert [v for k, v in fields if k.lower() == "cookie"] == ["a=1; b=2; c=3"]


def test_h2_another_preview_on_the_same_connection(edge, preview):
    """Browsers put previews that one certificate covers on one connection; other hosts get 421."""
    with HttpOrigin() as other, H2(edge, preview) as c:
        host = edge.create_preview(other)
        headers, _, _ = c.response(c.request("/echo", authority=host))
        assert headers[":status"] == "200" and len(other.requests) == 1
        headers, _, _ = c.response(c.request("/echo", authority="example.com"))
        assert headers[":status"] == "421"


def test_h2_a_held_stream_does_not_stall_its_neighbours(edge, preview):
    """One stream's body is not read by its box, another's response is not read by the client: a third
    continues."""
    release = threading.Event()
    with RawOrigin(lambda conn: release.wait(30)) as stuck:
        host = edge.create_preview(stuck)
        with H2(edge, preview) as c:
            held = c.request("/", "POST", authority=host, end=False)
            unread = c.request("/bytes?n=50000000")
            # Fill the stuck box's stream, and never give `unread` more than its first window.
            while (room := c.h2.local_flow_control_window(held)) > 0:
                c.h2.send_data(held, b"x" * min(room, c.h2.max_outbound_frame_size))
                c.push()
            for i in range(20):
                stream = c.request(f"/echo?i={i}")
                headers, body, _ = c.response(stream)
                assert headers[":status"] == "200" and json.loads(body)["target"] == f"/echo?i={i}"
            assert unread
        release.set()


def test_h2_expect_and_early_hints(edge):
    def box(conn):
        conn.read_request()
        conn.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with RawOrigin(box) as origin:
        host = edge.create_preview(origin)
        with H2(edge, host) as c:
            stream = c.request("/")
            seen, done = [], False
            while not done:
                for event in c.events():
                    seen.append(type(event).__name__)
                    done = done or isinstance(event, h2.events.StreamEnded)
            assert "InformationalResponseReceived" in seen and "ResponseReceived" in seen
            assert stream


def test_a_client_that_offers_http_1_0_only(edge, preview):
    """It gets the protocol that it offers; if none of its offers is served, it gets an alert (RFC 7301
    section 3.2)."""
    with edge.connect("tls", preview, alpn=("http/1.0",)) as client:
        assert client.tls.selected_alpn_protocol() == "http/1.0"
        assert client.request(f"GET / HTTP/1.0\r\nHost: {preview}\r\n\r\n".encode()).status == 200
    with edge.connect("tls", preview, alpn=("http/1.0", "http/1.1")) as client:
        assert client.tls.selected_alpn_protocol() == "http/1.1"
    with pytest.raises(ssl.SSLError, match="(?i)alert no application protocol"):
        edge.connect("tls", preview, alpn=("smtp",))
