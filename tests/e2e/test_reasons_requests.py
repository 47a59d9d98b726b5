"""A refused request has its reason, over both versions, in the answer (JSON or page), the access line and the
edge's log."""

import dataclasses
import html
import json
import struct
import subprocess

import pytest
from h2.errors import ErrorCodes

from h2c_world import block
from h2wire import (ACK, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, WINDOW_UPDATE, Frames,
                    frame)
from harness import PATIENCE, SLOW, RawOrigin

GET = b"GET / HTTP/1.1\r\nHost: HOST\r\n"
CHUNKED = b"GET / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n"
NAVIGATE = b"Sec-Fetch-Mode: navigate\r\n"
NAME = "The name of a header field has a character that is not allowed there."
CONTROL = "The value of a header field has a control character."
TARGET = "The request target is empty or has characters that must be percent-encoded."
VERSION = "The request line does not end with a space and HTTP/1.0 or HTTP/1.1."
OF_CONNECTION = "The request has a connection-specific field, which HTTP/2 forbids."
TRAILER = "A trailer has a name that is allowed in a head only."
EMPTY = "A pseudo-field is empty."
TWICE = "A field that must appear once appears twice."


@dataclasses.dataclass
class Http1:
    """HOST in the bytes is the preview's. `page`: the fields were understood, so a person's browser gets a
    page."""

    sent: bytes
    reason: str
    quoted: str = ""
    code: str = "bad_request"
    page: bool = False
    method: str = "GET"
    path: str = "/"
    host: bool = False  # the access line knows it


@dataclasses.dataclass
class Http2:
    """`head` changes the pseudo-fields (None: left out); `frames` follow the head, which ends the stream if
    it has none. `malformed` in the sense of RFC 9113 section 8.1.1: RST_STREAM(PROTOCOL_ERROR) follows the
    answer."""

    reason: str
    quoted: str = ""
    head: dict = dataclasses.field(default_factory=dict)
    fields: list = dataclasses.field(default_factory=list)
    frames: list = dataclasses.field(default_factory=list)
    malformed: bool = True
    method: str = "GET"
    path: str = "/"
    host: bool = True
    first: list = dataclasses.field(default_factory=list)  # fields before the pseudo-fields
    code: str = "bad_request"
    page: bool = True


def lines(*fields):
    return GET + b"".join(field + b"\r\n" for field in fields) + b"\r\n"


ROWS = {
    # ---- HTTP/1: the request line
    "method": Http1(b"G(T / HTTP/1.1\r\nHost: HOST\r\n\r\n", "The method is not a token.", '"G", byte 0x28', method="", path=""),
    "no version": Http1(b"GET /?token=s3cret\r\nHost: HOST\r\n\r\n", VERSION, '"GET /?token"', path=""),
    "lower version": Http1(b"GET /a http/1.1\r\nHost: HOST\r\n\r\n", VERSION, '"http/1.1"', path=""),
    "other word": Http1(b"GET /?a=s3cret s3cret:x\r\nHost: HOST\r\n\r\n", VERSION, '"GET /?a"', path=""),
    "one word": Http1(b"passwords3cret\r\n\r\n", VERSION, '"password"', method="", path=""),
    "bare LF": Http1(b"GET /?a=s3cret HTTP/1.1\nHost: HOST\r\n\r\n", "The request line does not end with CR LF.",
                     '"GET /?a"', method="", path=""),
    "TLS": Http1(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03", "This is not an HTTP request.", r'"\x16\x03\x01', method="", path=""),
    "fragment": Http1(b"GET /a?t=s3cret#b HTTP/1.1\r\nHost: HOST\r\n\r\n", TARGET, '"/a?t", byte 0x23', path=""),
    "space": Http1(b"GET /a b?t=s3cret HTTP/1.1\r\nHost: HOST\r\n\r\n", TARGET, '"/a", byte 0x20', path=""),
    "other URL": Http1(b"GET ftp://s3cret:s3cret@h/ HTTP/1.1\r\nHost: HOST\r\n\r\n",
                       "The request target is neither a path nor an http or https URL.", path=""),
    "star": Http1(b"GET * HTTP/1.1\r\nHost: HOST\r\n\r\n", "The target * goes with OPTIONS only.", '"GET"', path=""),
    # ---- HTTP/1: Host
    "no Host": Http1(b"GET / HTTP/1.1\r\n\r\n", "Host is missing.", page=True),
    "two Hosts": Http1(lines(b"Host: HOST"), TWICE, '"Host"', host=True),
    "Host of two words": Http1(b"GET / HTTP/1.1\r\nHost: s3cret:s3cret@a b\r\n\r\n", "Host is not a host name.", '"a"', page=True),
    "Host with a byte": Http1(b"GET / HTTP/1.1\r\nHost: a\xe9\r\n\r\n", "Host is not a host name.", r'"a\xe9"', page=True),
    "Host is a URL": Http1(b"GET / HTTP/1.1\r\nHost: https://HOST/?token=s3cret\r\n\r\n", "Host is not a host name.",
                           '"https:"', page=True),
    "Host is a URL with a user": Http1(b"GET / HTTP/1.1\r\nHost: https://s3cret@HOST/?token=s3cret\r\n\r\n",
                                       "Host is not a host name.", page=True),
    "host of the target": Http1(b"GET http://s3cret@a:x/ HTTP/1.1\r\nHost: HOST\r\n\r\n",
                                "The request target's host is not a host name.", '"a:x"', page=True, host=True),
    "hosts disagree": Http1(b"GET http://other.test/ HTTP/1.1\r\nHost: HOST\r\n\r\n",
                            "Host and the request target disagree.", '"box-', page=True, host=True),
    # ---- HTTP/1: fields
    "name": Http1(lines(b"A\x01b: s3cret"), NAME, '"A", byte 0x01'),
    "folded": Http1(lines(b"A: b", b" s3cret"), "A header line is folded: it begins with a space.", host=True),
    "no colon": Http1(lines(b"nonsense-s3cret"), "A header line has no colon.", '"nonsense"'),
    "space before colon": Http1(lines(b"A : s3cret"), "A header field has a space before its colon.", '"A"'),
    "NUL": Http1(lines(b"A: s3cret\x00"), CONTROL, '"A", byte 0x00'),
    "Connection": Http1(lines(b"Connection: close, authorization"), "Connection names a field that must not be removed.",
                        '"authorization"', host=True),
    "length": Http1(lines(b"Content-Length: 5x"), "Content-Length is not a number.", '"5x"', host=True),
    "coding": Http1(lines(b'Transfer-Encoding: "chunked"'), "Transfer-Encoding is not exactly chunked.",
                    r'"\x22chunked\x22"', page=True, host=True),
    "length and coding": Http1(lines(b"Content-Length: 5", b"Transfer-Encoding: chunked"),
                               "Content-Length and Transfer-Encoding exclude each other.", page=True, host=True),
    # ---- HTTP/1: bodies and trailers
    "chunk size": Http1(CHUNKED + b"\r\nxyz\r\n", "The size of a chunk is not a hexadecimal number, or is too large.", "byte 0x78",
                        "bad_chunk", True, host=True),
    "chunk end": Http1(CHUNKED + b"\r\n1\r\nab\r\n", "A chunk does not end with CR LF.", "byte 0x62", "bad_chunk", True, host=True),
    "chunk extension": Http1(CHUNKED + b"\r\n1;a\x01\r\n", "The extensions of a chunk are malformed or too long.",
                             "byte 0x01", "bad_chunk", True, host=True),
    "trailer name": Http1(CHUNKED + b"\r\n0\r\nA\x01: s3cret\r\n\r\n", NAME, '"A", byte 0x01', "bad_chunk", True, host=True),
    "trailer value": Http1(CHUNKED + b"\r\n0\r\nA: s3cret\x00\r\n\r\n", CONTROL, '"A", byte 0x00', "bad_chunk", True, host=True),
    "trailer of heads": Http1(CHUNKED + b"\r\n0\r\nAuthorization: s3cret\r\n\r\n", TRAILER, '"Authorization"', "bad_chunk",
                              True, host=True),
    "long trailers": Http1(CHUNKED + b"\r\n0\r\nA: " + b"s3cret" * 1400 + b"\r\n\r\n",
                           "The trailers are malformed, too long, or not allowed there.", "", "bad_chunk", True, host=True),
    # ---- HTTP/2: pseudo-fields
    "h2 no :method": Http2("The request has no :method.", head={":method": None}, method="", page=False),
    "h2 no :path": Http2("The request has no :path.", head={":path": None}, path=""),
    "h2 no :scheme": Http2("The request has no :scheme.", head={":scheme": None}),
    "h2 no :authority": Http2("The authority is missing or not a host name.", head={":authority": None}, malformed=False,
                              host=False),
    "h2 empty :path": Http2(EMPTY, '":path"', head={":path": ""}, path=""),
    "h2 empty :authority": Http2(EMPTY, '":authority"', head={":authority": ""}, host=False),
    "h2 empty :protocol": Http2(EMPTY, '":protocol"', head={":protocol": ""}),
    "h2 empty Host": Http2("Host is empty.", fields=[("host", "")]),
    "h2 :path twice": Http2("A pseudo-field came twice.", '":path"', fields=[(":path", "/s3cret")]),
    "h2 late pseudo-field": Http2("A pseudo-field came after another field.", '":method"', first=[("a", "b")]),
    "h2 :status": Http2("A field begins with ':' but is not a pseudo-field of requests.", '":status"', fields=[(":status", "200")]),
    "h2 odd pseudo-field": Http2("A field begins with ':' but is not a pseudo-field of requests.", r'":x\x01"',
                                 fields=[(":x\x01", "s3cret")]),
    "h2 method": Http2("The method is not a token.", '"G", byte 0x28', head={":method": "G(T"}, method="G(T", malformed=False,
                        page=False),
    "h2 space in :path": Http2(TARGET, '"/a", byte 0x20', head={":path": "/a b?token=s3cret"}, malformed=False,
                               path="/a b?token=***"),
    "h2 fragment": Http2(TARGET, '"/a?t", byte 0x23', head={":path": "/a?t=1#b"}, malformed=False, path="/a?t=1#b"),
    "h2 long :path": Http2(TARGET, '"/' + "a" * 31 + '"..., byte 0xc3', head={":path": "/" + "a" * 40 + "\xe9"},
                           malformed=False, path="/" + "a" * 40 + "\xe9"),
    "h2 LF in :path": Http2(CONTROL, '":path", byte 0x0a', head={":path": "/\ns3cret"}, path=""),
    "h2 URL in :path": Http2("The request target is not a path.", head={":path": "https://s3cret:s3cret@h/"}, path="",
                             malformed=False),
    "h2 star": Http2("The target * goes with OPTIONS only.", '"GET"', head={":path": "*"}, path="*", malformed=False),
    "h2 scheme": Http2("The scheme is neither http nor https.", '"gopher"', head={":scheme": "gopher"}, malformed=False),
    "h2 authority": Http2("The authority is missing or not a host name.", '"HOST"', head={":authority": "s3cret:s3cret@HOST"},
                          malformed=False, host=False),
    "h2 authority with a space": Http2("The authority is missing or not a host name.", '"a"', head={":authority": "a s3cret"},
                                       malformed=False, host=False),
    "h2 hosts disagree": Http2("Host and :authority disagree.", '"other.test"', fields=[("host", "other.test")], malformed=False),
    "h2 :protocol": Http2(":protocol goes with CONNECT only.", '"websocket"', head={":protocol": "websocket"}, malformed=False),
    "h2 CONNECT": Http2("A CONNECT has :scheme or :path without :protocol.", head={":method": "CONNECT"}, method="CONNECT",
                         page=False),
    # ---- HTTP/2: fields
    "h2 capital": Http2("The name of a header field has a capital letter.", '"X-A", byte 0x58', fields=[("X-A", "s3cret")]),
    "h2 space in a name": Http2(NAME, '"x", byte 0x20', fields=[("x y", "s3cret")]),
    "h2 long name": Http2(NAME, '"' + "x" * 32 + '"..., byte 0x00', fields=[("x" * 40 + "\0", "s3cret")]),
    "h2 no name": Http2("A header field has no name.", fields=[("", "s3cret")]),
    "h2 NUL": Http2(CONTROL, '"x-a", byte 0x00', fields=[("x-a", "s3cret\0")]),
    "h2 CR LF": Http2(CONTROL, '"x-a", byte 0x0d', fields=[("x-a", "s3cret\r\nb: c")]),
    "h2 white space": Http2("The value of a header field begins or ends with white space.", '"x-a"', fields=[("x-a", "s3cret ")]),
    "h2 connection": Http2(OF_CONNECTION, '"connection"', fields=[("connection", "s3cret")]),
    "h2 keep-alive": Http2(OF_CONNECTION, '"keep-alive"', fields=[("keep-alive", "s3cret")]),
    "h2 proxy-connection": Http2(OF_CONNECTION, '"proxy-connection"', fields=[("proxy-connection", "s3cret")]),
    "h2 transfer-encoding": Http2(OF_CONNECTION, '"transfer-encoding"', fields=[("transfer-encoding", "chunked")]),
    "h2 upgrade": Http2(OF_CONNECTION, '"upgrade"', fields=[("upgrade", "h2c")]),
    "h2 te": Http2(OF_CONNECTION, '"te"', fields=[("te", "gzip")]),
    "h2 twice": Http2(TWICE, '"authorization"', fields=[("authorization", "s3cret")] * 2, malformed=False),
    "h2 lengths": Http2(TWICE, '"content-length"', fields=[("content-length", "0")] * 2, malformed=False),
    "h2 length": Http2("Content-Length is not a number.", '"+1"', fields=[("content-length", "+1")]),
    "h2 length without a body": Http2("The request ends with its head, but its Content-Length announces a body.",
                                      fields=[("content-length", "5")]),
    # ---- HTTP/2: bodies and trailers
    "h2 lengths with a body": Http2(TWICE, '"content-length"', fields=[("content-length", "5"), ("content-length", "3")],
                                    frames=[(DATA, END_STREAM, b"abcde")]),
    "h2 hosts disagree, bad trailers": Http2("Host and :authority disagree.", '"other.test"', fields=[("host", "other.test")],
                                             frames=[(HEADERS, END_HEADERS, block(("x", "y")))]),
    "h2 short body": Http2("The body is shorter than its Content-Length.", fields=[("content-length", "5")],
                           frames=[(DATA, END_STREAM, b"abc")]),
    "h2 short body with trailers": Http2("The body is shorter than its Content-Length.", fields=[("content-length", "5")],
                                         frames=[(DATA, 0, b"abc"), (HEADERS, END_HEADERS | END_STREAM, block(("x", "y")))]),
    "h2 long body": Http2("The body is longer than its Content-Length.", fields=[("content-length", "5")],
                          frames=[(DATA, 0, b"abc"), (DATA, 0, b"def")]),
    "h2 trailers go on": Http2("A second field section does not end the request.",
                               frames=[(HEADERS, END_HEADERS, block(("x", "y")))]),
    "h2 pseudo-trailer": Http2("A trailer is a pseudo-field.", '":path"',
                               frames=[(HEADERS, END_HEADERS | END_STREAM, block((":path", "/s3cret")))]),
    "h2 trailer name": Http2("The name of a header field has a capital letter.", '"X", byte 0x58',
                             frames=[(HEADERS, END_HEADERS | END_STREAM, block(("X", "s3cret")))]),
    "h2 trailer value": Http2(CONTROL, '"x", byte 0x01', frames=[(HEADERS, END_HEADERS | END_STREAM, block(("x", "s3cret\1")))]),
    "h2 trailer of heads": Http2(TRAILER, '"authorization"',
                                 frames=[(HEADERS, END_HEADERS | END_STREAM, block(("authorization", "s3cret")))]),
    "h2 many trailers": Http2("The trailers are larger, or more, than limits.head_size and limits.head_fields allow.",
                              frames=[(HEADERS, END_HEADERS | END_STREAM, block(*[("x", "y")] * 101))]),
}
# Each is sent twice, and a worker logs ten lines in ten seconds.
GROUPS = [list(ROWS)[i : i + 5] for i in range(0, len(ROWS), 5)]


def ask_http1(edge, host, row, navigate):
    line, rest = row.sent.split(b"\n", 1) if b"\n" in row.sent else (row.sent, b"")
    sent = line + b"\n" + (NAVIGATE if navigate else b"") + rest if rest else line
    with edge.connect("plain") as client:
        response = client.request(sent.replace(b"HOST", host.encode()))
    assert response.status == 400
    return response.body, host


def ask_http2(edge, host, row, navigate):
    authority = f"{host}:{edge.port['tls']}"
    head = {":method": "GET", ":scheme": "https", ":authority": authority, ":path": "/"} | row.head
    pseudo = [(name, value.replace("HOST", host)) for name, value in head.items() if value is not None]
    fields = [*row.first, *pseudo, *row.fields, *([("sec-fetch-mode", "navigate")] if navigate else [])]
    flags = END_HEADERS | (0 if row.frames else END_STREAM)
    with Frames(edge, host) as client:
        client.send(frame(HEADERS, flags, 1, block(*fields)) + b"".join(
            frame(kind, flags, 1, payload) for kind, flags, payload in row.frames))
        answered = client.read_until(HEADERS, 1)
        assert answered is not None and answered[3][0] == (":status", "400")
        body = client.read_until(DATA, 1)
        assert bool(body[1] & END_STREAM) == (not row.malformed)
        if row.malformed:  # once the client has read the answer, as its answer to a PING shows
            client.send(frame(PING, ACK, 0, client.read_until(PING)[3]))
            reset = client.read_until(RST_STREAM, 1)
            assert int.from_bytes(reset[3], "big") == ErrorCodes.PROTOCOL_ERROR
    return body[3], authority


def refused(edge, host, row, navigate):
    body, authority = (ask_http1 if isinstance(row, Http1) else ask_http2)(edge, host, row, navigate)
    if navigate:
        page = body.decode()
        assert html.escape(row.reason) in page.replace("&#39;", "&#x27;") and "<html" in page and "s3cret" not in page
        line = edge.wait_for_line(lambda line: line["request_id"] in page)
    else:
        answer = json.loads(body)
        assert (answer["code"], answer["detail"]) == (row.code, row.reason) and "s3cret" not in body.decode()
        line = edge.wait_for_line(request_id=answer["request_id"])
    assert (line["status"], line["reason"], line["detail"], line["end"]) == (400, row.code, row.reason, "complete")
    assert (line["method"], line["path"], line["host"]) == (row.method, row.path, authority if row.host else "")
    assert "s3cret" not in json.dumps(line)
    said = edge.stderr.wait_for(lambda said: line["request_id"] in said)
    assert "a request of 127.0.0.1" in said and row.reason in said and "s3cret" not in said
    assert row.quoted.replace("HOST", host) in said and (row.quoted or " In " not in said)


@pytest.mark.parametrize("names", GROUPS, ids=lambda names: names[0].replace(" ", "_"))
def test_a_request(make_edge, names):
    edge = make_edge(workers=1, kinds=("plain", "tls"))
    with RawOrigin() as origin:
        host = edge.create_preview(origin)
        for name in names:
            row = ROWS[name]
            refused(edge, host, row, False)
            if row.page:
                refused(edge, host, row, True)
        assert not origin.requests


def test_a_response_that_has_begun_is_cut(make_edge):
    """The reason is in the access line and the log if no answer can contain it any more."""
    edge = make_edge(workers=1, kinds=("plain", "tls"))
    with RawOrigin(lambda conn: (conn.read_head(), conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"),
                                 conn.wait_closed())) as origin:
        host = edge.create_preview(origin)
        with Frames(edge, host) as client:
            client.send(frame(HEADERS, END_HEADERS, 1, client.head(method="POST")))
            assert client.read_until(DATA, 1)[3] == b"half"
            client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block(("host", "s3cret"))))
            assert int.from_bytes(client.read_until(RST_STREAM, 1)[3], "big") == ErrorCodes.PROTOCOL_ERROR
        line = edge.wait_for_line(reason="bad_request")
        assert (line["status"], line["detail"], line["end"]) == (200, TRAILER, "cut")
        said = edge.stderr.wait_for(lambda said: line["request_id"] in said)
        assert TRAILER in said and '"host"' in said and "s3cret" not in said


def test_a_response_that_is_whole_is_not_cut(make_edge):
    """Only windows delay it: bytes that the client sends meanwhile are no reason to drop any part of it."""
    edge = make_edge(workers=1, kinds=("plain", "tls"))
    with RawOrigin(lambda conn: (conn.read_head(), conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole"),
                                 conn.wait_closed())) as origin:
        host = edge.create_preview(origin)
        with Frames(edge, host, begin=False) as client:
            no_window = frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0))
            client.send(PREFACE + no_window + frame(HEADERS, END_HEADERS, 1, client.head(method="POST")))
            assert client.read_until(HEADERS, 1)[3][0] == (":status", "200")
            client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block(("host", "s3cret")))
                        + frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", 5)))
            assert client.read_until(DATA, 1)[1:] == (0, 1, b"whole")
            client.send(frame(PING, ACK, 0, client.read_until(PING)[3]))
            assert int.from_bytes(client.read_until(RST_STREAM, 1)[3], "big") == ErrorCodes.PROTOCOL_ERROR
        line = edge.wait_for_line(reason="bad_request")
        assert (line["status"], line["detail"], line["end"]) == (200, TRAILER, "complete")


def test_a_frame(make_edge):
    """The client gets only a reset for a frame; the access line and the log have the reason."""
    reason = "DATA passes the stream's window, or WINDOW_UPDATE takes it over 2^31 - 1 bytes."
    edge = make_edge(workers=1, kinds=("plain", "tls"))
    with RawOrigin(lambda conn: (conn.read_head(), conn.wait_closed())) as origin:
        host = edge.create_preview(origin)
        with Frames(edge, host) as client:
            client.send(frame(HEADERS, END_HEADERS, 1, client.head(method="POST"))
                        + frame(WINDOW_UPDATE, 0, 1, b"\x7f\xff\xff\xff"))
            assert int.from_bytes(client.read_until(RST_STREAM, 1)[3], "big") == ErrorCodes.FLOW_CONTROL_ERROR
        line = edge.wait_for_line(reason="bad_request")
        assert (line["detail"], line["end"], line["method"]) == (reason, "client_gone", "POST")
        assert reason in edge.stderr.wait_for(lambda said: line["request_id"] in said)


CURL = {
    "byte": ["-H", "X-A: b\x01"],
    "name": ["-H", "X A: b"],
    "length": ["-H", "Content-Length: 7", "-d", "abc"],
}


@pytest.mark.parametrize("name", CURL)
def test_curl_shows_it(make_edge, name):
    """A client that reports the reset instead of the bytes before it still gets status and reason."""
    edge = make_edge(workers=1, kinds=("plain", "tls"))
    with RawOrigin() as origin:
        host = edge.create_preview(origin)
        done = subprocess.run(["curl", "-sSk", "--http2", "--resolve", f"{host}:{edge.port['tls']}:127.0.0.1", *CURL[name],
                               "-w", "\n%{http_code}", f"https://{host}:{edge.port['tls']}/"], capture_output=True, text=True,
                              timeout=PATIENCE * SLOW, check=False)
        assert done.returncode == 0 and done.stdout.endswith("\n400"), done
        assert json.loads(done.stdout.splitlines()[0])["code"] == "bad_request"


def test_the_log_is_bounded(make_edge):
    """For any number within ten seconds, over both versions, ten lines are written; each has its access
    line."""
    edge = make_edge(workers=1, kinds=("plain", "tls"))
    with RawOrigin() as origin:
        host = edge.create_preview(origin)
        for _ in range(30):
            with edge.connect("plain") as client:
                assert client.request(b"GET / HTTP/1.1\r\n\r\n").status == 400
        with Frames(edge, host) as client:
            for n in range(30):
                client.send(frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, client.head(path=None)))
                client.send(frame(PING, ACK, 0, client.read_until(PING)[3]))
                client.read_until(RST_STREAM, 2 * n + 1)
        edge.wait_for_line(status=400, count=60)
    edge.stop()
    said = [line for line in edge.stderr.lines if "Host is missing." in line or "has no :path" in line]
    assert 10 <= len(said) <= 30  # three windows on a slow machine
