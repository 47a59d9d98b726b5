"""HTTP/1.1 for the service: a thread per connection; bodies are read as they arrive and written as they are
produced."""

import contextlib
import http.server
import json
import socket
import socketserver
import sys
import threading
from urllib.parse import parse_qs, urlsplit

from .errors import ClientLeft, Refusal

JSON_MAX = 64 << 20
DRAIN_MAX = 1 << 20
PIECE = 1 << 20


class Body:
    """A request's body. `begin` is called before its first byte is read."""

    def __init__(self, stream, length, chunked, begin):
        self._stream, self._begin = stream, begin
        self._left = 0 if chunked else length
        self._chunked = chunked
        self.ended = not chunked and length == 0

    def read(self, most):
        """Up to `most` bytes; none at the end."""
        if self._begin is not None:
            begin, self._begin = self._begin, None
            begin()
        if self._chunked and self._left == 0 and not self.ended:
            self._next_chunk()
        if self.ended:
            return b""
        data = self._stream.read1(min(most, self._left))
        if not data:
            raise ClientLeft
        self._left -= len(data)
        if self._left == 0:
            if self._chunked:
                self._stream.readline(16)
            else:
                self.ended = True
        return data

    def _next_chunk(self):
        try:
            self._left = int(self._stream.readline(1024).split(b";")[0], 16)
        except ValueError:
            raise ClientLeft from None
        if self._left == 0:
            self.ended = True
            while self._stream.readline(1024).strip():
                pass  # trailers


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection. A request goes to `server.app(request)`, where `request` is this handler: the request's
    data and the methods that answer it."""

    protocol_version = "HTTP/1.1"
    wbufsize = 0  # each write leaves immediately

    def setup(self):
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def handle_expect_100(self):
        self._expects = True
        return True

    def handle_one_request(self):
        self._expects = self._answered = False
        try:
            super().handle_one_request()
        except (ConnectionError, ClientLeft):
            self.close_connection = True

    def _serve(self):
        parts = urlsplit(self.path)
        self.route = parts.path
        self.query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        chunked = self.headers.get("Transfer-Encoding", "").lower() == "chunked"
        length = int(self.headers.get("Content-Length") or 0)
        self.body = Body(self.rfile, length, chunked, self._continue)
        try:
            self.server.app(self)
        except Refusal as refusal:
            if self._answered:
                self.close_connection = True
            else:
                self.say(refusal.status, {"error": refusal.sentence})
        if not self._drain():
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def _continue(self):
        if self._expects and not self._answered:
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _drain(self):
        """Reads the rest of a refused request's body; whether that was all of it. A client that waits for 100
        (Continue) never sends it."""
        if self._expects and not self.body.ended:
            return False
        left = DRAIN_MAX
        while left > 0 and (data := self.body.read(left)):
            left -= len(data)
        return self.body.ended

    def log_message(self, *_):
        pass

    # ---- the application's interface

    def json(self):
        """The body, an object; an empty one is {}."""
        data = bytearray()
        while piece := self.body.read(PIECE):
            data += piece
            if len(data) > JSON_MAX:
                raise Refusal(413, "The body is too large.")
        try:
            value = json.loads(data or b"{}")
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise Refusal(400, "The body is not a JSON object.")
        return value

    def say(self, status, value):
        body = json.dumps(value).encode()
        self._head(status, [("Content-Type", "application/json"), ("Content-Length", len(body))])
        self.wfile.write(body)

    def say_file(self, file):
        """The rest of an open file, which is closed."""
        with file:
            file.seek(0, 2)
            self._head(200, [("Content-Type", "application/octet-stream"), ("Content-Length", file.tell())])
            self.connection.sendfile(file, 0)

    @contextlib.contextmanager
    def stream(self, content_type):
        """A 200 without a length; yields write(bytes), which sends immediately."""
        self._head(200, [("Content-Type", content_type), ("Cache-Control", "no-store"),
                         ("Transfer-Encoding", "chunked")])
        yield lambda data: self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.write(b"0\r\n\r\n")

    def _head(self, status, fields):
        self._answered = True
        self.send_response(status)
        for name, value in fields:
            self.send_header(name, str(value))
        if not self.body.ended and self._expects:
            self.send_header("Connection", "close")
        self.end_headers()


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """`app` gets each request. Listens and serves from the start until close."""

    daemon_threads = True
    request_queue_size = 512

    def __init__(self, app, address="127.0.0.1", port=0):
        self.app = app
        self._open = set()
        super().__init__((address, port), Handler)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def port(self):
        return self.server_address[1]

    def server_bind(self):
        socketserver.TCPServer.server_bind(self)  # HTTPServer's looks up the name of the address
        self.server_name, self.server_port = self.server_address[:2]

    def process_request(self, request, client_address):
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request):
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    def close(self):
        self.shutdown()
        self.server_close()
        for request in list(self._open):
            with contextlib.suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)
