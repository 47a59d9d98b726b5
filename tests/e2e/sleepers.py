"""Boxes of a control plane that sleep. The test controls each step of their wakes."""

import http.server
import json
import socket
import threading

from control_plane import BOX_NETWORK, BoxAddresses, ControlPlane
from wire import PATIENCE

PAGE = b"""<!doctype html><html lang="en"><meta charset="utf-8"><link rel="icon" href="data:,"><title>the app</title>
<h1>The app</h1>"""


class _App(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        self.server.requests.append((self.command, self.path, dict(self.headers)))
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Server-Timing", "app;dur=1.5")
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(PAGE)

    do_HEAD = do_POST = do_OPTIONS = do_GET

    def log_message(self, *_):
        pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address):
        self.requests = []
        super().__init__((address, 0), _App, bind_and_activate=False)
        self.server_bind()


class Sleeper:
    """A paused box with an app. `resume` lets its resume end, `listen` lets the app listen; `fail` ends
    resumes with the control plane's refusal."""

    def __init__(self, world, box_id, awake=False, ready=False):
        self.world, self.id = world, box_id
        self.server = _Server(world.address)
        self.port = self.server.server_address[1]
        self.resumed = threading.Event()
        self.status = None
        world.plane.add_box(box_id, world.address, state="running" if awake else "paused")
        if awake or ready:
            self.resumed.set()
            self.listen()

    @property
    def requests(self):
        return self.server.requests

    @property
    def resumes(self):
        return self.world.plane.count("resume", self.id)

    def resume(self):
        self.resumed.set()

    def fail(self, status=409):
        self.status = status
        self.resumed.set()

    def works_again(self):
        self.status = None

    def listen(self):
        self.server.server_activate()
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self.resumed.set()
        if self.server.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            self.server.shutdown()
        self.server.server_close()


class Sleepers:
    """A control plane whose resumes wait for their box, and an address for its boxes. `config` is the edge's
    configuration for it."""

    def __init__(self):
        self.boxes = {}
        self.addresses = BoxAddresses(1)
        (self.address,) = self.addresses.__enter__()
        self.plane = ControlPlane()
        self.plane.misbehave("resume", self._resume)

    @property
    def config(self):
        return {"control_plane": {"url": self.plane.url}, "origins": {"allow": [BOX_NETWORK]}}

    def add(self, box_id, **how):
        self.boxes[box_id] = Sleeper(self, box_id, **how)
        return self.boxes[box_id]

    def _resume(self, handler, call):
        box = self.boxes.get(call.box)
        if box is None:
            handler.say(404, {"error": "There is no such box."})
            return
        box.resumed.wait(PATIENCE)
        if box.status is not None:
            handler.say(box.status, {"error": "It is as the test wants it."})
        else:
            handler.say(200, self.plane.set(call.box, state="running"))

    def close(self):
        for box in self.boxes.values():
            box.close()
        self.plane.close()
        self.addresses.close()


class Events:
    """The events of a wake over HTTP/1.1, as they arrive."""

    def __init__(self, edge, host, kind="plain", fields=()):
        lines = ["GET /.well-known/boxedge/wake HTTP/1.1", f"Host: {host}", *fields]
        self.client = edge.connect(kind, host)
        self.client.send("\r\n".join(lines).encode() + b"\r\n\r\n")
        self.head = self.client.read_head()
        self.status = self.head.status
        self.text = b""

    def _more(self):
        """The next chunk; False at the end."""
        line = self.client.read_until(b"\r\n")
        size = int(line.removesuffix(b"\r\n"), 16)
        self.text += self.client.read_exactly(size)
        self.client.read_exactly(2)
        return size != 0

    def next(self):
        """The next event: (name, data); None at the end."""
        while True:
            while b"\n\n" in self.text:
                event, self.text = self.text.split(b"\n\n", 1)
                parts = dict(line.split(": ", 1) for line in event.decode().splitlines() if ": " in line)
                if "event" in parts:
                    return parts["event"], json.loads(parts["data"])
            if not self._more():
                return None

    def until(self, name):
        """The first event of that name; its data."""
        while event := self.next():
            if event[0] == name:
                return event[1]
        raise AssertionError(f"the stream ended without {name}")

    def close(self):
        self.client.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
