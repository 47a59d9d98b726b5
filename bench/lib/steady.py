"""One connection with one request after another: the load of `bench/cost`, the same in each run.

    steady.py KIND PORT HOST WARM COUNT STREAMS [FIELD]               KIND is plain, tls or h2

Sends WARM requests, prints "warm", waits for a line, sends COUNT requests, prints "done" and waits for a line.
"""

import socket
import ssl
import sys

import http2


class Http1:
    def __init__(self, stream, host, field):
        self.stream = stream
        lines = ["GET / HTTP/1.1", f"Host: {host}", "User-Agent: steady", "Accept: */*", *([field] if field else [])]
        self.request = ("\r\n".join(lines) + "\r\n\r\n").encode()

    def get(self, _streams):
        self.stream.sendall(self.request)
        data = b""
        while b"\r\n\r\n" not in data:
            piece = self.stream.recv(65536)
            if not piece:
                raise RuntimeError("the connection has ended")
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"no 200: {head!r}")
        length = next(int(l[15:]) for l in head.split(b"\r\n") if l.lower().startswith(b"content-length:"))
        while len(body) < length:
            piece = self.stream.recv(65536)
            if not piece:
                raise RuntimeError("the connection has ended")
            body += piece


def main():
    kind, port, host, warm, count, streams = *sys.argv[1:4], *map(int, sys.argv[4:7])
    field = sys.argv[7] if len(sys.argv) > 7 else None
    stream = socket.create_connection(("127.0.0.1", int(port)), timeout=60)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if kind != "plain":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["h2" if kind == "h2" else "http/1.1"])
        stream = context.wrap_socket(stream, server_hostname=host)
    client = http2.Client(stream, host) if kind == "h2" else Http1(stream, host, field)
    for word, number in (("warm", warm), ("done", count)):
        for _ in range(number // streams):
            client.get(streams)
        print(word, flush=True)
        sys.stdin.readline()


if __name__ == "__main__":
    main()
