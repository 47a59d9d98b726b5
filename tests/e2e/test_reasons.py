"""The reason of an app's refused answer is in the 502, in its access line, and, with the bytes, in the edge's
log (test_reasons_requests.py has the requests)."""

import json
import struct

import pytest

from h2c_world import block
from h2origin import FrameOrigin, H2Origin
from h2wire import (CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, SETTINGS, WINDOW_UPDATE, Client,
                    frame)
from harness import PATIENCE, RawOrigin

OK = b"HTTP/1.1 200 OK\r\n"
LONG_FIELD = b"\x00\x01x\x7f\x81\x7c" + b"v" * 16000
# The bytes of an app -> the reason, and the quote in the log.
ANSWERS = {
    "not_http": (b"SSH-2.0-OpenSSH\r\n", "The answer does not begin with HTTP/1.0 or HTTP/1.1.", r'"SSH-2.0-OpenSSH'),
    "status": (b"HTTP/1.1 20 OK\r\n\r\n", "The status is not a number from 100 to 999 between single spaces.", "20 OK"),
    "lf": (OK + b"X: y\n\r\n", "A line of the head ends with LF alone, without CR.", '"X"'),
    "mixture": (b"HTTP/1.1 200 OK\nX: y\r\n\n", "Some lines of the head end with LF alone and others with CR LF.", '"X"'),
    "folded": (OK + b"X: a\r\n b\r\n\r\n", "A header line is folded: it begins with a space.", ""),
    "no_colon": (OK + b"nonsense\r\n\r\n", "A header line has no colon.", '"nonsense"'),
    "space": (OK + b"X : a\r\n\r\n", "A header field has a space before its colon.", '"X"'),
    "nul": (OK + b"Set-Cookie: s3cret\x00\r\n\r\n", "The value of a header field has a control character.",
            '"Set-Cookie", byte 0x00'),
    "lengths": (OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok",
                "Content-Length appears more than once, with different numbers.", '"3"'),
    "both": (OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok",
             "Content-Length and Transfer-Encoding exclude each other.", ""),
    "fields": (OK + b"X: y\r\n" * 101 + b"\r\n", "The answer has more header fields than limits.head_fields allows.", ""),
    "size": (OK + b"X: " + b"y" * 40000 + b"\r\n\r\n", "The head of the answer is larger than limits.head_size allows.", ""),
    "http2": (b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64",
              "The answer begins with a SETTINGS frame of HTTP/2.", r'"\x00\x00\x06\x04'),
}
SENTENCES = {
    "fields": "The head of the app's answer is larger than this edge allows.",
    "size": "The head of the app's answer is larger than this edge allows.",
    "http2": "The app in the box speaks HTTP/2 on this port, but its preview is set to HTTP/1: create the "
             "preview with --protocol h2c.",
}


def said(edge, reason, quoted):
    line = edge.stderr.wait_for(lambda line: reason in line)
    assert quoted in line and "s3cret" not in line
    return line


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer(make_edge, name):
    sent, reason, quoted = ANSWERS[name]
    edge = make_edge(workers=1, kinds=("plain",))
    with RawOrigin(lambda conn: (conn.read_request(), conn.send(sent))) as origin:
        host = edge.create_preview(origin)
        response = edge.get(host)
        body = json.loads(response.body)
        assert (response.status, body["code"], body["detail"]) == (502, "bad_response", reason)
        assert body["error"] == SENTENCES.get(name, "The app in the box sent an answer that is not valid HTTP.")
        assert edge.wait_for_line(host=host)["detail"] == reason
        line = said(edge, reason, quoted)
        assert f"box box, port {origin.port}" in line and body["request_id"] in line
        page = edge.get(host, fields=["Sec-Fetch-Mode: navigate"]).body.decode()
        assert reason.replace("'", "&#39;") in page


@pytest.mark.parametrize("sent", [
    b"HTTP/1.1 200 OK\nX: y\nContent-Length: 2\n\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
])
def test_what_is_taken_though_unusual(make_edge, sent):
    edge = make_edge(workers=1, kinds=("plain",))
    with RawOrigin(sent) as origin:
        host = edge.create_preview(origin)
        for _ in range(2):
            assert edge.get(host).body == b"ok"
        assert len(origin.connections) == 1  # and the connection still works


BAD_STATUS = "The status is not a number from 100 to 999, or 101, which HTTP/2 does not have."
# The fields of an app over HTTP/2 -> the reason, and the quote in the log.
H2_ANSWERS = {
    "status": ([(":status", "099")], BAD_STATUS, '"099"'),
    "status_text": ([(":status", "2x0")], BAD_STATUS, '"2x0"'),
    "status_short": ([(":status", "20")], BAD_STATUS, '"20"'),
    "status_101": ([(":status", "101")], BAD_STATUS, '"101"'),
    "status_long": ([(":status", "2\x7f" * 20)], BAD_STATUS, '"' + r"2\x7f" * 16 + '"...'),
    "no_status": ([("x", "s3cret")], "The answer has no :status.", ""),
    "status_twice": ([(":status", "200"), (":status", "201")], "The answer has :status twice.", '"201"'),
    "status_late": ([("x", "s3cret"), (":status", "200")], "The answer has :status after another field.", '"200"'),
    "pseudo": ([(":status", "200"), (":path", "/s3cret")],
               "The only field of an answer that begins with ':' is :status.", '":path"'),
    "lengths": ([(":status", "200"), ("content-length", "2"), ("content-length", "3")],
                "The answer has Content-Length twice.", '"3"'),
    "length_text": ([(":status", "200"), ("content-length", "2a")], "Content-Length is not a number, or is too large.", '"2a"'),
    "length_204": ([(":status", "204"), ("content-length", "7")], "An answer with 1xx or 204 has Content-Length.", '"7"'),
    "no_body": ([(":status", "200"), ("content-length", "2")],
                "The answer ends with its head, but its Content-Length announces a body.", ""),
    "interim": ([(":status", "103")], "An interim answer (1xx) ends its stream.", ""),
    "connection": ([(":status", "200"), ("connection", "s3cret")],
                   "The answer has a connection-specific field, which HTTP/2 forbids.", '"connection"'),
    "chunked": ([(":status", "200"), ("transfer-encoding", "chunked")],
                "The answer has a connection-specific field, which HTTP/2 forbids.", '"transfer-encoding"'),
    "te": ([(":status", "200"), ("te", "s3cret")], "A field has a name or value that HTTP/2 does not allow.", '"te"'),
    "capital": ([(":status", "200"), ("X-Odd\x01" + "y" * 30, "s3cret")], "The name of a header field has a capital letter.",
                r'"X-Odd\x01' + "y" * 26 + '"...'),
    "nul": ([(":status", "200"), ("x-odd", "s3cret\0")], "A field has a name or value that HTTP/2 does not allow.", '"x-odd"'),
    "fields": ([(":status", "200"), *[("x", "y")] * 101],
               "The head of the answer is larger, or has more fields, than limits.head_size and limits.head_fields allow.", ""),
}


@pytest.mark.parametrize("name", H2_ANSWERS)
def test_an_answer_over_http2(make_edge, name):
    fields, reason, quoted = H2_ANSWERS[name]
    edge = make_edge(workers=1, kinds=("plain",))

    def answers(conn, stream):
        conn.send_frame(HEADERS, END_HEADERS | END_STREAM, stream, block(*fields))

    bad_answer_over_http2(edge, answers, reason, quoted)


H2_FRAMES = {
    "data": ([(HEADERS, END_HEADERS, block((":status", "103"))), (DATA, END_STREAM, b"x")],
             "A DATA frame came after an interim answer (1xx), before the final one."),
    "window": ([(WINDOW_UPDATE, 0, b"\x7f\xff\xff\xff")],
               "WINDOW_UPDATE frames make the window of the stream larger than 2^31 - 1 bytes."),
}


@pytest.mark.parametrize("name", H2_FRAMES)
def test_frames_that_break_a_rule(make_edge, name):
    frames, reason = H2_FRAMES[name]
    edge = make_edge(workers=1, kinds=("plain",))

    def answers(conn, stream):
        for kind, flags, payload in frames:
            conn.send_frame(kind, flags, stream, payload)

    bad_answer_over_http2(edge, answers, reason, "")


def bad_answer_over_http2(edge, answers, reason, quoted):
    with FrameOrigin(answers) as origin:
        host = edge.create_preview(origin, "box", "--protocol", "h2c")
        response = edge.get(host)
        body = json.loads(response.body)
        assert (response.status, body["code"], body["detail"]) == (502, "bad_response", reason)
        assert edge.wait_for_line(host=host)["detail"] == reason
        assert f"box box, port {origin.port}" in said(edge, reason, quoted)


TRAILER = "A trailer has a name that is allowed in a head only."
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"
# Bytes of an app over HTTP/1 behind the head of its answer -> the reason, and the quote in the log.
CUTS = {
    "chunk": (CHUNKED + b"xyz\r\n", "The size of a chunk is not a hexadecimal number, or is too large.", "byte 0x78"),
    "trailer": (CHUNKED + b"0\r\nSet-Cookie: s3cret\r\n\r\n", TRAILER, '"Set-Cookie"'),
    "trailer_name": (CHUNKED + b"0\r\nA\x01: s3cret\r\n\r\n",
                     "The name of a header field has a character that is not allowed there.", '"A", byte 0x01'),
    "trailer_lf": (CHUNKED + b"0\r\nA: s3cret\n\r\n", "A line of the head ends with LF alone, without CR.", '"A"'),
}
OTHER_LENGTH = "The body of the answer is not as long as its Content-Length."
OF_HTTP1 = "The answer has a connection-specific field, which HTTP/2 forbids."


def trailers(*fields, flags=END_HEADERS | END_STREAM):
    return [(HEADERS, END_HEADERS, block((":status", "200"))), (DATA, 0, b"ok"), (HEADERS, flags, block(*fields))]


def body_of_five(*frames):
    return [(HEADERS, END_HEADERS, block((":status", "200"), ("content-length", "5"))), (DATA, 0, b"ok"), *frames]


SIZE = "A frame is longer than 16384 bytes, or has a length that its kind does not allow."
RULE = "A frame breaks a rule of HTTP/2."
# The same over HTTP/2.
H2_CUTS = {
    "long": (body_of_five((DATA, 0, b"more")), OTHER_LENGTH, ""),
    "short": (body_of_five((DATA, END_STREAM, b"")), OTHER_LENGTH, ""),
    "short_trailers": (body_of_five((HEADERS, END_HEADERS | END_STREAM, block(("x", "y")))), OTHER_LENGTH, ""),
    "trailer": (trailers(("set-cookie", "s3cret")), TRAILER, '"set-cookie"'),
    "trailer_length": (trailers(("content-length", "s3cret")), TRAILER, '"content-length"'),
    "trailer_status": (trailers((":status", "200")), "A trailer is a pseudo-field.", '":status"'),
    "trailer_connection": (trailers(("connection", "s3cret")), OF_HTTP1, '"connection"'),
    "trailer_capital": (trailers(("X", "s3cret")), "The name of a header field has a capital letter.", '"X"'),
    "trailer_nul": (trailers(("x", "s3cret\0")), "A field has a name or value that HTTP/2 does not allow.", '"x"'),
    "trailers_many": (trailers(*[("x", "y")] * 101), "The head of the answer is larger, or has more fields, than "
                      "limits.head_size and limits.head_fields allow.", ""),
    "trailers_go_on": (trailers(("x", "y"), flags=END_HEADERS), "A second field section does not end the answer.", ""),
    "connection": (body_of_five((SETTINGS, 0, b"xyz")), SIZE, ""),
}


def cut_with_its_reason(edge, host, reason, quoted):
    """The answer had begun, and the client sees that it is incomplete."""
    with Client(edge, host) as client:
        answer = client.get()
        assert answer.status == 200 and answer.reset is not None
    line = edge.wait_for_line(host=f"{host}:{edge.port['tls']}")
    assert (line["status"], line["reason"], line["detail"], line["end"]) == (200, "bad_response", reason, "cut")
    assert line["request_id"] in said(edge, reason, quoted)


@pytest.mark.parametrize("name", CUTS)
def test_an_answer_that_has_begun(make_edge, name):
    sent, reason, quoted = CUTS[name]
    edge = make_edge(workers=1, kinds=("plain", "tls"))
    with RawOrigin(lambda conn: (conn.read_request(), conn.send(sent), conn.wait_closed())) as origin:
        cut_with_its_reason(edge, edge.create_preview(origin), reason, quoted)


@pytest.mark.parametrize("name", H2_CUTS)
def test_an_answer_over_http2_that_has_begun(make_edge, name):
    frames, reason, quoted = H2_CUTS[name]
    edge = make_edge(workers=1, kinds=("plain", "tls"))

    def answers(conn, stream):
        for kind, flags, payload in frames:
            conn.send_frame(kind, flags, stream, payload)

    with FrameOrigin(answers) as origin:
        cut_with_its_reason(edge, edge.create_preview(origin, "box", "--protocol", "h2c"), reason, quoted)


LARGE_H2 = "The head of the answer is larger, or has more fields, than limits.head_size and limits.head_fields allow."
# Bytes of an app that end its whole connection, before an answer -> the code, and the reason.
H2_CONNECTIONS = {
    "hpack": ([(HEADERS, END_HEADERS, b"\xff\xff\x7f")], "bad_response", "A field block cannot be decoded (HPACK)."),
    "long frame": ([(DATA, 0, bytes(70000))], "bad_response", f"{SIZE} (too large frame size)"),
    "settings": ([(SETTINGS, 0, b"")], "bad_response", f"{RULE} (SETTINGS: stream_id != 0)"),
    "section": ([(HEADERS, END_HEADERS, block((":status", "200"), ("x", "y" * 4000)) + b"\xbe" * 12000)], "bad_response",
                LARGE_H2),
    "block": ([(HEADERS, 0, LONG_FIELD), *[(CONTINUATION, 0, LONG_FIELD)] * 4], "bad_response",
              LARGE_H2),
    "flood": ([(0x55, 0, b"")] * 6000, "bad_response", "Control frames, resets and empty DATA come too fast."),
    "reset": ([(RST_STREAM, 0, struct.pack(">I", 2))], "origin_closed", "The app reset the stream with INTERNAL_ERROR."),
    "other reset": ([(RST_STREAM, 0, struct.pack(">I", 99))], "origin_closed",
                    "The app reset the stream with an unknown code."),
}


@pytest.mark.parametrize("name", H2_CONNECTIONS)
def test_a_connection_over_http2(edge, name):
    frames, code, reason = H2_CONNECTIONS[name]
    with FrameOrigin(lambda conn, stream: conn.send(b"".join(frame(kind, flags, stream, payload)
                                                             for kind, flags, payload in frames))) as origin:
        host = edge.create_preview(origin, "box", "--protocol", "h2c")
        body = json.loads(edge.get(host, method="POST").body)  # not sent again
        assert (body["code"], body["detail"]) == (code, reason)
        assert edge.wait_for_line(request_id=body["request_id"])["detail"] == reason


def test_an_app_that_speaks_http1_only(make_edge):
    edge = make_edge(workers=1, kinds=("plain",))
    with RawOrigin(lambda conn: (conn.send(OK + b"\r\n" + bytes(20)), conn.wait_closed())) as origin:
        body = json.loads(edge.get(edge.create_preview(origin, "box", "--protocol", "h2c"), method="POST").body)
        assert (body["code"], body["detail"]) == ("origin_not_http2", f"{RULE} (SETTINGS expected)")
        edge.stderr.wait_for(lambda line: body["request_id"] in line and "SETTINGS expected" in line)


@pytest.mark.parametrize("status", [600, 999])
def test_statuses_that_http_does_not_know_over_http2(edge, status):
    with H2Origin() as origin:
        host = edge.create_preview(origin, "box", "--protocol", "h2c")
        assert edge.get(host, f"/status?code={status}").status == status
        with Client(edge, host) as client:
            assert client.get(f"/status?code={status}").status == status


@pytest.mark.parametrize("status", [600, 999])
def test_statuses_that_http_does_not_know(edge, status):
    with RawOrigin(b"HTTP/1.1 %d Odd\r\nContent-Length: 2\r\n\r\nok" % status) as origin:
        response = edge.get(edge.create_preview(origin))
        assert response.status == status and response.body == b"ok"


def test_an_app_that_speaks_http2_only(edge):
    with H2Origin() as origin:
        host = edge.create_preview(origin)
        response = edge.get(host)
        assert response.status == 502 and "--protocol h2c" in json.loads(response.body)["error"]
        page = edge.get(host, fields=["Sec-Fetch-Mode: navigate"]).body
        assert b"--protocol h2c" in page and b"corrected there" not in page  # no other line contradicts it
        for connection in origin.connections:
            assert connection.done.wait(PATIENCE)
        origin.errors.clear()  # it has met HTTP/1, twice
