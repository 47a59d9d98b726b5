"""Stand-ins for the app in a box: scripted servers on loopback that follow a test's script and remember their
requests."""

import asyncio
import contextlib
import hashlib
import json
import socket
import struct
import threading
import time
from urllib.parse import parse_qs, urlsplit

import websockets

from wire import PATIENCE, Stream, WireError


class OriginConn(Stream):
    """One accepted connection of a RawOrigin. `received` is all of its bytes, in order."""

    def __init__(self, sock, index, everyone=None):
        super().__init__(sock)
        self.index = index
        self.received = bytearray()
        self.requests = []  # whole ones
        self.cut = []  # those whose body was cut short
        self._everyone = everyone if everyone is not None else []
        self.done = threading.Event()

    def _fill(self, deadline):
        before = len(self.buffer)
        more = super()._fill(deadline)
        self.received += self.buffer[before:]
        return more

    def read_request(self, timeout=PATIENCE, sink=None):
        """The next request with its body; None if the peer has ended before a whole one."""
        try:
            message = self.read_message(timeout, sink=sink)
        except WireError:
            if self.ended is not None and not self.buffer:
                return None
            raise
        if not message.complete:
            self.cut.append(message)
            return None
        self.requests.append(message)
        self._everyone.append(message)
        return message


@contextlib.contextmanager
def unaccepting(port):
    """An app that accepts nothing, and whose queue in the kernel is full: the next connection hangs."""
    with contextlib.ExitStack() as stack:
        app = stack.enter_context(socket.socket())
        app.bind(("127.0.0.1", port))
        app.listen(0)
        for _ in range(4):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(app.getsockname())
        yield


class RawOrigin:
    """A TCP server. `handler(conn)` runs in a thread for each connection, which is closed when it returns; bytes in
    place of a handler are sent as the answer to every request. An exception in a handler that is not about the
    connection fails the test when the origin is closed."""

    def __init__(self, handler=b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", address="127.0.0.1", backlog=1024,
                 record=True, receive_buffer=None):
        self.handler = handler if callable(handler) else self._answering(handler)
        self.record = record
        self.connections = []
        self.requests = []  # whole ones, of all connections, in the order in which they were complete
        self.errors = []
        self._changed = threading.Condition()
        self._closing = False
        self.listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if receive_buffer:  # accepted sockets inherit it
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.listener.bind((address, 0))
        self.listener.listen(backlog)
        self.port = self.listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @staticmethod
    def _answering(data):
        def answer(conn):
            while conn.read_request(timeout=3600) is not None:
                conn.send(data)

        return answer

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            if self._closing:
                sock.close()
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._changed:
                conn = OriginConn(sock, len(self.connections), self.requests)
                self.connections.append(conn)
                self._changed.notify_all()
            threading.Thread(target=self._serve, args=(conn,), daemon=True).start()

    def _serve(self, conn):
        try:
            self.handler(conn)
        except (ConnectionError, WireError, TimeoutError, OSError) as error:
            conn.error = error
        except Exception as error:  # pylint: disable=broad-except
            self.errors.append(error)
        finally:
            conn.close()
            conn.done.set()
            self.notify()

    def notify(self):
        with self._changed:
            self._changed.notify_all()

    def wait(self, predicate, timeout=PATIENCE):
        """Waits until predicate(self) holds; checks it at each connection or request, and at least each 50
        ms."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while not predicate(self):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"origin: {len(self.connections)} connections, {len(self.requests)} requests")
                self._changed.wait(min(left, 0.05))

    def wait_connections(self, n, timeout=PATIENCE):
        self.wait(lambda o: len(o.connections) >= n, timeout)
        return self.connections

    def wait_requests(self, n, timeout=PATIENCE):
        self.wait(lambda o: len(o.requests) >= n, timeout)
        return self.requests

    @property
    def received(self):
        """All bytes of all connections."""
        return b"".join(bytes(c.received) for c in list(self.connections))

    def stop_listening(self):
        """Refuses connects from here on; open connections stay."""
        self._closing = True
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()

    def close(self):
        self.stop_listening()
        for conn in list(self.connections):
            try:
                conn.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for conn in list(self.connections):
            conn.done.wait(5)
        assert not self.errors, f"the origin's handler failed: {self.errors}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class HttpOrigin(RawOrigin):
    """An app with the paths that most tests need. Bodies are hashed, not kept, so that they may be large.

    /echo            JSON: method, target, fields, body_bytes, body_sha256, trailers
    /bytes?n=N       N bytes of a fixed pattern; &chunked=1 without a length; &trailer=1 with a trailer
    /status?code=N   that status, no body
    /sse?n=N         N events, one each 20 ms (&ms=N: each N ms), then the end
    /slow?ms=N       answers after N milliseconds
    """

    PATTERN = bytes(range(256)) * 1024

    def __init__(self, **kw):
        super().__init__(self._app, **kw)

    @staticmethod
    def pattern_sha256(n):
        digest = hashlib.sha256()
        while n:
            piece = HttpOrigin.PATTERN[: min(n, len(HttpOrigin.PATTERN))]
            digest.update(piece)
            n -= len(piece)
        return digest.hexdigest()

    def _app(self, conn):
        while True:
            digest, size = hashlib.sha256(), 0

            def sink(piece):
                nonlocal size
                digest.update(piece)
                size += len(piece)

            conn.received.clear()
            message = self._read(conn, sink)
            if message is None:
                return
            self.notify()
            message.body_bytes, message.body_sha256 = size, digest.hexdigest()
            self._answer(conn, message)
            if not self.record:
                conn.requests.clear()
                self.requests.clear()

    @staticmethod
    def _read(conn, sink):
        if not conn.buffer and not conn._fill(time.monotonic() + 3600):
            return None
        head_end = b"\r\n\r\n"
        while head_end not in conn.buffer:
            if not conn._fill(time.monotonic() + PATIENCE):
                return None
        head = bytes(conn.buffer[: conn.buffer.index(head_end)]).lower()
        if b"\r\nexpect: 100-continue" in head:
            conn.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        return conn.read_request(timeout=600, sink=sink)

    @staticmethod
    def reply(conn, status, fields, body, head_only=False):
        lines = [f"HTTP/1.1 {status} X"] + [f"{k}: {v}" for k, v in fields]
        if not any(k.lower() == "content-length" for k, _ in fields) and status != 204:
            lines.append(f"Content-Length: {len(body)}")
        conn.send("\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if head_only else body))

    def _answer(self, conn, message):
        url = urlsplit(message.target)
        query = {k: v[0] for k, v in parse_qs(url.query).items()}
        head_only = message.method == "HEAD"
        if url.path == "/bytes":
            self._bytes(conn, int(query["n"]), query, head_only)
        elif url.path == "/status":
            self.reply(conn, int(query["code"]), [], b"", head_only)
        elif url.path == "/sse":
            conn.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            for i in range(int(query.get("n", 5))):
                event = f"data: {i} {time.monotonic()}\n\n".encode()
                conn.send(b"%x\r\n%s\r\n" % (len(event), event))
                time.sleep(int(query.get("ms", 20)) / 1000)
            conn.send(b"0\r\n\r\n")
        else:
            if url.path == "/slow":
                time.sleep(int(query["ms"]) / 1000)
            body = json.dumps({
                "method": message.method, "target": message.target, "fields": message.fields,
                "body_bytes": message.body_bytes, "body_sha256": message.body_sha256, "trailers": message.trailers,
                "connection": conn.index,
            }).encode()
            self.reply(conn, 200, [("Content-Type", "application/json")], body, head_only)

    def _bytes(self, conn, n, query, head_only):
        chunked = "chunked" in query or "trailer" in query
        length = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % n
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n" + length + b"\r\n\r\n")
        if head_only:
            return
        while n:
            piece = self.PATTERN[: min(n, len(self.PATTERN))]
            conn.send(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
            n -= len(piece)
        if chunked:
            conn.send(b"0\r\n" + (b"X-Trailer: after\r\n" if "trailer" in query else b"") + b"\r\n")


class WebSocketOrigin:
    """A server of the `websockets` package; `handler` is a coroutine function of one connection (echo by default)."""

    def __init__(self, handler=None, host="127.0.0.1", **options):
        self.handler, self.host = handler or self._echo, host
        self.handshakes = []
        self.closes = []
        self._options = {"max_size": None, "ping_interval": None, "process_request": self._note, **options}
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        if not self._ready.wait(PATIENCE):
            raise RuntimeError("the WebSocket origin did not start")

    async def _note(self, path, headers):
        self.handshakes.append((path, headers))

    @staticmethod
    async def _echo(ws):
        async for message in ws:
            await ws.send(message)

    async def _serve(self, ws, *_):
        try:
            await self.handler(ws)
        except websockets.ConnectionClosed:
            pass
        finally:
            await ws.wait_closed()
            self.closes.append((ws.close_code, ws.close_reason))

    def _run(self):
        asyncio.set_event_loop(self._loop)
        self._stop = asyncio.Event()

        async def main():
            async with websockets.serve(self._serve, self.host, 0, **self._options) as server:
                self.port = server.sockets[0].getsockname()[1]
                self._ready.set()
                await self._stop.wait()

        self._loop.run_until_complete(main())

    def close(self):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def reset_on_close(sock):
    """Makes close() send RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
