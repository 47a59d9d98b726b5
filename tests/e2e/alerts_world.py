"""The real fault of every alert, on one edge. `FAULTS` has them in an order in which none hides another."""

import concurrent.futures
import contextlib
import os
import pathlib
import re
import resource
import signal
import socket
import sys
import tempfile
import threading

from admin_api import Admin
from api_world import answer, api_config, call, error, metrics
from harness import PATIENCE, PORTS, SLOW, HttpOrigin, RawOrigin, WebSocketOrigin, local_box
from origins import unaccepting
from processes import rewrite, upgrade
from test_clock import ShiftedEdge
from test_metrics_listener import certificate
from test_process_boxes import APP, script
from test_slots import silent
from tunnel_clients import Echoes

LONG = max(60, PATIENCE * SLOW)  # many processes at once
CONNECTIONS = 40  # limits.connections
NAMESPACE = ["unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"']


class Server(RawOrigin):
    """A server of the API: `health` answers its checks, and `/slow` waits for `gate`."""

    def __init__(self):
        self.health, self.gate, self.slow = "200 OK", threading.Event(), 0
        super().__init__(self._serve_api)

    def _serve_api(self, conn):
        while (request := conn.read_request(3600)) is not None:
            if request.target == "/slow":
                self.slow += 1
                self.gate.wait(LONG)
            conn.send(answer("", self.health if request.target == "/health" else "200 OK"))


class World:
    """An edge with one worker, a listener of kind metrics over TLS, and parties for all faults. Its access log is a
    pipe that nobody reads."""

    def __init__(self, folder, clock, own_resolver):
        self.folder, self.port, self.stack = folder, PORTS.take(), contextlib.ExitStack()
        enter = self.stack.enter_context
        self.servers = [enter(Server()), enter(Server())]
        for server in self.servers:
            self.stack.callback(server.gate.set)
        self.app, self.silent, self.sockets = enter(HttpOrigin()), enter(RawOrigin(silent)), enter(WebSocketOrigin())
        self.ports = {name: PORTS.take() for name in ("slow", "broken", "private", "far")}
        self.pool = enter(concurrent.futures.ThreadPoolExecutor(16))
        self.gate = pathlib.Path(enter(tempfile.TemporaryDirectory()))  # of the slow box, which another user runs
        self.gate.chmod(0o755)
        os.mkfifo(folder / "access")
        self.stack.callback(os.close, os.open(folder / "access", os.O_RDONLY | os.O_NONBLOCK))
        self.files = certificate(folder, "metrics", days=300)
        self.edge = ShiftedEdge(folder / "edge", clock, start=False, config=self._config(), boxes=[
            local_box("box", self.app, self.silent, self.sockets, self.ports["private"], self.ports["far"])])
        self.edge.config["listeners"].append({"kind": "metrics", "address": f"127.0.0.1:{self.port}", **self.files})
        self.edge.expect_deaths = True
        if own_resolver:
            (folder / "resolv.conf").write_text("nameserver 127.0.0.78\n")  # nobody listens there
            self.edge.launcher = [*NAMESPACE, str(folder / "resolv.conf")]
        self.stack.callback(self.edge.close)
        self.edge.start()
        self._create_previews()
        self.descriptors = int(self.figure('process_open_fds{process="worker-0"}'))

    def _config(self):
        upstream = {"health_path": "/health", "health_interval": "100ms", "health_rise": 1, "health_fall": 1,
                    "panic_percent": 0, "server_in_flight": 1, "queue_timeout": "100ms", "slow_start": "0ms"}
        late = ["/bin/sh", "-c", f"sleep 3; until [ -e {self.gate}/open ]; do sleep 0.1; done; exec \"$@\"", "sh",
                sys.executable, "-S", "-c", APP]
        return api_config([server.port for server in self.servers], upstream=upstream, api={"upstream": "api"}, **{
            "processes": [script(self.ports["slow"], late, "slow"),
                          script(self.ports["broken"], "exit 3", "broken")],
            "plans": [{"name": "free", "rate": "1000/s"}],
            "control_plane": {"url": f"http://127.0.0.1:{PORTS.take()}"}, "origins": {"allow": ["10.0.0.0/8"]},
            "log": {"access": str(self.folder / "access")}, "store": {"map_size": "1MiB"}, "wake": {"waiters_per_box": 1},
            "limits": {"connections": CONNECTIONS, "connections_per_client": 0},
            "timeouts": {"connect": "300ms", "drain": "1s", "drain_tunnels": "10m"}})

    def _create_previews(self):
        create = self.edge.create_preview
        self.hosts = {"app": create(self.app), "silent": create(self.silent), "sockets": create(self.sockets),
                      "slow": create(self.ports["slow"], "slow"), "broken": create(self.ports["broken"], "broken"),
                      "far": create(self.ports["far"]), "unknown": create(3000, "unknown"),
                      "private": create(self.ports["private"], "box", "--bearer")}

    def get(self, name, **more):
        return self.edge.get(self.hosts[name], timeout=LONG, **more)

    def refused(self, name, status, code):
        got = self.get(name)
        assert (got.status, error(got)) == (status, code), got.body

    def figure(self, name):
        """The value of a metric; `name` includes its labels."""
        return float(re.search(rf"^boxedge_{re.escape(name)} (\S+)$", metrics(self.edge), re.M)[1])

    def wait(self, predicate, what):
        return self.edge.wait_until(predicate, LONG, what)

    def use(self):
        """A sample of what an edge serves, and of what goes wrong every day: no alert."""
        assert self.get("app").status == self.get("app", kind="tls").status == 200
        assert call(self.edge, timeout=LONG).status == 200
        assert self.edge.get("unknown.example").status == 421
        assert self.get("private").status == 401

    def close(self):
        self.stack.close()


# ---- the API


@contextlib.contextmanager
def server_down(world):
    world.servers[1].health = "503 Busy"
    yield


@contextlib.contextmanager
def full_queue(world):
    """The only usable server is full."""
    holder = world.pool.submit(call, world.edge, "/slow", timeout=LONG)
    world.wait(lambda: world.servers[0].slow == 1, "a held request")
    assert error(call(world.edge, timeout=LONG)) == "api_busy"
    yield
    world.servers[0].gate.set()
    assert holder.result(LONG).status == 200


@contextlib.contextmanager
def all_servers_down(world):
    world.servers[0].health = "503 Busy"
    world.wait(lambda: call(world.edge, timeout=LONG).status == 503, "no usable server")
    assert error(call(world.edge, timeout=LONG)) == "api_unavailable"
    yield


@contextlib.contextmanager
def no_resolver(world):
    rewrite(world.edge, {"upstreams": [*world.edge.config["upstreams"], {"name": "named", "servers": ["servers.test:80"]}]})
    world.edge.command("reload")
    yield


# ---- boxes


@contextlib.contextmanager
def too_many_wait(world):
    """A wake begins that ends in slow_wake."""
    world.waking = world.pool.submit(world.get, "slow")
    world.wait(lambda: world.figure("wake_waiters") == 1, "a request that waits")
    world.refused("slow", 503, "too_many_waiting")
    yield


@contextlib.contextmanager
def slow_wake(world):
    (world.gate / "open").touch()
    assert world.waking.result(LONG).status == 200
    yield


@contextlib.contextmanager
def unreachable_box(world):
    """As a network that loses everything looks."""
    with unaccepting(world.ports["far"]):
        world.refused("far", 504, "connect_timeout")
        yield


@contextlib.contextmanager
def broken_box(world):
    world.refused("broken", 503, "wake_failed")
    yield


@contextlib.contextmanager
def no_control_plane(world):
    world.refused("unknown", 503, "provider_unavailable")
    yield


# ---- the operator, and clients


@contextlib.contextmanager
def wrong_file(world):
    rewrite(world.edge, {"limits": {"connections": "many"}})
    assert world.edge.command("reload", "--socket", world.edge.admin_socket, check=False).returncode == 1
    yield
    rewrite(world.edge, {"limits": {"connections": CONNECTIONS}})
    world.edge.command("reload")


@contextlib.contextmanager
def no_renewal(world):
    certificate(world.folder, "metrics", days=1)
    world.edge.command("reload")
    yield


@contextlib.contextmanager
def guesses(world):
    statuses = [world.get("private", fields=[f"Authorization: Bearer wrong-{i}"]).status for i in range(11)]
    assert statuses == 10 * [401] + [429]
    yield


@contextlib.contextmanager
def crowd_of_operators(world):
    with contextlib.ExitStack() as stack:
        for _ in range(280):  # 256 + 16 have room (admin_internal.h, local_server.h)
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.settimeout(LONG)
            client.connect(str(world.edge.admin_socket))
        yield


@contextlib.contextmanager
def clock_jump(world):
    world.edge.shift(30)
    yield
    world.edge.shift(0)


def hold(world, stack):
    """A client whose request gets no answer. It closes with `stack`."""
    client = stack.enter_context(world.edge.connect("plain"))
    with contextlib.suppress(OSError):
        client.send(f"GET / HTTP/1.1\r\nHost: {world.hosts['silent']}\r\n\r\n".encode())


@contextlib.contextmanager
def crowd(world):
    """The worker has no room, and further clients fill more than half of the kernel's queue."""
    limit = world.figure(f'listener_queue_limit_connections{{listener="127.0.0.1:{world.edge.port["plain"]}"}}')
    with contextlib.ExitStack() as stack:
        while world.figure('worker_full{worker="0"}') == 0:  # a connection whose request has not come makes room for another
            hold(world, stack)
        for _ in range(int(limit * 0.6)):
            stack.enter_context(world.edge.socket("plain"))
        yield
    world.wait(lambda: world.get("app").status == 200, "room")


@contextlib.contextmanager
def with_limit(world, descriptors):
    (worker,) = world.edge.pids("worker")
    _, hard = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    before = resource.prlimit(worker, resource.RLIMIT_NOFILE, (descriptors, hard))
    yield
    resource.prlimit(worker, resource.RLIMIT_NOFILE, before)


@contextlib.contextmanager
def few_descriptors(world):
    """The limit falls to little more than what is open: a worker counts that each second."""
    count = 'process_open_fds{process="worker-0"}'
    world.wait(lambda: world.figure(count) <= world.descriptors + 10, "the end of the crowd")
    before = world.figure(count)
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            hold(world, stack)
        world.wait(lambda: world.figure(count) >= before + 15, "a count")
        with with_limit(world, int(world.figure(count) * 1.05) + 1):
            yield


@contextlib.contextmanager
def no_descriptors(world):
    with with_limit(world, world.descriptors + 40), contextlib.ExitStack() as stack:
        while world.figure("descriptor_shortages_total") == 0:
            hold(world, stack)
        yield
    world.wait(lambda: world.get("app").status == 200, "descriptors")


@contextlib.contextmanager
def stuck_log(world):
    """The reader of the access log does not read."""
    head = f"GET /{'x' * 1900} HTTP/1.1\r\nHost: {world.hosts['private']}\r\n\r\n".encode()
    with world.edge.connect("plain") as client:
        while world.figure("log_drops_total") == 0:
            for _ in range(50):
                assert client.request(head, timeout=LONG).status in (401, 429)
    yield


# ---- processes and the store


@contextlib.contextmanager
def upgraded(world):
    with Echoes(world.edge, world.hosts["sockets"], count=1) as tunnels:
        upgrade(world.edge)
        tunnels.echo()
        yield
    world.wait(lambda: world.figure("old_generations") == 0, "the end of the old generation")


def kill_worker(world):
    worker = world.wait(lambda: world.edge.pids("worker"), "a worker")[0]
    with contextlib.suppress(ProcessLookupError):
        os.kill(worker, signal.SIGKILL)
    world.wait(lambda: worker not in world.edge.pids("worker"), "its death")


@contextlib.contextmanager
def one_death(world):
    kill_worker(world)
    yield


@contextlib.contextmanager
def many_deaths(world):
    """Until the next start of the worker waits."""
    start = len(world.edge.stderr.lines)
    while not any("process_dies_often" in line for line in world.edge.stderr.lines[start:]):
        kill_worker(world)
    yield
    world.wait(lambda: world.get("app").status == 200, "a worker")


@contextlib.contextmanager
def full_store(world):
    """A full map: 128 bytes of label and 480 of origins in each record."""
    origins = [f"https://{'o' * 60}{i}.example.test" for i in range(5)]

    def fill(first):
        with contextlib.closing(Admin(world.edge.admin_socket)) as admin:
            for port in range(first, 65536, 8):
                if admin.create("filler", port, label="x" * 128, allow_origins=origins)[0] == 507:
                    return

    for filling in [world.pool.submit(fill, 1 + i) for i in range(8)]:
        filling.result(8 * LONG)
    yield


@contextlib.contextmanager
def damage(world):
    with open(world.edge.state_dir / "store/data.mdb", "r+b") as pages:
        size = pages.seek(0, os.SEEK_END)
        pages.seek(8192)
        pages.write(bytes(size - 8192))
    world.wait(lambda: world.get("app").status == 503, "a read that meets it")
    yield


@contextlib.contextmanager
def death(world):
    world.edge.kill()
    world.edge.check_reports()
    yield


FAULTS = [
    (too_many_wait, ["LoadShed", "ServesErrors"]),
    (server_down, ["UpstreamServerDown"]),
    (full_queue, ["QueueFull"]),
    (all_servers_down, ["UpstreamDown"]),
    (unreachable_box, ["BoxesUnreachable"]),
    (broken_box, ["WakesFail"]),
    (no_control_plane, ["ProviderUnreachable"]),
    (no_resolver, ["NamesUnresolved"]),
    (wrong_file, ["ReloadFailed"]),
    (no_renewal, ["CertificateExpiresSoon", "CertificateExpires"]),
    (guesses, ["Lockouts"]),
    (crowd_of_operators, ["AdminCrowded"]),
    (clock_jump, ["ClockJumped"]),
    (slow_wake, ["WakesSlow"]),
    (crowd, ["ConnectionsFull", "ListenQueueFull"]),
    (few_descriptors, ["DescriptorsLow"]),
    (no_descriptors, ["DescriptorsOut"]),
    (stuck_log, ["LogLost"]),
    (upgraded, ["OldGeneration"]),
    (one_death, ["ProcessDied"]),
    (many_deaths, ["ProcessDiesOften", "WorkerDown"]),
    (full_store, ["StoreNearlyFull", "StoreNotWritable"]),
    (damage, ["StoreDamaged", "NotReady"]),
    (death, ["Down"]),
]
