"""`boxedge dev` as an ordinary user in a new directory: from the command to the page, requests shown live, restarts,
several ports, exit statuses, two at a time, and nothing that stays behind, however it ends."""

import contextlib
import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from harness import BINARY, PATIENCE, PORTS, SLOW, Edge
from ordinary import UID, Ordinary
from quiet_network import without_netlink

HERE = pathlib.Path(__file__).parent
LINK = re.compile(r"https://\S+")
NODE = shutil.which("node")

HTTP_SERVER = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1"]

NODE_SERVER = """
require('http').createServer((q, a) => a.end('node says hello')).listen(Number(process.argv[1]), '127.0.0.1')
"""

# Serves on the ports of its arguments: "http:PORT" answers in HTTP, "mute:PORT" says nothing.
SERVERS = """
import socket, sys, threading
def serve(kind, port):
    server = socket.create_server(("127.0.0.1", port))
    held = []
    while True:
        client, _ = server.accept()
        held.append(client)
        if kind == "http":
            client.recv(65536)
            client.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 4\\r\\nConnection: close\\r\\n\\r\\n%04d" % (port % 10000))
            client.close()
for word in sys.argv[1:]:
    kind, port = word.split(":")
    threading.Thread(target=serve, args=(kind, int(port))).start()
"""

# Listens on the port that the file names; 0: on none; "end N": exits with N.
STEERED = """
import http.server, os, sys, threading, time
file, server, before = sys.argv[1], None, None
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"port %d" % self.server.server_port)
    def log_message(self, *_): pass
while True:
    with open(file) as f: word = f.read().strip()
    if word != before:
        before = word
        if server: server.shutdown(); server.server_close(); server = None
        if word.startswith("end"): os._exit(int(word.split()[1]))
        if word != "0":
            http.server.ThreadingHTTPServer.allow_reuse_address = True
            server = http.server.ThreadingHTTPServer(("127.0.0.1", int(word)), Page)
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    time.sleep(0.02)
"""


class Dev:
    """A running `boxedge dev`, whose lines can be waited for."""

    def __init__(self, user, directory, *words, options=(), **more):
        self.user = user
        self.started = time.monotonic()
        self.process = user.popen("dev", *options, "--", *words, cwd=directory, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)
        self.lines = []
        self.changed = threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            with self.changed:
                self.lines.append(line.rstrip("\n"))
                self.changed.notify_all()

    def line(self, text, count=1):
        """The line with this text, of which there are `count` by then."""
        deadline = time.monotonic() + PATIENCE * SLOW
        with self.changed:
            while len(found := [line for line in self.lines if text in line]) < count:
                left = deadline - time.monotonic()
                assert left > 0 and (self.process.poll() is None or left > PATIENCE * SLOW - 5), "\n".join(self.lines)
                self.changed.wait(min(left, 1))
            return found[count - 1]

    def link(self):
        return LINK.search(self.line("https://"))[0]

    def wait(self):
        status = self.process.wait(PATIENCE * SLOW)
        self.reader.join(PATIENCE)
        return status

    def end(self, number=signal.SIGINT):
        self.process.send_signal(number)
        return self.wait()


@pytest.fixture
def user():
    ordinary = Ordinary()
    try:
        yield ordinary
        nothing_stays(ordinary)
    finally:
        for pid in processes(ordinary):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        ordinary.close()


@pytest.fixture
def dev(user):
    """Starts `boxedge dev` in a new directory, and ends those that still run."""
    running = []

    def start(*words, name="app", options=(), directory=None, **more):
        folder = directory or user.folder(name)
        running.append(Dev(user, folder, *words, options=options, **more))
        return running[-1]

    yield start
    for one in running:
        if one.process.poll() is None:
            one.end()


def processes(user):
    """Those with the user's home in their environment: the edge, its keeper, box inits, commands."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"HOME={user.home}\0".encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
    return [pid for pid in found if pid != os.getpid()]


def nothing_stays(user):
    assert processes(user) == []
    files = {str(path.relative_to(user.home)) for path in user.home.rglob("*") if not path.is_dir()}
    ca = ".local/state/boxedge/dev/ca/"
    assert files <= {ca + name for name in ("ca.pem", "ca.key", "leaf.pem", "leaf.key")}, files
    assert list(user.runtime.iterdir()) == []


def eventually(predicate, what):
    deadline = time.monotonic() + PATIENCE * SLOW
    while not (value := predicate()):
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
    return value


def fetch(user, link, follow=True):
    """A browser's navigation to the link, with curl: the status and the body."""
    host, port = re.match(r"https://([^/:]+):(\d+)/", link).groups()
    jar = user.directory / f"jar-{host}"
    ca = user.home / ".local/state/boxedge/dev/ca/ca.pem"
    done = subprocess.run(
        ["curl", "-sS", *(["-L"] if follow else []), "-b", jar, "-c", jar, "--cacert", ca, "--resolve",
         f"{host}:{port}:127.0.0.1", "-H", "Sec-Fetch-Mode: navigate", "-H", "Accept: text/html", "-w",
         "\n%{http_code}", link], capture_output=True, text=True, check=True, timeout=PATIENCE * SLOW)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def answers(user, link):
    """The page answers, or not yet."""
    try:
        return fetch(user, page(link))[0] == 200
    except subprocess.CalledProcessError:
        return False


def page(link):
    return link.split("?")[0]


VITE = HERE / "node_modules/vite/bin/vite.js"


def may_use(*words):
    """The ordinary user may run this: a version manager's node may be in root's home."""
    more = {"user": UID, "group": UID, "extra_groups": []} if os.geteuid() == 0 else {}
    try:
        return subprocess.run(words, capture_output=True, check=False, **more).returncode == 0
    except OSError:
        return False


@pytest.mark.parametrize("kind", ["python", pytest.param("vite", marks=pytest.mark.skipif(
    NODE is None or not VITE.exists(), reason="no vite")), pytest.param("node", marks=pytest.mark.skipif(NODE is None, reason="no node"))])
def test_from_the_command_to_the_page(user, dev, kind):
    if kind != "python" and not may_use(NODE, *([VITE, "--version"] if kind == "vite" else ["--version"])):
        pytest.skip("the user may not run node")
    port = PORTS.take()
    words = {"python": [*HTTP_SERVER, port], "node": [NODE, "-e", NODE_SERVER, port],
             "vite": [NODE, VITE, "--port", port, "--strictPort"]}[kind]
    folder = user.folder("app")
    if kind == "vite":
        (folder / "index.html").write_text("<title>Vite</title>")
    one = dev(*words, directory=folder)
    link = one.link()
    status, body = fetch(user, link)
    seconds = time.monotonic() - one.started
    print(f"{kind}: {seconds:.1f} s from the command to the page")
    assert status == 200 and {"python": "Directory listing", "node": "node says hello", "vite": "/@vite/client"}[kind] in body
    assert f"https://app-{port}.dev.localhost:" in link
    assert re.search(r"after the start", one.line("listens on port"))
    # The request is shown, without the token.
    assert "GET /" in one.line("  200  ")
    token = link.split("preview_token=")[1]
    assert sum(token in line for line in one.lines) == 1
    # Without the link, nobody gets in.
    other = subprocess.run(["curl", "-sSk", "--resolve", f"{link.split('/')[2]}:127.0.0.1", "-o", os.devnull, "-w",
                            "%{http_code}", page(link)], capture_output=True, text=True, check=True)
    assert other.stdout == "401"
    assert one.end() == 130
    nothing_stays(user)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_every_end_leaves_nothing(user, dev):
    for number, status in ((signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGKILL, -9)):
        port = PORTS.take()
        one = dev(*HTTP_SERVER, port, directory=user.directory)
        fetch(user, one.link())
        assert one.end(number) == status
        eventually(lambda: processes(user) == [], f"no process is left after {number.name}")
        eventually(lambda: not list(user.runtime.iterdir()), "the directory of the edge is gone")
        nothing_stays(user)


def test_a_stubborn_command_is_killed(user, dev):
    """It ignores SIGTERM, and has left its group and session."""
    port = PORTS.take()
    text = f"trap '' TERM; setsid {sys.executable} -m http.server --bind 127.0.0.1 {port} & wait; sleep 1000"
    one = dev("sh", "-c", text)
    one.link()
    one.process.send_signal(signal.SIGINT)
    one.process.send_signal(signal.SIGINT)
    assert one.wait() == 130


@pytest.mark.parametrize("words, status, text", [
    (["sh", "-c", "echo out; echo err >&2; exit 7"], 7, "has ended with exit status 7"),
    (["sh", "-c", "kill -KILL $$"], 137, "killed by signal 9"),
    (["true"], 0, "The command has ended."),
    (["no-such-command"], 127, "boxedge dev: no-such-command: "),
])
def test_the_exit_status_is_that_of_the_command(dev, words, status, text):
    one = dev(*words)
    assert one.wait() == status
    one.line(text)
    if "echo" in words[-1]:
        one.line("out")
        one.line("err")


def test_wrong_words(user):
    for words, text in ((["dev"], "which command"), (["dev", "--port", "0", "--", "true"], "--port takes"),
                        (["dev", "--name", "A b", "--", "true"], "--name takes"), (["dev", "--nope"], "See boxedge dev")):
        done = user.run(*words)
        assert done.returncode == 2 and text in done.stderr, done


def test_a_taken_port(user):
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = user.run("dev", "--port", server.getsockname()[1], "--", "true", cwd=user.home)
        assert done.returncode == 1 and "another program listens on port" in done.stderr


def test_a_restart_keeps_the_link(user, dev):
    first, second = PORTS.take(), PORTS.take()
    file = user.directory / "steer"

    def steer(word):
        fresh = file.with_suffix(".new")
        fresh.write_text(word)
        fresh.rename(file)

    steer(str(first))
    one = dev(sys.executable, "-u", "-c", STEERED, file)
    link = one.link()
    assert fetch(user, link) == (200, f"port {first}")
    steer("0")
    one.line("no longer listens")
    # A request in the gap waits for the server.
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(fetch(user, page(link))))
    waiting.start()
    steer(str(first))
    one.line("listens on port", count=3)
    waiting.join(PATIENCE * SLOW)
    assert answers and answers[0][0] in (200, 503)  # or the page that waits
    assert fetch(user, page(link)) == (200, f"port {first}")
    # On another port: the same link.
    steer(str(second))
    one.line(f"listens on port {second} now")
    eventually(lambda: fetch(user, page(link)) == (200, f"port {second}"), "the page of the other port")
    assert len([line for line in one.lines if "https://" in line]) == 1
    # It ends by itself.
    steer("end 3")
    assert one.wait() == 3


def test_several_ports(user, dev):
    mute, web = sorted((PORTS.take(), PORTS.take()))
    one = dev(sys.executable, "-c", SERVERS, f"mute:{mute}", f"http:{web}")
    assert f"app-{web}.dev.localhost" in one.link()
    assert fetch(user, one.link()) == (200, f"{web % 10000:04d}")
    assert one.end() == 130
    # --port prefers another.
    other, wanted = sorted((PORTS.take(), PORTS.take()))
    two = dev(sys.executable, "-c", SERVERS, f"http:{other}", f"http:{wanted}", name="two", options=["--port", wanted])
    assert f"two-{wanted}.dev.localhost" in two.link()
    assert fetch(user, two.link()) == (200, f"{wanted % 10000:04d}")


def test_a_port_of_another_process(user, dev):
    """A container that the command starts listens for it: with --port that is enough. Without any, it says so."""
    port = PORTS.take()
    one = dev("sleep", "1000", options=["--port", port])
    one.line("listens on no TCP port yet")
    with socket.create_server(("127.0.0.1", port)):
        assert f"app-{port}." in one.link()
    one.line("no longer listens")
    assert one.end() == 130


def test_two_at_a_time(user, dev):
    """The second one uses the edge of the first, and keeps it when the first ends."""
    ports = [PORTS.take() for _ in range(3)]
    one = dev(*HTTP_SERVER, ports[0], name="one")
    first = one.link()
    one.line("An edge has started")
    two = dev(*HTTP_SERVER, ports[1], name="two")
    two.line("Using the running edge")
    second = two.link()
    assert first.split(":")[2].split("/")[0] == second.split(":")[2].split("/")[0]
    assert fetch(user, first)[0] == fetch(user, second)[0] == 200
    # A third one in a directory of the same name has another name.
    (user.directory / "more").mkdir()
    three = dev(*HTTP_SERVER, ports[2], directory=user.folder("more/one"))
    assert f"https://one-2-{ports[2]}." in three.link()
    assert one.end() == 130
    assert fetch(user, page(second))[0] == 200
    assert fetch(user, page(first))[0] == 404
    assert three.end(signal.SIGKILL) == -9
    assert fetch(user, page(second))[0] == 200
    assert two.end() == 130
    nothing_stays(user)


def test_an_edge_that_dies_is_started_again(user, dev):
    port = PORTS.take()
    one = dev(*HTTP_SERVER, port)
    link = one.link()
    assert fetch(user, link)[0] == 200
    supervisor = json.loads(user.run("status", "--json", "--socket", user.runtime / "boxedge-dev/admin.sock").stdout)
    os.kill(supervisor["supervisor_pid"], signal.SIGKILL)
    one.line("runs again")
    # The link and the session stay.
    eventually(lambda: answers(user, link), "the page at the edge that was started again")
    assert len([line for line in one.lines if "https://" in line]) == 1
    # Its keeper dies: the edge ends with it, and starts again.
    keeper = next(pid for pid in processes(user) if pathlib.Path(f"/proc/{pid}/comm").read_text() == "boxedge-dev\n")
    os.kill(keeper, signal.SIGKILL)
    one.line("runs again", count=2)
    eventually(lambda: answers(user, link), "the page at the third edge")
    assert one.end() == 130


def test_an_edge_that_is_lost_leaves_no_process(user, dev):
    """Keeper and command are killed together: the next start begins anew."""
    one = dev(*HTTP_SERVER, PORTS.take())
    link = one.link()
    keeper = next(pid for pid in processes(user) if pathlib.Path(f"/proc/{pid}/comm").read_text() == "boxedge-dev\n")
    os.kill(keeper, signal.SIGKILL)
    assert one.end(signal.SIGKILL) == -9
    eventually(lambda: processes(user) == [], "no process is left")
    two = dev(*HTTP_SERVER, PORTS.take(), directory=user.directory / "app")
    assert two.link() != link
    assert two.end() == 130


def test_the_environment(user, dev):
    port = PORTS.take()
    text = f"echo port=$PORT mine=$MINE hosts=$__VITE_ADDITIONAL_SERVER_ALLOWED_HOSTS in $PWD; exec {sys.executable} -m " \
           f"http.server --bind 127.0.0.1 $PORT"
    one = dev("sh", "-c", text, options=["--port", port], env={"MINE": "yes"})
    assert one.line("port=").endswith(f"port={port} mine=yes hosts=.dev.localhost in {user.directory / 'app'}")
    assert f"app-{port}." in one.link()


def test_public(user, dev):
    one = dev(*HTTP_SERVER, PORTS.take(), options=["--public"])
    link = one.link()
    assert "preview_token" not in link and fetch(user, link)[0] == 200


def lan_address():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return probe.getsockname()[0]


@pytest.mark.skipif(lan_address().startswith("127."), reason="this machine has no address but loopback")
def test_a_phone_in_the_network(user, dev):
    """--lan: reached at the machine's address too, with an authority of its own domain, and a QR code."""
    import pty  # pylint: disable=import-outside-toplevel
    port = PORTS.take()
    one = dev(*HTTP_SERVER, port, options=["--lan", "lan.test"])
    link = one.link()
    assert f"https://app-{port}.lan.test:" in link
    host, at = link.split("/")[2].split(":")
    ca = user.home / ".local/state/boxedge/dev-lan/ca/ca.pem"
    for address in (lan_address(), "127.0.0.1"):
        done = subprocess.run(["curl", "-sS", "--cacert", ca, "--resolve", f"{host}:{at}:{address}", "-H",
                               f"Authorization: Bearer {link.split('preview_token=')[1]}", page(link)],
                              capture_output=True, text=True, check=True)
        assert "Directory listing" in done.stdout
    other = user.run("dev", "--lan", "other.test", "--", "true", cwd=user.home)
    assert other.returncode == 1 and "--lan lan.test runs already" in other.stderr
    # Beside it, an edge for this machine alone.
    two = dev(*HTTP_SERVER, PORTS.take(), name="two")
    assert ".dev.localhost:" in two.link()
    assert two.end() == 130
    assert one.end() == 130
    for wrong in ("192.168.1.5", "nodots", "Upper.test", ""):
        assert user.run("dev", "--lan", wrong, "--", "true").returncode == 2
    assert user.run("dev", "--lan", "a.test", "-c", "x", "--", "true").returncode == 2
    # In a terminal: the code.
    ours, theirs = pty.openpty()
    process = user.popen("dev", "--lan", "lan.test", "--", *HTTP_SERVER, port, cwd=user.home, stdin=theirs, stdout=theirs,
                         stderr=theirs, env={"TERM": "xterm"})
    os.close(theirs)
    seen = b""
    while b"Ctrl-C ends it all" not in seen:
        assert select.select([ours], [], [], PATIENCE * SLOW)[0], seen
        seen += os.read(ours, 65536)
    libraries = subprocess.run(["ldd", BINARY], capture_output=True, text=True, check=True).stdout
    assert ("\u2580".encode() in seen) == ("libqrencode" in libraries)
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE * SLOW) == 130
    os.close(ours)
    shutil.rmtree(user.home / ".local/state/boxedge/dev-lan")


def test_an_edge_of_the_same_user_is_joined(user, dev, tmp_path):
    """Its configuration stays as it is, and a name that it has is refused."""
    conf = user.directory / "edge.yaml"
    listen = PORTS.take()
    conf.write_text(json.dumps({"preview_domain": "p.localhost", "listeners": [{"address": f"127.0.0.1:{listen}",
                                                                                "kind": "tls"}], "workers": 1,
                                "boxes": [{"id": "mine", "address": "127.0.0.1"}], "log": {"access": "stdout"}}))
    edge = user.popen("run", "-c", conf, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        for line in edge.stderr:
            if "ready: " in line:
                break
        one = dev(*HTTP_SERVER, PORTS.take())
        one.line("Using the running edge")
        assert f".p.localhost:{listen}/" in one.link()
        row = {box["box"]: box for box in json.loads(user.run("box", "list", "--json", "-c", conf).stdout)["boxes"]}["app"]
        assert (row["state"], row["provider"]) == ("running", "process")
        assert "is where `boxedge dev` runs" in user.run("box", "logs", "app", "-c", conf).stderr
        taken = user.run("dev", "--name", "mine", "-c", conf, "--", "true")
        assert taken.returncode == 1 and "choose another --name" in taken.stderr
        assert one.end() == 130
        assert "app" not in user.run("preview", "list", "-c", conf).stdout
    finally:
        edge.terminate()
        edge.communicate(timeout=PATIENCE * SLOW)
        shutil.rmtree(user.home / ".local/state/boxedge", ignore_errors=True)
        shutil.rmtree(user.runtime / "boxedge", ignore_errors=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs two users")
def test_an_edge_of_another_user_is_refused(user, tmp_path):
    """Root's edge would make ports of this machine reachable for a user: neither the command nor the call does it."""
    with Edge(tmp_path, kinds=("tls",), config={"admin": {"socket": f"/tmp/be-{os.getpid()}.sock"}}) as edge:
        path = pathlib.Path(edge.config["admin"]["socket"])
        path.chmod(0o666)
        refused = user.run("dev", "--socket", path, "--", "true")
        assert refused.returncode == 1 and "belongs to user 0" in refused.stderr
        body = json.dumps({"lease": "a", "port": 22, "listens": 22, "address": "127.0.0.1"})
        call = ["curl", "-sS", "--unix-socket", path, "-X", "PUT", "-H", "Content-Type: application/json", "-d", body,
                "http://boxedge/v1/dev/app"]
        done = subprocess.run(call, capture_output=True, text=True, check=True, user=UID, group=UID, extra_groups=[])
        assert json.loads(done.stdout)["code"] == "not_your_edge"
        assert json.loads(subprocess.run(call, capture_output=True, text=True, check=True).stdout)["box"] == "app"
        for wrong in ({}, {"lease": "a"}, {"lease": "A", "port": 1, "listens": 1, "address": "::1"},
                      {"lease": "a", "port": 0, "listens": 1, "address": "::1"},
                      {"lease": "a", "port": 1, "listens": 1, "address": "10.0.0.1"}):
            call[9] = json.dumps(wrong)
            done = subprocess.run(call, capture_output=True, text=True, check=True)
            assert json.loads(done.stdout)["code"] == "bad_guest", wrong
        call[9] = body.replace('"a"', '"b"')
        assert json.loads(subprocess.run(call, capture_output=True, text=True, check=True).stdout)["code"] == "box_taken"


@pytest.mark.skipif(os.geteuid() != 0, reason="not root")
def test_root_may_use_it_too(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    ordinary = Ordinary()
    port = PORTS.take()
    try:
        ordinary.env |= {"HOME": str(home), "XDG_RUNTIME_DIR": ""}
        ordinary.home = home
        ordinary.popen = lambda *words, **more: subprocess.Popen(
            [str(ordinary.binary), *map(str, words)], env=ordinary.env | more.pop("env", {}), **more)
        one = Dev(ordinary, tmp_path, *HTTP_SERVER, port)
        assert fetch(ordinary, one.link())[0] == 200
        assert one.end() == 130
        nothing_stays(ordinary)
    finally:
        ordinary.close()


def test_a_terminal(user, dev):
    """With a terminal the command has one too: it shows colours, and takes lines that are typed."""
    import pty  # pylint: disable=import-outside-toplevel
    port = PORTS.take()
    ours, theirs = pty.openpty()
    text = f"test -t 0 && test -t 1 && echo tty=$(stty size); read word; echo got $word; exec {sys.executable} -m " \
           f"http.server --bind 127.0.0.1 {port}"
    process = user.popen("dev", "--", "sh", "-c", text, cwd=user.folder("app"), stdin=theirs, stdout=theirs, stderr=theirs,
                         env={"TERM": "xterm"})
    os.close(theirs)
    seen = b""

    def until(word):
        nonlocal seen
        deadline = time.monotonic() + PATIENCE * SLOW
        while word not in seen:
            assert time.monotonic() < deadline, seen
            if select.select([ours], [], [], 0.5)[0]:
                with contextlib.suppress(OSError):
                    seen += os.read(ours, 65536)

    until(b"tty=")
    os.write(ours, b"hello\n")
    until(b"got hello")
    until(b"preview_token=")
    assert b"\x1b[1mhttps://" in seen
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE * SLOW) == 130
    os.close(ours)


@pytest.mark.skipif(
    not all(map(shutil.which, ("node", "chromium", "certutil"))) or not (HERE / "node_modules/playwright-core").is_dir(),
    reason="chromium, certutil, node or its packages are not there")
def test_the_link_in_chromium_after_trust(user, dev):
    assert user.run("trust").returncode == 3
    (user.folder("site") / "index.html").write_text("<title>Hello</title>It works.")
    one = dev(*HTTP_SERVER, PORTS.take(), directory=user.directory / "site")
    done = subprocess.run(["node", "trust.mjs", one.link(), user.directory / "profile"], cwd=HERE, capture_output=True,
                          text=True, timeout=60 * SLOW, check=False, env=user.env, preexec_fn=without_netlink)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["status"] == 200 and seen["title"] == "Hello", seen
    assert "preview_token" not in seen["url"]
    assert one.end() == 130
    user.run("untrust")
    for name in (".pki", ".cache", ".config", "../run/dconf"):  # of Chromium
        shutil.rmtree(user.home / name, ignore_errors=True)
