"""The processes of an edge: what they may do, how they end, how they come back, how they change."""

import contextlib
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time

import pytest
import yaml

import harness
from harness import SLOW, Edge, HttpOrigin
from wire import PATIENCE, WireError

AS_ROOT = os.geteuid() == 0
HEALTH = b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"


class Load:
    """Threads that ask without a pause until it is stopped, each request on a connection of its own (or with
    `keep` on one that is made again only when it fails)."""

    def __init__(self, edge, host, threads=4, keep=False, kind="plain"):
        self.edge, self.host, self.keep, self.kind = edge, host, keep, kind
        self.done, self.failures = 0, []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def _one(self, client):
        closing = b"" if self.keep else b"Connection: close\r\n"
        answer = client.request(b"GET /echo HTTP/1.1\r\nHost: %s\r\n%s\r\n" % (self.host.encode(), closing))
        if answer.status != 200 or not answer.complete:
            raise WireError(f"{answer.start!r} {answer.body[:200]!r}")

    def _run(self):
        client = None
        while not self._stop.is_set():
            try:
                client = client or self.edge.connect(self.kind, self.host)
                self._one(client)
                with self._lock:
                    self.done += 1
                if self.keep:
                    continue
            except (OSError, WireError) as error:
                with self._lock:
                    self.failures.append((time.monotonic(), repr(error)))
                time.sleep(0.01)
            if client is not None:
                client.close()
            client = None

    def wait_more(self, n):
        """Until `n` more requests were answered."""
        goal = self.done + n
        self.edge.wait_until(lambda: self.done >= goal, what=f"{n} more answers ({self.failures[-3:]})")

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)


def status_of(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.split() for name, _, value in (line.partition(":") for line in lines)}


def gone(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def said(edge, text, start=0, timeout=PATIENCE):
    return edge.stderr.wait_for(lambda line: text in line, timeout * SLOW, start)


def inode_of(client):
    """The socket that was accepted for this connection."""
    ends = [client.sock.getpeername()[1], client.sock.getsockname()[1]]
    for row in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = row.split()
        if [int(end.rpartition(":")[2], 16) for end in fields[1:3]] == ends and fields[9] != "0":
            return fields[9]
    return None


def worker_of(edge, client):
    """The worker that has accepted this connection."""
    # The kernel's list may lack an entry while others come and go.
    inode = edge.wait_until(lambda: inode_of(client), what="finding a connection")
    for pid in edge.pids("worker"):
        for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if os.readlink(fd) == f"socket:[{inode}]":
                    return pid
    raise AssertionError("no worker has the connection")


def run_again(edge, config=None):
    """Another `boxedge run` with the configuration of `edge` and what `config` changes; the finished process."""
    path = edge.directory / "second.yaml"
    path.write_text(yaml.safe_dump(harness.merge(edge.config, config)))
    return subprocess.run([str(harness.BINARY), "run", "-c", str(path)], capture_output=True, text=True,
                          timeout=PATIENCE * SLOW, check=False, stdin=subprocess.DEVNULL)


def rewrite(edge, config):
    edge.config = harness.merge(edge.config, config)
    edge.write_config()


def reload(edge, config, answer="reloaded: configuration"):
    """SIGHUP with a changed file; returns the lines up to the one with `answer`."""
    start = len(edge.stderr.lines)
    rewrite(edge, config)
    edge.process.send_signal(signal.SIGHUP)
    said(edge, answer, start)
    return edge.stderr.lines[start:]


# ---- start


def test_a_second_instance_is_refused(make_edge):
    edge = make_edge()
    second = run_again(edge)
    assert second.returncode == 1
    assert "another boxedge is running" in second.stderr and f"process {edge.process.pid} " in second.stderr
    # It has touched nothing of the first: not even the authority, which another domain would need anew.
    before = edge.ca.read_bytes()
    assert run_again(edge, {"preview_domain": "other.localhost"}).returncode == 1
    assert edge.ca.read_bytes() == before
    # Nor does another run directory help where the ports are the same.
    third = run_again(edge, {"run_dir": str(edge.directory / "run3"), "admin": None})
    assert third.returncode == 1
    assert f"cannot listen on 127.0.0.1:{edge.port['tls']}" in third.stderr
    with edge.connect("health") as client:
        assert client.request(HEALTH).status == 200
    assert edge.admin_socket.is_socket()


def test_what_is_wrong_is_said_before_the_start(make_edge):
    edge = make_edge(start=False)
    edge.port = {"plain": harness.PORTS.take()}
    broken = run_again(edge, {"wrokers": 1})
    assert broken.returncode == 1 and "wrokers" in broken.stderr
    if AS_ROOT:
        nobody = run_again(edge, {"user": "no-such-user-here"})
        assert nobody.returncode == 1 and "no-such-user-here" in nobody.stderr and "useradd" in nobody.stderr
    edge.state_dir.joinpath("store").mkdir()
    edge.state_dir.joinpath("store", "data.mdb").write_bytes(b"nonsense" * 4096)
    store = run_again(edge)
    assert store.returncode == 1 and "store" in store.stderr
    shutil.rmtree(edge.state_dir / "store")
    log = run_again(edge, {"log": {"access": "/nowhere/at/all.log"}})
    assert log.returncode == 1 and "/nowhere/at/all.log" in log.stderr


def test_the_service_manager_is_told(make_edge, tmp_path):
    path = tempfile.mktemp(prefix="be-notify-", dir="/tmp")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(PATIENCE * SLOW)
        try:
            edge = make_edge(env={"NOTIFY_SOCKET": path})
            assert manager.recv(100).decode().split("\n") == [f"MAINPID={edge.process.pid}", "READY=1"]
            edge.process.terminate()
            assert manager.recv(100) == b"STOPPING=1"
        finally:
            os.unlink(path)
    edge.process.wait(PATIENCE)
    edge.kill()


# ---- rights


@pytest.mark.skipif(not AS_ROOT, reason="only root has rights to give up")
def test_workers_and_controller_have_no_rights():
    # The user has to reach the directories, which those of pytest forbid.
    directory = pathlib.Path(tempfile.mkdtemp(prefix="be-rights-", dir="/tmp"))
    directory.chmod(0o755)
    try:
        with Edge(directory / "edge", workers=2, config={"user": "nobody"}, start=False) as edge, HttpOrigin() as app:
            for folder in (edge.state_dir, edge.run_dir):
                folder.chmod(0o755)
            edge.start()
            for pid in edge.pids("worker") + edge.pids("controller"):
                status = status_of(pid)
                assert status["Uid"] == ["65534"] * 4 and status["Gid"] == ["65534"] * 4
                assert status["CapEff"] == status["CapPrm"] == ["0" * 16]
                assert status["Groups"] == ["65534"]
                assert status["NoNewPrivs"] == ["1"]
                # What can be dumped belongs to its user, what cannot to root.
                assert os.stat(f"/proc/{pid}/fd").st_uid == 0
            for pid in edge.pids():
                limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
                assert re.search(r"Max core file size +0 +0", limits)
            key = next(edge.state_dir.rglob("leaf.key"))
            assert key.stat().st_uid == 0 and key.stat().st_mode & 0o777 == 0o600
            # All works without rights: a preview is written to the store and served, over TLS too.
            host = edge.create_preview(app)
            assert edge.get(host, "/echo").status == 200
            assert edge.get(host, "/echo", kind="tls").status == 200
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def test_only_the_supervisor_is_signalled(make_edge):
    """A terminal's Ctrl-C and a service manager's stop reach every process of the group."""
    edge = make_edge()
    children = edge.pids("worker") + edge.pids("controller")
    for pid in children:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT):
            os.kill(pid, number)
    with edge.connect("health") as client:
        assert client.request(HEALTH).status == 200
    assert edge.pids("worker") + edge.pids("controller") == children
    edge.process.send_signal(signal.SIGINT)
    assert edge.process.wait(PATIENCE * SLOW) == 0
    edge.kill()
    edge.check_reports()


# ---- deaths


def test_a_killed_worker_takes_only_its_connections(make_edge, origin):
    edge = make_edge(workers=2)
    edge.expect_deaths = True
    host = edge.create_preview(origin)
    ask = f"GET /echo HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    clients = [edge.connect() for _ in range(24)]
    for client in clients:
        assert client.request(ask).status == 200
    victim = edge.pids("worker")[0]
    theirs = [client for client in clients if worker_of(edge, client) == victim]
    others = [client for client in clients if client not in theirs]
    assert theirs and others
    with Load(edge, host) as load:
        load.wait_more(50)
        start, killed = len(edge.stderr.lines), time.monotonic()
        os.kill(victim, signal.SIGKILL)
        said(edge, "is back", start)
        assert time.monotonic() - killed < 1 * SLOW
        load.wait_more(100)
    assert len(load.failures) <= 4  # each thread had at most one connection at that moment
    for client in theirs:
        assert client.wait_closed() in ("eof", "reset")
    for client in others:
        assert client.request(ask).status == 200
    for client in clients:
        client.close()
    assert "killed by signal 9" in said(edge, "died:", start)


def test_a_killed_controller_is_not_noticed_by_traffic(make_edge, origin):
    edge = make_edge(workers=1)
    edge.expect_deaths = True
    host = edge.create_preview(origin)
    with Load(edge, host) as load:
        load.wait_more(20)
        start, killed = len(edge.stderr.lines), time.monotonic()
        os.kill(edge.pids("controller")[0], signal.SIGKILL)
        said(edge, "controller is back", start)
        assert time.monotonic() - killed < 1 * SLOW
        load.wait_more(20)
    assert load.failures == []
    assert f"box-{origin.port}" in edge.command("preview", "list")
    edge.command("preview", "delete", "box", origin.port)
    assert edge.get(host, "/echo").status == 404  # the new controller is heard by the old worker


def test_a_killed_supervisor_leaves_nothing_in_the_way(make_edge, origin):
    edge = make_edge(workers=2)
    edge.expect_deaths = True
    host = edge.create_preview(origin)
    children = edge.pids("worker") + edge.pids("controller")
    with Load(edge, host) as load:
        load.wait_more(20)
        os.kill(children[0], signal.SIGSTOP)  # one that cannot end by itself
        os.kill(edge.process.pid, signal.SIGKILL)
        edge.process.wait(PATIENCE)
        again = Edge.start(edge)  # at once, the same directories and ports
        assert all(gone(pid) for pid in children)
        load.wait_more(20)
    assert again.get(host, "/echo").status == 200


def test_what_waits_in_a_queue_outlives_its_worker(make_edge):
    edge = make_edge(workers=1)
    edge.expect_deaths = True
    worker = edge.pids("worker")[0]
    os.kill(worker, signal.SIGSTOP)
    with edge.connect("health") as client:
        client.send(HEALTH)
        os.kill(worker, signal.SIGKILL)
        assert client.read_message(request_method="GET").status == 200


def test_a_controller_that_hangs_is_replaced(make_edge):
    edge = make_edge(workers=1, config={"timeouts": {"heartbeat": "1s"}})
    edge.expect_deaths = True
    (controller,) = edge.pids("controller")
    os.kill(controller, signal.SIGSTOP)
    assert f"(process {controller}) has shown no life" in said(edge, "shown no life")
    said(edge, "controller is back")
    edge.command("preview", "list")


def test_a_worker_that_hangs_is_replaced(make_edge):
    edge = make_edge(workers=1, config={"timeouts": {"heartbeat": "1s"}})
    edge.expect_deaths = True
    worker = edge.pids("worker")[0]
    os.kill(worker, signal.SIGSTOP)
    stopped = time.monotonic()
    with edge.connect("health") as client:
        client.send(HEALTH)
        assert client.read_message(request_method="GET").status == 200
    assert 0.9 < time.monotonic() - stopped < 3 * SLOW
    assert f"(process {worker}) has shown no life" in said(edge, "worker 0")
    assert gone(worker)


def test_stopping_and_continuing_everything_kills_nobody(make_edge):
    """As Ctrl-Z and fg do: that no heartbeat came meanwhile is nobody's fault."""
    edge = make_edge(workers=1, config={"timeouts": {"heartbeat": "1s"}})
    pids = edge.pids()
    os.killpg(edge.process.pid, signal.SIGSTOP)
    time.sleep(2.5)  # nothing can be awaited: everything stands still
    start = len(edge.stderr.lines)
    os.killpg(edge.process.pid, signal.SIGCONT)
    # A reload takes the supervisor through several turns, and every process answers it.
    reload(edge, {})
    reload(edge, {})
    assert edge.pids() == pids
    assert not any("no life" in line for line in edge.stderr.lines[start:])


def test_a_worker_that_keeps_dying_is_started_ever_more_seldom(make_edge):
    edge = make_edge(workers=1)
    edge.expect_deaths = True
    start = len(edge.stderr.lines)
    for _ in range(2):
        (worker,) = edge.pids("worker")
        os.kill(worker, signal.SIGKILL)
        said(edge, "is back", start)
        start = len(edge.stderr.lines)
    killed = time.monotonic()
    os.kill(edge.pids("worker")[0], signal.SIGKILL)
    said(edge, "started again in 1 s", start)
    said(edge, "is back", start)
    assert time.monotonic() - killed >= 0.95


# ---- reload


def test_reload_changes_what_it_can_in_place(make_edge, origin):
    edge = make_edge(workers=1)
    host = edge.create_preview(origin)
    held = edge.connect("plain")
    ask = f"GET /echo HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    assert held.request(ask).status == 200
    workers = edge.pids("worker")
    old_health, new_health = edge.port["health"], harness.PORTS.take()
    listeners = [entry for entry in edge.config["listeners"] if entry["kind"] != "health"]
    with Load(edge, host) as load:
        load.wait_more(20)
        reload(edge, {"listeners": [*listeners, {"kind": "health", "address": f"127.0.0.1:{new_health}"}]})
        load.wait_more(20)
    assert load.failures == []
    edge.port["health"] = new_health
    with edge.connect("health") as client:
        assert client.request(HEALTH).status == 200
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", old_health), timeout=PATIENCE)
    assert edge.pids("worker") == workers
    assert held.request(ask).status == 200  # open connections stay
    # What a configuration says counts for what comes after it.
    reload(edge, {"preview_domain": "other.localhost"})
    assert edge.get(host, "/echo").status == 421
    assert edge.get(f"box-{origin.port}.other.localhost", "/echo").status == 200
    held.close()


def test_reload_changes_the_number_of_workers(make_edge, origin):
    edge = make_edge(workers=1)
    host = edge.create_preview(origin)
    with Load(edge, host) as load:
        load.wait_more(20)
        reload(edge, {"workers": 3})
        edge.wait_until(lambda: len(edge.pids("worker")) == 3)
        load.wait_more(50)
        assert load.failures == []
        reload(edge, {"workers": 1})
        edge.wait_until(lambda: len(edge.pids("worker")) == 1)
        load.wait_more(50)
    # A connection that arrives while a socket of three closes may be reset by the kernel, no more than that.
    assert len(load.failures) <= 4
    with edge.connect("health") as client:
        assert client.request(HEALTH).status == 200


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"workers": "many"}, "workers"),
        ({"timeots": {}}, "timeots"),
        ({"run_dir": "/tmp/elsewhere"}, "run_dir: cannot change"),
        ({"state_dir": "/tmp/elsewhere"}, "state_dir: cannot change"),
        ({"user": "daemon"}, "user: cannot change"),
        ({"store": {"map_size": "1GiB"}}, "store.map_size: cannot change"),
        ({"log": {"access": "/nowhere/at/all.log"}}, "/nowhere/at/all.log"),
    ],
)
def test_a_bad_reload_changes_nothing(make_edge, origin, change, sentence):
    edge = make_edge()
    before = dict(edge.config)
    host = edge.create_preview(origin)
    lines = reload(edge, change, "not reloaded")
    assert any(sentence in line for line in lines), lines
    assert edge.get(host, "/echo").status == 200
    refused = edge.command("reload", check=False)
    assert refused.returncode != 0 and sentence.split(":")[0] in refused.stdout + refused.stderr
    edge.config = before
    reload(edge, {})


def test_a_reload_with_a_taken_port_changes_nothing(make_edge, origin):
    edge = make_edge()
    host = edge.create_preview(origin)
    listeners = edge.config["listeners"]
    taken = [*listeners, {"kind": "plain", "address": f"127.0.0.1:{origin.port}"}]
    lines = reload(edge, {"listeners": taken}, "not reloaded")
    assert any(f"cannot listen on 127.0.0.1:{origin.port}" in line for line in lines)
    assert edge.get(host, "/echo").status == 200
    assert edge.get(host, "/echo", kind="tls").status == 200
    reload(edge, {"listeners": listeners})


def test_reload_by_command_says_what_is_wrong(make_edge):
    edge = make_edge()
    edge.command("reload")
    edge.stderr.wait_for(lambda line: "reloaded: configuration 2" in line)


# ---- drain


def test_drain_lets_finish_what_is_open(make_edge, origin):
    edge = make_edge(workers=2, config={"timeouts": {"drain": "10s"}})
    host = edge.create_preview(origin)
    upload = edge.connect("tls", host)
    upload.send(f"POST /echo HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100000\r\n\r\n".encode() + b"x" * 50000)
    origin.wait(lambda o: any(b"POST /echo" in bytes(c.received) for c in o.connections))
    idle = edge.connect("plain")
    assert idle.request(f"GET /echo HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()).status == 200
    edge.process.terminate()
    assert idle.wait_closed() == "eof"
    edge.wait_until(lambda: refused(edge.port["plain"]), what="closing the listeners")
    upload.send(b"x" * 50000)
    answer = upload.read_message(request_method="POST")
    assert answer.status == 200 and b'"body_bytes": 100000' in answer.body
    assert answer.get("connection") == "close"
    assert upload.wait_closed() == "eof"
    ended = time.monotonic()
    assert edge.process.wait(PATIENCE) == 0
    assert time.monotonic() - ended < 2 * SLOW  # not the whole period
    edge.kill()
    edge.check_reports()


def frame(opcode, payload):
    """A WebSocket frame as clients send it: masked, here with zeros."""
    return bytes([0x80 | opcode, 0x80 | len(payload), 0, 0, 0, 0]) + payload


def read_frame(client, timeout=PATIENCE):
    opcode, length = client.read_exactly(2, timeout)
    assert length < 126
    return opcode & 0x0F, client.read_exactly(length)


def test_drain_closes_tunnels_with_1012(make_edge):
    edge = make_edge(config={"timeouts": {"drain": "3s"}})
    with harness.WebSocketOrigin() as app:
        host = edge.create_preview(app)
        with edge.connect("tls", host) as client:
            answer = client.request(
                f"GET /ws HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode())
            assert answer.status == 101
            edge.process.terminate()
            said(edge, "draining")
            client.send(frame(1, b"still there"))
            assert read_frame(client) == (1, b"still there")
            opcode, payload = read_frame(client)
            assert opcode == 8 and int.from_bytes(payload[:2], "big") == 1012
            client.send(frame(8, payload[:2]))
            assert client.wait_closed() in ("eof", "truncated")
        assert edge.process.wait(PATIENCE) == 0
    edge.kill()
    edge.check_reports()


def refused(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()
        return False
    except ConnectionRefusedError:
        return True


def test_drain_ends_at_its_deadline(make_edge, origin):
    edge = make_edge(config={"timeouts": {"drain": "1s"}})
    host = edge.create_preview(origin)
    upload = edge.connect("plain")
    upload.send(f"POST /echo HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100000\r\n\r\n".encode() + b"x" * 50000)
    origin.wait(lambda o: any(b"POST /echo" in bytes(c.received) for c in o.connections))
    asked = time.monotonic()
    edge.process.terminate()
    assert edge.process.wait(PATIENCE) == 0
    assert 0.9 < time.monotonic() - asked < 3 * SLOW
    assert upload.wait_closed() in ("eof", "reset")
    edge.kill()
    edge.check_reports()


def test_a_second_request_to_end_waits_for_nothing(make_edge, origin):
    edge = make_edge(config={"timeouts": {"drain": "60s"}})
    edge.expect_deaths = True
    host = edge.create_preview(origin)
    upload = edge.connect("plain")
    upload.send(f"POST /echo HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100000\r\n\r\n".encode() + b"x" * 50000)
    origin.wait(lambda o: any(b"POST /echo" in bytes(c.received) for c in o.connections))
    edge.process.terminate()
    said(edge, "draining")
    edge.process.terminate()
    edge.process.wait(PATIENCE)
    assert upload.wait_closed() in ("eof", "reset")
    edge.kill()


def test_drain_serves_what_waits_in_the_queue(make_edge):
    edge = make_edge(workers=1, config={"timeouts": {"drain": "5s"}})
    worker = edge.pids("worker")[0]
    os.kill(worker, signal.SIGSTOP)
    clients = [edge.connect("health") for _ in range(50)]
    for client in clients:
        client.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    edge.process.terminate()
    said(edge, "draining")
    os.kill(worker, signal.SIGCONT)
    for client in clients:
        assert client.read_message(request_method="GET").status == 200
        assert client.wait_closed() == "eof"
        client.close()
    assert edge.process.wait(PATIENCE) == 0
    edge.kill()
    edge.check_reports()


def test_drain_by_command(make_edge):
    edge = make_edge()
    edge.command("drain")
    assert edge.process.wait(PATIENCE) == 0
    edge.kill()
    edge.check_reports()
    assert not edge.admin_socket.exists()


# ---- the access log


def test_usr1_goes_on_in_a_new_file(make_edge, tmp_path, origin):
    log = tmp_path / "access.log"
    edge = make_edge(workers=2, config={"log": {"access": str(log)}})
    host = edge.create_preview(origin)
    with Load(edge, host, threads=2) as load:
        load.wait_more(50)
        for i in range(3):
            log.rename(tmp_path / f"access.log.{i}")
            start = len(edge.stderr.lines)
            edge.process.send_signal(signal.SIGUSR1)
            said(edge, "opened again", start)
            load.wait_more(50)
    assert load.failures == []
    edge.stop()
    parts = [path.read_text().splitlines() for path in (tmp_path / f"access.log.{i}" for i in range(3))]
    parts.append(log.read_text().splitlines())
    assert all(parts) and all(line.startswith("{") and line.endswith("}") for part in parts for line in part)
    assert sum(map(len, parts)) == load.done


# ---- a new binary


@contextlib.contextmanager
def upgraded(edge):
    """SIGUSR2; yields the process id of the new supervisor when the old one has ended."""
    old = edge.process.pid
    start = len(edge.stderr.lines)
    edge.process.send_signal(signal.SIGUSR2)
    said(edge, "serves now", start)
    new = int((edge.run_dir / "boxedge.lock").read_text())
    assert new != old
    try:
        assert edge.process.wait(PATIENCE * SLOW) == 0
        yield new
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(new, signal.SIGTERM)
        edge.wait_until(lambda: gone(new), PATIENCE * SLOW, "the end of the new supervisor")
        edge.kill()
        edge.check_reports()


def test_usr2_changes_the_binary_under_traffic(make_edge, origin):
    edge = make_edge(workers=2)
    host = edge.create_preview(origin)
    children = edge.pids("worker") + edge.pids("controller")
    with Load(edge, host) as plain, Load(edge, host, threads=2, kind="tls") as tls:
        plain.wait_more(20)
        with upgraded(edge) as new:
            assert all(gone(pid) for pid in children)
            plain.wait_more(50)
            tls.wait_more(10)
            assert plain.failures == [] and tls.failures == []
            assert f"box-{origin.port}" in edge.command("preview", "list")
            second = run_again(edge)
            assert second.returncode == 1 and f"process {new} " in second.stderr
            # And once more, from the new one.
            start = len(edge.stderr.lines)
            os.kill(new, signal.SIGUSR2)
            said(edge, "serves now", start)
            edge.wait_until(lambda: gone(new), PATIENCE * SLOW)
            newest = int((edge.run_dir / "boxedge.lock").read_text())
            plain.wait_more(50)
            os.kill(newest, signal.SIGTERM)
            plain._stop.set()
            tls._stop.set()
            edge.wait_until(lambda: gone(newest), PATIENCE * SLOW)
    assert not edge.admin_socket.exists()


def test_sessions_resume_on_another_worker_and_after_an_upgrade(make_edge):
    edge = make_edge(workers=2)
    edge.expect_deaths = True
    context = edge.context(maximum_version=ssl.TLSVersion.TLSv1_2)
    name = edge.host(1)

    def greet(session=None):
        with context.wrap_socket(edge.socket("tls"), server_hostname=name, session=session) as client:
            return client.session, client.session_reused

    session, reused = greet()
    assert not reused
    # Each connection goes to one of the two workers by chance: twenty meet both.
    assert all(greet(session)[1] for _ in range(20))
    start = len(edge.stderr.lines)
    os.kill(edge.pids("worker")[0], signal.SIGKILL)
    said(edge, "is back", start)
    assert all(greet(session)[1] for _ in range(20))
    with upgraded(edge):
        assert all(greet(session)[1] for _ in range(20))


def test_usr2_with_a_binary_that_fails_changes_nothing(tmp_path, monkeypatch, origin):
    binary, good = tmp_path / "boxedge", harness.BINARY
    shutil.copy(good, binary)
    monkeypatch.setattr(harness, "BINARY", binary)
    with Edge(tmp_path / "edge") as edge:
        edge.expect_deaths = True
        host = edge.create_preview(origin)
        workers = edge.pids("worker")
        with Load(edge, host, threads=2) as load:
            for script, sentence in (
                ("#!/bin/sh\nexit 3\n", "exit status 3"),
                ("#!/bin/sh\nkill -9 $$\n", "killed by signal 9"),
                (None, "exit status 127"),
            ):
                binary.unlink(missing_ok=True)
                if script is not None:
                    binary.write_text(script)
                    binary.chmod(0o755)
                start = len(edge.stderr.lines)
                edge.process.send_signal(signal.SIGUSR2)
                assert sentence in said(edge, "did not take over", start)
                said(edge, "controller is back", start)
                load.wait_more(20)
            shutil.copy(good, binary)
            rewrite(edge, {"timeots": {}})
            start = len(edge.stderr.lines)
            edge.process.send_signal(signal.SIGUSR2)
            assert "exit status 1" in said(edge, "did not take over", start)
            assert any("timeots" in line for line in edge.stderr.lines[start:])
            said(edge, "controller is back", start)
            load.wait_more(20)
        assert load.failures == []
        assert edge.pids("worker") == workers
        assert edge.process.poll() is None
        assert edge.admin_socket.is_socket()


# ---- limits


def test_connections_of_an_address_are_counted_over_all_workers(make_edge):
    edge = make_edge(workers=2, config={"limits": {"connections_per_client": 10}})
    edge.expect_deaths = True
    host = edge.host(1)
    ask = f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()

    def served(client):
        try:
            return client.request(ask, timeout=5 * SLOW).status == 404
        except (OSError, WireError):
            return False

    clients = [edge.connect() for _ in range(10)]
    assert all(served(client) for client in clients)
    for _ in range(4):
        with edge.connect() as over:
            assert not served(over)
    clients.pop().close()
    edge.wait_until(lambda: add_one(edge, clients, served), what="a free place")
    with edge.connect() as over:
        assert not served(over)
    # The places of a worker that is killed are free again.
    victim = worker_of(edge, clients[0])
    lost = [client for client in clients if worker_of(edge, client) == victim]
    start = len(edge.stderr.lines)
    os.kill(victim, signal.SIGKILL)
    said(edge, "is back", start)
    for client in lost:
        client.close()
        clients.remove(client)
    for _ in lost:
        clients.append(edge.connect())
        assert served(clients[-1])
    with edge.connect() as over:
        assert not served(over)
    for client in clients:
        client.close()


def add_one(edge, clients, served):
    client = edge.connect()
    if served(client):
        clients.append(client)
        return True
    client.close()
    return False


def test_over_its_limit_a_worker_lets_connections_wait(make_edge):
    edge = make_edge(workers=1, config={"limits": {"connections": 16}})
    ask = f"GET / HTTP/1.1\r\nHost: {edge.host(1)}\r\n\r\n".encode()
    clients = [edge.connect() for _ in range(16)]
    assert all(client.request(ask).status == 404 for client in clients)
    waiting = edge.connect()
    waiting.send(ask)
    assert waiting.is_silent(0.5)
    before = edge.cpu_seconds("worker")
    assert waiting.is_silent(1)
    assert edge.cpu_seconds("worker") - before < 0.2 * SLOW  # it waits, it does not spin
    clients.pop().close()
    assert waiting.read_message(request_method="GET").status == 404
    for client in [*clients, waiting]:
        client.close()


def test_without_descriptors_a_worker_goes_on(make_edge):
    edge = make_edge(workers=1)
    worker = edge.pids("worker")[0]
    ask = f"GET / HTTP/1.1\r\nHost: {edge.host(1)}\r\n\r\n".encode()
    limits = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (len(os.listdir(f"/proc/{worker}/fd")) + 20, limits[1]))
    clients = [edge.connect() for _ in range(60)]
    first = clients[0]
    assert first.request(ask).status == 404
    before = edge.cpu_seconds("worker")
    assert first.is_silent(1)
    assert edge.cpu_seconds("worker") - before < 0.3 * SLOW
    assert first.request(ask).status == 404  # those that are open are served
    for client in clients:
        client.close()
    with edge.connect() as client:
        assert client.request(ask).status == 404
