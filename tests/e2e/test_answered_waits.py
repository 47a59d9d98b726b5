"""A request that waits is answered, or left by its client, before the thing comes that it waits for: nothing of it goes
on, its worker lives, and the next request is served. Every step that waits, every way in which a client's codec ends a
request, over HTTP/1 and HTTP/2."""

import contextlib
import json
import os
import re
import signal
import socket
import struct
import threading

import h2.exceptions
import h2.settings
import pytest

from api_world import API, answer, api_config, call, metrics
from h2wire import DATA, END_STREAM, RST_STREAM, Client, frame
from harness import DOMAIN, PATIENCE, SLOW, RawOrigin, local_box, merge
from processes import said
from sleepers import Sleepers
from test_api_servers import queued
from test_slots import waited
from wire import Stream

LONG = PATIENCE * SLOW
WINDOW = h2.settings.SettingCodes.INITIAL_WINDOW_SIZE


def figure(edge, name):
    """A metric of the edge, over its workers."""
    return sum(int(value) for value in re.findall(rf"^boxedge_{name}(?:\{{[^}}]*\}})? (\d+)", metrics(edge), re.M))


def turns(edge):
    """Some turns of the worker's loop have passed: it has read all that came before."""
    for _ in range(20):
        assert edge.get("health", "/healthz", kind="health").status == 200

# ---- what is waited for


class Wake:
    """A box that sleeps; then it wakes."""

    method, fields, body = "POST", [], b""
    takes_body = True  # the body is read while it waits

    def __init__(self):
        self.sleepers = Sleepers()
        self.config = merge(self.sleepers.config, {"wake": {"per_client": 0}})
        self.box = None

    def begin(self, edge):
        self.box = self.sleepers.add(f"box-{len(self.sleepers.boxes)}")
        self.path, self.host = "/", edge.create_preview(self.box.port, self.box.id)

    def wait(self, edge):
        edge.wait_until(lambda: self.box.resumes > 0, LONG, "the resume")

    def come(self):
        self.box.resume()
        self.box.listen()

    def serve(self, edge):
        assert edge.get(self.host, timeout=LONG).status == 200

    def close(self):
        self.sleepers.close()


class FailedWake(Wake):
    """The page of a box that fails to wake."""

    method, fields = "GET", [("sec-fetch-mode", "navigate")]

    def come(self):
        self.box.fail()

    def serve(self, edge):
        got = edge.get(self.host, timeout=LONG)
        assert got.status == 503 and json.loads(got.body)["code"] == "wake_failed", got.body


class Api:
    """A request of the API host. Its server lets `GET /v2/box/box` wait for `gate`, and `/slow` for `slow`."""

    method, path, host, body = "POST", "/v2/box", API, b""
    fields = [("x-box-api-key", "k-test")]
    takes_body, limits, more = True, {}, {}

    def __init__(self):
        self.gate, self.slow = threading.Event(), threading.Event()
        self.gate.set()
        self.origin = RawOrigin(self._serve)
        boxes = {"boxes": [local_box("box", 3000, self.origin)]}
        self.config = merge({**api_config([self.origin.port], upstream=self.limits), **boxes}, self.more)

    def _serve(self, conn):
        while (request := conn.read_request(3600)) is not None:
            if request.target == "/slow":
                self.slow.wait(LONG)
            elif request.target == "/v2/box/box" and request.method == "GET":
                self.gate.wait(LONG)
            conn.send(answer(json.dumps({"id": "box", "status": "running"})))

    def asked(self, target):
        return sum(r.target == target for r in list(self.origin.requests))

    def serve(self, edge):
        got = call(edge, "/v2/other", timeout=LONG)
        assert got.status == 200, got.body

    def close(self):
        self.gate.set()
        self.slow.set()
        self.origin.close()


class Subrequest(Api):
    """A preview is to be made: the upstream is asked about the box."""

    path = "/v2/box/box/preview"

    def begin(self, _):
        self.gate.clear()
        self.before = self.asked("/v2/box/box")

    def wait(self, _):
        self.origin.wait(lambda _: self.asked("/v2/box/box") > self.before, LONG)

    def come(self):
        self.gate.set()


class DeletedBox(Subrequest):
    """A box that has previews is deleted: which one that is, the upstream is asked first."""

    method, path = "DELETE", "/v2/box/box"

    def begin(self, edge):
        edge.create_preview(3000)
        super().begin(edge)


class Line(Api):
    """The only place of the only server is taken. A place is looked for again and again."""

    limits = {"server_in_flight": 1, "queue_timeout": "60s"}

    def begin(self, edge):
        self.slow.clear()
        before = self.asked("/slow")
        self.holder = edge.connect("plain")
        self.holder.send(f"GET /slow HTTP/1.1\r\nHost: {API}\r\nX-Box-Api-Key: k-test\r\n\r\n".encode())
        self.origin.wait(lambda _: self.asked("/slow") > before, LONG)
        self.before = queued(edge)

    def wait(self, edge):
        edge.wait_until(lambda: queued(edge) > self.before, LONG, "a place in the line")

    def come(self):
        self.slow.set()
        assert self.holder.read_message(LONG, request_method="GET").status == 200
        self.holder.close()


class SubrequestInLine(Line):
    """The question about a box waits for a place."""

    path = "/v2/box/box/preview"


class PreviewCall(Subrequest):
    """The controller is asked to make the preview, and stands still. The body is complete by then."""

    body, takes_body = b'{"port": 3000}', False
    more = {"timeouts": {"heartbeat": "10m"}}

    def begin(self, edge):
        super().begin(edge)
        (self.controller,) = edge.pids("controller")
        os.kill(self.controller, signal.SIGSTOP)

    def wait(self, edge):
        super().wait(edge)
        self.gate.set()
        turns(edge)  # the worker reads the upstream's answer

    def come(self):
        os.kill(self.controller, signal.SIGCONT)

    def close(self):
        with contextlib.suppress(AttributeError, ProcessLookupError):
            os.kill(self.controller, signal.SIGCONT)
        super().close()


class Deletion(PreviewCall):
    """Boxes are to be deleted, and the controller, which notes that first, stands still."""

    method, path, body = "DELETE", "/v2/box", b'{"ids": ["box"]}'

    def begin(self, edge):
        edge.create_preview(3000)
        super().begin(edge)
        self.gate.set()

    def wait(self, edge):
        turns(edge)


class Slots(Api):
    """Its client has all the connections to origins that it may have."""

    path, fields = "/", []
    more = {"limits": {"origin_connections_per_client": 1}, "timeouts": {"origin_queue": "60s"}}

    def begin(self, edge):
        self.host = edge.create_preview(self.origin)
        self.slow.clear()
        before = self.asked("/slow")
        self.holder = edge.connect("plain")
        self.holder.send(f"GET /slow HTTP/1.1\r\nHost: {self.host}\r\n\r\n".encode())
        self.origin.wait(lambda _: self.asked("/slow") > before, LONG)
        self.before = waited(edge)

    def wait(self, edge):
        edge.wait_until(lambda: waited(edge) > self.before, LONG, "a place in the line")

    def come(self):
        self.slow.set()
        assert self.holder.read_message(LONG, request_method="GET").status == 200
        self.holder.close()

    def serve(self, edge):
        assert edge.get(self.host, timeout=LONG).status == 200


WAITS = [Wake, FailedWake, Subrequest, DeletedBox, Line, SubrequestInLine, PreviewCall, Deletion, Slots]

# ---- clients


class Http1:
    """One request over HTTP/1.1."""

    def __init__(self, edge, wait, whole, window=0):
        del window
        self.client = self.connect(edge)
        framing = f"Content-Length: {len(wait.body)}" if whole else "Transfer-Encoding: chunked"
        lines = [f"{wait.method} {wait.path} HTTP/1.1", f"Host: {wait.host}", framing]
        lines += [f"{name}: {value}" for name, value in wait.fields]
        body = wait.body if whole else b"5\r\nhello\r\n"
        self.client.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def connect(self, edge):
        return edge.connect("plain")

    def bad_body(self):
        self.client.send(b"zz\r\n")
        assert self.client.read_message(LONG, request_method="POST").status == 400

    def body_timeout(self):
        assert self.client.read_message(LONG, request_method="POST").status == 408

    def reset(self):
        self.client.reset()

    def refused_with(self, status):
        assert self.client.read_message(LONG, request_method="POST").status == status

    def half_close(self):
        self.client.half_close()
        assert self.client.read_head(LONG).status == 102
        self.client.reset()

    def after(self):
        self.client.close()


def small(edge):
    """A client whose kernel takes as little as can be."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.connect(("127.0.0.1", edge.port["plain"]))
    return Stream(sock)


class StuckHttp1(Http1):
    """The same behind answers that its client does not read. The codec takes no request before the kernel has all of
    the answer before it (run_task in http1_server.c). So the earlier answers fill the kernel's buffer: it has no room
    for one more, and the answer of this request cannot leave."""

    # Its answer is shorter than any that the edge makes of an error.
    FILL = f"HEAD /.well-known/boxedge/nothing HTTP/1.1\r\nHost: box-1.{DOMAIN}\r\n\r\n".encode()
    LOTS = 2000

    def connect(self, edge):
        self.edge, self.status, self.fills = edge, None, self.LOTS
        for _ in range(10):
            before, count = figure(edge, "exchanges_open"), self.fills
            client = small(edge)
            self.fills = self._taken(edge, client, count)
            if self.fills == count:
                break
            client.reset()
            edge.wait_until(lambda most=before: figure(edge, "exchanges_open") <= most, LONG, "its end")
        assert self.fills == count < self.LOTS
        self.local, self.over = figure(edge, "responses_local_total"), figure(edge, "responses_4xx_total")
        return client

    def _taken(self, edge, client, count):
        """How many answers of so many the kernel takes."""
        before = figure(edge, "responses_4xx_total")
        client.send(self.FILL * count)
        taken, more = -1, 0
        while more != taken:
            turns(edge)
            taken, more = more, figure(edge, "responses_4xx_total") - before
        return taken

    def _answered(self, status):
        self.edge.wait_until(lambda: figure(self.edge, "responses_local_total") > self.local, LONG, "an answer")
        self.status = status

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
        """The answer that was made is the one that leaves when its client reads."""
        if self.status is not None:
            assert figure(self.edge, "responses_4xx_total") == self.over  # it was kept all the while
            for _ in range(self.fills):
                assert self.client.read_message(LONG, request_method="HEAD").status == 404
            assert self.client.read_message(LONG, request_method="POST").status == self.status
        self.client.close()


class Http2:
    """One request over HTTP/2, whose answer cannot leave."""

    def __init__(self, edge, wait, whole, window=0):
        self.client = Client(edge, wait.host, settings={WINDOW: window})
        announced = [] if whole else [("content-length", "10")]
        self.stream = self.client.request(wait.path, wait.method, [*wait.fields, *announced], end=whole and not wait.body)
        if not whole or wait.body:
            self.client.send(self.stream, wait.body if whole else b"hello", end=whole and window == 0)
        self.answer = self.client.answer(self.stream)
        self.refused = False

    def bad_body(self):
        self.client.sock.sendall(frame(DATA, END_STREAM, self.stream))  # five of ten bytes
        with contextlib.suppress(h2.exceptions.ProtocolError):  # a reset after GOAWAY is one to h2
            self.client.until(lambda: self.answer.reset is not None, LONG)

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
        """The answer that was made is the one that leaves when there is room for it."""
        if self.refused:
            self.client.h2.increment_flow_control_window(65535, self.stream)
            self.client.h2.update_settings({WINDOW: 65535})
            self.client.flush()
            self.client.until(lambda: self.answer.ended or self.answer.reset is not None, LONG)
            assert b"did not come in time" in self.answer.body
        self.client.sock.close()


CODECS = [Http1, StuckHttp1, Http2]
WAYS = ["bad_body", "body_timeout", "reset", "half_close"]
GAUGES = ["connections_open", "exchanges_open", "wake_waiters", "upstream_waiting", "upstream_server_in_flight",
          "buffered_bytes"]


def fits(wait, way, codec):
    """A body that nobody reads while the request waits is neither found bad nor late: no answer can be stuck."""
    return wait.takes_body or (way in ("reset", "half_close") and codec is not StuckHttp1)


def at_rest(edge):
    """Nothing is left of any request."""
    edge.wait_until(lambda: not any(figure(edge, name) for name in GAUGES), LONG, f"{GAUGES} at 0")


# ---- the tests


@pytest.mark.parametrize("wait", WAITS)
def test_each_way_to_end_a_request_that_waits(wait, make_edge):
    waiting = wait()
    try:
        edges = {late: make_edge(config=merge(waiting.config, {"timeouts": {"body_idle": "1s" if late else "60s"}}))
                 for late in (False, True)}
        for way in WAYS:
            edge = edges[way == "body_timeout"]
            workers = edge.pids("worker")
            for codec in filter(lambda codec: fits(wait, way, codec), CODECS):
                waiting.begin(edge)
                client = codec(edge, waiting, whole=way == "half_close" or not wait.takes_body)
                waiting.wait(edge)
                getattr(client, way)()
                waiting.come()
                waiting.serve(edge)
                client.after()
            at_rest(edge)
            assert edge.pids("worker") == workers, way
    finally:
        waiting.close()


@pytest.mark.parametrize("wait, codec", [(wait, codec) for wait in WAITS for codec in CODECS if fits(wait, "reset", codec)])
def test_the_edge_drains_before_it_comes(wait, codec, make_edge):
    """The edge ends as ever, without a death (harness.Edge.stop)."""
    waiting = wait()
    try:
        edge = make_edge(config=merge(waiting.config, {"timeouts": {"body_idle": "60s", "drain": "15s"}}))
        waiting.begin(edge)
        client = codec(edge, waiting, whole=not wait.takes_body)
        waiting.wait(edge)
        edge.process.terminate()
        said(edge, "draining")
        (client.bad_body if wait.takes_body else client.reset)()
        waiting.come()
        client.after()
        assert edge.process.wait(LONG) == 0
        edge.kill()
        edge.check_reports()
    finally:
        waiting.close()


@pytest.mark.parametrize("codec", CODECS)
def test_a_body_that_is_too_large_behind_a_wait(codec, make_edge):
    """As much as is held while it waits is taken; the rest, which the codec holds, is answered at its flush."""
    waiting = Subrequest()
    waiting.body = b"x" * 70000
    try:
        edge = make_edge(config=waiting.config)
        workers = edge.pids("worker")
        waiting.begin(edge)
        client = codec(edge, waiting, whole=True, window=65535)
        waiting.wait(edge)
        waiting.come()
        client.refused_with(413)
        waiting.serve(edge)
        client.after()
        at_rest(edge)
        assert edge.pids("worker") == workers
    finally:
        waiting.close()


def test_a_bad_chunk_behind_an_answer_that_cannot_drain(make_edge):
    """The app answers before the request's end, and the client does not read: the answer is cut."""

    def early(conn):
        if conn.read_head().method == "GET":
            conn.send(answer("fine"))
        else:
            conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + bytes(9000000))

    with RawOrigin(early) as app:
        edge = make_edge()
        workers, host = edge.pids("worker"), edge.create_preview(app)
        with small(edge) as client:
            client.send(f"POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n".encode())
            assert client.read_head(LONG).status == 200
            client.send(b"zz\r\n")
            assert app.connections[0].done.wait(LONG)  # the edge has left the app
            assert edge.get(host, timeout=LONG).status == 200
            assert len(client.read_to_end(LONG)) < 9000000
        at_rest(edge)
        assert edge.pids("worker") == workers
