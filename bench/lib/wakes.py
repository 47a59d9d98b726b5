"""The kinds of boxes for bench/wake. Each makes sleeping boxes behind an edge, repeatedly."""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import time
from types import SimpleNamespace

import control_plane
import podman
from harness import PORTS, Edge
from relay import Relay, covered

HERE = pathlib.Path(__file__).resolve().parent
APP = HERE / "wake_app.c"
USER = "nobody" if os.geteuid() == 0 else ""
# Boxes of process-freeze, which fall asleep together: the edge looks for idle ones once a second.
FROZEN_AT_ONCE = 200
# Containers fall asleep together and wake one by one, after a pause in seconds. The edge checks a stopping container
# four times a second, and leaves one that has just ended alone for half a second; other wakes have no such delay. A
# frozen program must miss a tick, which shows it that it was frozen.
CONTAINERS_AT_ONCE = 8
QUIET_STOPPED, QUIET_PAUSED = 1.2, 0.05


class Skipped(Exception):
    """This kind cannot be measured here; the sentence has the reason."""


def build_app(directory):
    program = directory / "wake_app"
    subprocess.run(["gcc", "-static", "-O2", "-Wall", "-Werror", "-pthread", "-o", program, APP], check=True,
                   capture_output=True)
    return program


def admin(edge, method, path, body=None):
    connection = control_plane.UnixConnection(edge.admin_socket, timeout=60)
    connection.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    if answer.status not in (200, 201):
        raise RuntimeError(f"{method} {path}: {answer.status} {data[:300]!r}")
    return json.loads(data)


def states(edge):
    return {box["box"]: box["state"] for box in admin(edge, "GET", "/v1/boxes")["boxes"]}


def until(predicate, what, seconds=60):
    deadline = time.monotonic() + seconds
    while not predicate():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what}: not within {seconds} s")
        time.sleep(0.005)


def edge_at(directory, **config):
    """An edge with one worker and, as in operation, an access log in a file."""
    settings = {
        "log": {"access": str(directory / "access.log")}, "limits": {"connections_per_client": 0},
        "wake": {"per_client": 0}, "timeouts": {"drain": "1s"}, **config,
    }
    return Edge(directory, 1, settings, kinds=("plain",))


def ask(edge, host):
    """A request on a fresh connection: the times of its first byte and of the first byte of the answer (both in
    nanoseconds), and the app's answer."""
    with socket.create_connection(("127.0.0.1", edge.port["plain"]), timeout=60) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        request = f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
        begin = time.monotonic_ns()
        sock.sendall(request)
        data = sock.recv(65536)
        end = time.monotonic_ns()
        while piece := sock.recv(65536):
            data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"not 200: {data[:500]!r}")
    return SimpleNamespace(begin=begin, end=end, app=json.loads(body), woken=b"server-timing:" in head.lower())


def sample(answer, others, resumed, listening):
    """One wake in milliseconds. `others`: the intervals of work of the provider and the app; `resumed`: the time of the
    request to the provider, or of the start of the box; `listening`: the start of listening (None: always)."""
    if not answer.woken:
        raise RuntimeError("the box had not slept")
    total = answer.end - answer.begin
    needed = covered(others, answer.begin, answer.end)
    parts = {"total": total, "needed": needed, "share": total - needed}
    if resumed is not None and answer.begin <= resumed <= answer.end:
        parts["to_resume"] = resumed - answer.begin
    if listening is not None and answer.begin <= listening <= answer.end:
        parts["from_listening"] = answer.end - listening
    return {key: value / 1e6 for key, value in parts.items()}


def running(edge, host, count):
    """The same request while the box runs, for comparison."""
    answers = [ask(edge, host) for _ in range(count + 1)][1:]
    return [(a.end - a.begin) / 1e6 for a in answers]


def spawns(program, count):
    """The time of a mere start of the program, which each start of a process needs."""
    took = []
    for _ in range(count):
        begin = time.monotonic_ns()
        done = subprocess.run([program], env={"ONLY_BEGIN": "1"}, capture_output=True, check=True)
        took.append((int(done.stdout) - begin) / 1e6)
    return took


def process_box(program, name, port, **more):
    # Two words: the shell would run a single one, and its start is not the edge's.
    box = {"id": name, "command": [str(program), name], "directory": "/", "ports": [port], "user": USER, **more}
    return {key: value for key, value in box.items() if value != ""}


@contextlib.contextmanager
def process_stop(directory, program):
    """The box is a program that starts: the edge's share is all but the program's own time until it listens."""
    port = PORTS.take()
    with edge_at(directory, processes=[process_box(program, "app", port)]) as edge:
        host = edge.create_preview(port, "app")

        def wake():
            answer = ask(edge, host)
            admin(edge, "POST", "/v1/processes/app/stop", {})
            app = answer.app
            return sample(answer, [(app["began"], app["listening"])], app["began"], app["listening"])

        ask(edge, host)
        compared = running(edge, host, 100)
        admin(edge, "POST", "/v1/processes/app/stop", {})
        yield wake, compared


@contextlib.contextmanager
def process_freeze(directory, program):
    """The box is a frozen program: all of the time belongs to the edge, and to the kernel, which thaws it."""
    ports = [PORTS.take() for _ in range(FROZEN_AT_ONCE)]
    boxes = [process_box(program, f"app-{port}", port, idle="10ms", idle_action="freeze") for port in ports]
    with edge_at(directory, processes=boxes) as edge:
        hosts = {box["id"]: edge.host(port, box["id"]) for box, port in zip(boxes, ports)}
        for box, port in zip(boxes, ports):
            admin(edge, "POST", "/v1/previews", {"box": box["id"], "port": port})
            ask(edge, hosts[box["id"]])
        compared = running(edge, hosts[boxes[0]["id"]], 100)
        asleep = []

        def wake():
            if not asleep:
                until(lambda: all(state == "paused" for box, state in states(edge).items() if box in hosts), "all asleep")
                time.sleep(0.5)  # each must miss a tick, which shows it that it was frozen
                asleep.extend(hosts.values())
            answer = ask(edge, asleep.pop())
            return sample(answer, [], answer.app["thawed"], answer.app["thawed"])

        yield wake, compared


def engine_call(path, target):
    connection = control_plane.UnixConnection(path, timeout=60)
    connection.request("POST", f"/v1.40{target}")
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    if answer.status not in (204, 304):
        raise RuntimeError(f"POST {target}: {answer.status} {text[:300]!r}")


@contextlib.contextmanager
def container(directory, sleep, started):
    """The box is a container. The edge's share excludes the time of the engine's answers and the program's
    time until it listens. `sleep`: the engine's call that puts the container to sleep."""
    podman.SOURCE = APP
    with contextlib.ExitStack() as stack:
        try:
            engine = podman.Podman()
            stack.callback(engine.close)
            engine.start()
        except podman.Unavailable as error:
            raise Skipped(str(error)) from error
        near = socket.socket(socket.AF_UNIX)
        path = directory / "engine.sock"
        near.bind(str(path))
        near.listen(64)

        def connect():
            far = socket.socket(socket.AF_UNIX)
            far.connect(str(engine.socket))
            return far

        relay = Relay(near, connect)
        stack.callback(relay.close)
        edge = stack.enter_context(edge_at(directory, docker={"socket": str(path)},
                                           origins={"allow": [engine.network]}))
        names = [f"app-{number}" for number in range(CONTAINERS_AT_ONCE)]
        for name in names:
            engine.container(name, env={"TICK_MS": 20})
        until(lambda: all(states(edge).get(name) == "running" for name in names), "the containers are boxes")
        hosts = {name: edge.create_preview(podman.PORT, name) for name in names}
        for host in hosts.values():
            ask(edge, host)
        compared = running(edge, hosts[names[0]], 100)
        asleep = []

        def put_to_sleep():
            for name in names:
                engine_call(engine.socket, f"/containers/{name}/{sleep}")
            until(lambda: all(states(edge)[name] == "paused" for name in names), "all asleep")
            time.sleep(QUIET_STOPPED if started else QUIET_PAUSED)
            asleep.extend(hosts.values())

        def wake():
            if not asleep:
                put_to_sleep()
            relay.take()
            answer = ask(edge, asleep.pop())
            calls, app = relay.take(), answer.app
            others = [(c.begin, c.end) for c in calls]
            if started:
                others.append((app["began"], app["listening"]))
            return sample(answer, others, min((c.begin for c in calls), default=None),
                          app["listening"] if started else app["thawed"])

        yield wake, compared


def container_pause(directory, _program):
    return container(directory, "pause", False)


def container_stop(directory, _program):
    return container(directory, "stop?t=0", True)


@contextlib.contextmanager
def control_plane_box(directory, program):
    """The box belongs to a control plane and always listens: the control plane only has to report it as
    running."""
    with contextlib.ExitStack() as stack:
        try:
            place = stack.enter_context(control_plane.BoxAddresses(1))[0]
        except BaseException as error:
            if type(error).__name__ != "Skipped":  # pytest's
                raise
            raise Skipped(str(error)) from error
        plane = stack.enter_context(control_plane.ControlPlane())
        relay = Relay(socket.create_server(("127.0.0.1", 0)),
                      lambda: socket.create_connection(("127.0.0.1", plane.port)))
        stack.callback(relay.close)
        port = PORTS.take()
        app = subprocess.Popen([program], env={"PORT": str(port)}, stdin=subprocess.DEVNULL)
        stack.callback(app.wait)
        stack.callback(app.terminate)
        plane.add_box("app", place, port)
        edge = stack.enter_context(edge_at(
            directory, origins={"allow": [control_plane.BOX_NETWORK]},
            control_plane={"url": f"http://127.0.0.1:{relay.listener.getsockname()[1]}"}))
        host = edge.create_preview(port, "app")

        def wake():
            plane.set("app", state="paused")
            admin(edge, "PUT", "/v1/boxes/app", plane.boxes["app"])
            relay.take()
            answer = ask(edge, host)
            calls = [c for c in relay.take() if b"/activity" not in c.line]
            return sample(answer, [(c.begin, c.end) for c in calls], min((c.begin for c in calls), default=None), None)

        ask(edge, host)
        yield wake, running(edge, host, 100)


KINDS = {
    "process-freeze": ("a frozen process", process_freeze),
    "process-stop": ("a stopped process", process_stop),
    "control-plane": ("a box of a control plane", control_plane_box),
    "container-pause": ("a paused container (podman)", container_pause),
    "container-stop": ("a stopped container (podman)", container_stop),
}
