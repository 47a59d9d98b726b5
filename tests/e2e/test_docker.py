"""Boxes that are real containers (podman): they wake, move, freeze and end, and so does their engine."""

import contextlib
import json
import subprocess
import threading
import time

import pytest

import harness
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
        """A container that is a box with a preview, known to the edge; the edge has noticed the end of an
        earlier one of its name."""
        box = kw.get("box", name)
        self.wait_state(box, None, "gone")
        container = self.podman.container(name, **kw)
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
    box = world.box("sleeper")
    assert world.text(box) == "sleeper 1"
    box.pause()
    world.wait_state("sleeper", "paused")
    response = world.get(box)
    assert (response.status, response.body) == (200, b"sleeper 2")  # the same process
    assert response.get("server-timing").startswith("resume;dur=")
    assert box.status == "running"
    box.stop()
    world.wait_state("sleeper", "paused")
    assert world.text(box) == "sleeper 1"  # another process
    box.remove()
    world.wait_state("sleeper", "gone", None)
    assert world.get(box).status == 404


def test_a_command_runs_in_a_box_that_was_stopped(world):
    """By `sh -c` in the container; no request waits for it."""
    if world.podman.no_exec is not None:
        pytest.skip(f"podman can start no command in a container here: {world.podman.no_exec}")
    box = world.box("commanded", labels={"init": "echo woken"})
    box.pause()
    world.wait_state("commanded", "paused")
    assert world.text(box, "/init") == "none"  # it continued, and did not start anew
    box.stop()
    world.wait_state("commanded", "paused")
    world.edge.wait_until(lambda: world.text(box, "/init") == "echo woken", PATIENCE * SLOW, "init has run")
    box.remove()
    world.wait_state("commanded", "gone", None)


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
        # While it is new it may still come up; afterwards the answer gives the reason.
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
    other.pause()  # without any report of it
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


# ---- output of containers


def navigate(world, box, path="/"):
    return world.edge.get(box.host, path, fields=["Sec-Fetch-Mode: navigate"], timeout=PATIENCE * SLOW).body.decode()


def await_detail(world, box, path, code, detail):
    """The engine has a moment to store the app's output, and to answer."""

    def said():
        answer = world.get(box, path)
        assert (answer.status, error_of(answer)["code"]) == (502, code), answer.body
        return error_of(answer).get("detail") == detail

    world.edge.wait_until(said, PATIENCE * SLOW, detail)


@pytest.mark.parametrize("tty", [False, True])
def test_a_container_that_closes_says_why(world, tty):
    """The error, and not the brace behind it; also with a terminal, whose log has another form."""
    box = world.box("closer", tty=tty)
    assert world.text(box) == "closer 1"
    line = "The last line of its log: TypeError: cannot read /close."
    await_detail(world, box, "/close", "origin_closed", line)
    pages = []

    def page_has_line():  # podman 4.3 may join the lines of a terminal, and the next ones come whole
        pages.append(navigate(world, box, "/close"))
        return line in pages[-1]

    world.edge.wait_until(page_has_line, PATIENCE * SLOW, "the line on the page")
    assert "boxedge box logs closer" in pages[-1]
    box.remove()


def test_a_container_that_ends_says_why(world):
    """Its end comes before the engine's event: the request waits for the line, and does not report a
    pause."""
    box, other = world.box("ender"), world.box("other")  # so that the network of containers is there all the while
    for count in range(3):
        world.edge.wait_until(lambda: world.get(box).status == 200, PATIENCE * SLOW, "awake")
        # A POST is not sent again, to a port where nothing listens any more.
        answer = world.edge.get(box.host, "/end", method="POST", fields=["Content-Length: 0"], timeout=PATIENCE * SLOW)
        assert (answer.status, error_of(answer)["code"]) == (502, "origin_closed"), (count, answer.body)
        world.wait_state("ender", "paused")
    assert "TypeError: cannot read /end" in world.edge.command("box", "logs", "ender")
    for one in (box, other):
        one.remove()


@pytest.mark.parametrize("listens, env", [
    ("Listening in the box: port 3001.", {"PORT": 3001}),
    ("Nothing listens in the box on any port that can be exposed.", {"DELAY_MS": -1})])
def test_a_container_that_does_not_listen_says_why(podman, tmp_path, listens, env):
    box = podman.container("mute", env={**env, "LINES": 3})
    with world_of(tmp_path, podman, timeout="1s") as world:
        box.host = world.edge.host(PORT, "mute")
        world.wait_state("mute", "running")
        world.edge.command("preview", "create", "mute", PORT)
        world.edge.wait_until(lambda: world.get(box).status == 502, PATIENCE * SLOW, "a verdict")
        await_detail(world, box, "/", "port_not_listening", f"{listens} The last line of its log: 3.")
        assert "boxedge box logs mute" in navigate(world, box)
        box.remove()


@pytest.mark.parametrize("details", ["authenticated", "nobody"])
def test_what_a_container_wrote_is_for_those_that_may_read_it(podman, tmp_path, details):
    with world_of(tmp_path, podman, {"failure_details": details}) as world:
        box = world.box("closer")
        assert world.text(box) == "closer 1"
        for _ in range(3):
            answer = world.get(box, "/close")
            assert error_of(answer)["code"] == "origin_closed" and "detail" not in error_of(answer)
        page = navigate(world, box, "/close")
        assert "boxedge box logs closer" in page and "TypeError" not in page
        box.remove()


def numbers(text):
    return [int(line) for line in text.splitlines() if line.strip().isdigit()]


def shows(text, first, last, tty):
    """Whether a log shows these numbers. In a terminal's log podman 4.3 joins lines that its monitor read in
    two parts: then most are there, in order."""
    found, written = [n for n in numbers(text) if n <= last], list(range(first, last + 1))
    if not tty:
        return found == written
    return found == sorted(set(found)) and last in found and len(found) >= 0.6 * len(written)


@pytest.mark.parametrize("tty", [False, True])
def test_the_log_of_a_container(world, tty):
    """In order, the last lines, the lines after a position, and also when it has stopped; then no container
    is left."""
    box = world.box("writer", env={"LINES": 700}, tty=tty)
    assert world.text(box) == "writer 1"
    admin = UnixConnection(world.edge.admin_socket)

    def ask(query):
        admin.request("GET", f"/v1/boxes/writer/log?{query}")
        answer = json.loads(admin.getresponse().read())
        return answer["text"], answer["end"], answer["provider"]

    world.edge.wait_until(lambda: "700" in ask("lines=1")[0], PATIENCE * SLOW, "taken by the engine")
    assert shows(world.edge.command("box", "logs", "writer"), 501, 700, tty)
    assert shows(world.edge.command("box", "logs", "writer", "-n", "3"), 698, 700, tty)
    text, end, provider = ask("lines=100000")
    assert shows(text, 1, 700, tty) and provider == "docker" and end < 2**53
    assert ask(f"from={end}") == ("", end, "docker") and ask("lines=2")[1] == end
    world.get(box, "/close")
    world.edge.wait_until(lambda: "TypeError" in ask(f"from={end}")[0], PATIENCE * SLOW, "what came")
    text, later, _ = ask(f"from={end}")
    assert numbers(text) == [] and text.splitlines()[0] == "TypeError: cannot read /close" and later > end
    box.stop()
    world.wait_state("writer", "paused")
    assert "TypeError: cannot read /close" in world.edge.command("box", "logs", "writer", "-n", "4")
    box.remove()
    world.wait_state("writer", "gone", None)
    done = world.edge.command("box", "logs", "writer", check=False)
    assert done.returncode == 1 and "The edge does not know the box writer" in done.stderr


def test_a_log_is_followed(world):
    box = world.box("followed", env={"LINES": 3})
    command = [str(harness.BINARY), "box", "logs", "followed", "-f", "-c", str(world.edge.config_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=world.edge.env) as follower:
        try:
            seen = [next(follower.stdout) for _ in range(3)]
            for _ in range(5):
                world.get(box, "/close")
                seen += [next(follower.stdout) for _ in range(4)]
            box.stop()
            box.start()  # it writes its numbers once more
            seen += [next(follower.stdout) for _ in range(3)]
        finally:
            follower.terminate()
    error = ["TypeError: cannot read /close\n", "    at main {\n", "  code: 1\n", "}\n"]
    assert seen == ["1\n", "2\n", "3\n"] + error * 5 + ["1\n", "2\n", "3\n"]
    box.remove()


def test_a_container_that_wrote_nothing(world):
    box = world.box("silent")
    command = [str(harness.BINARY), "box", "logs", "silent", "-c", str(world.edge.config_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=world.edge.env, check=False, timeout=PATIENCE * SLOW)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "silent has written nothing.\n")
    box.remove()
