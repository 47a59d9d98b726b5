"""A soak: an edge under mixed traffic, and whether its memory, descriptors, store and reader slots stay flat.

    tests/soak [--minutes N | --seconds N] [--plant connections]

Memory and store are judged by two windows of the load, after a warm-up: the last fifth may exceed the second fifth by a
tolerance. Descriptors, reader slots and all gauges of open objects are judged before and after the load, while
no client is connected: they must be equal."""

import argparse
import collections
import contextlib
import pathlib
import random
import re
import statistics
import sys
import tempfile
import threading
import time

import h2wire
from admin_api import Admin
from api_world import API, answer, api_config, metrics
from harness import DOMAIN, PORTS, SANITIZED, SLOW, Edge, HttpOrigin, RawOrigin, WebSocketOrigin, local_box, merge
from processes import gone
from test_process_boxes import app
from tunnel_clients import Echoes
from wire import PATIENCE, WireError

# A late window may exceed an early one by a fraction, and by a constant for memory that grows in pages and
# pools.
MEMORY_PART, MEMORY_KIB = 0.10, 1024
STORE_PART, STORE_BYTES = 0.05, 16 * 4096
OPEN = re.compile(r"^boxedge_((?:exchanges_open|connections_open|buffered_bytes|upstream_waiting|"
                  r"upstream_server_in_flight)(?:\{.*\})?) ([1-9]\d*)$", re.M)


class Soak:
    """The edge, its servers, and its traffic."""

    def __init__(self, directory, stack):
        self.http, self.sockets = stack.enter_context(HttpOrigin()), stack.enter_context(WebSocketOrigin())
        self.http.record = False
        server = stack.enter_context(RawOrigin(answer("ok")))
        self.sleeper = PORTS.take()
        config = api_config([server.port], keys={"k": ("name", "plan")}, plans=[{"name": "plan", "rate": "0"}])
        boxes = [local_box("box", self.http, self.sockets), local_box("other", *range(4000, 4016))]
        self.edge = stack.enter_context(Edge(directory, workers=2, boxes=boxes, config=merge(config, {
            "processes": [app(self.sleeper, "sleeper")],
            "timeouts": {"pool_idle": "1s"}, "log": {"access": "off"}})))
        self.host = self.edge.create_preview(self.http)
        self.ws_host = self.edge.create_preview(self.sockets)
        self.sleeper_host = self.edge.create_preview(self.sleeper, "sleeper")
        self.stop = threading.Event()
        self.done, self.failures = {}, []
        self.kept = []  # planted

    # ---- kinds of traffic: each call is one turn

    def expect(self, response, *statuses):
        if response.status not in statuses or not response.complete:
            raise WireError(f"{response.start!r} {response.body[:200]!r}")

    def fresh(self, chance):
        self.expect(self.edge.get(self.host, f"/bytes?n={chance.randrange(100000)}", kind="tls"), 200)

    def kept_http1(self, chance):
        with self.edge.connect("tls", self.host) as client:
            for _ in range(chance.randrange(1, 50)):
                self.expect(client.request(f"GET /echo HTTP/1.1\r\nHost: {self.host}\r\n\r\n".encode()), 200)

    def http2(self, chance):
        with h2wire.Client(self.edge, self.host) as client:
            streams = [client.request(f"/bytes?n={chance.randrange(50000)}") for _ in range(10)]
            upload = client.request("/echo", method="POST", end=False)
            client.send(upload, bytes(100000), end=True)
            for stream in streams + [upload]:
                client.finish(stream)
            if chance.random() < 0.5:
                client.h2.close_connection()
                client.flush()

    def websockets(self, chance):
        with Echoes(self.edge, self.ws_host, count=5, kind="tls") as tunnels:
            for _ in range(chance.randrange(1, 5)):
                tunnels.echo()

    def upload(self, chance):
        body = bytes(chance.randrange(1, 1 << 20))
        self.expect(self.edge.get(self.host, "/echo", kind="tls", method="POST", body=body), 200)

    def wake(self, _):
        with contextlib.closing(Admin(self.edge.admin_socket)) as admin:
            status, _, body = admin.call("POST", "/v1/processes/sleeper/stop", "")
            if status != 200:
                raise WireError(f"stop: {status} {body}")
        self.expect(self.edge.get(self.sleeper_host, kind="tls"), 200)
        self.stop.wait(1)

    def changes(self, chance):
        port = chance.randrange(4000, 4016)
        with contextlib.closing(Admin(self.edge.admin_socket)) as admin:
            for method, target, body, statuses in (
                    ("POST", "/v1/previews", {"box": "other", "port": port, "bearer": True, "label": "x"}, (201,)),
                    ("PATCH", f"/v1/previews/other/{port}", {"label": "y", "expires_in": 3600}, (200,)),
                    ("POST", "/v1/blocks", {"kind": "preview", "value": f"other-{port}"}, (201,)),
                    ("DELETE", f"/v1/blocks/preview/other-{port}", None, (200,)),
                    ("POST", "/v1/keys", {"name": f"key{port}", "plan": "plan"}, (201,)),
                    ("DELETE", f"/v1/keys/key{port}", None, (200,)),
                    ("DELETE", f"/v1/keys/key{port}?forget=1", None, (200,)),
                    ("DELETE", f"/v1/previews/other/{port}", None, (200,))):
                status, _, said = admin.call(method, target, body)
                if status not in statuses:
                    raise WireError(f"{method} {target}: {status} {said}")

    def api(self, _):
        self.expect(self.edge.get(API, "/v2/box", kind="tls", fields=["X-Box-Api-Key: k"]), 200)

    def refused(self, chance):
        self.expect(self.edge.get(f"none-1.{DOMAIN}", kind="tls"), 404)
        with self.edge.connect("tls", self.host) as client:
            self.expect(client.request(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), 400)
        with self.edge.socket("tls") as sock:  # a handshake that never is one
            sock.sendall(bytes(chance.randrange(1, 100)))
        with self.edge.connect("tls", self.host) as client:  # half of a request, then a disconnect
            client.send(f"POST /echo HTTP/1.1\r\nHost: {self.host}\r\nContent-Length: 100000\r\n\r\n".encode()
                        + bytes(50000))
            if chance.random() < 0.5:
                client.reset()

    def plant(self, _):
        self.kept.append(self.edge.connect("tls", self.host))

    KINDS = ("fresh", "kept_http1", "http2", "websockets", "upload", "wake", "changes", "api", "refused")

    # ---- the load

    def _run(self, kind, seed):
        chance, turn = random.Random(seed), getattr(self, kind)
        while not self.stop.is_set():
            try:
                turn(chance)
                self.done[kind] = self.done.get(kind, 0) + 1
            except (OSError, WireError, AssertionError) as error:
                self.failures.append(f"{kind}: {error!r}")
            self.stop.wait(0.02)

    def load(self, seconds, kinds, look=None):
        self.stop.clear()
        threads = [threading.Thread(target=self._run, args=(kind, seed)) for seed, kind in enumerate(kinds)]
        for thread in threads:
            thread.start()
        begin = time.monotonic()
        every = max(0.5, min(5, seconds / 100))
        while time.monotonic() - begin < seconds:
            self.stop.wait(every)
            if look is not None:
                look()
        self.stop.set()
        for thread in threads:
            thread.join(PATIENCE * SLOW * 4)
            assert not thread.is_alive(), "a client hangs"

    # ---- figures

    def roles(self):
        return {f"{role} {n}": pid for role in ("supervisor", "controller", "worker", "runner")
                for n, pid in enumerate(self.edge.pids(role))}

    def memory(self):
        """KiB that are each process's own, and bytes of the store. A share of common pages (Pss) would fall with
        each further process of another edge, and hide growth."""
        figures = {f"memory of {name}, KiB": sum(self.edge._kib(pid, "smaps_rollup", field)
                                                 for field in ("Private_Clean", "Private_Dirty"))
                   for name, pid in self.roles().items()}
        for kind, used in re.findall(r'^boxedge_store_used_bytes\{store="(\w+)"\} (\d+)', metrics(self.edge), re.M):
            figures[f"{kind} store, bytes"] = int(used)
        return figures

    def quiet(self, timeout=PATIENCE * SLOW):
        """The open objects while nobody is connected: waits for the end of pools, since all others must have
        ended by then."""
        deadline = time.monotonic() + timeout
        previous = None
        while True:
            text = metrics(self.edge)
            held = dict(OPEN.findall(text))
            figures = {f"descriptors of {name}": len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir()))
                       for name, pid in self.roles().items()}
            figures["reader slots"] = int(re.search(r"^boxedge_store_readers (\d+)", text, re.M)[1])
            if (not held and figures == previous) or time.monotonic() > deadline:
                return figures | {f"open: {name}": int(n) for name, n in held.items()}
            previous = figures
            time.sleep(3)


def judge_windows(samples):
    """Lines of a report, and the figures that grew."""
    lines, grown = [], []
    fifth = len(samples) // 5
    for name in samples[0]:
        values = [sample.get(name, 0) for sample in samples]
        early, late = statistics.median(values[fifth:2 * fifth]), statistics.median(values[-fifth:])
        part, constant = (STORE_PART, STORE_BYTES) if "store" in name else (MEMORY_PART, MEMORY_KIB)
        limit = early * (1 + part) + constant
        lines.append(f"{name}: {early:.0f} early, {late:.0f} late, at most {limit:.0f}")
        if late > limit:
            grown.append(lines[-1])
    return lines, grown


def soak(directory, seconds, planted=None):
    """Runs it; the lines of its report, and a sentence for each figure that was not flat."""
    with contextlib.ExitStack() as stack:
        world = Soak(directory, stack)
        world.load(min(60, max(5, seconds / 6)), Soak.KINDS)  # pools, caches and pages fill up
        before, processes = world.quiet(), world.roles()
        world.done, world.failures = {}, []
        samples = []
        world.load(seconds, Soak.KINDS + (("plant",) if planted else ()), lambda: samples.append(world.memory()))
        after = world.quiet()
        lines, bad = judge_windows(samples)
        if SANITIZED:  # a sanitizer keeps freed memory
            lines, bad = [line for line in lines if "store" in line], [line for line in bad if "store" in line]
        for name in sorted(before | after):
            lines.append(f"{name}: {before.get(name, 0)} before, {after.get(name, 0)} after")
            if before.get(name, 0) != after.get(name, 0):
                bad.append(lines[-1])
        if processes != world.roles() or any(gone(pid) for pid in processes.values()):
            bad.append("a process was replaced")
        lines.append("turns: " + ", ".join(f"{kind} {n}" for kind, n in sorted(world.done.items())))
        kinds = collections.Counter(failure.split(":")[0] for failure in world.failures)
        bad += [f"failures: {dict(kinds)}, such as {world.failures[:3]}"] if world.failures else []
        bad += [f"no turn of {kind}" for kind in Soak.KINDS if kind not in world.done]
        for client in world.kept:
            client.close()
        return lines, bad


def main():
    parser = argparse.ArgumentParser(prog="tests/soak", description="Mixed traffic, and whether the edge stays flat.")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seconds", type=float, help="instead of --minutes")
    parser.add_argument("--plant", choices=["connections"], help="a client that keeps its connections: the soak fails")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="boxedge-soak-") as directory:
        lines, bad = soak(directory, options.seconds or options.minutes * 60, options.plant)
    print("\n".join(lines))
    print("\n".join(f"NOT FLAT: {line}" for line in bad) or "flat")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
