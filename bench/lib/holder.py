"""Idle connections for the memory figures, and their origin. The origin accepts and holds WebSocket connections, and
reads uploads (with a Content-Length) to their end before it answers.

    holder.py origin PORT                                             serves until its stdin ends
    holder.py hold KIND PORT HOST COUNT          KIND is plain, tls, h2, websocket (over TLS) or websocket-plain

`hold` opens COUNT connections, each of which carries one request (or a WebSocket handshake), prints "held N", and
closes them when its stdin ends.
"""

import base64
import hashlib
import re
import selectors
import socket
import ssl
import sys

import http2

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept_key(head):
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"sec-websocket-key":
            return base64.b64encode(hashlib.sha1(value.strip() + GUID).digest())
    return b""


class Peer:
    """A connection to the origin: the bytes of a head so far, or the number of body bytes still to come."""

    def __init__(self):
        self.head = bytearray()
        self.body_left = None

    def take(self, view):
        """Consumes received bytes; returns the bytes to send back."""
        out = b""
        while view:
            if self.body_left is not None:
                n = min(self.body_left, len(view))
                self.body_left -= n
                view = view[n:]
            else:
                self.head += view
                end = self.head.find(b"\r\n\r\n")
                if end < 0:
                    return out
                view = memoryview(bytes(self.head[end + 4 :]))
                head = bytes(self.head[: end + 4])
                self.head.clear()
                if head.startswith(b"GET "):
                    return (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                            b"Sec-WebSocket-Accept: " + accept_key(head) + b"\r\n\r\n")
                self.body_left = int(re.search(rb"\r\ncontent-length: *(\d+)", head, re.I)[1])
            if self.body_left == 0:
                self.body_left = None
                out += b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ntaken\n"
        return out


def origin(port):
    listener = socket.create_server(("127.0.0.1", port), backlog=4096)
    listener.setblocking(False)
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    selector.register(sys.stdin, selectors.EVENT_READ)
    scratch = memoryview(bytearray(1 << 18))
    while True:
        for key, _ in selector.select():
            if key.fileobj is sys.stdin:
                return
            if key.fileobj is listener:
                try:
                    sock, _ = listener.accept()
                except BlockingIOError:
                    continue
                sock.setblocking(False)
                selector.register(sock, selectors.EVENT_READ, Peer())
                continue
            try:
                n = key.fileobj.recv_into(scratch)
            except OSError:
                n = 0
            if n == 0:
                selector.unregister(key.fileobj)
                key.fileobj.close()
            elif out := key.data.take(scratch[:n]):
                key.fileobj.send(out)


def read_response(stream, want):
    data = b""
    while b"\r\n\r\n" not in data:
        piece = stream.recv(4096)
        if not piece:
            raise SystemExit(f"closed: {data!r}")
        data += piece
    head, body = data.split(b"\r\n\r\n", 1)
    if not head.startswith(b"HTTP/1.1 " + want):
        raise SystemExit(f"unexpected: {head!r}")
    if want == b"200":
        length = next(int(l.split(b":")[1]) for l in head.split(b"\r\n") if l.lower().startswith(b"content-length:"))
        while len(body) < length:
            piece = stream.recv(4096)
            if not piece:
                raise SystemExit("closed in the middle of a body")
            body += piece


def hold(kind, port, host, count):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2" if kind == "h2" else "http/1.1"])
    websocket = kind.startswith("websocket")
    if websocket:
        request = (f"GET /ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").encode()
    else:
        request = f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    held = []
    for _ in range(count):
        stream = socket.create_connection(("127.0.0.1", port), timeout=20)
        if not kind.endswith("plain"):
            stream = context.wrap_socket(stream, server_hostname=host)
        if kind == "h2":
            http2.Client(stream, host).get(1)
        else:
            stream.sendall(request)
            read_response(stream, b"101" if websocket else b"200")
        held.append(stream)
    print(f"held {len(held)}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    if sys.argv[1] == "origin":
        origin(int(sys.argv[2]))
    else:
        hold(sys.argv[2], int(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
