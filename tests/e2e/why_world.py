"""A cause for each failure of the table in docs/runbook.md ("Why did this fail?"), by its first column."""

import contextlib
import json
import os
import resource
import signal
import socket
import ssl

from api_world import API, answer, api_config, call
from harness import PATIENCE, PORTS, SLOW, Edge, HttpOrigin, RawOrigin, local_box, merge
from origins import unaccepting
from test_process_boxes import script
from test_slots import silent
from test_store_damage import replace_in
from waits_clients import HANDSHAKE, figure

LONG = PATIENCE * SLOW
KEYS = {"k-small": ("small", "small"), "k-test": ("test", "large")}
CLIENTS = 64  # limits.connections_per_client
CAUSES = {}  # failure -> (the edge that has it, its cause)


def cause(failure, edge="patient"):
    def note(function):
        CAUSES[failure] = (edge, function)
        return function

    return note


class World:
    """Three edges with the same apps: one that is patient, one with timeouts of a second, and one to be broken."""

    def __init__(self, folder):
        self.stack = contextlib.ExitStack()
        enter = self.stack.enter_context
        self.app, self.silent = enter(HttpOrigin()), enter(RawOrigin(silent))
        self.closing = enter(RawOrigin(lambda conn: conn.read_request()))
        self.ssh = enter(RawOrigin(lambda conn: (conn.read_request(), conn.send(b"SSH-2.0-OpenSSH\r\n"))))
        self.old = enter(RawOrigin(lambda conn: (conn.read_some(LONG), conn.send(answer("", "400 Bad Request")),
                                                 conn.wait_closed(3600)), record=False))
        self.picky = enter(RawOrigin(b"HTTP/1.1 403 X\r\nContent-Length: 19\r\n\r\nInvalid Host header"))
        self.short = enter(RawOrigin(lambda conn: (conn.read_request(), conn.send(
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"))))
        self.api = enter(RawOrigin(self._serve_api))
        self.ports = {name: PORTS.take() for name in ("nobody", "full", "broken", "late")}
        self.edges = {}
        for name, more in (("patient", {}), ("impatient", {"timeouts": {
                "connect": "3s", "first_byte": "1s", "head": "1s"}, "wake": {"timeout": "1s"}}), ("broken", {})):
            self.edges[name] = Edge(folder / name, config=merge(self._config(), more), boxes=[local_box(
                "box", self.app, self.silent, self.closing, self.ssh, self.old, self.short, self.picky, self.ports["nobody"],
                self.ports["full"])], start=False)
            self.edges[name].config["boxes"][0]["ports"].append(self.edges[name].port["health"])
            self.edges[name].start()
            self.stack.callback(self.edges[name].close)
            self.edges[name].expect_deaths = name == "broken"

    @staticmethod
    def _serve_api(conn):
        while (request := conn.read_request(3600)) is not None:
            if request.target == "/slow":
                conn.wait_closed(3600)
                return
            conn.send(answer("fine"))

    def _config(self):
        upstream = {"server_in_flight": 1, "queue_timeout": "100ms"}
        return api_config([self.api.port], KEYS, upstream=upstream, **{
            "plans": [{"name": "small", "rate": "1/min"}, {"name": "large", "rate": "1000/s"}],
            "processes": [script(self.ports["broken"], "exit 3", "broken"), script(self.ports["late"], "sleep 1000", "late")],
            "control_plane": {"url": f"http://127.0.0.1:{PORTS.take()}"}, "origins": {"allow": ["10.0.0.0/8"]},
            "wake": {"waiters_per_box": 1}, "limits": {"connections_per_client": CLIENTS}})

    def close(self):
        self.stack.close()


def raw(edge, data):
    """Bytes after which the edge closes the connection."""
    with edge.connect("plain") as client:
        client.send(data)
        client.wait_closed(LONG)


def get(edge, host, *fields, path="/", **more):
    return edge.get(host, path, fields=list(fields), timeout=LONG, **more)


def head(host, *lines, first="GET / HTTP/1.1"):
    return "\r\n".join([first, f"Host: {host}", *lines, "", ""]).encode()


@contextlib.contextmanager
def sent(edge, host, path="/"):
    """A request whose answer nobody reads yet."""
    with edge.connect("plain") as client:
        client.send(head(host, "X-Box-Api-Key: k-test", first=f"GET {path} HTTP/1.1"))
        yield client


def in_flight(edge):
    """The only request that is at its app."""
    return edge.wait_until(lambda: json.loads(edge.command("requests", "--state", "first_byte", "--json"))["requests"], LONG,
                           "a request")[0]


# ---- clients


@cause("bytes that are no HTTP")
def _bytes(_, edge):
    raw(edge, b"G(T / HTTP/1.1\r\nHost: x\r\n\r\n")


@cause("a malformed chunk")
def _chunk(world, edge):
    raw(edge, head(edge.create_preview(world.app), "Transfer-Encoding: chunked") + b"xyz\r\n")


@cause("a head that does not end", "impatient")
def _late_head(_, edge):
    raw(edge, b"GET / HTTP/1.1\r\nHost: x\r\n")


@cause("a head with many fields")
def _fields(_, edge):
    raw(edge, head("x", *(101 * ["A: b"])))


@cause("a long target")
def _target(_, edge):
    raw(edge, head("x", first=f"GET /{40000 * 'x'} HTTP/1.1"))


@cause("an Expect that nobody knows")
def _expect(world, edge):
    get(edge, edge.create_preview(world.app), "Expect: 200-ok")


@cause("a CONNECT")
def _connect(_, edge):
    raw(edge, head("x:443", first="CONNECT x:443 HTTP/1.1"))


@cause("another version of HTTP")
def _version(_, edge):
    raw(edge, head("x", first="GET / HTTP/1.9"))


@cause("a host of nobody")
def _host(_, edge):
    get(edge, "unknown.example")


@cause("a preview that does not exist")
def _preview(_, edge):
    get(edge, edge.host(1))


@cause("a path of the edge's own")
def _path(world, edge):
    get(edge, edge.create_preview(world.app), path="/.well-known/boxedge/nothing")


@cause("no credentials")
def _credentials(world, edge):
    get(edge, edge.create_preview(world.app, "box", "--bearer"))


@cause("wrong credentials")
def _wrong(world, edge):
    get(edge, edge.create_preview(world.app, "box", "--bearer"), "Authorization: Bearer wrong")


@cause("a lockout")
def _lockout(world, edge):
    host = edge.create_preview(world.app, "box", "--bearer")
    for i in range(11):
        get(edge, host, f"Authorization: Bearer wrong-{i}")


@cause("a block")
def _block(world, edge):
    host = edge.create_preview(world.closing)
    edge.command("block", "preview", "box", world.closing.port)
    get(edge, host)
    edge.command("unblock", "preview", "box", world.closing.port)


@cause("an upgrade without TLS")
def _upgrade(world, edge):
    with edge.connect("redirect") as client:
        assert client.request(HANDSHAKE.format(path="/", host=edge.host(world.app)).encode(), timeout=LONG).status == 403


@cause("a loop")
def _loop(world, edge):
    host = edge.create_preview(world.short)
    get(edge, host, f"CDN-Loop: boxedge-test;host={host}")


# ---- apps


@cause("nobody listens on the port")
def _nobody(world, edge):
    get(edge, edge.create_preview(world.ports["nobody"]))


@cause("an app that accepts nothing", "impatient")
def _full(world, edge):
    with unaccepting(world.ports["full"]):
        get(edge, edge.create_preview(world.ports["full"]))


@cause("an app that closes")
def _closing(world, edge):
    get(edge, edge.create_preview(world.closing))


@cause("an app that does not answer", "impatient")
def _silent(world, edge):
    get(edge, edge.create_preview(world.silent))


@cause("an app that refuses its host")
def _refuses_host(world, edge):
    get(edge, edge.create_preview(world.picky, "box", "--host-header", "auto"), "Sec-Fetch-Mode: navigate")


@cause("an app that speaks no HTTP")
def _ssh(world, edge):
    get(edge, edge.create_preview(world.ssh))


@cause("an app without HTTP/2")
def _no_http2(world, edge):
    get(edge, edge.create_preview(world.old, "box", "--protocol", "h2c"))


@cause("an answer that breaks off")
def _short(world, edge):
    raw(edge, head(edge.create_preview(world.short)))


@cause("a client that leaves")
def _leaves(world, edge):
    with sent(edge, edge.create_preview(world.silent)) as client:
        in_flight(edge)
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


@cause("a port of the edge itself")
def _itself(_, edge):
    get(edge, edge.create_preview(edge.port["health"]))


# ---- boxes


@cause("a command that fails")
def _command(world, edge):
    get(edge, edge.create_preview(world.ports["broken"], "broken"))


@cause("a box that starts too slowly", "impatient")
def _slow_box(world, edge):
    get(edge, edge.create_preview(world.ports["late"], "late"))


@cause("too many waits for a box")
def _waits(world, edge):
    host = edge.create_preview(world.ports["late"], "late")
    with sent(edge, host), sent(edge, host):
        edge.wait_for_line(reason="too_many_waiting", timeout=LONG)


@cause("a request that wakes nothing")
def _no_wake(world, edge):
    get(edge, edge.create_preview(world.ports["broken"], "broken"), "X-Box-No-Wake: 1")


@cause("a control plane that is down")
def _plane(_, edge):
    get(edge, edge.create_preview(3000, "unknown"))


# ---- the API


@cause("a call without a key")
def _no_key(_, edge):
    call(edge, key=None, timeout=LONG)


@cause("text that cannot be a key")
def _malformed_key(_, edge):
    call(edge, key="a,b", timeout=LONG)


@cause("a revoked key")
def _revoked(_, edge):
    key = json.loads(edge.command("key", "create", "gone", "--plan", "large", "--json"))["key"]
    edge.command("key", "revoke", "gone")
    call(edge, key=key, timeout=LONG)


@cause("a plan that is used up")
def _plan(_, edge):
    for _ in range(3):
        call(edge, key="k-small", timeout=LONG)


@cause("servers that are full")
def _full_servers(world, edge):
    with sent(edge, API, "/slow"):
        world.api.wait(lambda api: any(one.target == "/slow" for one in api.requests), LONG)
        call(edge, timeout=LONG)


@cause("no usable server")
def _no_server(world, edge):
    edge.command("upstream", "drain", "api", f"127.0.0.1:{world.api.port}")
    call(edge, timeout=LONG)
    edge.command("upstream", "undrain", "api", f"127.0.0.1:{world.api.port}")


# ---- the edge


@cause("an operator who ends a request")
def _killed(world, edge):
    with sent(edge, edge.create_preview(world.silent)):
        edge.command("requests", "kill", in_flight(edge)["request_id"])
        edge.wait_for_line(reason="killed", timeout=LONG)


@cause("no descriptors", "broken")
def _descriptors(world, edge):
    (worker,) = edge.pids("worker")
    host, other = edge.create_preview(world.silent), edge.create_preview(world.app)
    before = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    with edge.connect("plain") as kept, contextlib.ExitStack() as stack:
        assert kept.request(head("x"), timeout=LONG).status == 421
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (64, before[1]))
        while figure(edge, "descriptor_shortages_total") == 0:
            client = stack.enter_context(edge.connect("plain"))
            with contextlib.suppress(OSError):
                client.send(head(host))
        assert kept.request(head(other), timeout=LONG).status == 503
    resource.prlimit(worker, resource.RLIMIT_NOFILE, before)


@cause("a worker that dies", "broken")
def _death(world, edge):
    (worker,) = edge.pids("worker")
    with sent(edge, edge.create_preview(world.silent)):
        in_flight(edge)
        os.kill(worker, signal.SIGKILL)
        edge.wait_for_line(reason="worker_died", timeout=LONG)
    edge.wait_until(lambda: edge.command("status", "--ready", check=False).returncode == 0, LONG, "another worker")


@cause("a damaged record", "broken")
def _record(world, edge):
    host = edge.create_preview(world.app, "box", "--label", "marked")
    edge.stop()
    replace_in(edge.state_dir / "store/data.mdb", b"marked", b"merked")
    edge.start()
    get(edge, host)


@cause("a damaged store", "broken")
def _store(world, edge):
    host = edge.create_preview(world.short)
    with open(edge.state_dir / "store/data.mdb", "r+b") as pages:
        size = pages.seek(0, os.SEEK_END)
        pages.seek(8192)
        pages.write(bytes(size - 8192))
    get(edge, host)


# ---- before HTTP


@cause("a failed TLS handshake")
def _handshake(_, edge):
    with contextlib.suppress(ssl.SSLError):
        edge.connect("tls", alpn=("spdy/1",)).close()


@cause("too many connections of a client")
def _connections(_, edge):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(edge.connect("plain")) for _ in range(CLIENTS + 1)]
        assert clients[-1].wait_closed(LONG)
