"""A control plane for tests, by docs/control-plane.yaml: it knows boxes, resumes them, takes activity, and
can be slow, wrong and down. Boxes are origins at addresses outside loopback (BoxAddresses)."""

import atexit
import contextlib
import errno
import http.client
import http.server
import ipaddress
import json
import os
import random
import re
import socket
import ssl
import subprocess
import threading
import time
from urllib.parse import unquote

import pytest

from wire import PATIENCE

# All addresses of BoxAddresses are in this network: tests put it into origins.allow.
BOX_NETWORK = "10.192.0.0/10"
STATES = ("creating", "running", "paused", "stopped", "gone", "deleted", "error")


class BoxAddresses:
    """`count` addresses of this machine outside loopback, where boxes of a test can listen: a block of them
    is added to the interface `lo` and removed again. That needs root; without it the test is skipped."""

    def __init__(self, count=1):
        # In a block of more than one, the network's address and the broadcast address cannot be listened on.
        self.count, self.prefix = count, 32 if count == 1 else 32 - (count + 1).bit_length()
        self.block = None
        atexit.register(self.close)  # also if their user cannot be created

    def __enter__(self):
        if os.geteuid() != 0:
            pytest.skip("needs root, to give this machine addresses for boxes")
        network, size = ipaddress.ip_network(BOX_NETWORK), 1 << (32 - self.prefix)
        first = None
        while self.block is None:
            first = network[random.randrange(network.num_addresses // size) * size + (size > 1)]
            block = f"{first}/{self.prefix}"
            done = subprocess.run(["ip", "address", "add", block, "dev", "lo"], capture_output=True, text=True,
                                  check=False)
            if done.returncode == 0:
                self.block = block
            elif "File exists" not in done.stderr:
                pytest.skip(f"addresses for boxes cannot be added: {done.stderr.strip()}")
        return [str(first + i) for i in range(self.count)]

    def __exit__(self, *_):
        self.close()

    def close(self):
        block, self.block = self.block, None
        if block is not None:
            subprocess.run(["ip", "address", "del", block, "dev", "lo"], check=False, capture_output=True)


class UnixConnection(http.client.HTTPConnection):
    """An HTTP client on a Unix socket."""

    def __init__(self, path, timeout=PATIENCE):
        super().__init__("localhost", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def push(edge, box_id, state):
    """Pushes a box's state to the edge's admin API; (status, the answer's JSON)."""
    connection = UnixConnection(edge.admin_socket)
    body = state if isinstance(state, (bytes, str)) else json.dumps(state)
    connection.request("PUT", f"/v1/boxes/{box_id}", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    text = response.read()
    connection.close()
    return response.status, json.loads(text) if text else None


class Call:
    """One received call. kind: "get", "resume", "activity" or "other"."""

    def __init__(self, kind, box, method, path, fields, body):
        self.kind, self.box, self.method, self.path = kind, box, method, path
        self.fields, self.body, self.at = fields, body, time.monotonic()

    def __repr__(self):
        return f"{self.method} {self.path} {self.body[:80]!r}"


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def _serve(self):
        length = int(self.headers.get("Content-Length") or 0)
        self.server.plane._answer(self, self.rfile.read(length) if length else b"")  # pylint: disable=protected-access

    do_GET = do_POST = do_PUT = do_DELETE = _serve

    def say(self, status, body, fields=()):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in fields:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512
    allow_reuse_address = True

    def __init__(self, address, plane, context):
        self.plane, self.context = plane, context
        self.open = set()
        super().__init__(address, _Handler)

    def get_request(self):
        sock, address = super().get_request()
        self.open.add(sock)
        return sock, address

    def process_request_thread(self, request, client_address):
        try:
            if self.context is not None:
                # Done here and not in accept, so that a client that hangs in its handshake delays nobody.
                self.open.discard(request)
                request = self.context.wrap_socket(request, server_side=True)
                self.open.add(request)
        except OSError:
            request.close()
            return
        super().process_request_thread(request, client_address)

    def shutdown_request(self, request):
        self.open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request, client_address):
        pass  # the edge disconnected


class ControlPlane:
    """Listens on 127.0.0.1. `boxes` is its knowledge: id -> the JSON that it answers with. A resume takes
    `resume_delay` seconds; then the box is running and `on_resume(id)` was called. `wait=True`: the answer to
    the resume comes when it is done; else it is an immediate 202. `certificate`: (chain, key) files for TLS;
    `token`: other tokens are refused."""

    def __init__(self, certificate=None, token=None, resume_delay=0, wait=True):
        self.boxes, self.calls = {}, []
        self.token, self.resume_delay, self.wait = token, resume_delay, wait
        self.on_resume = None
        self.context = None
        if certificate is not None:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*map(str, certificate))
        self._changed = threading.Condition()
        self._wrong = {}  # kind -> [mode, times left]
        self._resuming = set()
        self._hanging = threading.Event()
        self._server, self.port = None, 0
        self.up()

    # ---- actions of a test

    @property
    def url(self):
        return f"{'https' if self.context else 'http'}://127.0.0.1:{self.port}"

    def add_box(self, box_id, address=None, port=None, state="paused", **more):
        """`more` are further fields of the box: keep_alive, ephemeral, expires_at, idle_seconds, ports, incarnation."""
        assert state in STATES
        box = {"id": box_id, "state": state, "address": address, "port": port, **more}
        with self._changed:
            self.boxes[box_id] = {k: v for k, v in box.items() if v is not None}
        return self.boxes[box_id]

    def set(self, box_id, **changes):
        """Changes fields of a box, behind the edge's back; None removes one."""
        with self._changed:
            box = {**self.boxes[box_id], **changes}
            self.boxes[box_id] = {k: v for k, v in box.items() if v is not None}
        return self.boxes[box_id]

    def remove_box(self, box_id):
        with self._changed:
            del self.boxes[box_id]

    def misbehave(self, kind, mode, times=None):
        """Answers calls of a kind ("get", "resume", "activity") wrongly, `times` times or from now on; mode
        None ends it. Modes: a status (503), (status, {field: value}), a dict or bytes as the body of a 200,
        "reset", "close", "hang" (until unhang or close), "redirect", "huge", "endless", "drip", a
        function(handler, call) that answers."""
        with self._changed:
            if mode is None:
                self._wrong.pop(kind, None)
            else:
                self._wrong[kind] = [mode, times]

    def unhang(self):
        self._hanging.set()
        self._hanging = threading.Event()

    def down(self):
        """Stops listening, and closes all connections."""
        server, self._server = self._server, None
        if server is None:
            return
        server.shutdown()
        server.server_close()
        for sock in list(server.open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def up(self):
        assert self._server is None
        for _ in range(100):
            try:
                self._server = _Server(("127.0.0.1", self.port), self, self.context)
                break
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                time.sleep(0.02)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def calls_of(self, kind=None, box=None):
        with self._changed:
            return [c for c in self.calls if kind in (None, c.kind) and box in (None, c.box)]

    def count(self, kind=None, box=None):
        return len(self.calls_of(kind, box))

    def wait_calls(self, kind=None, n=1, box=None, timeout=PATIENCE):
        return self.wait_until(lambda: len(found := self.calls_of(kind, box)) >= n and found, timeout,
                               f"{n} calls of {kind}")

    def wait_until(self, predicate, timeout=PATIENCE, what="that"):
        """Waits until predicate() is true; checks it again at every call."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while not (value := predicate()):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"{what} did not come; calls: {self.calls[-10:]}")
                self._changed.wait(min(left, 0.05))
        return value

    def active(self):
        """The ids in all reports of activity so far, in their order."""
        return [i for c in self.calls_of("activity") for i in json.loads(c.body)["boxes"]]

    def close(self):
        self._hanging.set()
        self.down()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- its answers

    @staticmethod
    def _kind(method, path):
        match = re.fullmatch(r"/boxes/([^/?]+)(/resume)?", path)
        if match and (method, match[2]) in (("GET", None), ("POST", "/resume")):
            return ("resume" if match[2] else "get"), unquote(match[1])
        return ("activity", None) if (method, path) == ("POST", "/activity") else ("other", None)

    def _answer(self, handler, body):
        kind, box_id = self._kind(handler.command, handler.path)
        call = Call(kind, box_id, handler.command, handler.path, dict(handler.headers), body)
        with self._changed:
            self.calls.append(call)
            self._changed.notify_all()
            wrong = self._wrong.get(kind)
            if wrong is not None and wrong[1] is not None:
                wrong[1] -= 1
                if wrong[1] == 0:
                    del self._wrong[kind]
        if self.token is not None and handler.headers.get("Authorization") != f"Bearer {self.token}":
            handler.say(401, {"error": "The token is not right."})
        elif wrong is not None:
            self._misbehave(handler, call, wrong[0])
        elif kind == "get":
            self._say_box(handler, box_id)
        elif kind == "resume":
            self._resume(handler, box_id)
        elif kind == "activity":
            handler.say(200, {})
        else:
            handler.say(404, {"error": "There is no such address."})

    def _say_box(self, handler, box_id, status=200):
        with self._changed:
            box = dict(self.boxes[box_id]) if box_id in self.boxes else None
        if box is None:
            handler.say(404, {"error": "There is no such box."})
        else:
            handler.say(status, box)

    def _resume(self, handler, box_id):
        with self._changed:
            box = self.boxes.get(box_id)
            begins = box is not None and box["state"] in ("paused", "stopped") and box_id not in self._resuming
            if begins:
                self._resuming.add(box_id)
        if box is None or box["state"] == "running":
            self._say_box(handler, box_id)
        elif self.wait:
            if begins:
                self._run(box_id)
            self.wait_until(lambda: box_id not in self._resuming)
            self._say_box(handler, box_id)
        else:
            if begins:
                threading.Thread(target=self._run, args=(box_id,), daemon=True).start()
            self._say_box(handler, box_id, 202)

    def _run(self, box_id):
        time.sleep(self.resume_delay)
        if self.on_resume is not None:
            self.on_resume(box_id)
        with self._changed:
            self._resuming.discard(box_id)
            if box_id in self.boxes and self.boxes[box_id]["state"] in ("paused", "stopped"):
                self.boxes[box_id] = {**self.boxes[box_id], "state": "running"}
            self._changed.notify_all()

    def _misbehave(self, handler, call, mode):
        if callable(mode):
            mode(handler, call)
        elif isinstance(mode, int):
            handler.say(mode, {"error": "as asked for"})
        elif isinstance(mode, tuple):
            handler.say(mode[0], {"error": "as asked for"}, mode[1].items())
        elif isinstance(mode, (dict, bytes)):
            handler.say(200, mode)
        elif mode == "redirect":
            handler.say(307, {}, [("Location", f"{self.url}/elsewhere")])
        elif mode == "huge":
            handler.say(200, b'{"id":"' + b"x" * (4 << 20) + b'"}')
        else:
            handler.close_connection = True
            self._break(handler, mode)

    def _break(self, handler, mode):
        if mode == "reset":
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            handler.connection.close()
        elif mode == "hang":
            self._hanging.wait(60)
        elif mode in ("endless", "drip"):
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            hanging = self._hanging
            with contextlib.suppress(OSError):
                while not hanging.wait(0.05 if mode == "drip" else 0):
                    handler.wfile.write(b"4\r\n    \r\n")
        else:
            assert mode == "close", mode
