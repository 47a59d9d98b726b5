"""Previews whose app speaks HTTP/2 without TLS: what passes both ways, what is sent again, gRPC with its own library,
and apps that speak nonsense."""

import concurrent.futures
import hashlib
import json
import queue
import socket
import ssl
import struct
import subprocess

import grpc
import hpack
import pytest
from h2.errors import ErrorCodes

from h2origin import FrameOrigin, H2Origin
from h2wire import (ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PUSH_PROMISE, RST_STREAM,
                    SETTINGS, WINDOW_UPDATE, Client, frame)
from harness import DOMAIN, PATIENCE, Edge, HttpOrigin, RawOrigin


@pytest.fixture(scope="module")
def edge(tmp_path_factory):
    """With one worker: connections are shared within one."""
    running = Edge(tmp_path_factory.mktemp("edge"), workers=1)
    yield running
    running.close()


@pytest.fixture
def app(edge):
    with H2Origin() as origin:
        origin.host = edge.create_preview(origin, "box", "--protocol", "h2c")
        yield origin


def json_of(answer):
    return json.loads(bytes(answer.body))


def code_of(response):
    return response.status, json.loads(response.body)["code"]


# ---- what passes


def test_requests_over_http1(edge, app):
    response = edge.get(app.host, "/echo?a=%20b", fields=["X-One: 1", "Cookie: a=1", "Connection: X-Gone", "X-Gone: 1"])
    got = dict(json.loads(response.body)["fields"])
    assert response.status == 200
    assert got[":path"] == "/echo?a=%20b" and got[":method"] == "GET" and got[":scheme"] == "http"
    assert got[":authority"] == app.host and got["x-one"] == "1" and got["cookie"] == "a=1"
    assert got["x-forwarded-host"] == app.host and got["x-request-id"] and got["cdn-loop"] == "boxedge-test"
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
        for i, stream in enumerate(streams):
            answer = client.finish(stream)
            assert hashlib.sha256(answer.body).hexdigest() == HttpOrigin.pattern_sha256(1000 * i)
            assert answer.trailers == {"x-trailer": "after"} and answer.reset is None
        stream = client.request("/echo", method="POST", end=False)
        client.send(stream, b"x" * 1000, end=True)
        assert json_of(client.finish(stream))["body_bytes"] == 1000
    assert len(app.connections) == 1  # they share it


def test_8_mb_both_ways_beside_a_slow_reader(edge, app):
    """A client that takes nothing stops its own stream; what shares the connection with it goes on."""
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
    """64 KiB and what sockets hold, and no more, is taken from the client; another request passes meanwhile."""
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
    """Streams that it knows go on; new ones take another connection."""
    encoder, released = hpack.Encoder(), []

    def answers(conn, stream):
        if conn.index == 0:
            conn.send_frame(HEADERS, END_HEADERS, stream, hpack.Encoder().encode([(":status", "200")]))
            conn.send_frame(DATA, 0, stream, b"half ")
            conn.send_frame(GOAWAY, 0, 0, struct.pack(">II", stream, 0))
            released.append((conn, stream))
        else:
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
        origin.connections[0].done.wait(PATIENCE)  # nothing is left there


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
            edge.stop()  # checks that it ended well


# ---- what does not pass


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


def test_no_answer_in_time(make_edge):
    with H2Origin() as app:
        edge = make_edge(config={"timeouts": {"first_byte": "200ms"}})
        host = edge.create_preview(app, "box", "--protocol", "h2c")
        assert code_of(edge.get(host, "/hang")) == (504, "origin_timeout")
        app.wait(lambda o: o.calls[0].reset == ErrorCodes.CANCEL)


# ---- apps that speak nonsense


def block(*fields):
    return hpack.Encoder().encode(list(fields))


OK = block((":status", "200"))


def head(payload, flags=END_HEADERS | END_STREAM):
    return lambda conn, stream: conn.send_frame(HEADERS, flags, stream, payload)


def raw(*frames):
    """Frames to send; a stream of None is the request's."""
    def send(conn, stream):
        conn.send(b"".join(frame(kind, flags, stream if on is None else on, payload)
                           for kind, flags, on, payload in frames))
    return send


NONSENSE = {
    "no_status": head(block(("x", "y"))),
    "status_word": head(block((":status", "abc"))),
    "status_101": head(block((":status", "101"))),
    "status_999": head(block((":status", "999"))),
    "two_statuses": head(block((":status", "200"), (":status", "200"))),
    "pseudo_field_of_requests": head(block((":status", "200"), (":path", "/"))),
    "upper_case": head(block((":status", "200")) + b"\x00\x01X\x01y"),
    "nul_in_value": head(block((":status", "200"), ("x", "a\0b"))),
    "connection_field": head(block((":status", "200"), ("connection", "close"))),
    "two_lengths": head(block((":status", "200"), ("content-length", "0"), ("content-length", "1"))),
    "length_word": head(block((":status", "200"), ("content-length", "abc"))),
    "length_without_body": head(block((":status", "200"), ("content-length", "5"))),
    "only_interim": head(block((":status", "103"))),
    "many_interim": lambda conn, stream: [head(block((":status", "103")), END_HEADERS)(conn, stream)
                                          for _ in range(20)],
    "many_fields": head(block((":status", "200"), *[("x", "y")] * 101)),
    "large_head": head(block((":status", "200"), ("x", "y" * 12000), ("z", "y" * 12000)), END_HEADERS),
    "body_before_head": raw((DATA, END_STREAM, None, b"x")),
    "bad_hpack": head(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
    "bomb": head(block((":status", "200"), ("x", "y" * 4000)) + b"\xbe" * 16000),
    "frame_too_large": raw((HEADERS, END_HEADERS, None, bytes(70000))),
    "continuation_alone": raw((CONTINUATION, END_HEADERS, None, OK)),
    "continuations_without_end": raw((HEADERS, 0, None, OK), *[(CONTINUATION, 0, None, b"")] * 2000),
    "push": raw((PUSH_PROMISE, END_HEADERS, None, struct.pack(">I", 2) + block(
        (":method", "GET"), (":path", "/"), (":scheme", "http"), (":authority", "x")))),
    "idle_stream": raw((HEADERS, END_HEADERS, 99, OK)),
    "even_stream": raw((HEADERS, END_HEADERS, 2, OK)),
    "reset_of_idle_stream": raw((RST_STREAM, 0, 99, bytes(4))),
    "window_overflow": raw((WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff")),
    "window_zero": raw((WINDOW_UPDATE, 0, None, bytes(4))),
    "settings_on_a_stream": raw((SETTINGS, 0, None, b"")),
    "settings_odd": raw((SETTINGS, 0, 0, b"xyz")),
    "settings_flood": raw(*[(SETTINGS, 0, 0, b"")] * 5000),
    "ping_flood": raw(*[(PING, 0, 0, bytes(8))] * 20000),
    "reset_flood": raw((RST_STREAM, 0, None, struct.pack(">I", 8)), *[(RST_STREAM, 0, None, bytes(4))] * 20000),
    "goaway_of_itself": raw((GOAWAY, 0, 0, b"x")),
    "empty_data_flood": lambda conn, stream: conn.send(frame(HEADERS, END_HEADERS, stream, OK)
                                                       + frame(DATA, 0, stream) * 20000),
    "http_1": lambda conn, stream: conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    "close": lambda conn, stream: conn.close(),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_a_clean_502_or_a_cut(edge, name):
    with FrameOrigin(NONSENSE[name]) as origin:
        host = edge.create_preview(origin, "box", "--protocol", "h2c")
        with Client(edge, host) as client:
            stream = client.request("/", method="POST", end=False)  # not sent again
            client.send(stream, b"x")
            answer = client.answer(stream)
            client.until(lambda: answer.ended or answer.reset is not None)
            assert answer.status == 502 and json_of(answer)["code"] or answer.status == 200 and answer.reset is not None
    assert edge.get(f"nothing-1.{DOMAIN}").status == 404  # it serves on


def test_no_settings(make_edge):
    """An app that accepts and says nothing is waited for as one that is slow."""
    with FrameOrigin(lambda conn, stream: None, settings=False) as origin:
        edge = make_edge(config={"timeouts": {"first_byte": "300ms"}})
        host = edge.create_preview(origin, "box", "--protocol", "h2c")
        assert code_of(edge.get(host)) == (504, "origin_timeout")


def test_a_body_that_is_cut(edge, app):
    with Client(edge, app.host) as client:
        answer = client.finish(client.request("/cut"))
        assert answer.status == 200 and answer.reset is not None
        assert client.get("/echo").status == 200
    with edge.connect("plain") as client:
        client.send(f"GET /cut HTTP/1.1\r\nHost: {app.host}\r\n\r\n".encode())
        assert not client.read_message().complete


def test_too_much_body_for_its_length(edge):
    def answers(conn, stream):
        conn.send_frame(HEADERS, END_HEADERS, stream, block((":status", "200"), ("content-length", "3")))
        conn.send_frame(DATA, END_STREAM, stream, b"four")

    with FrameOrigin(answers) as origin:
        host = edge.create_preview(origin, "box", "--protocol", "h2c")
        with Client(edge, host) as client:
            answer = client.finish(client.request("/"))
            assert answer.reset is not None and answer.body_bytes <= 3


def test_bytes_beyond_the_window(edge):
    """An app that sends more than it was granted is cut, and no memory goes with it."""
    def answers(conn, stream):
        conn.send_frame(HEADERS, END_HEADERS, stream, OK)
        for _ in range(400):
            conn.send_frame(DATA, 0, stream, bytes(16384))

    with FrameOrigin(answers) as origin:
        host = edge.create_preview(origin, "box", "--protocol", "h2c")
        with Client(edge, host, consume=False) as client:
            answer = client.answer(client.request("/"))
            client.until(lambda: answer.reset is not None)
            assert answer.body_bytes <= 2 * 65536
        origin.wait(lambda o: o.goaways or o.resets or o.connections[0].done.is_set())


# ---- gRPC, by its own library

PLAIN = {"request_deserializer": None, "response_serializer": None}


class Echo(grpc.GenericRpcHandler):
    def service(self, call):
        if call.method == "/echo/Unary":
            return grpc.unary_unary_rpc_method_handler(self.unary, **PLAIN)
        if call.method == "/echo/Many":
            return grpc.unary_stream_rpc_method_handler(lambda r, c: (r + b"%d" % i for i in range(5)), **PLAIN)
        if call.method == "/echo/Sum":
            return grpc.stream_unary_rpc_method_handler(lambda rs, c: b"%d" % sum(map(len, rs)), **PLAIN)
        if call.method == "/echo/Chat":
            return grpc.stream_stream_rpc_method_handler(lambda rs, c: (b"re: " + r for r in rs), **PLAIN)
        return None

    @staticmethod
    def unary(request, context):
        context.set_trailing_metadata((("x-after", "yes"),))
        if request == b"fail":
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not ready: 50 %")
        return request


@pytest.fixture(scope="module")
def service():
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        server = grpc.server(pool, handlers=[Echo()], options=[("grpc.so_reuseport", 0)])
        server.port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield server
        server.stop(0).wait()


def channel(edge, host):
    credentials = grpc.ssl_channel_credentials(edge.ca.read_bytes())
    return grpc.secure_channel(f"127.0.0.1:{edge.port['tls']}", credentials, options=[
        ("grpc.ssl_target_name_override", host), ("grpc.default_authority", host), ("grpc.enable_retries", 0)])


def test_grpc(edge, service):
    host = edge.create_preview(service.port, "box", "--protocol", "h2c")
    with channel(edge, host) as calls:
        unary = calls.unary_unary("/echo/Unary")
        answer, call = unary.with_call(b"hello", timeout=PATIENCE)
        assert answer == b"hello" and ("x-after", "yes") in [tuple(m) for m in call.trailing_metadata()]
        big = bytes(2_000_000)
        assert unary(big, timeout=PATIENCE) == big
        assert list(calls.unary_stream("/echo/Many")(b"n", timeout=PATIENCE)) == [b"n%d" % i for i in range(5)]
        assert calls.stream_unary("/echo/Sum")(iter([b"a" * 1000] * 50), timeout=PATIENCE) == b"50000"
        chat = calls.stream_stream("/echo/Chat")
        says, said = queue.Queue(), []
        says.put(b"0")
        for answer in chat(iter(says.get, None), timeout=PATIENCE):
            said.append(answer)
            says.put(b"%d" % len(said) if len(said) < 10 else None)
        assert said == [b"re: %d" % i for i in range(10)]
        with pytest.raises(grpc.RpcError) as error:
            unary(b"fail", timeout=PATIENCE)
        assert error.value.code() == grpc.StatusCode.FAILED_PRECONDITION
        assert error.value.details() == "not ready: 50 %"
        with pytest.raises(grpc.RpcError) as error:
            calls.unary_unary("/echo/Nothing")(b"", timeout=PATIENCE)
        assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_grpc_errors_of_the_edge(edge, service):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        closed = edge.create_preview(probe.getsockname()[1], "box", "--protocol", "h2c")
        cases = [(f"box-1.{DOMAIN}", grpc.StatusCode.UNIMPLEMENTED, "no preview"),
                 (closed, grpc.StatusCode.UNAVAILABLE, "Nothing listens")]
        for host, code, words in cases:
            with channel(edge, host) as calls, pytest.raises(grpc.RpcError) as error:
                calls.unary_unary("/echo/Unary")(b"x", timeout=PATIENCE)
            assert (error.value.code(), words in error.value.details()) == (code, True), error.value
    host = edge.create_preview(service.port, "box", "--protocol", "h2c", "--bearer")
    with channel(edge, host) as calls, pytest.raises(grpc.RpcError) as error:
        calls.unary_unary("/echo/Unary")(b"x", timeout=PATIENCE)
    assert error.value.code() == grpc.StatusCode.UNAUTHENTICATED


# ---- behind an API host

API = "api.boxes.localhost"


def api_config(*servers):
    upstream = {"name": "api", "protocol": "h2", "retry_percent": 100,
                "servers": [f"127.0.0.1:{s.port}" for s in servers]}
    return {"api": {"hosts": [API]}, "upstreams": [upstream]}


def call_api(edge, path, **options):
    return edge.get(API, path, fields=["X-Box-Api-Key: k-test"], **options)


def test_an_upstream_over_h2(make_edge):
    with H2Origin() as app:
        edge = make_edge(config=api_config(app))
        got = json.loads(call_api(edge, "/echo?a", method="POST", body=b"abc").body)
        fields = dict(got["fields"])
        assert fields[":authority"] == API and fields[":path"] == "/echo?a" and fields["x-box-api-key"] == "k-test"
        assert got["body_bytes"] == 3
        assert call_api(edge, "/bytes?n=300000").body == (HttpOrigin.PATTERN * 2)[:300000]
        assert code_of(call_api(edge, "/reset")) == (502, "origin_closed")
        line = edge.wait_for_line(kind="api", method="POST", status=200)
        assert line["upstream"] == "api" and len(app.connections) == 1


def test_another_server_takes_what_one_did_not_look_at(make_edge):
    def refuse(conn, stream):
        conn.send_frame(RST_STREAM, 0, stream, struct.pack(">I", 7))

    def answers(conn, stream):
        conn.send_frame(HEADERS, END_HEADERS | END_STREAM, stream, block((":status", "204")))

    with FrameOrigin(refuse) as refusing, FrameOrigin(answers) as serving:
        edge = make_edge(config=api_config(refusing, serving))
        for _ in range(6):
            assert call_api(edge, "/v2/box", method="POST", body=b"x").status == 204
        assert refusing.resets == [] and refusing.connections


def test_an_upstream_that_is_down(make_edge):
    def answers(conn, stream):
        conn.send_frame(HEADERS, END_HEADERS | END_STREAM, stream, block((":status", "204")))

    with FrameOrigin(answers) as serving, FrameOrigin(answers) as down:
        edge = make_edge(config=api_config(serving, down))
        down.stop_listening()
        for _ in range(6):
            assert call_api(edge, "/v2/box", method="POST", body=b"x").status == 204


def test_grpc_through_the_api(make_edge, service):
    edge = make_edge(config=api_config(service))
    with channel(edge, API) as calls:
        unary = calls.unary_unary("/echo/Unary")
        assert unary(b"hello", timeout=PATIENCE, metadata=[("x-box-api-key", "k-test")]) == b"hello"
        with pytest.raises(grpc.RpcError) as error:
            unary(b"hello", timeout=PATIENCE)
        assert error.value.code() == grpc.StatusCode.UNAUTHENTICATED
        many = calls.unary_stream("/echo/Many")(b"n", timeout=PATIENCE, metadata=[("x-box-api-key", "k-test")])
        assert list(many) == [b"n%d" % i for i in range(5)]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Of 127.0.0.1, signed by itself; the paths of it and of its key."""
    folder = tmp_path_factory.mktemp("certificate")
    paths = folder / "leaf.pem", folder / "leaf.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                    "2", "-subj", "/CN=server", "-addext", "subjectAltName=IP:127.0.0.1", "-out", paths[0], "-keyout",
                    paths[1]], check=True, capture_output=True)
    return paths


def tls_context(certificate, *protocols):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    context.set_alpn_protocols(protocols)
    return context


def test_an_upstream_over_h2_and_tls(make_edge, certificate):
    config = {"tls": True, "tls_ca": str(certificate[0])}
    with H2Origin(tls=tls_context(certificate, "h2")) as app:
        edge = make_edge(config=merge_upstream(api_config(app), config))
        got = json.loads(call_api(edge, "/echo", method="POST", body=b"abc").body)
        assert got["body_bytes"] == 3 and dict(got["fields"])[":scheme"] == "https"
        assert call_api(edge, "/bytes?n=3000000").body[:1000] == HttpOrigin.PATTERN[:1000]
        assert len(app.connections) == 1


def test_tls_that_is_not_right(make_edge, certificate):
    """Another authority, another protocol, and no client certificate where the server asks for one: refused."""
    asking = tls_context(certificate, "h2")
    asking.verify_mode = ssl.CERT_REQUIRED
    asking.load_verify_locations(certificate[0])
    cases = [(tls_context(certificate, "h2"), {"tls": True}),
             (tls_context(certificate, "http/1.1"), {"tls": True, "tls_ca": str(certificate[0])}),
             (asking, {"tls": True, "tls_ca": str(certificate[0])})]
    for context, config in cases:
        with H2Origin(tls=context) as app:
            edge = make_edge(config=merge_upstream(api_config(app), config))
            status, code = code_of(call_api(edge, "/echo", method="POST", body=b"abc"))
            # Over TLS 1.3 a server judges the client's certificate late, and its reset may overtake its alert.
            assert status == 502 and code in ("origin_tls_failed", "origin_closed")[: 1 + (context is asking)]
            assert not app.calls


def merge_upstream(config, more):
    config["upstreams"][0] |= more
    return config
