"""The framing of a request's body for an app over HTTP/1.1, by the bytes that came before its head was
written."""

import pytest

from h2wire import Client
from harness import PATIENCE, RawOrigin

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BARE = ["GET", "HEAD", "DELETE", "OPTIONS"]


def answer(conn):
    while (request := conn.read_request()) is not None:
        conn.send(OK[:-2] if request.method == "HEAD" else OK)


@pytest.fixture
def app():
    with RawOrigin(answer) as origin:
        yield origin


def framing(request):
    return request.get("Content-Length"), request.get("Transfer-Encoding")


def over_http2(edge, host, method, body):
    """The head without END_STREAM and the body in one write, and so in one TLS record."""
    with Client(edge, host) as client:
        stream = client.h2.get_next_available_stream_id()
        client.h2.send_headers(stream, [(":method", method), (":scheme", "https"), (":path", "/"),
                                        (":authority", f"{host}:{edge.port['tls']}")])
        client.h2.send_data(stream, body, end_stream=True)
        client.flush()
        assert client.finish(stream).status == 200


def over_http1(edge, host, method, body):
    chunk = b"%x\r\n%s\r\n" % (len(body), body) if body else b""
    with edge.connect("plain") as client:
        head = f"{method} / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n"
        assert client.request(head.encode() + chunk + b"0\r\n\r\n", method).status == 200


@pytest.mark.parametrize("send", [over_http2, over_http1])
@pytest.mark.parametrize("method", [*BARE, "POST", "PUT", "PATCH"])
def test_a_body_that_came_with_the_head(make_edge, app, method, send):
    edge = make_edge(workers=1)
    host = edge.create_preview(app)
    # Twice: on a fresh connection, where time remains to wait, and on one from the pool (but for HEAD).
    for _ in range(2):
        send(edge, host, method, b"")
        send(edge, host, method, b"abc")
    expected = [(None if method in BARE else "0", None), ("3", None)] * 2
    assert [framing(request) for request in app.requests] == expected
    assert [request.body for request in app.requests] == [b"", b"abc"] * 2
    assert method == "HEAD" or len(app.connections) == 2


def test_a_head_waits_for_no_body(edge, app):
    """Both ways at the same time, as gRPC streams: the head arrives before the client has sent any of the body."""
    host = edge.create_preview(app)
    with Client(edge, host) as client:
        stream = client.request("/", "POST", end=False)
        conn = app.wait_connections(1)[0]
        edge.wait_until(lambda: b"\r\n\r\n" in conn.received, PATIENCE, "the head")
        client.send(stream, b"abc", end=True)
        assert client.finish(stream).status == 200
    assert framing(app.requests[0]) == (None, "chunked") and app.requests[0].body == b"abc"
