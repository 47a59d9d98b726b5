"""The processes of an edge: their start, their rights, their deaths and restarts, their limits."""

import contextlib
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest

import harness
import tcp_table
from harness import SLOW, Edge, HttpOrigin, RawOrigin
from processes import HEALTH, Load, gone, reload, run_again, said, upgraded
from wire import PATIENCE, WireError

AS_ROOT = os.geteuid() == 0


def status_of(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.split() for name, _, value in (line.partition(":") for line in lines)}


def inode_of(client):
    """The socket that was accepted for this connection."""
    row = tcp_table.of_ports(client.sock.getpeername()[1], client.sock.getsockname()[1])
    return str(row.inode) if row and row.inode else None


def worker_of(edge, client):
    """The worker that has accepted this connection."""
    # The kernel's list may lack an entry while others are added and removed.
    inode = edge.wait_until(lambda: inode_of(client), what="finding a connection")
    edge.open_fds()
    for pid in edge.pids("worker"):
        for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if os.readlink(fd) == f"socket:[{inode}]":
                    return pid
    raise AssertionError("no worker has the connection")


# ---- start


def test_a_second_instance_is_refused(make_edge):
    edge = make_edge()
    second = run_again(edge)
    assert second.returncode == 1
    assert "another boxedge is running" in second.stderr and f"process {edge.process.pid} " in second.stderr
    # It has changed nothing of the first: not even the authority, which another domain would need anew.
    before = edge.ca.read_bytes()
    assert run_again(edge, {"preview_domain": "other.localhost"}).returncode == 1
    assert edge.ca.read_bytes() == before
    # Nor do other directories help if the ports are the same.
    third = run_again(edge, {"run_dir": str(edge.directory / "run3"), "state_dir": str(edge.directory / "state3"),
                             "admin": None})
    assert third.returncode == 1
    assert f"cannot listen on 127.0.0.1:{edge.port['tls']}" in third.stderr
    with edge.connect("health") as client:
        assert client.request(HEALTH).status == 200
    assert edge.admin_socket.is_socket()


def test_a_second_edge_with_the_same_state_is_refused(make_edge):
    """Neither would see the other's changes: a block on one would leave the other answering."""
    edge = make_edge()
    other = {"run_dir": str(edge.directory / "run2"), "admin": None,
             "listeners": [{"kind": "plain", "address": f"127.0.0.1:{harness.PORTS.take()}"}]}
    second = run_again(edge, other)
    assert second.returncode == 1
    assert "another boxedge is running with this state_dir" in second.stderr
    assert f"process {edge.process.pid} " in second.stderr
    # A new binary takes the lock over.
    with upgraded(edge) as successor:
        second = run_again(edge, other)
        assert second.returncode == 1 and f"process {successor} " in second.stderr


def test_both_directories_may_be_one(make_edge):
    edge = make_edge(start=False)
    edge.config["state_dir"] = str(edge.run_dir)
    edge.state_dir = edge.run_dir
    edge.start()


@pytest.mark.parametrize("store", [".", "keys"])
def test_a_store_that_is_cut_short_is_refused(make_edge, store):
    edge = make_edge()
    folder = edge.state_dir / "store" / store
    edge.stop()
    os.truncate(folder / "data.mdb", 8192)
    done = run_again(edge, {})
    assert done.returncode == 1
    assert f"{folder}: data.mdb is cut short" in done.stderr and "move it away" in done.stderr
    # The advice works.
    (folder / "data.mdb").unlink()
    done = run_again(edge, {})
    note = edge.state_dir / "store.made"
    assert done.returncode == 1 and "data.mdb is missing, though the store was made" in done.stderr
    assert f"remove {note} to begin without" in done.stderr
    note.unlink()
    edge.start()


STORES = [".", "rules", "keys", "deletions", "aliases", "links"]


@pytest.mark.parametrize("which", ["file", "directory"])
@pytest.mark.parametrize("store", STORES)
def test_a_store_that_was_removed_is_no_empty_store(make_edge, store, which):
    """Its previews would be 404, its blocks would be open, its revoked keys valid."""
    edge = make_edge()
    edge.create_preview(80)
    edge.stop()
    folder = edge.state_dir / "store" / store
    shutil.copytree(edge.state_dir / "store", edge.directory / "kept")
    if which == "file":
        (folder / "data.mdb").unlink()
    else:
        shutil.rmtree(folder)
    sentence = f"the store cannot be opened: {folder}: data.mdb is missing, though the store was made"
    for command in (run_again(edge, {}), edge.command("check", check=False)):
        assert command.returncode == 1 and sentence in command.stderr, command.stderr
    assert not (folder / "data.mdb").exists()
    # A copy in its place is a store again.
    shutil.rmtree(edge.state_dir / "store", ignore_errors=True)
    shutil.move(edge.directory / "kept", edge.state_dir / "store")
    edge.start()
    assert any(preview["port"] == 80 for preview in json.loads(edge.command("preview", "list", "--json"))["previews"])


def test_a_store_that_is_cut_short_under_it_is_not_ready(make_edge):
    edge = make_edge()
    edge.expect_deaths = True
    edge.create_preview(80)
    os.truncate(edge.state_dir / "store/data.mdb", 8192)
    with edge.connect("health") as client:
        assert client.request(HEALTH).status == 503
    got = subprocess.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--unix-socket", edge.admin_socket,
                          "http://edge/readyz"], capture_output=True, text=True, check=False)
    assert got.stdout == "503"
    edge.kill()


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


def test_it_says_how_to_trust_its_own_authority(make_edge):
    edge = make_edge()
    assert f"curl --cacert {edge.ca}" in said(edge, "No certificate is configured")
    keys = list(edge.state_dir.rglob("*.key"))
    assert len(keys) == 2 and all(key.stat().st_mode & 0o777 == 0o600 for key in keys)


@pytest.mark.parametrize("delay, most", [("0s", [29]), ("60s", [89])])
def test_the_service_manager_is_told(make_edge, delay, most):
    """The drain of 2 s, the delay before it, and the ends of all processes."""
    path = tempfile.mktemp(prefix="be-notify-", dir="/tmp")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(PATIENCE * SLOW)
        try:
            edge = make_edge(env={"NOTIFY_SOCKET": path}, config={"timeouts": {"drain_delay": delay}})
            assert manager.recv(100).decode().split("\n") == [f"MAINPID={edge.process.pid}", "STATUS=serving", "READY=1"]
            edge.process.terminate()
            for seconds in most:
                assert manager.recv(100).decode().split("\n") == ["STOPPING=1", f"EXTEND_TIMEOUT_USEC={seconds}000000"]
            if delay != "0s":
                edge.process.terminate()  # a second signal ends the edge at once
        finally:
            os.unlink(path)
    edge.process.wait(PATIENCE)
    edge.kill()


def messages_of_a_watchdog(make_edge, env, count):
    """The first messages to a service manager with a watchdog of 1 s, without its ends."""
    path = tempfile.mktemp(prefix="be-notify-", dir="/tmp")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(PATIENCE * SLOW)
        try:
            make_edge(env={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "1000000", **env}).stop()
            received = [manager.recv(100).decode() for _ in range(count)]
        finally:
            os.unlink(path)
    return received


def test_the_watchdog_of_the_service_manager_sees_life(make_edge):
    """Each turn of the supervisor, at least every 500 ms; not if another process has that duty."""
    assert "WATCHDOG=1" in messages_of_a_watchdog(make_edge, {}, 1)
    others = messages_of_a_watchdog(make_edge, {"WATCHDOG_PID": "1"}, 2)
    assert not [message for message in others if "WATCHDOG" in message]


# ---- rights


@pytest.mark.skipif(not AS_ROOT, reason="only root has rights to give up")
def test_workers_and_controller_have_no_rights():
    # The user has to reach the directories, which pytest's forbid.
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
                # Dumpable processes belong to their user, others to root.
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
        assert time.monotonic() - killed < 5 * SLOW
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
        assert time.monotonic() - killed < 5 * SLOW
        load.wait_more(20)
    assert load.failures == []
    assert f"box-{origin.port}" in edge.command("preview", "list")
    edge.command("preview", "delete", "box", origin.port)
    assert edge.get(host, "/echo").status == 404  # the new controller reaches the old worker


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
        again = Edge.start(edge)  # immediately, the same directories and ports
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
    """As with Ctrl-Z and fg: the missing heartbeats are nobody's fault."""
    edge = make_edge(workers=1, config={"timeouts": {"heartbeat": "1s"}})
    pids = edge.pids()
    os.killpg(edge.process.pid, signal.SIGSTOP)
    time.sleep(2.5)  # no event can be awaited: everything stands still
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
            said(edge, "reopened", start)
            load.wait_more(50)
    assert load.failures == []
    edge.stop()
    parts = [path.read_text().splitlines() for path in (tmp_path / f"access.log.{i}" for i in range(3))]
    parts.append(log.read_text().splitlines())
    assert all(parts) and all(line.startswith("{") and line.endswith("}") for part in parts for line in part)
    assert sum(map(len, parts)) == load.done


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
    # The places of a killed worker are free again.
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
    """If none of its connections is idle."""
    edge = make_edge(workers=1, config={"limits": {"connections": 16}})
    ask = f"GET / HTTP/1.1\r\nHost: {edge.host(1)}\r\n\r\n".encode()
    with RawOrigin(lambda conn: conn.wait_closed(3600)) as app:
        busy = f"GET / HTTP/1.1\r\nHost: {edge.create_preview(app)}\r\n\r\n".encode()
        clients = [edge.connect() for _ in range(16)]
        for client in clients:
            client.send(busy)
        app.wait_connections(16)
        waiting = edge.connect()
        waiting.send(ask)
        assert waiting.is_silent(0.5)
        before = edge.cpu_seconds("worker")
        assert waiting.is_silent(1)
        assert edge.cpu_seconds("worker") - before < 0.2 * SLOW  # it waits without spinning
        clients.pop().close()
        assert waiting.read_message(request_method="GET").status == 404
        for client in [*clients, waiting]:
            client.close()


def test_without_descriptors_a_worker_goes_on(make_edge):
    edge = make_edge(workers=1)
    worker = edge.pids("worker")[0]
    ask = f"GET / HTTP/1.1\r\nHost: {edge.host(1)}\r\n\r\n".encode()
    limits = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (edge.open_fds() + 20, limits[1]))
    clients = [edge.connect() for _ in range(60)]
    first = clients[0]
    assert first.request(ask).status == 404
    before = edge.cpu_seconds("worker")
    assert first.is_silent(1)
    assert edge.cpu_seconds("worker") - before < 0.3 * SLOW
    assert first.request(ask).status == 404  # open ones are served
    for client in clients:
        client.close()
    with edge.connect() as client:
        assert client.request(ask).status == 404
