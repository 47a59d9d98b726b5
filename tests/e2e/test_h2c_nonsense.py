"""Previews whose app should speak HTTP/2 and sends malformed frames."""

import struct

import pytest

from h2c_world import app, block, code_of, edge, json_of  # noqa: F401 (fixtures)
from h2origin import FrameOrigin
from h2wire import (CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PUSH_PROMISE, RST_STREAM,
                    SETTINGS, WINDOW_UPDATE, Client, frame)
from harness import DOMAIN

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
    "status_099": head(block((":status", "099"))),
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
    assert edge.get(f"nothing-1.{DOMAIN}").status == 404  # it remains in service


def test_no_settings(make_edge):
    """An app that accepts and sends nothing counts as a slow one."""
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
    """An app that sends more than it was granted is cut, and occupies no memory."""
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
