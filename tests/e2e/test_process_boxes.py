"""Boxes that are processes of this machine: their start by a request, their rights and resources, their stop with all
their children, and the effect of each process's death on them."""

import contextlib
import json
import os
import pathlib
import select
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
import harness
from admin_api import JSON, Admin
from harness import PORTS, SANITIZED, SLOW, Edge
from wire import PATIENCE

AS_ROOT = os.geteuid() == 0
USER = "nobody" if AS_ROOT else ""

# An app that answers GET with its properties, and writes a line when it starts. Kept small: it starts often.
APP = r"""
import json, os, resource, select, signal, socket, sys
def about():
    status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
    fds = {}
    for fd in os.listdir("/proc/self/fd"):
        try: fds[fd] = os.readlink("/proc/self/fd/" + fd)
        except OSError: pass
    return {"pid": os.getpid(), "uids": os.getresuid(), "gids": os.getresgid(), "groups": os.getgroups(),
            "env": dict(os.environ), "cwd": os.getcwd(), "fds": fds, "nnp": status["NoNewPrivs"].strip(),
            "group": os.getpgrp(), "session": os.getsid(0), "caps": status["CapEff"].strip(),
            "nofile": resource.getrlimit(resource.RLIMIT_NOFILE), "stdin": select.select([0], [], [], 0)[0]}
known = about()
server = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
print("listening as", os.getpid(), *sys.argv[1:], flush=True)
while True:
    client, _ = server.accept()
    head = b""
    while b"\r\n\r\n" not in head:
        part = client.recv(65536)
        if not part: break
        head += part
    else:
        body = json.dumps(known).encode()
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
    client.close()
"""


def app(port, name="web", **more):
    """A box that runs APP on `port`."""
    box = {"id": name, "command": [sys.executable, "-S", "-c", APP], "directory": "/", "ports": [port], "user": USER}
    return {key: value for key, value in (box | more).items() if value != ""}


def script(port, text, name="web", **more):
    return app(port, name, command=text, **more)


class Boxes(Edge):
    """An edge with these process boxes, each with a preview of its first port."""

    def __init__(self, directory, *boxes, config=None, **more):
        super().__init__(directory, kinds=("plain", "health"), config={"processes": list(boxes)} | (config or {}),
                         **more)
        for box in boxes:
            self.create_preview(box["ports"][0], box["id"])

    def ask(self, port, box="web", timeout=PATIENCE * SLOW):
        return self.get(self.host(port, box), timeout=timeout)

    def about(self, port, box="web"):
        answer = self.ask(port, box)
        assert answer.status == 200, answer.body
        return json.loads(answer.body)

    def log(self, box="web"):
        return json.loads(self.command("box", "logs", box, "--json", "-n", "100000"))["text"]

    def starts(self, box="web"):
        return self.log(box).count(": started as process")

    def state(self, box="web"):
        return {row["box"]: row["state"] for row in json.loads(self.command("box", "list", "--json"))["boxes"]}.get(box)


def watch(pid):
    """A descriptor that ends with the process; waiting for it is waiting for an event."""
    return os.pidfd_open(pid)


def ended(pidfd, timeout=PATIENCE * SLOW):
    try:
        return bool(select.select([pidfd], [], [], timeout)[0])
    finally:
        os.close(pidfd)


@pytest.fixture
def port():
    return PORTS.take()


@pytest.fixture
def start(tmp_path):
    """Starts an edge with process boxes, and ends it."""
    with contextlib.ExitStack() as stack:
        yield lambda *boxes, **more: stack.enter_context(Boxes(tmp_path, *boxes, **more))


# ---- start


def test_a_request_starts_it(start, port, tmp_path):
    env = {"EDGE_SECRET": "x", "PATH": os.environ["PATH"], "NOTIFY_SOCKET": ""}
    edge = start(app(port, environment=["MODE=dev"], directory="/usr/share"), env=env)
    assert edge.state() == "paused" and edge.log() == ""
    # Twenty simultaneous requests: one start.
    pids = []
    threads = [threading.Thread(target=lambda: pids.append(edge.about(port)["pid"])) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE * SLOW)
    about = edge.about(port)
    assert pids == [about["pid"]] * 20 and edge.starts() == 1
    assert edge.state() == "running"
    # Its identity and its environment.
    assert about["env"] == {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "MODE": "dev",
                            "HOME": about["env"]["HOME"], "LANG": about["env"].get("LANG"), "PORT": str(port),
                            "__VITE_ADDITIONAL_SERVER_ALLOWED_HOSTS": ".preview.box.localhost",
                            **({"LC_CTYPE": about["env"]["LC_CTYPE"]} if "LC_CTYPE" in about["env"] else {})}
    assert about["env"]["LANG"] == "C.UTF-8" and about["env"]["HOME"].startswith("/")
    assert about["cwd"] == "/usr/share" and about["stdin"] == [] and about["nnp"] == "1"
    assert about["group"] == about["session"] == about["pid"]
    pipes = [about["fds"].pop(fd) for fd in "012"]
    assert {pipe.partition(":")[0] for pipe in pipes} == {"pipe"} and pipes[0] != pipes[1] == pipes[2]
    assert all("/fd" in where for where in about["fds"].values()), about["fds"]  # by which it lists them
    assert about["nofile"][0] <= 1024
    if AS_ROOT:
        assert set(about["uids"]) == {65534} and 0 not in about["gids"] + about["groups"]
        assert int(about["caps"], 16) == 0
    assert f"listening as {about['pid']}\n" in edge.log()
    assert f"process {about['pid']}\n" in edge.log()
    if not SANITIZED:
        table = edge.command("status")
        assert "\nrunner " in table


def test_its_input_stays_open(start, port):
    """Tools that end with their input, like create-react-app's, continue to run; frozen and thawed as
    well."""
    edge = start(script(port, f'"{sys.executable}" -S -c "$APP" & cat && kill $!; wait',
                        environment=[f"APP={APP}"],
                        idle="500ms", idle_action="freeze"))
    pid = edge.about(port)["pid"]
    edge.wait_until(lambda: edge.state() == "paused", what="being paused")
    assert edge.about(port)["pid"] == pid and edge.starts() == 1
    assert edge.command("box", "stop", "web") == "web is stopped.\n"


def test_it_may_take_its_time_to_start(start, port):
    """Requests, and the page that waits in a person's tab, wait for the box's own time."""
    edge = start(script(port, f'sleep 3; exec "{sys.executable}" -S -c "$APP"', environment=[f"APP={APP}"],
                        start_timeout="1h", idle="500ms"), config={"wake": {"timeout": "1s", "page_after": "100ms"}})
    page = edge.get(edge.host(port, "web"), fields=["Sec-Fetch-Mode: navigate"])
    assert page.status == 503 and b"Waiting for the app" in page.body
    with edge.connect("plain", edge.host(port, "web")) as client:
        client.send(f"GET /.well-known/boxedge/wake HTTP/1.1\r\nHost: {edge.host(port, 'web')}\r\n\r\n".encode())
        assert client.read_head().status == 200
        client.read_until(b"event: ready", PATIENCE * SLOW)
    assert edge.about(port)["pid"] and edge.starts() == 1


def test_only_declared_ports_can_be_exposed(start, port):
    edge = start(app(port))
    other = PORTS.take()
    refused = edge.command("preview", "create", "web", other, check=False)
    assert refused.returncode == 1 and f"does not expose port {other}" in refused.stderr
    assert edge.starts() == 0


@pytest.mark.parametrize("text, sentence, words", [
    ("echo one; echo last words >&2; exit 3", "exit status 3.", "Its last line: last words."),
    ("kill -9 $$", "killed by signal 9 (Killed).", ""),
])
def test_one_that_ends_at_once_has_failed(start, port, text, sentence, words):
    edge = start(script(port, text))
    answer = edge.ask(port)
    assert answer.status == 503 and answer.get("retry-after")
    said = f"The box's process ended within a second of its start: {sentence} {words}"
    assert json.loads(answer.body)["error"] == said.strip()
    assert edge.state() == "paused"
    # The failure is remembered: requests start nothing meanwhile, and no start happens by itself.
    assert edge.ask(port).status == 503
    assert edge.starts() == 1
    # A manual start is tried immediately.
    failed = edge.command("box", "start", "web", check=False)
    assert failed.returncode == 1 and f"{sentence} {words}".strip() in failed.stderr
    assert edge.starts() == 2


@pytest.mark.parametrize("more, sentence", [
    ({"command": ["/no/such/program", "x"]}, "/no/such/program: No such file or directory."),
    ({"directory": "/root/none" if AS_ROOT else "/no/such"}, "cannot be entered: "),
])
def test_one_that_cannot_start_says_why(start, port, more, sentence):
    edge = start(app(port, **more))
    answer = edge.ask(port)
    # Visitors see no path and no output; the operator does.
    assert answer.status == 503 and json.loads(answer.body)["error"] == "The box cannot be started."
    assert sentence in edge.log()
    assert sentence in edge.command("box", "start", "web", check=False).stderr


@pytest.mark.skipif(not AS_ROOT, reason="only root could start a process as root")
def test_none_runs_as_root(start, port):
    edge = start({key: value for key, value in app(port).items() if key != "user"})  # the edge's user is ""
    answer = edge.ask(port)
    assert answer.status == 503 and "it would run as root" in json.loads(answer.body)["error"]
    assert edge.starts() == 0


def test_it_waits_for_its_port(start, port):
    edge = start(app(port))
    with socket.create_server(("127.0.0.1", port)) as taken:
        taken.setblocking(False)
        failed = edge.command("box", "start", "web", check=False)
        assert failed.returncode == 1
        assert f"another program on this machine listens on its port {port}." in failed.stderr
        assert edge.starts() == 0
        # Free again while it waits: it starts.
        waiting = threading.Thread(target=lambda: edge.command("box", "start", "web"))
        waiting.start()
        edge.wait_until(lambda: _accepted(taken), what="a look at the port")
    waiting.join(PATIENCE * SLOW)
    assert edge.starts() == 1 and edge.about(port)["pid"]


def _accepted(server):
    """A client has connected since the start's last probe."""
    found = False
    with contextlib.suppress(BlockingIOError):
        while True:
            server.accept()[0].close()
            found = True
    return found


def test_one_on_the_other_loopback_address(start, port):
    edge = start(app(port, command=[sys.executable, "-S", "-c", APP.replace(
        'create_server(("127.0.0.1"', 'create_server(("::1"').replace('))\nprint', '), family=socket.AF_INET6)\nprint')]))
    assert edge.about(port)["pid"]


# ---- stop


FAMILY = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("child", os.getpid(), flush=True)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print("child", os.getpid(), flush=True)
        time.sleep(1000)
    os._exit(0)
time.sleep(1000)
"""


def start_family(start, port):
    """An app with a child in its group that ignores SIGTERM, and one that left for a separate session and was orphaned there: the edge, the three, and their watcher."""
    edge = start(script(port, f'"{sys.executable}" -S -c \'{FAMILY}\' & exec "{sys.executable}" -S -c "$APP"',
                        environment=[f"APP={APP}"]))
    pids = [edge.about(port)["pid"]]
    edge.wait_until(lambda: edge.log().count("child ") == 2, what="the family")
    pids += [int(line.split()[1]) for line in edge.log().splitlines() if line.startswith("child ")]
    return edge, pids, [watch(pid) for pid in pids]


def test_stop_ends_all_that_it_started(start, port):
    edge, pids, fds = start_family(start, port)
    assert edge.command("box", "stop", "web") == "web is stopped.\n"
    assert all(ended(fd, 0) for fd in fds)
    assert edge.state() == "paused" and "stopped: killed by signal 15" in edge.log()
    assert edge.about(port)["pid"] != pids[0]  # and the next request starts it


@contextlib.contextmanager
def busy_store(edge):
    """Every other change waits for the disk before."""
    stop = threading.Event()

    def change(number):
        with contextlib.closing(Admin(edge.admin_socket)) as admin:
            while not stop.is_set():
                assert admin.create("busy", 1000 + number)[0] in (200, 201)

    threads = [threading.Thread(target=change, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    yield
    stop.set()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("verbs", [["stop"], ["stop", "start"], ["stop", "stop"]])
def test_a_command_is_in_force_when_it_ends(start, port, verbs):
    """The next request, on any worker, meets the box in the command's final state."""
    edge = start(app(port), workers=2)
    edge.about(port)
    with busy_store(edge), contextlib.closing(Admin(edge.admin_socket)) as admin:
        for _ in range(40):
            for verb in verbs:
                assert admin.call("POST", f"/v1/processes/web/{verb}")[0] == 200
            answer = edge.ask(port)
            assert answer.status == 200, answer.body


def test_idle_ones_are_stopped_and_wake_again(start, port):
    edge = start(app(port, idle="500ms"))
    first = edge.about(port)["pid"]
    assert ended(watch(first))
    edge.wait_until(lambda: edge.state() == "paused", what="being paused")
    assert edge.about(port)["pid"] != first
    assert "stopped: killed by signal 15" in edge.log()


def test_idle_ones_are_frozen_and_go_on(start, port):
    edge = start(app(port, idle="500ms", idle_action="freeze"))
    first = edge.about(port)
    edge.wait_until(lambda: edge.state() == "paused", what="being paused")
    status = pathlib.Path(f"/proc/{first['pid']}/status").read_text()
    group = pathlib.Path(f"/proc/{first['pid']}/cgroup").read_text()
    if "/boxedge." in group:
        path = next(line.split(":", 2)[2] for line in group.splitlines() if "/boxedge." in line)
        mount = next(line.split()[4] for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
                     if " - cgroup2 " in line)
        edge.wait_until(lambda: "frozen 1" in pathlib.Path(mount + path, "cgroup.events").read_text(), what="freezing")
    else:
        assert "State:\tT" in status
    assert edge.about(port)["pid"] == first["pid"]
    assert "frozen\n" in edge.log() and "thawed\n" in edge.log() and edge.starts() == 1


def test_it_ends_by_itself(start, port):
    edge = start(app(port))
    first = edge.about(port)["pid"]
    os.kill(first, signal.SIGKILL)
    edge.wait_until(lambda: edge.state() == "paused", what="noticing")
    assert edge.starts() == 1 and "ended by itself: killed by signal 9" in edge.log()
    assert edge.about(port)["pid"] != first


# ---- logs


def test_the_log_is_bounded(start, port):
    edge = start(script(port, f'seq 1 400000; exec "{sys.executable}" -S -c "$APP"', environment=[f"APP={APP}"]))
    edge.about(port)
    text = edge.log()
    lines = text.splitlines()
    assert 200 * 1024 < len(text) <= 256 * 1024
    numbers = [int(line) for line in lines[:-1]]
    assert numbers == list(range(numbers[0], 400001)) and lines[-1].startswith("listening as ")
    # The last lines alone, and from a position on.
    answer = json.loads(edge.command("box", "logs", "web", "--json", "--lines", "2"))
    assert answer["text"].splitlines() == lines[-2:]
    assert edge.command("box", "logs", "web", "-n", "1").startswith("listening as ")


def test_the_log_keeps_the_order(start, port):
    """The note of a start comes before the first line of the box, the note of its end after the last."""
    edge = start(script(port, f'echo first; exec "{sys.executable}" -S -c "$APP"', environment=[f"APP={APP}"]))
    for _ in range(10):
        edge.command("box", "start", "web")
        edge.command("box", "stop", "web")
    kinds = {"started as process": "started", "first": "first", "stopped: ": "stopped"}
    order = [kind for line in edge.log().splitlines() for text, kind in kinds.items() if text in line]
    assert order == ["started", "first", "stopped"] * 10


def test_a_log_is_followed(start, port):
    edge = start(app(port))
    edge.about(port)
    command = [str(harness.BINARY), "box", "logs", "web", "-f", "-c", str(edge.config_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=edge.env) as follower:
        try:
            assert any(line.startswith("listening as ") for line in follower.stdout)
            edge.command("box", "stop", "web")
            assert any("stopped: killed by signal 15" in line for line in follower.stdout)
        finally:
            follower.terminate()


@pytest.mark.skipif(harness.SANITIZED, reason="time is not judged there")
def test_one_that_writes_without_end_waits(start, port):
    edge = start(script(port, f'yes & exec "{sys.executable}" -S -c "$APP"', environment=[f"APP={APP}"]))
    edge.about(port)
    before, began = edge.cpu_seconds("runner"), time.monotonic()
    while time.monotonic() < began + 1:
        assert edge.about(port)
    used = (edge.cpu_seconds("runner") - before) / (time.monotonic() - began)
    assert used < 0.3, f"the runner takes {used:.2f} of a core"


def test_what_a_log_may_show(start, port):
    edge = start(script(port, "printf 'a\\033[31mred\\033[0m \\033]0;title\\007 \\377 \\000 b\\r\\n'; sleep 1000"))
    edge.command("box", "start", "web", timeout=PATIENCE * SLOW)
    assert "a\033[31mred\033[0m ?]0;title? \ufffd \ufffd b\n" in edge.command("box", "logs", "web")
    assert "\033]0;title" in edge.log()  # JSON has it all


def test_errors_of_the_commands(start, port):
    edge = start(app(port))
    for verb in ("logs", "start", "stop"):
        unknown = edge.command("box", verb, "other", check=False)
        said = "The edge does not know the box other." if verb == "logs" else "other is not a box of `processes`"
        assert unknown.returncode == 1 and said in unknown.stderr
        assert edge.command("box", verb, "../x", check=False).returncode == 2
    assert edge.command("box", "logs", "web", "-n", "0", check=False).returncode == 2
    assert edge.command("box", "stop", "web") == "web is stopped.\n"
    assert edge.command("box", "logs", "web") == ""


# ---- the edge's own processes


def test_unchanged_ones_live_through_a_reload(start, port):
    ports = [port, PORTS.take(), PORTS.take(), PORTS.take()]
    boxes = [app(ports[0], "same"), app(ports[1], "changed"), app(ports[2], "removed")]
    edge = start(*boxes)
    before = {box["id"]: edge.about(box["ports"][0], box["id"])["pid"] for box in boxes}
    removed, changed = watch(before["removed"]), watch(before["changed"])
    boxes[0]["idle"] = "5m"  # its treatment is no reason to end it
    boxes[1]["environment"] = ["NEW=1"]
    boxes[2:] = [app(ports[3], "added")]
    edge.config["processes"] = boxes
    edge.write_config()
    edge.command("reload")
    assert ended(removed) and ended(changed)
    assert edge.about(ports[0], "same")["pid"] == before["same"]
    now = edge.about(ports[1], "changed")
    assert now["pid"] != before["changed"] and now["env"]["NEW"] == "1"
    assert edge.ask(ports[2], "removed").status == 404
    edge.create_preview(ports[3], "added")
    assert edge.about(ports[3], "added")["pid"]
    # No box left: the runner ends, and returns with the next one.
    same = watch(edge.about(ports[0], "same")["pid"])
    del edge.config["processes"]
    edge.write_config()
    edge.command("reload")
    assert ended(same)
    edge.wait_until(lambda: not edge.pids("runner"), what="the end of the runner")
    edge.config["processes"] = boxes[:1]
    edge.write_config()
    edge.command("reload")
    assert edge.about(ports[0], "same")["pid"]


def test_the_death_of_controller_and_worker_leaves_it(start, port):
    edge = start(app(port, keep_alive=True))
    edge.expect_deaths = True
    pid = edge.about(port)["pid"]
    for role in ("controller", "worker"):
        start_line = len(edge.stderr.lines)
        os.kill(edge.pids(role)[0], signal.SIGKILL)
        edge.stderr.wait_for(lambda line: "is back" in line, PATIENCE * SLOW, start_line)
        assert edge.about(port)["pid"] == pid
    assert edge.starts() == 1 and edge.state() == "running"


def admin_connections(edge):
    """The number of connections to the admin socket, including those that wait to be accepted."""
    rows = [line.split() for line in pathlib.Path("/proc/net/unix").read_text().splitlines()]
    listens = "00010000"  # __SO_ACCEPTCON
    return sum(row[-1] == str(edge.admin_socket) and row[3] != listens for row in rows)


def test_operators_leave_while_the_runner_stands_still(start, port):
    """The edge drops their requests with them, and the runner's later answers."""
    edge = start(app(port), config={"timeouts": {"heartbeat": "10m"}})
    (runner,), (controller,) = edge.pids("runner"), edge.pids("controller")
    os.kill(runner, signal.SIGSTOP)
    try:
        for method, target in (("POST", "/v1/processes/web/start"), ("GET", "/v1/processes/web/log"),
                               ("GET", "/v1/boxes/web/log"), ("POST", "/v1/processes/web/stop")):
            with contextlib.closing(Admin(edge.admin_socket)) as admin:
                admin.request(method, target, None, JSON if method == "POST" else {})
        edge.wait_until(lambda: admin_connections(edge) == 0, what="the end of their connections")
    finally:
        os.kill(runner, signal.SIGCONT)
    edge.command("box", "start", "web", timeout=PATIENCE * SLOW)
    assert edge.about(port)["pid"] and "listening as" in edge.log()
    assert edge.pids("controller") == [controller] and edge.pids("runner") == [runner]


def test_the_death_of_the_runner_ends_it(start, port):
    edge = start(app(port))
    edge.expect_deaths = True
    pid = edge.about(port)["pid"]
    box = watch(pid)
    os.kill(edge.pids("runner")[0], signal.SIGKILL)
    assert ended(box)
    edge.stderr.wait_for(lambda line: "runner is back" in line, PATIENCE * SLOW)
    edge.wait_until(lambda: edge.state() == "paused", what="being paused")
    assert edge.about(port)["pid"] != pid
    assert edge.starts() == 1  # of the new runner's log


def test_the_death_of_the_box_init_ends_it(start, port):
    edge, pids, fds = start_family(start, port)
    status = pathlib.Path(f"/proc/{pids[0]}/status").read_text()
    os.kill(int(status.partition("PPid:")[2].split()[0]), signal.SIGKILL)
    assert all(ended(fd) for fd in fds)
    edge.wait_until(lambda: edge.state() == "paused", what="being paused")
    assert "its box init died and ended it" in edge.log()
    assert edge.about(port)["pid"] not in pids


@pytest.mark.parametrize("whom", ["supervisor", "all"])
def test_nothing_is_left_after_a_kill(start, port, whom):
    edge, pids, fds = start_family(start, port)
    runner = watch(edge.pids("runner")[0])
    if whom == "all":
        edge.kill()
    else:
        edge.process.kill()
        edge.process.wait(PATIENCE)
    assert all(ended(fd) for fd in fds) and ended(runner)
    edge.kill()


def test_a_drain_stops_it(start, port):
    edge = start(script(port, f"trap 'echo bye; exit 0' TERM; \"{sys.executable}\" -S -c \"$APP\" & wait",
                        environment=[f"APP={APP}"]))
    box = watch(edge.about(port)["pid"])
    edge.stop()
    assert ended(box, 0)
