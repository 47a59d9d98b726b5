"""Previews whose app speaks HTTP/2 without TLS: forwarding in both directions, second attempts, and
limits."""

import hashlib
import json
import socket
import struct

import hpack
import pytest
from h2.errors import ErrorCodes

from h2c_world import app, code_of, edge, json_of  # noqa: F401 (fixtures)
from h2origin import FrameOrigin, H2Origin
from h2wire import DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, Client
from harness import PATIENCE, HttpOrigin, RawOrigin


# ---- forwarded parts


def test_requests_over_http1(edge, app):
    response = edge.get(app.host, "/echo?a=%20b", fields=["X-One: 1", "Cookie: a=1", "Connection: X-Gone", "X-Gone: 1"])
    got = dict(json.loads(response.body)["fields"])
    assert response.status == 200
    assert got[":path"] == "/echo?a=%20b" and got[":method"] == "GET" and got[":scheme"] == "http"
    assert got[":authority"] == app.host and got["x-one"] == "1" and got["cookie"] == "a=1"
    assert got["x-forwarded-host"] == app.host and got["x-request-id"] and got["cdn-loop"] == f"boxedge-test;host={app.host}"
    assert not {"connection", "x-gone", "host", "te"} & set(got)
    head = edge.get(app.host, "/echo", method="HEAD")
    assert head.status == 200 and head.body == b""
    assert edge.get(app.host, "/status?code=204").status == 204
    assert edge.get(app.host, "/status?code=304").status == 304
    assert edge.get(app.host, "/status?code=404").get("Content-Length") == "0"
    edge.wait_for_line(port=app.port, path="/echo", method="HEAD", status=200, end="complete")


def test_bodies_and_trailers_both_ways(edge, app):
    with edge.connect("plain") as client:
        client.send(f"POST /echo HTTP/1.1\r\nHost: {app.host}\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n"
                    "Connection: TE\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 5\r\n\r\n".encode())
        got = json.loads(client.read_message().body)
        assert got["body_bytes"] == 5 and got["body_sha256"] == hashlib.sha256(b"hello").hexdigest()
        assert got["trailers"] == [["x-sum", "5"]] and ["te", "trailers"] in got["fields"]
        client.send(f"GET /bytes?n=100000&trailer=1 HTTP/1.1\r\nHost: {app.host}\r\n\r\n".encode())
        message = client.read_message()
        assert message.body == HttpOrigin.PATTERN[:100000] and message.trailers == [("x-trailer", "after")]
        client.send(f"PUT /echo HTTP/1.1\r\nHost: {app.host}\r\nContent-Length: 3\r\n"
                    "Expect: 100-continue\r\n\r\n".encode())
        assert client.read_message().status == 100
        client.send(b"abc")
        got = json.loads(client.read_message().body)
        assert got["body_bytes"] == 3 and ["content-length", "3"] in got["fields"]
        client.send(f"GET /hints HTTP/1.1\r\nHost: {app.host}\r\n\r\n".encode())
        assert client.read_message().get("Link") == "</a>"
        assert client.read_message().status == 200


def test_requests_over_http2(edge, app):
    with Client(edge, app.host) as client:
        streams = [client.request(f"/bytes?n={1000 * i}&trailer=1") for i in range(60)]
        # Begun beside the others: after a pause, a POST would get a connection of its own.
        post = client.request("/echo", method="POST", end=False)
        for i, stream in enumerate(streams):
            answer = client.finish(stream)
            assert hashlib.sha256(answer.body).hexdigest() == HttpOrigin.pattern_sha256(1000 * i)
            assert answer.trailers == {"x-trailer": "after"} and answer.reset is None
        client.send(post, b"x" * 1000, end=True)
        assert json_of(client.finish(post))["body_bytes"] == 1000
    assert len(app.connections) == 1  # they share it


def test_8_mb_both_ways_beside_a_slow_reader(edge, app):
    """A client that reads nothing stops its own stream; other streams of the connection continue."""
    size = 8_000_000
    with socket.socket() as slow, Client(edge, app.host, keep=False) as client:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.settimeout(PATIENCE)
        slow.connect(("127.0.0.1", edge.port["plain"]))
        slow.sendall(f"GET /bytes?n={size} HTTP/1.1\r\nHost: {app.host}\r\nConnection: close\r\n\r\n".encode())
        app.wait_calls(1)
        down = client.request(f"/bytes?n={size}")
        assert client.finish(down).body_bytes == size
        up = client.request("/echo", method="POST", end=False)
        assert client.send(up, bytes(size), end=True) == size
        client.keep = True
        assert json_of(client.finish(up)) | {"fields": 0} == {
            "fields": 0, "body_bytes": size, "body_sha256": hashlib.sha256(bytes(size)).hexdigest(), "trailers": [],
            "connection": 0}
        digest, got = hashlib.sha256(), bytearray()
        while data := slow.recv(65536):
            got += data
        head, body = bytes(got).split(b"\r\n\r\n", 1)
        digest.update(body)
        assert b" 200 " in head and digest.hexdigest() == HttpOrigin.pattern_sha256(size)


def test_an_app_that_takes_no_body_stops_the_upload(edge):
    """The edge reads 64 KiB and the sockets' buffers from the client, and no more; another request passes
    meanwhile."""
    encoder = hpack.Encoder()
    heads = []

    def answers(conn, stream):
        heads.append(stream)
        if stream != 1:
            conn.send_frame(HEADERS, END_HEADERS | END_STREAM, stream, encoder.encode([(":status", "200")]))

    with FrameOrigin(answers, settings=True) as origin:
        host = edge.create_preview(origin, "box", "--protocol", "h2c")
        with Client(edge, host) as client:
            up = client.request("/", method="POST", end=False)
            origin.wait(lambda o: heads)
            sent = client.send(up, bytes(4_000_000), timeout=1)
            assert 65535 <= sent < 1_000_000
            assert client.get("/").status == 200


def test_a_preflight_without_credentials_shows_no_body(edge):
    """The rest of the app's bytes is cancelled; the connection stays."""
    with H2Origin() as app:
        host = edge.create_preview(app, "box", "--protocol", "h2c", "--bearer")
        fields = [("origin", "https://a.example"), ("access-control-request-method", "GET")]
        with Client(edge, host) as client:
            for _ in range(2):
                answer = client.finish(client.request("/bytes?n=300000", method="OPTIONS", fields=fields))
                assert (answer.status, bytes(answer.body), answer.reset) == (200, b"", None)
        response = edge.get(host, "/bytes?n=300000", method="OPTIONS", fields=[f"{name}: {value}" for name, value in fields])
        assert (response.status, response.body) == (200, b"")
        assert len(app.connections) == 1


def test_departures_reach_the_app(edge, app):
    with Client(edge, app.host) as client:
        client.request("/hang")
        app.wait_calls(1)
    app.wait(lambda o: o.calls[0].reset == ErrorCodes.CANCEL)
    assert edge.get(app.host, "/echo").status == 200
    assert len(app.connections) == 1


def test_an_answer_before_the_upload_ends(edge, app):
    with Client(edge, app.host) as client:
        stream = client.request("/early?n=10", method="POST", end=False)
        answer = client.finish(stream)
        assert answer.status == 200 and bytes(answer.body) == HttpOrigin.PATTERN[:10]
        assert client.get("/echo").status == 200
    assert len(app.connections) == 1


# ---- connections


def test_no_more_streams_than_the_app_allows(edge):
    with H2Origin(streams=3) as app:
        host = edge.create_preview(app, "box", "--protocol", "h2c")
        assert edge.get(host).status == 200  # its SETTINGS are known
        with Client(edge, host) as client:
            for _ in range(10):
                client.request("/hang")
            app.wait_calls(11)
            assert client.get("/echo").status == 200
        assert len(app.connections) == 4  # 11 at a time


@pytest.mark.parametrize("path", ["/goaway", "/refuse"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_the_app_did_not_look_at_is_sent_again(edge, app, path, method):
    body = b"" if method == "GET" else b"the body"
    got = json.loads(edge.get(app.host, path, method=method, body=body).body)
    assert got["connection"] == 1 and got["body_bytes"] == len(body)
    assert len(app.calls) == 2


def test_refused_twice(edge):
    def refuse(conn, stream):
        conn.send_frame(RST_STREAM, 0, stream, struct.pack(">I", 7))

    with FrameOrigin(refuse) as origin:
        host = edge.create_preview(origin, "box", "--protocol", "h2c")
        assert code_of(edge.get(host)) == (502, "origin_refused")
        assert len(origin.connections) == 2


def test_what_the_app_may_have_looked_at_is_not(edge, app):
    assert code_of(edge.get(app.host, "/reset", method="POST", body=b"x")) == (502, "origin_closed")
    assert len(app.calls) == 1


def test_goaway_in_the_middle_of_an_answer(edge):
    """Streams that it knows continue; new ones take another connection, also one that crossed the GOAWAY."""
    encoder, released = hpack.Encoder(), []

    def answers(conn, stream):
        if conn.index == 0 and stream == 1:
            released.append((conn, stream))
            conn.send_frame(HEADERS, END_HEADERS, stream, hpack.Encoder().encode([(":status", "200")]))
            conn.send_frame(DATA, 0, stream, b"half ")
            conn.send_frame(GOAWAY, 0, 0, struct.pack(">II", stream, 0))
        elif conn.index != 0:
            conn.send_frame(HEADERS, END_HEADERS, stream, encoder.encode([(":status", "200")]))
            conn.send_frame(DATA, END_STREAM, stream, b"new")
            first, waiting = released[0]
            first.send_frame(DATA, END_STREAM, waiting, b"whole")

    with FrameOrigin(answers) as origin:
        host = edge.create_preview(origin, "box", "--protocol", "h2c")
        with Client(edge, host) as client:
            first = client.request("/")
            client.until(lambda: client.answer(first).body_bytes)
            assert bytes(client.get("/").body) == b"new"
            assert bytes(client.finish(first).body) == b"half whole"
        origin.connections[0].done.wait(PATIENCE)  # no stream is left there


def test_idle_connections_are_closed(make_edge):
    with H2Origin() as app:
        edge = make_edge(config={"timeouts": {"pool_idle": "100ms"}})
        host = edge.create_preview(app, "box", "--protocol", "h2c")
        assert edge.get(host).status == 200
        assert app.connections[0].done.wait(PATIENCE)
        assert edge.get(host).status == 200
        assert len(app.connections) == 2


def test_a_connection_that_ended(edge):
    """An idle connection that the app closes is not missed, for any method."""
    encoder = hpack.Encoder()

    def answers(conn, stream):
        conn.send_frame(HEADERS, END_HEADERS | END_STREAM, stream, encoder.encode([(":status", "204")]))

    with FrameOrigin(answers) as origin:
        host = edge.create_preview(origin, "box", "--protocol", "h2c")
        for i in range(4):
            assert edge.get(host, method="POST", body=b"x").status == 204
            origin.connections[i].sock.shutdown(socket.SHUT_RDWR)
            assert origin.connections[i].done.wait(PATIENCE)


def test_the_edge_ends_with_calls_open(make_edge):
    with H2Origin() as app:
        edge = make_edge(config={"timeouts": {"drain": "100ms"}})
        host = edge.create_preview(app, "box", "--protocol", "h2c")
        with Client(edge, host) as client:
            client.request("/hang")
            client.request("/hang", method="POST", end=False)
            app.wait_calls(2)
            edge.stop()  # checks for a clean end


# ---- refusals


def test_an_app_that_speaks_http1(edge):
    def answer(conn):
        conn.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        while conn.sock.recv(65536):
            pass

    with RawOrigin(answer) as app:
        host = edge.create_preview(app, "box", "--protocol", "h2c")
        assert code_of(edge.get(host)) == (502, "origin_not_http2")


def test_nothing_listens(edge):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host = edge.create_preview(probe.getsockname()[1], "box", "--protocol", "h2c")
        assert code_of(edge.get(host)) == (502, "port_not_listening")


def test_websockets_are_refused(edge, app):
    response = edge.get(app.host, fields=["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
                                          "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="])
    assert code_of(response) == (502, "websocket_unsupported")


def test_an_app_that_stops_taking_a_body(make_edge):
    """It grants no more than the window that every stream begins with."""
    edge = make_edge(config={"timeouts": {"first_byte": "500ms"}})
    with FrameOrigin(lambda conn, stream: None) as origin:
        host = edge.create_preview(origin, "box", "--protocol", "h2c")
        with Client(edge, host) as client:
            stream = client.request("/", method="POST", end=False)
            client.send(stream, bytes(70000))
            assert client.finish(stream).status == 504
        origin.wait(lambda o: o.resets)


def test_no_answer_in_time(make_edge):
    with H2Origin() as app:
        edge = make_edge(config={"timeouts": {"first_byte": "200ms"}})
        host = edge.create_preview(app, "box", "--protocol", "h2c")
        assert code_of(edge.get(host, "/hang")) == (504, "origin_timeout")
        app.wait(lambda o: o.calls[0].reset == ErrorCodes.CANCEL)


def lengths(*values):
    """Answers with these fields, in this order, and three bytes."""
    def answers(conn, stream):
        fields = [(":status", "200"), *(("content-length", value) for value in values)]
        conn.send_frame(HEADERS, END_HEADERS, stream, hpack.Encoder().encode(fields))
        conn.send_frame(DATA, END_STREAM, stream, b"abc")
    return answers


@pytest.mark.parametrize("values", [("3", "3"), ("3", "4"), ("4", "3"), ("3, 3",)])
def test_lengths_more_than_once(edge, values):
    """nghttp2 resets the stream of an answer with a second Content-Length, equal or not, before the edge sees it."""
    with FrameOrigin(lengths(*values)) as origin:
        response = edge.get(edge.create_preview(origin, "box", "--protocol", "h2c"))
        assert code_of(response) == (502, "bad_response")
        assert json.loads(response.body)["detail"] == (
            "The answer has Content-Length twice." if len(values) == 2 else "Content-Length is not a number, or is too large.")
        origin.wait(lambda o: o.resets == [(1, ErrorCodes.PROTOCOL_ERROR)])
    with FrameOrigin(lengths("3")) as origin:
        assert edge.get(edge.create_preview(origin, "box", "--protocol", "h2c")).body == b"abc"
