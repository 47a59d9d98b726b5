"""An app that speaks HTTP/2 without TLS (h2c with prior knowledge), by Python's h2, and one that writes any frames."""

import hashlib
import json
import struct
import time
from urllib.parse import parse_qs, urlsplit

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

from h2wire import ACK, PING, PREFACE, SETTINGS, frame
from origins import HttpOrigin, RawOrigin
from wire import PATIENCE


class Call:
    """One stream, from the app's view."""

    def __init__(self, fields):
        self.fields = fields
        self.digest = hashlib.sha256()
        self.size = 0
        self.trailers = []
        self.complete = False
        self.reset = None


class H2Origin(RawOrigin):
    """The paths of HttpOrigin that matter here: /echo, /bytes?n=N[&trailer=1], /status?code=N; and

    /hints[?n=N]     N times 103 before the answer (1), numbered
    /early?n=N       answers N bytes immediately, without waiting for the body
    /goaway          GOAWAY that does not know this stream, once; served on the next connection
    /refuse          RST_STREAM(REFUSED_STREAM), once; then served
    /open            answers a byte immediately, and ends when the request does
    /reset           RST_STREAM(INTERNAL_ERROR)
    /cut             half an answer, then RST_STREAM
    /hang            no answer
    """

    def __init__(self, streams=100, tls=None, distance=0, **kw):
        self.streams = streams
        self.distance = distance  # seconds after which the edge's SETTINGS are answered, as from so far away
        self.widest = 0  # the most that a stream's window and the connection's allowed at one time
        self.tls = tls  # an ssl.SSLContext, if TLS is used
        self.calls = []
        self.once = set()  # refused before
        super().__init__(self._serve_h2, **kw)

    def wait_calls(self, n, timeout=PATIENCE):
        self.wait(lambda o: len(o.calls) >= n, timeout)
        return self.calls

    def _serve_h2(self, conn):
        if self.tls:
            conn.sock = self.tls.wrap_socket(conn.sock, server_side=True)
        server = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        server.local_settings = h2.settings.Settings(client=False, initial_values={
            h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: self.streams,
            h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 65535,
        })
        server.initiate_connection()
        calls, sending = {}, {}
        time.sleep(self.distance)
        while True:
            self._pump(server, sending)
            data = server.data_to_send()
            if data:
                conn.sock.sendall(data)
            conn.sock.settimeout(3600)
            data = conn.sock.recv(262144)
            if not data:
                return
            for event in server.receive_data(data):
                self._event(conn, server, calls, sending, event)

    def _event(self, conn, server, calls, sending, event):
        stream = getattr(event, "stream_id", None)
        if isinstance(event, h2.events.RequestReceived):
            call = calls[stream] = Call(event.headers)
            call.connection = conn.index
            self.calls.append(call)
            self._head(conn, server, sending, stream, call)
        elif isinstance(event, h2.events.DataReceived):
            calls[stream].digest.update(event.data)
            calls[stream].size += len(event.data)
            server.acknowledge_received_data(event.flow_controlled_length, stream)
        elif isinstance(event, h2.events.TrailersReceived):
            calls[stream].trailers = event.headers
        elif isinstance(event, h2.events.StreamReset):
            calls[stream].reset = event.error_code
            sending.pop(stream, None)
        elif isinstance(event, h2.events.StreamEnded):
            calls[stream].complete = True
            self._answer(server, sending, stream, calls[stream])
        self.notify()

    @staticmethod
    def _target(call):
        fields = dict(call.fields)
        url = urlsplit(fields[":path"])
        return url.path, {k: v[0] for k, v in parse_qs(url.query).items()}

    def _head(self, conn, server, sending, stream, call):
        """The answers that come before the request's end."""
        path, query = self._target(call)
        if path in ("/refuse", "/goaway") and path not in self.once:
            self.once.add(path)
            if path == "/refuse":
                server.reset_stream(stream, 7)
            else:
                conn.sock.sendall(server.data_to_send() + frame(7, 0, 0, struct.pack(">II", max(0, stream - 2), 0)))
            call.reset = -1
        elif path == "/reset":
            server.reset_stream(stream, 2)
            call.reset = -1
        elif path == "/open":
            server.send_headers(stream, [(":status", "200")])
            server.send_data(stream, b"x")
        elif path == "/early":
            server.send_headers(stream, [(":status", "200")])
            sending[stream] = [int(query["n"]), 0, None]
            call.reset = -1

    def _answer(self, server, sending, stream, call):
        path, query = self._target(call)
        fields = dict(call.fields)
        if call.reset is not None or path == "/hang":
            return
        if path == "/open":
            server.end_stream(stream)
            return
        if path == "/hints":
            for i in range(int(query.get("n", "1"))):
                server.send_headers(stream, [(":status", "103"), ("link", "</a>"), ("x-number", str(i))])
        if path == "/bytes":
            n = int(query["n"])
            server.send_headers(stream, [(":status", "200")] + ([] if "trailer" in query else
                                                                [("content-length", str(n))]))
            sending[stream] = [n, 0, [("x-trailer", "after")] if "trailer" in query else None]
        elif path == "/cut":
            server.send_headers(stream, [(":status", "200"), ("content-length", "100")])
            server.send_data(stream, b"x" * 50)
            server.reset_stream(stream, 2)
        elif path == "/status" or fields[":method"] == "HEAD":
            server.send_headers(stream, [(":status", query.get("code", "200"))], end_stream=True)
        else:
            body = json.dumps({
                "fields": call.fields, "body_bytes": call.size, "body_sha256": call.digest.hexdigest(),
                "trailers": call.trailers, "connection": call.connection,
            }).encode()
            server.send_headers(stream, [(":status", "200"), ("content-type", "application/json"),
                                         ("content-length", str(len(body)))])
            n = server.max_outbound_frame_size
            for at in range(0, len(body), n):
                server.send_data(stream, body[at:at + n], end_stream=at + n >= len(body))

    def _pump(self, server, sending):
        """As much of the bodies as the windows allow: [bytes left, position in the pattern, trailers]."""
        for stream, state in list(sending.items()):
            while state[0]:
                window = server.local_flow_control_window(stream)
                self.widest = max(self.widest, window)
                n = min(state[0], window, server.max_outbound_frame_size)
                if n == 0:
                    break
                at = state[1] % len(HttpOrigin.PATTERN)
                piece = HttpOrigin.PATTERN[at:at + n]
                server.send_data(stream, piece)
                state[0] -= len(piece)
                state[1] += len(piece)
            if state[0] == 0:
                del sending[stream]
                if state[2]:
                    server.send_headers(stream, state[2], end_stream=True)
                else:
                    server.end_stream(stream)


class FrameOrigin(RawOrigin):
    """`answers(conn, stream)` is called for each request after its HEADERS, to write any frames with
    conn.send. SETTINGS are sent first, unless `settings` is False, and the edge's SETTINGS and PINGs are
    acknowledged."""

    def __init__(self, answers, settings=True, **kw):
        self.answers, self.settings = answers, settings
        self.resets = []  # (stream, code)
        self.goaways = []
        super().__init__(self._serve_frames, **kw)

    def _serve_frames(self, conn):
        conn.send_frame = lambda *a, **kw: conn.send(frame(*a, **kw))
        conn.deadline = time.monotonic() + 600
        if self._take(conn, len(PREFACE)) != PREFACE:
            return
        if self.settings:
            conn.send(frame(SETTINGS))
        while True:
            head = self._take(conn, 9)
            if head is None:
                return
            payload = self._take(conn, int.from_bytes(head[:3], "big"))
            kind, flags, stream = head[3], head[4], int.from_bytes(head[5:9], "big")
            if kind == SETTINGS and not flags & ACK and self.settings:
                conn.send(frame(SETTINGS, ACK))
            elif kind == PING and not flags & ACK and self.settings:
                conn.send(frame(PING, ACK, 0, payload))
            elif kind == 1:
                self.answers(conn, stream)
            elif kind == 3:
                self.resets.append((stream, int.from_bytes(payload, "big")))
            elif kind == 7:
                self.goaways.append(int.from_bytes(payload[4:8], "big"))
            self.notify()

    @staticmethod
    def _take(conn, n):
        while len(conn.buffer) < n:
            if not conn._fill(conn.deadline):
                return None
        data = bytes(conn.buffer[:n])
        del conn.buffer[:n]
        return data
