"""The waits of a request, for tests that cross each of them with every event."""

import contextlib
import json
import os
import signal
import socket
import threading

from api_world import API, answer, api_config, call, metrics
from dataplane import accept_for
from harness import RawOrigin, local_box, merge
from sleepers import Sleepers
from test_api_servers import queued
from test_slots import waited
from waits_clients import HANDSHAKE, LONG, figure, turns


def box_runs(edge, box):
    """The controller knows that the box runs."""
    lines = edge.command("box", "list").splitlines()
    return any(line.split()[:1] == [box] and "running" in line for line in lines)


# ---- awaited results


class Wait:
    """An event that a request waits for. `begin` prepares the next crossing, `wait` returns when `count`
    requests wait, `trigger` causes the event, and `come` returns when it has happened. A request that
    continues afterwards is answered with one of `good`; `judged` is the answer to a request that may not see
    the preview any more."""

    method, path, fields = "POST", "/", []
    body = b""  # of a whole request
    part, rest = b"hello", b"world"  # of one that is not whole: the part of the body that arrives during the wait, and the rest
    takes_body = True  # the body is read while it waits
    websocket = False
    more = {}
    good = {200}
    of_preview = False  # the request goes to the preview (port, box) of `preview`
    judged = {}
    frozen = False  # the controller stands still meanwhile

    def wait(self, edge, count=1):
        del count
        turns(edge)

    def trigger(self):
        """Causes the event."""

    def arrived(self, edge):
        """The results lie in the worker's sockets."""

    def finish(self):
        """Takes the event's results for other parties."""

    def come(self):
        self.trigger()
        self.finish()

    def name_again(self, edge):
        """The preview in its state before it was deleted or changed."""
        port, box = self.preview
        edge.command("preview", "delete", box, port, check=False)
        edge.create_preview(port, box)

    def serve(self, edge):
        assert edge.get(self.host, timeout=LONG).status == 200


class Wake(Wait):
    """A box that sleeps; then it wakes."""

    of_preview = True
    judged = {"blocked": 403, "deleted": 404, "replaced": 401}

    def __init__(self):
        self.sleepers = Sleepers()
        self.config = merge(self.sleepers.config, {"wake": {"per_client": 0}})
        self.box = None

    def begin(self, edge):
        self.box = self.sleepers.add(f"box-{len(self.sleepers.boxes)}")
        self.preview = (self.box.port, self.box.id)
        self.host = edge.create_preview(*self.preview)

    def wait(self, edge, count=1):
        edge.wait_until(lambda: self.box.resumes > 0 and figure(edge, "wake_waiters") >= count, LONG, "the resume")

    def trigger(self):
        self.box.resume()
        self.box.listen()

    def arrived(self, edge):
        edge.wait_until(lambda: box_runs(edge, self.box.id), LONG, "the box")

    def close(self):
        self.sleepers.close()


class HeldBody(Wake):
    """The same, and all of a body of some size is held meanwhile."""

    body = part = bytes(60000)


class FailedWake(Wake):
    """The page of a box that fails to wake."""

    method, fields, good, judged = "GET", [("sec-fetch-mode", "navigate")], {503}, {}

    def trigger(self):
        self.box.fail()

    def arrived(self, edge):
        metrics(edge)  # the controller has read the earlier messages

    def serve(self, edge):
        got = edge.get(self.host, timeout=LONG)
        assert got.status == 503 and json.loads(got.body)["code"] == "wake_failed", got.body


class Api(Wait):
    """A request of the API host. Its server lets `GET /v2/box/box` wait for `gate`, and `/slow` for
    `slow`."""

    path, host = "/v2/box", API
    fields = [("x-box-api-key", "k-test")]
    limits = {}

    def __init__(self):
        self.gate, self.slow = threading.Event(), threading.Event()
        self.gate.set()
        self.origin = RawOrigin(self._serve)
        boxes = {"boxes": [local_box("box", 3000, self.origin)]}
        self.config = merge({**api_config([self.origin.port], upstream=self.limits), **boxes}, self.more)
        self.answers = 0

    def _serve(self, conn):
        while (request := conn.read_request(3600)) is not None:
            if request.target == "/slow":
                self.slow.wait(LONG)
            elif request.target == "/v2/box/box" and request.method == "GET":
                self.gate.wait(LONG)
            conn.send(answer(json.dumps({"id": "box", "status": "running"})))
            self.answers += 1

    def asked(self, target):
        return sum(r.target == target for r in list(self.origin.requests))

    def trigger(self):
        self.sent = self.answers
        self.gate.set()

    def arrived(self, _):
        self.origin.wait(lambda _: self.answers > self.sent, LONG)

    def serve(self, edge):
        got = call(edge, "/v2/other", timeout=LONG)
        assert got.status == 200, got.body

    def close(self):
        self.gate.set()
        self.slow.set()
        self.origin.close()


class Subrequest(Api):
    """A preview is to be created: the edge asks the upstream about the box."""

    path, good = "/v2/box/box/preview", {400}  # its body is empty

    def begin(self, _):
        self.gate.clear()
        self.before = self.asked("/v2/box/box")

    def wait(self, _, count=1):
        self.origin.wait(lambda _: self.asked("/v2/box/box") >= self.before + count, LONG)


class DeletedBox(Subrequest):
    """A box with previews is deleted: once the body is whole, the edge first asks the upstream for the box's
    identity."""

    method, path, takes_body, good = "DELETE", "/v2/box/box", False, {200, 404}

    def begin(self, edge):
        edge.create_preview(3000)
        super().begin(edge)


class Line(Api):
    """The only place of the only server is taken. A timer looks for a place again and again."""

    limits = {"server_in_flight": 1, "queue_timeout": "60s"}

    def begin(self, edge):
        self.slow.clear()
        before = self.asked("/slow")
        self.holder = edge.connect("plain")
        self.holder.send(f"GET /slow HTTP/1.1\r\nHost: {API}\r\nX-Box-Api-Key: k-test\r\n\r\n".encode())
        self.origin.wait(lambda _: self.asked("/slow") > before, LONG)
        self.before = queued(edge)

    def wait(self, edge, count=1):
        edge.wait_until(lambda: queued(edge) >= self.before + count, LONG, "a place in the line")

    def trigger(self):
        self.sent = self.answers
        self.slow.set()

    def finish(self):
        assert self.holder.read_message(LONG, request_method="GET").status == 200
        self.holder.close()


class SubrequestInLine(Line):
    """The question about a box waits for a place."""

    path, good = "/v2/box/box/preview", {400}


class PreviewCall(Subrequest):
    """The controller is asked to create the preview, and is stopped. The body is complete by then."""

    body, takes_body, good, frozen = b'{"port": 3000}', False, {200}, True
    more = {"timeouts": {"heartbeat": "10m"}}

    def begin(self, edge):
        super().begin(edge)
        (self.controller,) = edge.pids("controller")
        os.kill(self.controller, signal.SIGSTOP)

    def wait(self, edge, count=1):
        """The worker has read the upstream's answers."""
        answers = self.answers
        super().wait(edge, count)
        self.gate.set()
        self.origin.wait(lambda _: self.answers >= answers + count, LONG)
        turns(edge)

    def trigger(self):
        with contextlib.suppress(ProcessLookupError):  # it was killed
            os.kill(self.controller, signal.SIGCONT)

    def arrived(self, edge):
        metrics(edge)  # the controller continues, and has read the worker's earlier questions

    def close(self):
        with contextlib.suppress(AttributeError, ProcessLookupError):
            os.kill(self.controller, signal.SIGCONT)
        super().close()


class Deletion(PreviewCall):
    """Boxes are to be deleted, and the controller, which records that first, is stopped."""

    method, path, body = "DELETE", "/v2/box", b'{"ids": ["box"]}'

    def begin(self, edge):
        edge.create_preview(3000)
        super().begin(edge)


class AwaitedBody(Api):
    """Boxes are to be deleted: the rest of the body names them."""

    method, body, part = "DELETE", b'{"ids": ["box"]}', b'{"ids": ['
    rest = b'"box"]}'
    good = {200}

    def begin(self, edge):
        edge.create_preview(3000)

    def trigger(self):
        """The rest comes from the client itself."""

    def arrived(self, _):
        pass


class Slots(Api):
    """Its client has all of its allowed connections to origins."""

    path, fields = "/", []
    more = {"limits": {"origin_connections_per_client": 1}, "timeouts": {"origin_queue": "60s"}}
    of_preview, judged = True, Wake.judged

    def begin(self, edge):
        self.preview = (self.origin.port, "box")
        self.name_again(edge)
        self.host = edge.host(self.origin)
        self.slow.clear()
        before = self.asked("/slow")
        self.holder = edge.connect("plain")
        self.holder.send(f"GET /slow HTTP/1.1\r\nHost: {self.host}\r\n\r\n".encode())
        self.origin.wait(lambda _: self.asked("/slow") > before, LONG)
        self.before = waited(edge)

    def wait(self, edge, count=1):
        edge.wait_until(lambda: waited(edge) >= self.before + count, LONG, "a place in the line")

    trigger, finish, serve = Line.trigger, Line.finish, Wait.serve


class ToApp(Wait):
    """A request to an app that lets it wait."""

    of_preview = True
    backlog = 1024

    def __init__(self):
        self.config = {}
        self.app, self.fill = None, []

    def begin(self, edge):
        self.stop()
        self.come_in, self.go, self.heads, self.answers = threading.Event(), threading.Event(), 0, 0
        if self.backlog != 0:
            self.come_in.set()
        self.app = GatedOrigin(self, self.backlog)
        self.preview = (self.app.port, "box")
        self.host = edge.create_preview(self.app)

    def talk(self, conn):
        head = conn.read_head(3600)
        self.heads += 1
        if not self.go.wait(LONG):
            return
        if head.get("upgrade") is not None:
            conn.send(accept_for(head))
            self.answers += 1
            conn.wait_closed(3600)
        else:
            conn.send(answer("fine", fields=("Connection: close",)))
            self.answers += 1

    def wait(self, edge, count=1):
        self.app.wait(lambda _: self.heads >= count, LONG)

    def trigger(self):
        self.go.set()

    def arrived(self, _):
        self.app.wait(lambda _: self.answers > 0, LONG)

    def stop(self):
        if self.app is not None:
            self.come_in.set()
            self.go.set()
            self.app.close()
        for sock in self.fill:
            sock.close()
        self.fill = []

    close = stop


class GatedOrigin(RawOrigin):
    """An app that accepts connections from a certain moment on."""

    def __init__(self, wait, backlog):
        self.gate = wait.come_in
        super().__init__(wait.talk, backlog=backlog)

    def _accept(self):
        self.gate.wait(LONG)
        super()._accept()


class Connect(ToApp):
    """The queue of the app's listening socket is full: the connection is under way. The kernel looks again a second
    later."""

    backlog = 0

    def begin(self, edge):
        super().begin(edge)
        self.fill = [socket.create_connection(("127.0.0.1", self.app.port))]
        self.before = figure(edge, "origin_connects_total")

    def wait(self, edge, count=1):
        edge.wait_until(lambda: figure(edge, "origin_connects_total") >= self.before + count, LONG, "the connects")

    def trigger(self):
        self.come_in.set()
        self.go.set()

    def arrived(self, _):
        pass


class FirstByte(ToApp):
    """The app has the request and does not answer yet."""


class Tunnel(ToApp):
    """The app does not answer a WebSocket's handshake yet."""

    method, websocket, takes_body, judged = "GET", True, False, Wake.judged
    good = {101}

    def serve(self, edge):
        with edge.connect("plain") as client:
            client.send(HANDSHAKE.format(path="/", host=self.host).encode())
            assert client.read_head(LONG).status == 101
