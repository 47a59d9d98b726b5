"""A small client of HTTP/2: GET requests on one connection, in batches. It implements only the part that these need."""

import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


class Client:
    """`stream` is a connection that negotiated HTTP/2."""

    def __init__(self, stream, host):
        self.stream = stream
        self.next = 1
        self.buffer = b""
        # GET, https, /, and the name, which enters the table of the connection (RFC 7541, section 6.2.1).
        self.block = b"\x82\x87\x84\x41" + bytes((len(host),)) + host.encode()
        window = frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", (1 << 31) - 1 - 65535))
        stream.sendall(PREFACE + frame(SETTINGS, 0, 0) + window)

    def frames(self):
        while True:
            while len(self.buffer) < 9 or len(self.buffer) < 9 + int.from_bytes(self.buffer[:3], "big"):
                piece = self.stream.recv(65536)
                if not piece:
                    raise RuntimeError("the connection has ended")
                self.buffer += piece
            length = int.from_bytes(self.buffer[:3], "big")
            kind, flags = self.buffer[3], self.buffer[4]
            stream, payload = int.from_bytes(self.buffer[5:9], "big"), self.buffer[9 : 9 + length]
            self.buffer = self.buffer[9 + length :]
            yield kind, flags, stream, payload

    def get(self, streams):
        """Sends requests on that many streams together, and returns once each has its whole 200."""
        waiting, out = set(), b""
        for _ in range(streams):
            out += frame(HEADERS, END_STREAM | END_HEADERS, self.next, self.block)
            self.block = b"\x82\x87\x84\xbe"
            waiting.add(self.next)
            self.next += 2
        self.stream.sendall(out)
        for kind, flags, stream, payload in self.frames():
            if kind == SETTINGS and not flags & ACK:
                self.stream.sendall(frame(SETTINGS, ACK, 0))
            elif kind == PING and not flags & ACK:
                self.stream.sendall(frame(PING, ACK, 0, payload))
            elif kind == GOAWAY:
                raise RuntimeError(f"GOAWAY {payload!r}")
            elif kind in (HEADERS, DATA) and stream in waiting:
                if kind == HEADERS and payload[0] != 0x88:  # :status 200, the first field of a head
                    raise RuntimeError(f"no 200: {payload!r}")
                if flags & END_STREAM:
                    waiting.discard(stream)
                    if not waiting:
                        return
            elif stream in waiting:
                raise RuntimeError(f"frame {kind} on stream {stream}: {payload!r}")
