"""Bytes on a socket: a client that sends exactly the test's bytes, and readers for HTTP/1 messages.

No code here repairs or guesses: a message with wrong framing raises WireError, so that a test sees the edge's
real bytes.
"""

import contextlib
import select
import socket
import ssl
import struct
import time

# The time that a test waits for a prompt event. Generous: sanitizers and other tests run beside it.
PATIENCE = 30.0


class WireError(Exception):
    """The peer sent something that is not a well-formed message."""


class Message:
    """One HTTP/1 message: the start line, fields in order, body and trailers."""

    def __init__(self, start, fields, raw_head):
        self.start = start
        self.fields = fields
        self.raw_head = raw_head
        self.body = b""
        self.trailers = []
        self.complete = True  # False: the body was cut short

    @property
    def status(self):
        return int(self.start.split(b" ", 2)[1])

    @property
    def method(self):
        return self.start.split(b" ")[0].decode("latin-1")

    @property
    def target(self):
        return self.start.split(b" ")[1].decode("latin-1")

    def all(self, name):
        return [v for k, v in self.fields if k.lower() == name.lower()]

    def get(self, name, default=None):
        values = self.all(name)
        return values[0] if values else default

    def __repr__(self):
        return f"<Message {self.start!r} {len(self.body)} bytes{'' if self.complete else ', cut'}>"


def parse_head(raw):
    """`raw` is a head with its empty line."""
    if not raw.endswith(b"\r\n\r\n"):
        raise WireError(f"no head: {raw[:200]!r}")
    start, *lines = raw[:-4].split(b"\r\n")
    fields = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not name or name != name.strip() or b"\n" in line or b"\r" in line:
            raise WireError(f"bad field line: {line!r}")
        fields.append((name.decode("latin-1"), value.strip().decode("latin-1")))
    return Message(start, fields, raw)


class Stream:
    """A connected socket, plain or TLS, read with a buffer and a deadline. TLS runs over memory buffers, to
    distinguish half-close, bytes after it, and a missing close_notify."""

    def __init__(self, sock, context=None, server_name=None):
        self.sock = sock
        self.buffer = bytearray()
        self.tls = None
        self.ended = None  # how the peer's direction ended: "eof", "truncated" (TLS without close_notify), "reset"
        sock.settimeout(PATIENCE)
        if context is not None:
            self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
            self.tls = context.wrap_bio(self._in, self._out, server_hostname=server_name)
            self._handshake()

    def _handshake(self):
        while True:
            try:
                self.tls.do_handshake()
                self._push()
                return
            except ssl.SSLWantReadError:
                self._push()
                data = self.sock.recv(65536)
                if not data:
                    raise ConnectionResetError("closed during the TLS handshake") from None
                self._in.write(data)

    def _push(self):
        data = self._out.read()
        if data:
            self.sock.sendall(data)

    # ---- out

    def send(self, data):
        if self.tls is None:
            self.sock.sendall(data)
            return
        view = memoryview(data)
        while view:
            n = self.tls.write(view[:16384])
            self._push()
            view = view[n:]

    def send_slowly(self, data, step=1, pause=0.0):
        """`step` bytes a write; each becomes a separate segment (and over TLS a record)."""
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(0, len(data), step):
            self.send(data[i : i + step])
            if pause:
                time.sleep(pause)

    def half_close(self):
        """Ends our direction: close_notify over TLS, then FIN. Reading continues."""
        if self.tls is not None:
            with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLError):
                self.tls.unwrap()
            self._push()
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        """Closes with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()

    # ---- in

    def _fill(self, deadline):
        """Adds bytes to the buffer; False if the peer's direction has ended (self.ended says how)."""
        if self.ended is not None:
            return False
        while True:
            if self.tls is not None:
                try:
                    data = self.tls.read(65536)
                    if data:
                        self.buffer += data
                        return True
                    self.ended = "eof"
                    return False
                except ssl.SSLWantReadError:
                    self._push()
                except ssl.SSLZeroReturnError:
                    self.ended = "eof"
                    return False
                except ssl.SSLError as error:
                    if error.reason != "UNEXPECTED_EOF_WHILE_READING":
                        raise
                    self.ended = "truncated"
                    return False
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"nothing came; buffered: {bytes(self.buffer[:300])!r}")
            self.sock.settimeout(left)
            try:
                data = self.sock.recv(262144)
            except ConnectionResetError:
                self.ended = "reset"
                return False
            finally:
                # A closed descriptor cannot take a timeout, and does not need one.
                with contextlib.suppress(OSError):
                    self.sock.settimeout(PATIENCE)
            if self.tls is None:
                if data:
                    self.buffer += data
                    return True
                self.ended = "eof"
                return False
            if data:
                self._in.write(data)
            else:
                self._in.write_eof()

    def _take(self, n):
        data = bytes(self.buffer[:n])
        del self.buffer[:n]
        return data

    def read_until(self, mark, timeout=PATIENCE, limit=1 << 24):
        """Bytes up to and with `mark`."""
        deadline = time.monotonic() + timeout
        at = 0
        while (found := self.buffer.find(mark, at)) < 0:
            at = max(0, len(self.buffer) - len(mark) + 1)
            if len(self.buffer) > limit:
                raise WireError(f"no {mark!r} within {limit} bytes")
            if not self._fill(deadline):
                raise WireError(f"ended ({self.ended}) before {mark!r}: {bytes(self.buffer[:300])!r}")
        return self._take(found + len(mark))

    def read_exactly(self, n, timeout=PATIENCE):
        deadline = time.monotonic() + timeout
        while len(self.buffer) < n:
            if not self._fill(deadline):
                raise WireError(f"ended ({self.ended}) after {len(self.buffer)} of {n} bytes")
        return self._take(n)

    def read_some(self, timeout=PATIENCE):
        """The available bytes, at least one; b"" at the end."""
        if not self.buffer and not self._fill(time.monotonic() + timeout):
            return b""
        return self._take(len(self.buffer))

    def read_to_end(self, timeout=PATIENCE):
        deadline = time.monotonic() + timeout
        while self._fill(deadline):
            pass
        return self._take(len(self.buffer))

    def read_head(self, timeout=PATIENCE):
        return parse_head(self.read_until(b"\r\n\r\n", timeout))

    def wait_closed(self, timeout=PATIENCE):
        """Waits until the peer's direction has ended, and returns how; bytes before that are dropped."""
        deadline = time.monotonic() + timeout
        while self._fill(deadline):
            self.buffer.clear()
        return self.ended

    def is_silent(self, seconds):
        """True if no byte and no end comes for that time. For showing that an event does not happen."""
        if self.buffer or self.ended:
            return False
        try:
            return not self._fill(time.monotonic() + seconds) and self.ended is None
        except TimeoutError:
            return True

    def _read_chunked(self, message, deadline, sink):
        while True:
            line = self.read_until(b"\r\n", deadline - time.monotonic())
            digits = line[:-2].split(b";")[0]
            if not digits or digits.strip(b"0123456789abcdefABCDEF"):
                raise WireError(f"bad chunk size: {line!r}")
            size = int(digits, 16)
            if size == 0:
                break
            self._read_counted(size, deadline, sink)
            if self.read_exactly(2, deadline - time.monotonic()) != b"\r\n":
                raise WireError("no CRLF after a chunk")
        while (line := self.read_until(b"\r\n", deadline - time.monotonic())) != b"\r\n":
            name, _, value = line[:-2].partition(b":")
            message.trailers.append((name.decode("latin-1"), value.strip().decode("latin-1")))

    def _read_counted(self, n, deadline, sink):
        while n:
            if not self.buffer and not self._fill(deadline):
                raise WireError(f"ended ({self.ended}) with {n} bytes of the body missing")
            piece = self._take(min(n, len(self.buffer)))
            sink(piece)
            n -= len(piece)

    def read_answer(self, request_method):
        """The final response, for a client that ended its direction, to which a 102 may come first."""
        message = self.read_message(request_method=request_method)
        return self.read_message(request_method=request_method) if message.status == 102 else message

    def read_message(self, timeout=PATIENCE, request_method=None, sink=None):
        """A whole message. `request_method` if it is the response to one (None: a request is read). With
        `sink` the body's pieces are passed to it and not kept. A body that is cut sets message.complete to
        False."""
        deadline = time.monotonic() + timeout
        message = self.read_head(timeout)
        pieces = []
        take = sink or pieces.append
        is_response = message.start.startswith(b"HTTP/")
        encodings, lengths = message.all("transfer-encoding"), message.all("content-length")
        if encodings and lengths or len(lengths) > 1:
            raise WireError(f"ambiguous length: {message.fields}")
        if is_response and (
            request_method == "HEAD" or message.status in (204, 304) or 100 <= message.status < 200
        ):
            return message
        try:
            if encodings:
                if [e.lower() for e in encodings] != ["chunked"]:
                    raise WireError(f"transfer-encoding {encodings}")
                self._read_chunked(message, deadline, take)
            elif lengths:
                self._read_counted(int(lengths[0]), deadline, take)
            elif is_response:
                while self.buffer or self._fill(deadline):
                    take(self._take(len(self.buffer)))
        except WireError as error:
            if self.ended is None:
                raise
            message.complete = False
            message.cut = str(error)
        message.body = b"".join(pieces)
        return message

    def request(self, data, method=None, timeout=PATIENCE):
        """Sends a request's bytes and reads its final response."""
        self.send(data)
        method = method or data.split(b" ", 1)[0].decode("latin-1")
        while True:
            message = self.read_message(timeout, request_method=method)
            if message.status >= 200 or message.status == 101:
                return message

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def wait_readable(sock, timeout):
    return bool(select.select([sock], [], [], timeout)[0])


def is_closed(sock):
    """Whether the peer has closed the connection; one that waits for more is open."""
    sock.setblocking(False)
    try:
        return sock.recv(1) == b""
    except BlockingIOError:
        return False
