"""Clients whose request waits (waits_world.py), over HTTP/1.1 and HTTP/2, with every way to end it."""

import contextlib
import re
import socket
import struct

import h2.exceptions
import h2.settings

from api_world import metrics
from dataplane import KEY
from h2wire import DATA, END_STREAM, RST_STREAM, Client, frame
from harness import DOMAIN, PATIENCE, SLOW
from wire import Stream

LONG = PATIENCE * SLOW
WINDOW = h2.settings.SettingCodes.INITIAL_WINDOW_SIZE
CONNECT_PROTOCOL = h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL
HANDSHAKE = ("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
             f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n")


def figure(edge, name):
    """A metric of the edge, over its workers."""
    return sum(int(value) for value in re.findall(rf"^boxedge_{name}(?:\{{[^}}]*\}})? (\d+)", metrics(edge), re.M))


def refusals(edge):
    """Answers with a 4xx status."""
    return sum(int(value) for value in re.findall(r'^boxedge_requests_total\{.*code="4\d\d"\} (\d+)', metrics(edge), re.M))


def turns(edge):
    """Some turns of the worker's loop have passed: it has read all earlier bytes."""
    for _ in range(20):
        assert edge.get("health", "/healthz", kind="health").status == 200


class Http1:
    """One request over HTTP/1.1."""

    def __init__(self, edge, wait, whole, window=0, ready=None):
        """`ready`: the result of the class's function of that name, from before the wait began."""
        del window
        self.wait, self.whole = wait, whole
        self.client = self.connect(edge, ready or self.ready(edge))
        if wait.websocket:
            self.client.send(HANDSHAKE.format(path=wait.path, host=wait.host).encode())
            return
        framing = f"Content-Length: {len(wait.body)}" if whole else "Transfer-Encoding: chunked"
        lines = [f"{wait.method} {wait.path} HTTP/1.1", f"Host: {wait.host}", framing]
        lines += [f"{name}: {value}" for name, value in wait.fields]
        body = wait.body if whole else self._chunk(wait.part)
        self.client.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    @staticmethod
    def _chunk(data):
        return f"{len(data):x}\r\n".encode() + data + b"\r\n"

    @staticmethod
    def ready(edge):
        """The part of a client that can be made before the wait begins."""
        return edge.connect("plain")

    def connect(self, _, ready):
        return ready

    def send_rest(self, rest):
        self.client.send(self._chunk(rest) + b"0\r\n\r\n")

    def send_bad_body(self):
        self.client.send(b"zz\r\n")

    def status(self):
        """Of the answer to the request."""
        if self.wait.websocket:
            return self.client.read_head(LONG).status
        return self.client.read_message(LONG, request_method=self.wait.method).status

    def bad_body(self):
        self.send_bad_body()
        assert self.status() == 400

    def body_timeout(self):
        assert self.status() == 408

    def reset(self):
        self.client.reset()

    def refused_with(self, status):
        assert self.status() == status

    def half_close(self):
        self.client.half_close()
        if not self.whole:  # within its body: the client has left
            assert self.client.read_to_end(LONG) == b""
            return
        assert self.wait.websocket or self.client.read_head(LONG).status == 102
        self.client.reset()

    def after(self):
        self.client.close()


def small(edge):
    """A client whose kernel accepts as little as possible."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.connect(("127.0.0.1", edge.port["plain"]))
    return Stream(sock)


class StuckHttp1(Http1):
    """The same behind answers that its client does not read. The codec takes no request before the kernel has
    all of the answer before it (run_task in http1_server.c). So the earlier answers fill the kernel's buffer:
    it has no room for one more, and the answer of this request cannot leave."""

    # Its answer is shorter than any error answer of the edge.
    FILL = f"HEAD /.well-known/boxedge/nothing HTTP/1.1\r\nHost: box-1.{DOMAIN}\r\n\r\n".encode()
    LOTS = 2000

    @classmethod
    def ready(cls, edge):
        """A connection with the number of answers that fill it, and the figures of the edge then."""
        fills = cls.LOTS
        for _ in range(10):
            before, count = figure(edge, "exchanges_open"), fills
            client = small(edge)
            fills = cls._taken(edge, client, count)
            if fills == count:
                break
            client.reset()
            edge.wait_until(lambda most=before: figure(edge, "exchanges_open") <= most, LONG, "its end")
        assert fills == count < cls.LOTS, (fills, count)
        return client, fills, figure(edge, "responses_local_total"), refusals(edge)

    def connect(self, edge, ready):
        self.edge, self.made, self.kept = edge, None, True
        client, self.fills, self.local, self.over = ready
        return client

    @classmethod
    def _taken(cls, edge, client, count):
        """How many answers of so many the kernel takes."""
        before = refusals(edge)
        client.send(cls.FILL * count)
        taken, more = -1, 0
        while more != taken:
            turns(edge)
            taken, more = more, refusals(edge) - before
        return taken

    def status(self):
        """Reads the answers before it first."""
        if self.kept:
            for _ in range(self.fills):
                assert self.client.read_message(LONG, request_method="HEAD").status == 404
        self.kept = False
        return super().status()

    def _answered(self, status):
        self.edge.wait_until(lambda: figure(self.edge, "responses_local_total") > self.local, LONG, "an answer")
        self.made = status

    def bad_body(self):
        self.client.send(b"zz\r\n")
        self._answered(400)

    def body_timeout(self):
        self._answered(408)

    def half_close(self):
        self.client.half_close()
        turns(self.edge)
        self.client.reset()

    def refused_with(self, status):
        self._answered(status)

    def after(self):
        """When its client reads, the first answer leaves, and no other."""
        if self.made is not None:
            assert refusals(self.edge) == self.over  # it was kept all the while
            assert self.status() == self.made
        self.client.close()


class Http2:
    """One request over HTTP/2, whose answer cannot leave."""

    @staticmethod
    def ready(_):
        """Nothing: the authority of its request is that of the wait."""

    def __init__(self, edge, wait, whole, window=0, ready=None):
        del ready
        self.wait = wait
        self.client = Client(edge, wait.host, settings={WINDOW: window})
        self.refused = False
        if wait.websocket:
            self.client.until(lambda: CONNECT_PROTOCOL in self.client.settings, LONG)
            self.stream = self.client.request(
                wait.path, "CONNECT", [(":protocol", "websocket"), ("sec-websocket-version", "13")], end=False)
            self.answer = self.client.answer(self.stream)
            return
        announced = [] if whole else [("content-length", str(len(wait.part) + len(wait.rest)))]
        self.stream = self.client.request(wait.path, wait.method, [*wait.fields, *announced], end=whole and not wait.body)
        self.answer = self.client.answer(self.stream)
        if not whole or wait.body:
            fits = len(wait.body) <= window or window == 0  # the rest comes later, when the window has room
            self.client.send(self.stream, wait.body if whole else wait.part, end=whole and fits)

    def send_rest(self, rest):
        self.client.send(self.stream, rest, end=True)

    def send_bad_body(self):
        self.client.sock.sendall(frame(DATA, END_STREAM, self.stream))  # fewer bytes than announced

    def status(self):
        """The status line of the answer; None if it was reset."""
        self.client.until(lambda: self.answer.status is not None or self.answer.reset is not None, LONG)
        websocket = self.wait.websocket and self.answer.status == 200
        return 101 if websocket else self.answer.status

    def bad_body(self):
        """Its 400 begins; the rest of it, and the reset behind that, wait for a window."""
        self.send_bad_body()
        with contextlib.suppress(h2.exceptions.ProtocolError):  # a reset after GOAWAY is one to h2
            self.client.until(lambda: self.answer.status is not None or self.answer.reset is not None, LONG)
            assert self.answer.status in (None, 400)

    def body_timeout(self):
        self.client.until(lambda: self.answer.status is not None, LONG)
        assert self.answer.status == 408
        self.refused = True

    def reset(self):
        self.client.sock.sendall(frame(RST_STREAM, 0, self.stream, struct.pack(">I", 8)))

    def refused_with(self, status):
        """The end of the body comes when all of it is held."""
        self.client.send(self.stream, b"", end=True)
        assert self.client.finish(self.stream, LONG).status == status

    def half_close(self):
        self.reset()  # END_STREAM was sent with the request

    def after(self):
        """When the window has room, the first answer leaves, and no other."""
        if self.refused:
            self.client.h2.increment_flow_control_window(65535, self.stream)
            self.client.h2.update_settings({WINDOW: 65535})
            self.client.flush()
            self.client.until(lambda: self.answer.ended or self.answer.reset is not None, LONG)
            assert b"did not come in time" in self.answer.body
        self.client.sock.close()
