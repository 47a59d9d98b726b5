"""Boxes that are real containers (podman): they wake, move, freeze and go, and so does their engine."""

import contextlib
import json
import threading
import time

import pytest

import tcp_table
from control_plane import UnixConnection
from harness import PATIENCE, SLOW, Edge
from podman import PORT, Podman, Unavailable


@pytest.fixture(name="podman", scope="module")
def fixture_podman():
    with contextlib.ExitStack() as stack:
        try:
            podman = Podman()
            stack.callback(podman.close)
            podman.start()
        except Unavailable as why:
            print(f"no tests with containers: {why}")
            pytest.skip(f"no containers: {why}")
        yield podman


class World:
    """An edge over the containers of `podman`."""

    def __init__(self, edge, podman):
        self.edge, self.podman = edge, podman

    def box(self, name, **kw):
        """A container that is a box with a preview, known to the edge."""
        container = self.podman.container(name, **kw)
        box = kw.get("box", name)
        container.host = self.edge.host(PORT, box)
        self.wait_state(box, "running" if kw.get("start", True) else "paused")
        self.edge.command("preview", "create", box, PORT)
        return container

    def state(self, box):
        connection = UnixConnection(self.edge.admin_socket)
        connection.request("GET", "/v1/boxes")
        boxes = json.loads(connection.getresponse().read())["boxes"]
        connection.close()
        return next((one["state"] for one in boxes if one["box"] == box), None)

    def wait_state(self, box, *states):
        self.edge.wait_until(lambda: self.state(box) in states, PATIENCE * SLOW, f"{box} is {states}")

    def get(self, container, path="/"):
        return self.edge.get(container.host, path, timeout=PATIENCE * SLOW)

    def text(self, container, path="/"):
        response = self.get(container, path)
        assert response.status == 200, (response.status, response.body)
        return response.body.decode()


@contextlib.contextmanager
def world_of(directory, podman, more=None, **wake):
    config = {
        **(more or {}),
        "docker": {"socket": str(podman.socket)},
        "origins": {"allow": [podman.network]},
        "limits": {"connections_per_client": 0},
        "wake": {"per_client": 0, **wake},
    }
    with Edge(directory, 2, config, kinds=("plain",)) as edge:
        yield World(edge, podman)


@pytest.fixture(name="world", scope="module")
def fixture_world(podman, tmp_path_factory):
    with world_of(tmp_path_factory.mktemp("docker"), podman) as world:
        yield world


class Asker(threading.Thread):
    """Requests in a thread: one, or with `stop` one after the other until that is set."""

    def __init__(self, world, container, path="/", stop=None):
        super().__init__(daemon=True)
        self.answers, self.errors, self.took = [], [], 0
        self.call = lambda: world.get(container, path)
        self.stop = stop
        self.start()

    def run(self):
        begun = time.monotonic()
        try:
            self.answers.append(self.call())
            while self.stop is not None and not self.stop.is_set():
                self.answers.append(self.call())
        except Exception as error:  # pylint: disable=broad-except
            self.errors.append(error)
        self.took = time.monotonic() - begun

    def result(self):
        self.join(PATIENCE * SLOW)
        assert not self.is_alive() and not self.errors, self.errors or "no answer"
        return self.answers[-1]


def error_of(response):
    return json.loads(response.body)


def test_a_paused_box_and_a_stopped_one_wake(world):
    box = world.box("sleeper", labels={"init": "echo woken"})
    assert world.text(box) == "sleeper 1"
    box.pause()
    world.wait_state("sleeper", "paused")
    response = world.get(box)
    assert (response.status, response.body) == (200, b"sleeper 2")  # the same process
    assert response.get("server-timing").startswith("resume;dur=")
    assert box.status == "running"
    assert world.text(box, "/init") == "none"
    box.stop()
    world.wait_state("sleeper", "paused")
    assert world.text(box, "/init") == "echo woken"  # by `sh -c` in the container
    assert world.text(box) == "sleeper 2"  # another process
    box.remove()
    world.wait_state("sleeper", "gone", None)
    assert world.get(box).status == 404


def test_a_box_that_was_never_started_and_takes_two_seconds_to_listen(world):
    box = world.box("slow", env={"DELAY_MS": 2000}, start=False)
    asker = Asker(world, box)
    assert asker.result().body == b"slow 1"
    assert 2 <= asker.took < 4 * SLOW
    box.remove()


def test_waiters_of_a_box_that_is_removed_are_answered_at_once(world):
    box = world.box("removed", env={"DELAY_MS": -1}, start=False)
    askers = [Asker(world, box) for _ in range(8)]
    world.edge.wait_until(lambda: box.status == "running", PATIENCE * SLOW, "started")
    box.remove()
    removed = time.monotonic()
    assert [asker.result().status for asker in askers] == [404] * 8, askers[0].result().body
    assert time.monotonic() - removed < 2 * SLOW


def test_no_byte_reaches_the_box_that_got_the_old_address(world):
    old, new = world.podman.address(201), world.podman.address(202)
    first = world.box("mover", address=old)
    assert world.text(first) == "mover 1"
    stop = threading.Event()
    load = [Asker(world, first, stop=stop) for _ in range(4)]
    first.remove()
    thief = world.podman.container("thief", address=old)
    second = world.podman.container("mover2", box="mover", address=new)
    second.host = first.host
    world.edge.wait_until(lambda: world.get(second).body.startswith(b"mover2 "), PATIENCE * SLOW, "moved")
    stop.set()
    for asker in load:
        asker.result()
        names = {answer.body.split()[0].decode() for answer in asker.answers if answer.status == 200}
        assert names <= {"mover", "mover2"}, names
        assert {answer.status for answer in asker.answers} <= {200, 404, 502, 503}
    thief.host = world.edge.host(PORT, "thief")
    world.wait_state("thief", "running")
    world.edge.command("preview", "create", "thief", PORT)
    assert world.text(thief) == "thief 1"  # its first request ever
    for box in (thief, second):
        box.remove()


def is_connected(address):
    """Whether a connection from here to the port of the container at `address` is open."""
    return any(row.remote == (address, PORT) and row.state == tcp_table.ESTABLISHED for row in tcp_table.rows())


def test_a_box_that_is_frozen_behind_the_back(world):
    box = world.box("frozen")
    address = box.address
    asker = Asker(world, box, "/slow")
    world.edge.wait_until(lambda: is_connected(address), PATIENCE * SLOW, "sent")
    box.pause()
    frozen = time.monotonic()
    response = asker.result()
    assert (response.status, error_of(response)["code"]) == (502, "box_paused")
    assert time.monotonic() - frozen < 2 * SLOW
    assert world.text(box).startswith("frozen ")
    assert box.status == "running"
    box.remove()


def test_idle_boxes_are_paused(world):
    idle = world.box("idle", labels={"idle": "1s"})
    kept = world.box("kept", labels={"idle": "1s", "keep_alive": "true"})
    assert world.text(idle) == "idle 1"
    assert world.text(kept) == "kept 1"
    world.wait_state("idle", "paused")
    assert (idle.status, kept.status) == ("paused", "running")
    assert world.text(idle) == "idle 2"
    for box in (idle, kept):
        box.remove()


def test_only_declared_ports_may_be_exposed(world):
    box = world.box("declared", labels={"ports": f"{PORT},5173"})
    done = world.edge.command("preview", "create", "declared", 8080, check=False)
    assert done.returncode != 0
    box.remove()


def test_a_box_that_does_not_come_up(podman, tmp_path):
    with world_of(tmp_path, podman, timeout="1s") as world:
        mute = world.box("mute", env={"DELAY_MS": -1}, start=False)
        ends = world.box("ends", env={"EXIT": 7}, start=False)
        inward = world.box("inward", env={"LOOPBACK": 1})
        asker = Asker(world, mute)
        response = asker.result()
        assert (response.status, response.get("retry-after")) == (503, "5")
        assert 0.9 <= asker.took < 2 * SLOW
        assert world.get(mute).status == 503  # by now the controller has given up too,
        again = Asker(world, mute)
        assert again.result().status == 503
        assert again.took < 0.9 * SLOW  # and remembers it
        world.edge.wait_until(lambda: "exit code 7" in error_of(world.get(ends))["error"], PATIENCE * SLOW, "why")
        # While it is new it may still come up; then it is said what is wrong.
        world.edge.wait_until(lambda: world.get(inward).status == 502, PATIENCE * SLOW, "a verdict")
        assert error_of(world.get(inward))["code"] == "port_on_loopback"
        for box in (mute, ends, inward):
            box.remove()


@pytest.mark.parametrize("details, said", [("everyone", True), ("authenticated", False), ("nobody", False)])
def test_a_box_in_a_crash_loop_says_why(podman, tmp_path, details, said):
    more = {"failure_details": details}
    with world_of(tmp_path, podman, more, timeout="1h", page_after="0ms") as world:  # no answer would come before that
        other = world.box("other")  # so that the network of containers is there all the while
        box = world.box("crashes", env={"DIES_MS": 300}, start=False)
        response = world.get(box)
        assert response.status == 503
        why = error_of(response)["error"]
        assert "exit code 7" in why and "exited" in why and ("Error: there is no database" in why) == said
        page = world.edge.get(box.host, fields=["Sec-Fetch-Mode: navigate"], timeout=PATIENCE * SLOW)
        assert page.status == 503 and (b"there is no database" in page.body) == said and b"Try again" in page.body
        for one in (box, other):
            one.remove()


def test_a_box_that_listens_on_loopback_only_is_told_soon(podman, tmp_path):
    with world_of(tmp_path, podman, timeout="1h") as world:  # no answer would come before that
        inward = world.box("inward", env={"LOOPBACK": 1})
        response = world.get(inward)
        assert response.status == 503 and "only on the box's loopback address" in error_of(response)["error"]
        inward.remove()


def test_the_engine_restarts_under_load(world):
    busy, other = world.box("busy"), world.box("other")
    stop = threading.Event()
    load = [Asker(world, busy, stop=stop) for _ in range(2)]
    seen = len(world.edge.stderr.lines)
    world.podman.stop_service()
    world.edge.stderr.wait_for(lambda line: "cannot be used: " in line, PATIENCE * SLOW, seen)
    other.pause()  # while nobody tells of it
    count = [len(asker.answers) for asker in load]
    world.edge.wait_until(lambda: all(len(a.answers) > n for a, n in zip(load, count)), PATIENCE * SLOW, "more answers")
    world.podman.start_service()
    world.wait_state("other", "paused")
    assert world.text(other) == "other 1"
    stop.set()
    for asker in load:
        asker.result()
        assert {answer.status for answer in asker.answers} == {200}
    # Everything was listed again, and not only the one box that was looked at.
    world.edge.stderr.wait_for(lambda line: "can be used again" in line, PATIENCE * SLOW, seen)
    for box in (busy, other):
        box.remove()


def test_the_engine_is_gone(world):
    awake, asleep = world.box("awake"), world.box("asleep")
    asleep.pause()
    world.wait_state("asleep", "paused")
    seen = len(world.edge.stderr.lines)
    world.podman.stop_service()
    try:
        world.edge.stderr.wait_for(lambda line: "cannot be used: " in line, PATIENCE * SLOW, seen)
        assert world.text(awake) == "awake 1"
        asker = Asker(world, asleep)
        response = asker.result()
        assert (response.status, error_of(response)["error"]) == (503, "The container engine cannot be reached.")
        assert asker.took < 5 * SLOW
    finally:
        world.podman.start_service()
    world.edge.stderr.wait_for(lambda line: "can be used again" in line, PATIENCE * SLOW, seen)
    assert world.text(awake) == "awake 2"
    for box in (awake, asleep):
        box.remove()
