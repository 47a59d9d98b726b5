"""The edge's log has the reason of a connection that is refused as a whole: by TLS, the PROXY protocol,
limits. An error that ends an HTTP/2 connection is also in GOAWAY, in the access lines of its requests, and in
a counter by code (test_reasons_requests.py has single requests)."""

import contextlib
import dataclasses
import ssl
import struct

import pytest
from h2.errors import ErrorCodes

from api_world import metrics
from h2wire import (ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, PRIORITY, RST_STREAM,
                    SETTINGS, WINDOW_UPDATE, Client, Frames, frame)
from harness import RawOrigin

RULE = "A frame breaks a rule of HTTP/2."
SIZE = "A frame is longer than 16384 bytes, or has a length that its kind does not allow."
BUCKET = "The client sends control frames, resets, empty DATA or oversized heads too fast."
LONG_FIELD = b"\x00\x01x\x7f\x81\x7c" + b"v" * 16000
HPACK = "A field block cannot be decoded (HPACK)."


@dataclasses.dataclass
class Row:
    """`sent` behind the preface, and a request that waits for its answer on stream 1; `more` is in the log's
    line too."""

    sent: bytes
    code: ErrorCodes
    reason: str
    more: str = ""
    begin: bytes = PREFACE + frame(SETTINGS)


ROWS = {
    # ---- errors that nghttp2 finds
    "index of no field": Row(frame(HEADERS, END_HEADERS | END_STREAM, 3, b"\xff\xff\x7f"), ErrorCodes.COMPRESSION_ERROR, HPACK,
                             "In HEADERS of stream 3."),
    "block that breaks off": Row(frame(HEADERS, END_HEADERS | END_STREAM, 3, b"\x82\x40"), ErrorCodes.COMPRESSION_ERROR, HPACK,
                                 "In HEADERS of stream 3."),
    "block of an unfinished integer": Row(frame(HEADERS, 0, 3, b"\x82") + frame(CONTINUATION, END_HEADERS, 3, b"\xff"),
                                          ErrorCodes.COMPRESSION_ERROR, HPACK, "of stream 3."),
    "long frame": Row(frame(DATA, 0, 1, b"x" * 16385), ErrorCodes.FRAME_SIZE_ERROR, SIZE, "too large frame size"),
    "short PING": Row(frame(PING, 0, 0, b"1234"), ErrorCodes.FRAME_SIZE_ERROR, SIZE),
    "SETTINGS of 5 bytes": Row(frame(SETTINGS, 0, 0, b"12345"), ErrorCodes.FRAME_SIZE_ERROR, SIZE),
    "SETTINGS with a bad value": Row(frame(SETTINGS, 0, 0, struct.pack(">HI", 2, 7)), ErrorCodes.PROTOCOL_ERROR, RULE, "SETTINGS"),
    "wide window": Row(frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 1 << 31)), ErrorCodes.FLOW_CONTROL_ERROR,
                       "DATA passes the connection's window, or a window grows over 2^31 - 1 bytes.", "SETTINGS"),
    "window update over the bound": Row(frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"), ErrorCodes.FLOW_CONTROL_ERROR,
                                        "DATA passes the connection's window, or a window grows over 2^31 - 1 bytes.",
                                        "In WINDOW_UPDATE of stream 0."),
    "window update of nothing": Row(frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\0"), ErrorCodes.PROTOCOL_ERROR, RULE, "WINDOW_UPDATE"),
    "DATA for no stream": Row(frame(DATA, 0, 0, b"x"), ErrorCodes.PROTOCOL_ERROR, RULE, "DATA: stream_id == 0"),
    "DATA for an idle stream": Row(frame(DATA, 0, 99, b"x"), ErrorCodes.PROTOCOL_ERROR, RULE, "DATA"),
    "even stream": Row(frame(HEADERS, END_HEADERS | END_STREAM, 2, b"\x82"), ErrorCodes.PROTOCOL_ERROR, RULE, "HEADERS"),
    "CONTINUATION alone": Row(frame(CONTINUATION, END_HEADERS, 3, b"\x82"), ErrorCodes.PROTOCOL_ERROR, RULE, "CONTINUATION"),
    "RST_STREAM of an idle stream": Row(frame(RST_STREAM, 0, 99, b"\0\0\0\x08"), ErrorCodes.PROTOCOL_ERROR, RULE, "RST_STREAM"),
    "HEADERS of a closed stream": Row(frame(RST_STREAM, 0, 1, b"\0\0\0\x08") + frame(HEADERS, END_HEADERS, 1, b"\x82"),
                                      ErrorCodes.STREAM_CLOSED, "A frame came for a stream that has ended.", "stream 1."),
    # ---- errors that the edge finds
    "PRIORITY for no stream": Row(frame(PRIORITY, 0, 0, b"\0\0\0\1\0"), ErrorCodes.PROTOCOL_ERROR,
                                  "A priority is for no stream, or makes a stream depend on itself.",
                                  "In PRIORITY of stream 0."),
    "PRIORITY of itself": Row(frame(PRIORITY, 0, 3, b"\0\0\0\3\0"), ErrorCodes.PROTOCOL_ERROR,
                              "A priority is for no stream, or makes a stream depend on itself.",
                              "In PRIORITY of stream 3."),
    "preface of HTTP/1": Row(b"", ErrorCodes.PROTOCOL_ERROR, "The connection does not begin with the preface of HTTP/2.",
                             'In "GET /?token"', b"GET /?token=s3cret HTTP/1.1\r\nHost: s3cret\r\n\r\n"),
    "bytes for a preface": Row(b"", ErrorCodes.PROTOCOL_ERROR, "The connection does not begin with the preface of HTTP/2.",
                               r'In "\x00\x01', b"\0\1\2\3" * 10),
    "no SETTINGS": Row(b"", ErrorCodes.PROTOCOL_ERROR, RULE, "SETTINGS expected", PREFACE + frame(PING, 0, 0, b"12345678")),
    "PINGs": Row(frame(PING, ACK, 0, b"12345678") * 4000, ErrorCodes.ENHANCE_YOUR_CALM, BUCKET, "In PING of stream 0."),
    "SETTINGS acknowledged": Row(frame(SETTINGS, ACK) * 1001, ErrorCodes.ENHANCE_YOUR_CALM, BUCKET, "In SETTINGS of stream 0."),
    "unknown frames": Row(frame(0x55) * 6000, ErrorCodes.ENHANCE_YOUR_CALM, BUCKET, "In an unknown frame of stream 0."),
    "empty DATA": Row(frame(DATA, 0, 1) * 2500, ErrorCodes.ENHANCE_YOUR_CALM, BUCKET, "In DATA of stream 1."),
    "long field block": Row(frame(HEADERS, 0, 3, LONG_FIELD) + frame(CONTINUATION, 0, 3, LONG_FIELD) * 4,
                            ErrorCodes.ENHANCE_YOUR_CALM, "The field block of a head has more than 65536 bytes.",
                            "In CONTINUATION of stream 3."),
    "field section of 60 MB": Row(frame(HEADERS, END_HEADERS | END_STREAM, 3,
                                        b"\x82\x40\x01x\x7f\xa1\x1e" + b"v" * 4000 + b"\xbe" * 12000),
                                  ErrorCodes.ENHANCE_YOUR_CALM,
                                  "A field section is more than 16 times as large as limits.head_size."),
}


# A worker logs ten lines in ten seconds.
GROUPS = [list(ROWS)[i : i + 9] for i in range(0, len(ROWS), 9)]


def errors(edge, code):
    name = f'boxedge_http2_connection_errors_total{{code="{code.name}"}} '
    return int(next(line for line in metrics(edge).splitlines() if line.startswith(name))[len(name):])


def goaway_of(client):
    """Code and debug data."""
    got = client.read_until(GOAWAY)
    assert got is not None
    return int.from_bytes(got[3][4:8], "big"), got[3][8:].decode()


def ended(edge, host, origin, name):
    row, before = ROWS[name], len(origin.connections)
    counted, lines = errors(edge, row.code), len(edge.stderr.lines)
    waits = row.begin.endswith(frame(SETTINGS))
    with Frames(edge, host, begin=False) as client:
        client.send(row.begin)
        if waits:
            client.send(frame(HEADERS, END_HEADERS, 1, client.head(method="POST", path="/" + name.replace(" ", "_"))))
            origin.wait_connections(before + 1)
        client.send(row.sent)
        code, words = goaway_of(client)
    assert code == row.code and words.isprintable()
    line = edge.stderr.wait_for(
        lambda line: f"an HTTP/2 connection of 127.0.0.1 ends with {row.code.name}: {row.reason}" in line, start=lines)
    assert row.more in line and "s3cret" not in line
    assert errors(edge, row.code) == counted + 1
    if waits and "closed" not in name:
        line = edge.wait_for_line(path="/" + name.replace(" ", "_"))
        assert (line["reason"], line["detail"], line["end"]) == ("connection_error", row.reason, "client_gone")


@pytest.mark.parametrize("names", GROUPS, ids=lambda names: names[0].replace(" ", "_"))
def test_a_connection(make_edge, names):
    edge = make_edge(workers=1, kinds=("plain", "tls"))
    with RawOrigin(lambda conn: (conn.read_head(), conn.wait_closed())) as origin:
        host = edge.create_preview(origin)
        for name in names:
            ended(edge, host, origin, name)


SLOW_HEAD = "The preface or a field block did not come within timeouts.head."


@pytest.mark.parametrize("sent", [b"", PREFACE + frame(SETTINGS) + frame(HEADERS, 0, 1, b"\x82")], ids=["preface", "head"])
def test_time_is_over(make_edge, sent):
    edge = make_edge(workers=1, kinds=("plain", "tls"), config={"timeouts": {"head": "300ms"}})
    with RawOrigin() as origin, Frames(edge, edge.create_preview(origin), begin=False) as client:
        client.send(sent)
        assert goaway_of(client) == (ErrorCodes.PROTOCOL_ERROR, SLOW_HEAD)
        edge.stderr.wait_for(lambda line: f"127.0.0.1 ends with PROTOCOL_ERROR: {SLOW_HEAD}" in line)


def test_more_requests_than_streams(make_edge):
    """nghttp2 refuses them unread: their access lines have no path, and all other known facts."""
    reason = "The client has more open requests than limits.streams allows."
    edge = make_edge(workers=1, kinds=("plain", "tls"), config={"limits": {"streams": 2}})
    with RawOrigin(lambda conn: (conn.read_head(), conn.wait_closed())) as origin:
        host = edge.create_preview(origin)
        with Frames(edge, host, begin=False) as client:  # in one packet: it does not know the limit yet
            client.send(PREFACE + frame(SETTINGS) + b"".join(
                frame(HEADERS, END_HEADERS | END_STREAM, stream, client.head()) for stream in range(1, 60, 2)))
            for _ in range(28):
                assert int.from_bytes(client.read_until(RST_STREAM)[3], "big") == ErrorCodes.REFUSED_STREAM
            edge.wait_until(lambda: sum(line.get("reason") == "too_many_streams" for line in edge.access.lines) == 28)
        for line in edge.access.lines:
            if line.get("reason") == "too_many_streams":
                assert (line["detail"], line["end"], line["status"], line["http"]) == (reason, "cut", 0, "2")
                assert line["client"] == "127.0.0.1" and line["method"] == line["path"] == "" and line["time"][:2] == "20"
        lines = edge.stderr.wait_for(lambda line: reason in line, count=10)
        assert "a request of 127.0.0.1 (" in lines[0]
        assert sum(reason in line for line in edge.stderr.lines) == 10  # of 28
        assert "boxedge_http2_streams_refused_total 28\n" in metrics(edge)


def test_bodies_that_are_held(make_edge):
    """The stream that makes the edge hold too much for its connection is reset."""
    reason = "The bodies that the edge holds for the client's connection are over 1 MiB."
    edge = make_edge(workers=1, kinds=("plain", "tls"), config={"limits": {"origin_connections_per_box": 1},
                                                                "timeouts": {"origin_queue": "60s"}})
    with RawOrigin(lambda conn: (conn.read_head(), conn.wait_closed())) as origin:
        host = edge.create_preview(origin)
        with Client(edge, host) as client:  # all but the first wait for a connection to the box
            streams = [client.request(f"/{n}", "POST", end=False) for n in range(24)]
            for stream in streams:
                if client.send(stream, b"x" * 200000, timeout=0.3) == 0:
                    break
            client.until(lambda: any(client.answer(stream).reset is not None for stream in streams))
            assert {client.answer(stream).reset for stream in streams} == {None, ErrorCodes.ENHANCE_YOUR_CALM}
            line = edge.wait_for_line(reason="too_much_held")
            assert line["detail"] == reason and line["method"] == "POST" and line["end"] == "client_gone"
            edge.stderr.wait_for(lambda said: f"({line['request_id']}): {reason}" in said)


# ---- before HTTP


def tls_client_that_trusts_nobody(edge):
    context = ssl.create_default_context()
    with edge.socket("tls") as sock, pytest.raises(ssl.SSLCertVerificationError):
        context.wrap_socket(sock, server_hostname="x.preview.test")


def tls_client_of_old(edge):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with edge.socket("tls") as sock, pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(sock)


def bytes_of(sent):
    def send(edge):
        with edge.socket("tls") as sock:
            sock.sendall(sent)
            with contextlib.suppress(ConnectionError):
                while sock.recv(65536):
                    pass
    return send


def half_a_hello(edge):
    with edge.socket("tls") as sock:
        sock.sendall(b"\x16\x03\x01\x02\x00\x01")


HANDSHAKES = {
    "alert": (tls_client_that_trusts_nobody, "The client ended it with an alert. (", "unknown ca"),
    "old version": (tls_client_of_old, "The client's side of it cannot be accepted. (", "unsupported protocol"),
    "noise": (bytes_of(b"\0" * 64), "The client's side of it cannot be accepted. (", ""),
    "plain HTTP": (bytes_of(b"GET /?token=s3cret HTTP/1.1\r\nHost: s3cret\r\n\r\n"), "The client speaks plain HTTP.", ""),
    "half": (half_a_hello, "The client left in the middle of it.", ""),
}


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_tls_handshakes(make_edge):
    edge = make_edge(workers=1)
    with edge.socket("tls"):
        pass  # a probe of a balancer: nothing was refused
    for connect, reason, more in HANDSHAKES.values():
        connect(edge)
        line = edge.stderr.wait_for(lambda line, reason=reason: f"a TLS handshake of 127.0.0.1 fails: {reason}" in line)
        assert more in line and "s3cret" not in line
    assert sum("a TLS handshake of" in line for line in edge.stderr.lines) == len(HANDSHAKES)


def test_a_tls_handshake_that_stops(make_edge):
    edge = make_edge(workers=1, config={"timeouts": {"handshake": "300ms"}})
    with edge.socket("tls") as sock:
        sock.sendall(b"\x16\x03\x01")
        edge.stderr.wait_for(lambda line: "a TLS handshake of 127.0.0.1 fails: It did not finish within "
                                          "timeouts.handshake." in line)


@pytest.mark.parametrize("sent, quoted", [
    (b"GET /?token=s3cret HTTP/1.1\r\n\r\n", 'In "GET /?to"'),
    (b"PROXY TCP4 1.2.3.4\r\n", r'In "PROXY TCP4 1.2.3.4\x0d\x0a"'),
    (b"\r\n\r\n\0\r\nQUIT\n\x11" + bytes(30), r'In "\x0d\x0a\x0d\x0a\x00'),
], ids=["request", "version_1", "version_2"])
def test_proxy_protocol_headers(make_edge, sent, quoted):
    edge = make_edge(workers=1, kinds=("plain",), start=False)
    edge.config["listeners"][0]["proxy_protocol"] = True
    edge.write_config()
    edge.start()
    with edge.socket("plain") as sock:
        sock.sendall(sent)
        with contextlib.suppress(ConnectionError):
            assert sock.recv(100) == b""
    line = edge.stderr.wait_for(lambda line: "a PROXY protocol header of 127.0.0.1 is refused: The connection does not begin "
                                             "with a complete and valid header." in line)
    assert quoted in line and "s3cret" not in line


def test_more_connections_than_a_client_may_have(make_edge):
    edge = make_edge(workers=1, kinds=("plain",), config={"limits": {"connections_per_client": 2}})
    with edge.socket("plain"), edge.socket("plain"), edge.socket("plain") as third:
        with contextlib.suppress(ConnectionError):
            assert third.recv(100) == b""
        edge.stderr.wait_for(lambda line: "a connection of 127.0.0.1 is refused: The client already has "
                                          "limits.connections_per_client connections." in line)
