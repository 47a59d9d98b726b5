"""HTTP/2 clients for tests: one that follows the rules (Python h2) and one that sends any frame of a test."""

import ssl
import struct
import time

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings
import hpack

from wire import PATIENCE

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 0x1, 0x1, 0x4, 0x8
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def receive(sock, timeout):
    """The bytes that arrive within `timeout`; b"" at the end of the connection, also after a reset or a TLS
    error."""
    sock.settimeout(timeout)
    try:
        return sock.recv(262144)
    except (ConnectionResetError, ssl.SSLError) as error:
        if isinstance(error, TimeoutError):
            raise
        return b""


class Answer:
    """The received parts of one stream."""

    def __init__(self):
        self.status = None
        self.fields = {}
        self.informational = []
        self.body = bytearray()
        self.body_bytes = 0
        self.trailers = {}
        self.ended = False
        self.reset = None  # the error code


class Client:
    """A connection by the h2 package. `consume`: windows are given back as bytes come. `distance`: seconds after which
    the edge's SETTINGS are answered, as from so far away. `source`: the address that it comes from."""

    def __init__(self, edge, host, kind="tls", consume=True, keep=True, settings=None, validate=True, distance=0,
                 source=None):
        self.edge, self.host, self.consume, self.keep = edge, host, consume, keep
        self.sock = edge.socket(kind, **({"source_address": (source, 0)} if source else {}))
        if kind == "tls":
            self.sock = edge.context(("h2",)).wrap_socket(self.sock, server_hostname=host)
            assert self.sock.selected_alpn_protocol() == "h2"
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(
            header_encoding="utf-8", validate_outbound_headers=validate, normalize_outbound_headers=validate))
        self.h2.initiate_connection()
        if settings:
            self.h2.update_settings(settings)
        self.answers = {}
        self.goaways = []
        self.settings = {}
        self.pushes = 0
        self.pongs = 0
        self.widest = 0  # the most that a stream's window and the connection's allowed at one time
        self.eof = False
        self.flush()
        time.sleep(distance)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def flush(self):
        data = self.h2.data_to_send()
        if data:
            self.sock.sendall(data)

    def answer(self, stream):
        return self.answers.setdefault(stream, Answer())

    def request(self, path="/", method="GET", fields=(), end=True, authority=None, flush=True):
        """Sends a head; its stream's id. Without `flush` it leaves with the next send."""
        stream = self.h2.get_next_available_stream_id()
        authority = authority or f"{self.host}:{self.edge.port['tls']}"
        self.h2.send_headers(stream, [(":method", method), (":scheme", "https"), (":authority", authority),
                                      (":path", path), *fields], end_stream=end)
        self.answer(stream)
        if flush:
            self.flush()
        return stream

    def send(self, stream, data, end=False, timeout=PATIENCE):
        """Sends body bytes as windows allow; the number sent within `timeout`."""
        deadline, sent = time.monotonic() + timeout, 0
        view = memoryview(data)
        while view:
            window = self.h2.local_flow_control_window(stream)
            self.widest = max(self.widest, window)
            n = min(len(view), window, self.h2.max_outbound_frame_size)
            if n == 0:
                try:
                    self.turn(deadline - time.monotonic())
                except TimeoutError:
                    return sent
                if self.answer(stream).reset is not None:
                    return sent
                continue
            self.h2.send_data(stream, view[:n].tobytes(), end_stream=end and n == len(view))
            self.flush()
            view, sent = view[n:], sent + n
        if end and not data:
            self.h2.end_stream(stream)
            self.flush()
        return sent

    def turn(self, timeout=PATIENCE):
        """Reads the next bytes."""
        if timeout <= 0:
            raise TimeoutError("nothing came")
        data = receive(self.sock, timeout)
        if not data:
            self.eof = True
            return
        for event in self.h2.receive_data(data):
            self._take(event)
        self.flush()

    def _take(self, event):
        answer = self.answer(event.stream_id) if getattr(event, "stream_id", None) else None
        if isinstance(event, h2.events.ResponseReceived):
            fields = dict(event.headers)
            answer.status, answer.fields = int(fields.pop(":status")), fields
        elif isinstance(event, h2.events.InformationalResponseReceived):
            answer.informational.append(dict(event.headers))
        elif isinstance(event, h2.events.TrailersReceived):
            answer.trailers = dict(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            answer.body_bytes += len(event.data)
            if self.keep:
                answer.body += event.data
            if self.consume:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            answer.ended = True
        elif isinstance(event, h2.events.StreamReset):
            answer.reset = event.error_code
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaways.append(event.error_code)
        elif isinstance(event, h2.events.RemoteSettingsChanged):
            self.settings.update({k: v.new_value for k, v in event.changed_settings.items()})
        elif isinstance(event, h2.events.PingAckReceived):
            self.pongs += 1
        elif isinstance(event, h2.events.PushedStreamReceived):
            self.pushes += 1

    def until(self, condition, timeout=PATIENCE):
        deadline = time.monotonic() + timeout
        while not condition():
            assert not self.eof, "the edge closed the connection"
            self.turn(deadline - time.monotonic())

    def catch_up(self, timeout=PATIENCE):
        """Reads until the edge has processed everything sent here."""
        pongs = self.pongs
        self.h2.ping(b"catch up")
        self.flush()
        self.until(lambda: self.pongs > pongs, timeout)

    def finish(self, stream, timeout=PATIENCE):
        """The answer, when the stream has ended or was reset."""
        answer = self.answer(stream)
        self.until(lambda: answer.ended or answer.reset is not None, timeout)
        return answer

    def until_eof(self, timeout=PATIENCE):
        deadline = time.monotonic() + timeout
        while not self.eof:
            self.turn(deadline - time.monotonic())

    def get(self, path="/", **kw):
        return self.finish(self.request(path, **kw))


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


class Frames:
    """A connection on which a test sends any bytes. Frames are read when the test asks."""

    def __init__(self, edge, host, kind="tls", begin=True):
        self.edge, self.host = edge, host
        self.sock = edge.socket(kind)
        if kind == "tls":
            self.sock = edge.context(("h2",)).wrap_socket(self.sock, server_hostname=host)
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()
        self.decoder.max_header_list_size = 1 << 20
        self.buffer = bytearray()
        self.closed = False
        if begin:
            self.send(PREFACE + frame(SETTINGS))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, data):
        """False if the edge has closed."""
        try:
            self.sock.sendall(data)
            return True
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            self.closed = True
            return False

    def head(self, fields=(), method="GET", path="/", scheme="https", authority=None):
        """The encoded block of a request. None leaves a pseudo-field out. `fields` are sent unchanged."""
        pseudo = [(":method", method), (":scheme", scheme),
                  (":authority", authority or f"{self.host}:{self.edge.port['tls']}"), (":path", path)]
        return self.encoder.encode([p for p in pseudo if p[1] is not None] + list(fields))

    def read(self, timeout=PATIENCE):
        """The next frame (kind, flags, stream, payload); None at the end of the connection."""
        deadline = time.monotonic() + timeout
        while len(self.buffer) < 9 or len(self.buffer) < 9 + int.from_bytes(self.buffer[:3], "big"):
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("no frame came")
            try:
                data = receive(self.sock, left)
            finally:
                self.sock.settimeout(PATIENCE)
            if not data:
                return None
            self.buffer += data
        n = int.from_bytes(self.buffer[:3], "big")
        kind, flags, stream = struct.unpack(">BBI", self.buffer[3:9])
        payload = bytes(self.buffer[9 : 9 + n])
        del self.buffer[: 9 + n]
        return kind, flags, stream & 0x7FFFFFFF, payload

    def read_until(self, kind, stream=None, timeout=PATIENCE):
        """The next frame of that kind; heads before it are decoded, so that HPACK stays correct."""
        deadline = time.monotonic() + timeout
        while (got := self.read(deadline - time.monotonic())) is not None:
            if got[0] == HEADERS:
                got = (*got[:3], self.decoder.decode(got[3]))
            if got[0] == kind and (stream is None or got[2] == stream):
                return got
        return None

    def goaway(self, timeout=PATIENCE):
        """The error code of the next GOAWAY; None if the connection ends without one."""
        got = self.read_until(GOAWAY, timeout=timeout)
        return None if got is None else int.from_bytes(got[3][4:8], "big")
