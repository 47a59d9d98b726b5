"""Boxes with malformed answers, by parts of HTTP/1: the client gets a clean 502 or a cut stream, and the next
request is answered by the box and not by leftover bytes."""

import contextlib
import errno
import json
import socket
import threading
import time

import pytest

from harness import SANITIZED, SLOW, HttpOrigin, RawOrigin, WireError
from origins import reset_on_close

OK = b"HTTP/1.1 200 OK\r\n"
BAD_RESPONSES = {
    "not_http": b"SSH-2.0-OpenSSH_9.2p1\r\n",
    "garbage": bytes(range(256)) * 10,
    "http_0_9": b"<html>hello</html>",
    "version_2": b"HTTP/2 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "status_two_digits": b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok",
    "status_four_digits": b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok",
    "status_letters": b"HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\nok",
    "status_0": b"HTTP/1.1 000 OK\r\nContent-Length: 2\r\n\r\nok",
    "status_101_unasked": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "length_word": OK + b"Content-Length: abc\r\n\r\nok",
    "length_negative": OK + b"Content-Length: -1\r\n\r\nok",
    "length_empty": OK + b"Content-Length: \r\n\r\nok",
    "length_overflow": OK + b"Content-Length: 99999999999999999999\r\n\r\nok",
    "lengths_differ": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    "length_and_chunked": OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "coding_unknown": OK + b"Transfer-Encoding: gzip\r\n\r\nok",
    "coding_list": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "folded_field": OK + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
    "space_before_colon": OK + b"X : a\r\nContent-Length: 2\r\n\r\nok",
    "name_missing": OK + b": a\r\nContent-Length: 2\r\n\r\nok",
    "no_colon": OK + b"nonsense\r\nContent-Length: 2\r\n\r\nok",
    "nul_in_value": OK + b"X: a\x00b\r\nContent-Length: 2\r\n\r\nok",
    "bare_cr_in_value": OK + b"X: a\rSet-Cookie: b\r\nContent-Length: 2\r\n\r\nok",
    "head_without_end": OK + b"X: y\r\n",
    "nothing": b"",
    "two_hundred_fields": OK + b"X: y\r\n" * 200 + b"Content-Length: 2\r\n\r\nok",
    "long_field": OK + b"X: " + b"y" * 100000 + b"\r\nContent-Length: 2\r\n\r\nok",
    "hundred_informational": b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n" * 10000,
}


@pytest.mark.parametrize("name", BAD_RESPONSES)
def test_a_bad_head_is_a_clean_502(edge, name):
    def box(conn):
        conn.read_request()
        conn.send(BAD_RESPONSES[name])

    with RawOrigin(box) as origin:
        host = edge.create_preview(origin)
        with edge.connect("plain") as client:
            # POST: not sent again.
            client.send(f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\n\r\nhi".encode())
            while (response := client.read_message(request_method="POST")).status == 103:
                pass
            assert response.status == 502, response.raw_head
            assert json.loads(response.body)["code"]
            # The client's connection still works.
            alive = client.request(b"GET / HTTP/1.1\r\nHost: box-1.preview.box.localhost\r\n\r\n")
            assert alive.status == 404
        assert len(origin.connections) == 1


BAD_BODIES = {
    "length_too_long": OK + b"Content-Length: 100\r\n\r\nshort",
    "chunked_without_end": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "chunk_cut": OK + b"Transfer-Encoding: chunked\r\n\r\n64\r\nhello",
    "chunk_size_bad": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\nhello\r\n0\r\n\r\n",
    "chunk_without_crlf": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n",
    "chunk_extensions": OK + b"Transfer-Encoding: chunked\r\n\r\n5;" + b"a" * 100000 + b"\r\nhello\r\n0\r\n\r\n",
    "trailer_bad": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX : y\r\n\r\n",
}


@pytest.mark.parametrize("kind", ["plain", "tls"])
@pytest.mark.parametrize("name", BAD_BODIES)
def test_a_bad_body_is_a_cut_stream(edge, name, kind):
    def box(conn):
        conn.read_request()
        conn.send(BAD_BODIES[name])

    with RawOrigin(box) as origin:
        host = edge.create_preview(origin)
        with edge.connect(kind, host) as client:
            client.send(f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\n\r\nhi".encode())
            try:
                response = client.read_message(request_method="POST")
            except WireError:
                assert client.ended
            else:
                assert response.status == 502 or not response.complete, "the client took it for whole"
            assert client.wait_closed() is not None or response.status == 502
        line = edge.wait_for_line(host=host)
        assert line["end"] == "cut" or line["status"] == 502


def test_until_close_passes_and_a_reset_is_a_cut(edge):
    """Without a length the end of the connection ends the body; a reset does not."""
    def ends(conn):
        conn.read_request()
        conn.send(OK + b"Connection: close\r\n\r\nhello")

    with RawOrigin(ends) as origin:
        response = edge.get(edge.create_preview(origin), method="POST", body=b"x")
        assert response.body == b"hello" and response.complete
    ready = threading.Event()

    def resets(conn):
        conn.read_request()
        conn.send(OK + b"Connection: close\r\n\r\nhello")
        ready.wait(10)
        reset_on_close(conn.sock)

    with RawOrigin(resets) as origin:
        host = edge.create_preview(origin)
        with edge.connect("plain") as client:
            client.send(f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1\r\n\r\nx".encode())
            client.read_head()
            ready.set()
            try:
                message = client.read_to_end()
                assert not message.endswith(b"0\r\n\r\n"), "the client took it for whole"
            except WireError:
                pass
        assert edge.wait_for_line(host=host)["end"] == "cut"


def test_twenty_megabytes_of_head(make_edge):
    """The edge stops reading at its limit; the box cannot make it hold more."""
    edge = make_edge(kinds=("plain",))

    def box(conn):
        conn.read_request()
        conn.send(OK)
        for _ in range(20):
            conn.send((b"X: " + b"y" * 1000 + b"\r\n") * 1000)

    with RawOrigin(box) as origin:
        host = edge.create_preview(origin)
        before = edge.rss_kib()
        for _ in range(5):
            assert edge.get(host, method="POST", body=b"x").status == 502
        assert edge.rss_kib() - before < 8 << 10 or SANITIZED


def test_bytes_after_a_response_do_not_answer_the_next_request(edge):
    """A box that sends more than one response: the connection is not used again."""
    def box(conn):
        while conn.read_request() is not None:
            conn.send(OK + b"Content-Length: 2\r\n\r\nok" + OK + b"Content-Length: 6\r\n\r\npoison")

    with RawOrigin(box) as origin:
        host = edge.create_preview(origin)
        with edge.connect("plain") as client:
            for _ in range(20):
                assert client.request(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()).body == b"ok"
        assert len(origin.connections) == 20


def test_late_bytes_on_an_idle_connection_are_not_an_answer(edge):
    """The second response comes when the connection is in the pool: it is thrown away with the connection."""
    sent = threading.Event()

    def box(conn):
        conn.read_request()
        conn.send(OK + b"Content-Length: 2\r\n\r\nok")
        if conn.index == 0:
            sent.wait(10)
            conn.send(OK + b"Content-Length: 6\r\n\r\npoison")
        conn.read_request(timeout=30)
        conn.send(OK + b"Content-Length: 6\r\n\r\nsecond")

    with RawOrigin(box) as origin:
        host = edge.create_preview(origin)
        assert edge.get(host).body == b"ok"
        sent.set()
        first = origin.connections[0]
        assert first.done.wait(10), "the edge did not close the connection"
        assert edge.get(host).body in (b"ok", b"second")
        assert len(first.requests) == 1


def test_head_has_no_body_and_keeps_its_length(edge):
    with HttpOrigin() as origin:
        host = edge.create_preview(origin)
        with edge.connect("plain") as client:
            response = client.request(f"HEAD /bytes?n=12345 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert response.status == 200 and response.get("content-length") == "12345"
            for code in (204, 304):
                assert client.request(f"GET /status?code={code} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()).status == code
            assert client.request(f"GET /bytes?n=7 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()).body == HttpOrigin.PATTERN[:7]


def test_a_body_where_none_may_be_is_not_the_next_response(edge):
    """A box that sends a body with 204, 304 or to HEAD."""
    def box(conn):
        while (message := conn.read_request()) is not None:
            code = {"/204": b"204 No Content", "/304": b"304 Not Modified"}.get(message.target, b"200 OK")
            conn.send(b"HTTP/1.1 " + code + b"\r\nContent-Length: 5\r\n\r\nextra")

    with RawOrigin(box) as origin:
        host = edge.create_preview(origin)
        with edge.connect("plain") as client:
            for method, target, want in (("GET", "/204", b""), ("GET", "/304", b""), ("HEAD", "/", b""), ("GET", "/", b"extra")):
                request = f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
                assert client.request(request, method).body == want


def test_informational_responses_pass(edge):
    def box(conn):
        conn.read_request()
        conn.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
        conn.send(b"HTTP/1.1 102 Processing\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nok")

    with RawOrigin(box) as origin:
        host = edge.create_preview(origin)
        with edge.connect("plain") as client:
            client.send(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            early = client.read_head()
            assert early.status == 103 and early.get("link") == "</a.css>; rel=preload"
            assert client.read_head().status == 102
            assert client.read_message(request_method="GET").body == b"ok"


def test_trailers_pass_to_a_client_that_takes_them(edge):
    with HttpOrigin() as origin:
        host = edge.create_preview(origin)
        with edge.connect("plain") as client:
            response = client.request(f"GET /bytes?n=10&trailer=1 HTTP/1.1\r\nHost: {host}\r\nTE: trailers\r\n\r\n".encode())
            assert response.trailers == [("X-Trailer", "after")]


def test_events_are_not_held_back(edge):
    """Each event reaches the client as it is produced."""
    with HttpOrigin() as origin:
        host = edge.create_preview(origin)
        with edge.connect("tls", host) as client:
            client.send(f"GET /sse?n=20 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            lags = []

            def take(piece):
                if piece.startswith(b"data: "):
                    lags.append(time.monotonic() - float(piece.split()[2]))

            client.read_message(request_method="GET", sink=take)
            assert len(lags) == 20
            assert sorted(lags)[10] < 0.1 * SLOW


def test_nothing_listens(edge):
    with RawOrigin() as origin:
        host = edge.create_preview(origin)
    response = edge.get(host)
    assert response.status == 502
    assert json.loads(response.body)["code"] == "port_not_listening"
    page = edge.get(host, fields=["Sec-Fetch-Mode: navigate", "Accept: text/html"])
    assert page.get("content-type").startswith("text/html") and b"<html" in page.body.lower()
    cors = edge.get(host, fields=["Origin: https://example.com"])
    assert cors.get("access-control-allow-origin") and "origin" in cors.get("vary", "").lower()


def test_a_box_that_does_not_answer(make_edge):
    edge = make_edge(kinds=("plain",), config={"timeouts": {"first_byte": "300ms"}})
    with RawOrigin(lambda conn: conn.read_request() and conn.wait_closed(60)) as origin:
        host = edge.create_preview(origin)
        response = edge.get(host)
        assert response.status == 504 and json.loads(response.body)["code"] == "origin_timeout"
        assert origin.connections[0].done.wait(10), "the connection to the box was not closed"


def test_a_box_that_stops_taking_a_body(make_edge):
    """Its connection is reset: a FIN would wait behind bytes that the box does not read, and the kernel would
    keep them all."""
    edge = make_edge(kinds=("plain",), config={"timeouts": {"first_byte": "500ms"}})
    over = threading.Event()

    def send(client):
        with contextlib.suppress(OSError):  # the edge closes when it has answered
            while not over.is_set():
                client.send(bytes(65536))

    with RawOrigin(lambda conn: over.wait(60), receive_buffer=4096) as origin:
        host = edge.create_preview(origin)
        with edge.connect("plain") as client:
            client.send(f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: {1 << 40}\r\n\r\n".encode())
            sender = threading.Thread(target=send, args=(client,))
            sender.start()
            try:
                response = client.read_message()
                box = origin.connections[0].sock
                edge.wait_until(lambda: box.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET,
                                what="the reset")
            finally:
                over.set()
                client.reset()
                sender.join()
        assert response.status == 504 and json.loads(response.body)["code"] == "origin_timeout"


def test_a_box_that_takes_nothing_of_a_body_whose_client_leaves(make_edge):
    """The rest is useless to the client: a reset, and the kernel keeps nothing."""
    edge = make_edge(kinds=("plain",))
    over = threading.Event()
    with RawOrigin(lambda conn: over.wait(60), receive_buffer=4096) as origin:
        host = edge.create_preview(origin)
        with edge.connect("plain") as client:
            client.send(f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: {1 << 40}\r\n\r\n".encode())
            client.sock.settimeout(0.2)
            with contextlib.suppress(TimeoutError):
                while True:  # until the socket is full
                    client.sock.sendall(bytes(65536))
            client.reset()
            try:
                box = origin.connections[0].sock
                edge.wait_until(lambda: box.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET,
                                what="the reset")
            finally:
                over.set()


# ---- connections to the box


def test_connections_to_the_box_are_used_again(make_edge):
    edge = make_edge(kinds=("plain",))
    with HttpOrigin() as origin:
        host = edge.create_preview(origin)
        with edge.connect("plain") as client:
            for _ in range(10):
                assert client.request(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()).status == 200
        assert len(origin.connections) == 1


def closing_box(requests_each):
    """A box that closes each connection after that many requests, without announcing it."""
    def box(conn):
        for _ in range(requests_each):
            if conn.read_request() is None:
                return
            conn.send(OK + b"Content-Length: 2\r\n\r\nok")

    return box


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
def test_a_box_that_closes_between_requests_is_not_an_error(make_edge, method):
    edge = make_edge(kinds=("plain",))
    with RawOrigin(closing_box(1)) as origin:
        host = edge.create_preview(origin)
        body = b"hello" if method != "GET" else b""
        with edge.connect("plain") as client:
            for _ in range(20):
                response = client.request(
                    f"{method} / HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body, method)
                assert response.status == 200
                if method == "POST":  # never sent again: the edge must have seen the close, which takes a moment
                    assert origin.connections[-1].done.wait(10)


def dying_box(conn):
    """Answers the first request of a connection; takes the second and dies without a byte."""
    conn.read_request()
    conn.send(OK + b"Content-Length: 2\r\n\r\nok")
    conn.read_request()


@pytest.mark.parametrize("method, again", [("GET", True), ("PUT", True), ("DELETE", True), ("POST", False), ("PATCH", False)])
def test_what_is_sent_again(make_edge, method, again):
    """A request that dies with a used connection is sent again if that is safe, and never otherwise."""
    edge = make_edge(kinds=("plain",))
    with RawOrigin(dying_box) as origin:
        host = edge.create_preview(origin)
        body = b"hello" if method in ("PUT", "POST", "PATCH") else b""
        head = f"{method} / HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        with edge.connect("plain") as client:
            # Without a body: after one the connection would not be used again.
            assert client.request(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()).status == 200
            second = client.request(head + body, method)
        reused = len(origin.connections[0].requests) == 2
        assert reused, "the connection was not used again: nothing is shown"
        if again:
            assert second.status == 200
            assert len(origin.connections) == 2 and origin.requests[-1].body == body
        else:
            assert second.status == 502
            assert len(origin.requests) == 2


def test_a_fresh_connection_that_dies_is_not_tried_for_ever(make_edge):
    edge = make_edge(kinds=("plain",))
    with RawOrigin(lambda conn: conn.read_request()) as origin:
        host = edge.create_preview(origin)
        assert edge.get(host).status == 502
        assert len(origin.connections) <= 2


def test_two_previews_share_no_connection(make_edge):
    """Two boxes at the same address and port: a connection of one is not used for the other."""
    with HttpOrigin() as origin:
        edge = make_edge(kinds=("plain",), boxes=[{"id": i, "address": f"127.0.0.1:{origin.port}"} for i in ("one", "two")])
        hosts = [edge.create_preview(8000, box) for box in ("one", "two")]
        with edge.connect("plain") as client:
            seen = [
                json.loads(client.request(f"GET /echo HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()).body)["connection"]
                for host in hosts * 3
            ]
        assert set(seen[::2]) & set(seen[1::2]) == set()
