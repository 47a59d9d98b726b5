"""A path with a delay: a relay that holds back each byte for half a round trip, in both directions.

TCP ends at the relay, so slow start and the kernel's buffers have no effect. The result shows the bytes in flight that
the protocol above TCP allows. The path holds `IN_FLIGHT` bytes in each direction, twice that in a round trip. A
connection of Linux may have that many bytes in flight by default (tcp_rmem).
"""

import collections
import contextlib
import socket
import threading
import time

IN_FLIGHT = 3 << 20


class Direction:
    """One direction of one connection."""

    def __init__(self, source, target, delay_s):
        self.source, self.target, self.delay = source, target, delay_s
        self.pieces = collections.deque()  # (due, bytes); b"" is the end
        self.held = 0
        self.changed = threading.Condition()
        for work in (self._read, self._write):
            threading.Thread(target=work, daemon=True).start()

    def _read(self):
        data = b"x"
        while data:
            try:
                data = self.source.recv(1 << 20)
            except OSError:
                data = b""
            with self.changed:
                self.changed.wait_for(lambda: self.held < IN_FLIGHT)
                self.pieces.append((time.monotonic() + self.delay, data))
                self.held += len(data)
                self.changed.notify_all()

    def _write(self):
        with contextlib.suppress(OSError):
            while True:
                with self.changed:
                    self.changed.wait_for(lambda: self.pieces)
                    due, data = self.pieces.popleft()
                time.sleep(max(0, due - time.monotonic()))
                if not data:
                    break
                self.target.sendall(data)
                with self.changed:
                    self.held -= len(data)
                    self.changed.notify_all()
        with contextlib.suppress(OSError):
            self.target.shutdown(socket.SHUT_WR)


class Path:
    """Listens on `port` of 127.0.0.1 and relays each connection to another port."""

    def __init__(self, to_port, round_trip_ms):
        self.to_port, self.delay = to_port, round_trip_ms / 2000
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near = self.listener.accept()[0]
                far = socket.create_connection(("127.0.0.1", self.to_port))
                for sock in (near, far):
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                Direction(near, far, self.delay)
                Direction(far, near, self.delay)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


class Sink:
    """An app that reads a request's whole body and answers with its length."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self.listener.accept()[0],), daemon=True).start()

    @staticmethod
    def _serve(sock):
        with sock, contextlib.suppress(OSError):
            data = b""
            while b"\r\n\r\n" not in data:
                data += sock.recv(65536)
            head, _, rest = data.partition(b"\r\n\r\n")
            lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
            left, buffer = int(lengths[0]) - len(rest), bytearray(1 << 20)
            while left > 0 and (n := sock.recv_into(buffer)):
                left -= n
            answer = str(int(lengths[0]) - left).encode()
            sock.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(answer), answer))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()
