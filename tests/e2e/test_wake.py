"""A sleeping box wakes on its first request: which requests wait, for how long, their answers, and storms of them. The
boxes belong to a control plane; their apps are real."""

import asyncio
import collections
import contextlib
import hashlib
import json
import os
import re
import signal
import subprocess
import threading
import time

import pytest
import websockets

from control_plane import BOX_NETWORK, BoxAddresses, ControlPlane, UnixConnection
from harness import BINARY, PATIENCE, SANITIZED, SLOW, Edge, HttpOrigin
from processes import ends_whole, upgrade


@pytest.fixture(name="place", scope="module")
def fixture_place():
    with BoxAddresses(1) as addresses:
        yield addresses[0]


@contextlib.contextmanager
def waking_edge(directory, plane, workers=1, **config):
    settings = {
        "control_plane": {"url": plane.url},
        "origins": {"allow": [BOX_NETWORK]},
        "limits": {"connections_per_client": 0, **config.pop("limits", {})},
        "wake": {"per_client": 0, **config.pop("wake", {})},
        **config,
    }
    with Edge(directory, workers, settings, kinds=("tls", "plain")) as edge:
        yield edge


class World:
    """An edge, a control plane with a sleeping box `sleeper` at `place`, an origin there, and a gate that holds its
    resume until it is opened."""

    def __init__(self, edge, plane, place, origin):
        self.edge, self.plane, self.origin = edge, plane, origin
        self.gate = threading.Event()
        plane.on_resume = lambda box: self.gate.wait(PATIENCE)
        plane.add_box("sleeper", place, origin.port)
        self.host = edge.create_preview(origin.port, "sleeper")

    def metric(self, name):
        return metric(self.edge, name)

    def ask(self, **kw):
        """A GET in a separate thread; joining the result gives the response."""
        return Asker(lambda: self.edge.get(self.host, timeout=PATIENCE * SLOW, **kw))

    def wait_waiters(self, n):
        self.edge.wait_until(lambda: self.metric("wake_waiters") == n, PATIENCE * SLOW, f"{n} that wait")


class Asker:
    def __init__(self, call):
        self.result = self.error = None
        self.thread = threading.Thread(target=self._run, args=(call,), daemon=True)
        self.thread.start()

    def _run(self, call):
        try:
            self.result = call()
        except Exception as error:  # pylint: disable=broad-except
            self.error = error

    def join(self):
        self.thread.join(PATIENCE * SLOW)
        assert not self.thread.is_alive(), "no answer"
        if self.error is not None:
            raise self.error
        return self.result


def metric(edge, name):
    """Over all workers."""
    connection = UnixConnection(edge.admin_socket)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    found = [line.rsplit(" ", 1)[1] for line in text.splitlines()
             if line.startswith((f"boxedge_{name} ", f"boxedge_{name}{{"))]
    assert found, f"no boxedge_{name}"
    return sum(float(value) for value in found)


def code(response):
    return json.loads(response.body)["code"]


@pytest.fixture(name="world")
def fixture_world(tmp_path, place):
    with ControlPlane() as plane, HttpOrigin(address=place) as origin, \
            waking_edge(tmp_path, plane) as edge:
        world = World(edge, plane, place, origin)
        yield world
        world.gate.set()


def test_many_wait_and_one_resume(world):
    askers = [world.ask() for _ in range(20)]
    world.wait_waiters(20)
    assert len(world.plane.wait_calls("resume")) == 1
    world.gate.set()
    for asker in askers:
        response = asker.join()
        assert response.status == 200
    assert world.plane.count("resume") == 1
    world.wait_waiters(0)
    assert world.metric("wake_waits_total") == 20


def test_uploads_wait_and_arrive_whole(world):
    body = bytes(range(256)) * 2000
    askers = [world.ask(path="/echo", method=method, body=body) for method in ("POST", "PUT")]
    world.wait_waiters(2)
    world.gate.set()
    for asker in askers:
        assert json.loads(asker.join().body)["body_sha256"] == hashlib.sha256(body).hexdigest()


def test_continue_comes_when_the_box_runs(world):
    with world.edge.connect() as client:
        client.send(f"POST /echo HTTP/1.1\r\nHost: {world.host}\r\nContent-Length: 5\r\n"
                    "Expect: 100-continue\r\n\r\n".encode())
        world.wait_waiters(1)
        assert client.is_silent(0.2)
        world.gate.set()
        assert client.read_head().status == 100
        client.send(b"later")
        response = client.read_message()
        assert (response.status, json.loads(response.body)["body_bytes"]) == (200, 5)


def test_wrong_credentials_wake_nothing(world):
    host = world.edge.create_preview(world.origin.port, "sleeper", "--bearer")
    for fields in ((), ("Authorization: Bearer wrong",)):
        assert world.edge.get(host, fields=fields).status == 401
    assert world.plane.calls == []


@pytest.mark.parametrize("how", ["replaced", "deleted", "made public", "blocked"])
def test_a_credential_that_changes_while_its_request_waits(world, how):
    token = world.edge.command("preview", "create", "sleeper", world.origin.port, "--bearer", "--json")
    token = json.loads(token)["token"]
    asker = world.ask(fields=(f"Authorization: Bearer {token}",))
    world.wait_waiters(1)
    command = {"replaced": ("preview", "create", "sleeper", world.origin.port, "--bearer"),
               "deleted": ("preview", "delete", "sleeper", world.origin.port),
               "made public": ("preview", "create", "sleeper", world.origin.port, "--public"),
               "blocked": ("block", "box", "sleeper")}[how]
    world.edge.command(*command)
    world.gate.set()
    expected = {"replaced": 401, "deleted": 404, "made public": 200, "blocked": 403}[how]
    assert asker.join().status == expected
    assert len(world.origin.requests) == (expected == 200)


def test_the_wait_is_bounded_and_the_resume_goes_on(tmp_path, place):
    with ControlPlane() as plane, HttpOrigin(address=place) as origin, \
            waking_edge(tmp_path, plane, wake={"timeout": "700ms"}) as edge:
        world = World(edge, plane, place, origin)
        response = world.ask().join()
        assert response.status == 503
        assert response.get("retry-after") == "5"
        assert code(response) == "wake_timeout"
        assert world.metric("wake_timeouts_total") == 1
        world.wait_waiters(0)
        world.gate.set()
        edge.wait_until(lambda: '"paused"' not in edge.command("box", "list", "--json"), what="the box to run")
        assert world.ask().join().status == 200
        assert plane.count("resume") == 1


def test_a_failed_resume_is_remembered(world):
    world.plane.misbehave("resume", 404)
    world.plane.misbehave("resume", 400)
    first = world.ask().join()
    assert first.status == 503, first.body
    assert 1 <= int(first.get("retry-after")) <= 7
    calls = world.plane.count("resume")
    for _ in range(10):
        assert world.ask().join().status == 503
    assert world.plane.count("resume") == calls


def test_a_box_that_is_removed_while_it_is_waited_for(world):
    asker = world.ask()
    world.wait_waiters(1)
    world.plane.remove_box("sleeper")
    world.gate.set()
    assert asker.join().status == 404
    assert world.ask().join().status == 404


def test_more_than_may_wait(tmp_path, place):
    with ControlPlane() as plane, HttpOrigin(address=place) as origin, \
            waking_edge(tmp_path, plane, workers=2, wake={"waiters": 8, "waiters_per_box": 5}) as edge:
        world = World(edge, plane, place, origin)
        askers = [world.ask() for _ in range(5)]
        world.wait_waiters(5)
        for _ in range(6):
            refused = world.ask().join()
            assert (refused.status, code(refused)) == (503, "too_many_waiting")
            assert refused.get("retry-after") == "5"
        world.gate.set()
        assert [a.join().status for a in askers] == [200] * 5


def test_what_waiting_uploads_hold_is_bounded(tmp_path, place):
    size, bound = 400_000, 4 << 20
    with ControlPlane() as plane, HttpOrigin(address=place) as origin, \
            waking_edge(tmp_path, plane, limits={"memory": "4MiB"}) as edge:
        world = World(edge, plane, place, origin)
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(edge.connect()) for _ in range(100)]
            for client in clients:
                client.send(f"POST /echo HTTP/1.1\r\nHost: {world.host}\r\nContent-Length: {size}\r\n\r\n".encode())
            world.wait_waiters(100)
            senders = [Asker(lambda c=client: (c.send(b"x" * size), c.read_message(PATIENCE * SLOW))[1])
                       for client in clients]
            # All come from one address, which is over its share: from a half on the edge holds little more
            # for each.
            edge.wait_until(lambda: world.metric("buffered_bytes") >= bound / 2, what="full buffers")
            deadline = time.monotonic() + 1
            while time.monotonic() < deadline:
                assert world.metric("buffered_bytes") < bound * 3 / 4
            world.gate.set()
            for sender in senders:
                assert json.loads(sender.join().body)["body_bytes"] == size


@pytest.mark.parametrize("sent", [0, 50000, 60000])  # nothing to send, in the middle of a body, after it
def test_clients_that_leave_release_everything(world, sent):
    idle = world.edge.open_fds("worker")
    clients = [world.edge.connect() for _ in range(50)]
    for client in clients:
        head = f"POST / HTTP/1.1\r\nHost: {world.host}\r\nContent-Length: {sent and 60000}\r\n\r\n"
        client.send(head.encode() + b"x" * sent)
    world.wait_waiters(50)
    for client in clients:
        client.close()
    world.wait_waiters(0)
    world.edge.wait_until(lambda: world.edge.open_fds("worker") <= idle + 1, what="descriptors")
    world.edge.wait_until(lambda: world.metric("buffered_bytes") == 0, what="buffers")
    assert world.origin.requests == []


def test_a_websocket_wakes_its_box(tmp_path, place):
    with ControlPlane(resume_delay=0.1) as plane, demo_app(place) as app_port, \
            waking_edge(tmp_path, plane) as edge:
        plane.add_box("sleeper", place, app_port)
        host = edge.create_preview(app_port, "sleeper")

        async def talk():
            url = f"ws://{host}:{edge.port['plain']}/echo"
            sock = edge.socket("plain")
            async with websockets.connect(url, sock=sock, open_timeout=PATIENCE) as ws:
                await ws.send("are you awake")
                return await asyncio.wait_for(ws.recv(), PATIENCE)

        assert "are you awake" in asyncio.run(talk())
        assert plane.count("resume") == 1


def test_waits_outlive_the_controller(world):
    world.edge.expect_deaths = True
    askers = [world.ask() for _ in range(3)]
    world.wait_waiters(3)
    os.kill(world.edge.pids("controller")[0], signal.SIGKILL)
    world.gate.set()
    assert [a.join().status for a in askers] == [200] * 3


def test_what_waits_for_a_box_is_served_after_an_upgrade(world):
    """The new controller learns of the old workers' waits."""
    with ends_whole(world.edge):
        askers = [world.ask() for _ in range(3)]
        world.wait_waiters(3)
        upgrade(world.edge)
        askers += [world.ask() for _ in range(3)]
        world.wait_waiters(6)
        world.gate.set()
        assert [asker.join().status for asker in askers] == [200] * 6


def test_a_worker_that_dies_counts_no_more(world):
    world.edge.expect_deaths = True
    clients = [world.edge.connect() for _ in range(4)]
    for client in clients:
        client.send(f"GET / HTTP/1.1\r\nHost: {world.host}\r\n\r\n".encode())
    world.wait_waiters(4)
    os.kill(world.edge.pids("worker")[0], signal.SIGKILL)
    world.wait_waiters(0)
    asker = world.ask()
    world.gate.set()
    assert asker.join().status == 200


def test_clients_over_their_rate_begin_no_wake(tmp_path):
    with BoxAddresses(5) as places, contextlib.ExitStack() as stack:
        plane = stack.enter_context(ControlPlane())
        origins = [stack.enter_context(HttpOrigin(address=place)) for place in places]
        edge = stack.enter_context(waking_edge(tmp_path, plane, wake={"per_client": 3}))
        hosts = []
        for i, origin in enumerate(origins):
            plane.add_box(f"box{i}", places[i], origin.port)
            hosts.append(edge.create_preview(origin.port, f"box{i}"))
        got = [edge.get(host) for host in hosts]
        assert [g.status for g in got] == [200] * 3 + [429] * 2
        assert code(got[4]) == "wake_rate"
        assert int(got[4].get("retry-after")) > 0
        assert edge.get(hosts[0]).status == 200  # it runs
        assert plane.count("resume") == 3


def test_what_nobody_waits_for_wakes_nothing(world):
    for path, field in (("/favicon.ico", None), ("/robots.txt?x", None), ("/", "X-Box-No-Wake: 1"),
                        ("/", "Sec-Purpose: prefetch;prerender"), ("/", "Purpose: prefetch")):
        response = world.edge.get(world.host, path, fields=(field,) if field else ())
        assert (response.status, code(response)) == (503, "box_asleep")
    assert world.plane.count("resume") == 0
    world.gate.set()
    assert world.ask().join().status == 200
    assert world.edge.get(world.host, fields=("X-Box-No-Wake: 1",)).status == 200  # it runs


# ---- storms


@contextlib.contextmanager
def demo_app(address):
    """An app that takes any load."""
    with subprocess.Popen([str(BINARY), "demo-app", "--address", address, "--port", "0"], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True) as app:
        try:
            yield int(re.search(r":(\d+)/", app.stdout.readline())[1])
        finally:
            app.terminate()


async def fetch_status(port, host, started=None):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET /headers HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        if started is not None:
            started()
        return int((await reader.readline()).split()[1])
    finally:
        writer.close()


def test_ten_thousand_wait_for_one_box(tmp_path, place):
    count = 1000 if SANITIZED else 10_000
    gate = threading.Event()
    with ControlPlane() as plane, demo_app(place) as app_port, \
            waking_edge(tmp_path, plane, workers=4, wake={"timeout": "10m"},
                        control_plane={"url": plane.url, "timeout": "10m"}) as edge:
        plane.on_resume = lambda box: gate.wait(200)
        plane.add_box("sleeper", place, app_port)
        host = edge.create_preview(app_port, "sleeper")

        async def storm():
            limit = asyncio.Semaphore(500)  # connecting at a time

            async def one():
                async with limit:
                    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port["plain"])
                    writer.write(f"GET /headers HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                status = int((await reader.readline()).split()[1])
                writer.close()
                return status

            tasks = [asyncio.create_task(one()) for _ in range(count)]
            waiting, deadline = 0, time.monotonic() + PATIENCE * SLOW
            while waiting < count:
                await asyncio.sleep(0.1)
                assert time.monotonic() < deadline, f"{waiting} of {count} wait, and no more come"
                if waiting != (waiting := metric(edge, "wake_waiters")):
                    deadline = time.monotonic() + PATIENCE * SLOW
            gate.set()
            return await asyncio.gather(*tasks)

        statuses = asyncio.run(storm())
        assert statuses.count(200) == count, {s: statuses.count(s) for s in set(statuses)}
        assert plane.count("resume") == 1
        assert metric(edge, "wake_waiters") == 0
        assert metric(edge, "wake_waits_total") == metric(edge, "wake_wait_seconds_count") == count
        assert metric(edge, "wake_resumes_total") == 1
        assert metric(edge, "wake_coalescing_ratio") == count
        # The gate was opened after all arrived, so most have waited.
        buckets = [metric(edge, f'wake_wait_seconds_bucket{{protocol="h1",le="{limit}"}}') for limit in ("0.01", "+Inf")]
        assert buckets[0] < count == buckets[1] and metric(edge, "wake_wait_seconds_sum") > 0


def test_a_thousand_boxes_in_one_second(tmp_path):
    """Each at a separate address: of two boxes reported at one, the first is asked about again."""
    count = 200 if SANITIZED else 1000
    with BoxAddresses(count) as places, ControlPlane(resume_delay=0.2) as plane, demo_app("0.0.0.0") as app_port, \
            waking_edge(tmp_path, plane, workers=4) as edge:
        hosts = []
        connection = UnixConnection(edge.admin_socket)
        for i, place in enumerate(places):
            plane.add_box(f"b{i}", place, app_port)
            connection.request("POST", "/v1/previews", f'{{"box": "b{i}", "port": {app_port}}}',
                               {"Content-Type": "application/json"})
            response = connection.getresponse()
            response.read()
            assert response.status == 201
            hosts.append(edge.host(app_port, f"b{i}"))
        before = edge.pss_kib()

        async def storm():
            return await asyncio.gather(*(fetch_status(edge.port["plain"], host) for host in hosts))

        statuses = asyncio.run(storm())
        assert statuses.count(200) == count, {s: statuses.count(s) for s in set(statuses)}
        resumed = collections.Counter(call.box for call in plane.calls_of("resume"))
        assert resumed == {f"b{i}": 1 for i in range(count)}, resumed.most_common(3)
        if not SANITIZED:
            assert edge.pss_kib() - before < 64 * 1024
