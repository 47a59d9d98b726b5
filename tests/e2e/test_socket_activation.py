"""Sockets that the edge was started with (sd_listen_fds(3)): a parent that holds them, like systemd for
boxedge.socket, loses no connection while the edge behind them is replaced."""

import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from harness import BINARY, PORTS, SLOW, Edge
from processes import Load, ends_whole, reload, rewrite, said, upgrade
from wire import PATIENCE

# Becomes the edge, with the descriptors from 3 on, for this process.
LAUNCHER = """
import os, sys
fds, program = [int(fd) for fd in sys.argv[1].split(",")], sys.argv[2:]
high = [os.dup2(fd, 200 + i) for i, fd in enumerate(fds)]
for i, fd in enumerate(high):
    os.dup2(fd, 3 + i, inheritable=True)
for fd in {*fds, *high} - set(range(3, 3 + len(fds))):
    os.close(fd)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=":".join("x" for _ in fds))
os.execv(program[0], program)
"""


def listening(port, address="127.0.0.1", kind=socket.SOCK_STREAM, listen=True, only=True):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family, kind)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(only))
    made.bind((address, port))
    if listen and kind == socket.SOCK_STREAM:
        made.listen(1)
    made.setblocking(True)  # as systemd passes them
    return made


def passing(edge, *fds):
    edge.launcher = [sys.executable, "-c", LAUNCHER, ",".join(map(str, fds))]
    edge.pass_fds = fds


@pytest.fixture
def passed(tmp_path):
    """Makes an edge whose listeners of `kinds` were passed to it."""
    made, sockets = [], []

    def make(kinds=("tls", "plain", "health"), start=True, **more):
        edge = Edge(tmp_path / "edge", start=False, **more)
        sockets.extend(listening(edge.port[kind]) for kind in kinds)
        passing(edge, *(one.fileno() for one in sockets))
        made.append(edge)
        return edge.start() if start else edge

    yield make
    for edge in made:
        edge.close()
    for one in sockets:
        one.close()


def run(edge, *sockets):
    """`boxedge run` with these sockets, for an edge that does not start."""
    passing(edge, *(one.fileno() for one in sockets))
    edge.write_config()
    return subprocess.run([*edge.launcher, str(BINARY), "run", "-c", str(edge.config_path)], pass_fds=edge.pass_fds,
                          capture_output=True, text=True, check=False, timeout=PATIENCE * SLOW)


def restart(edge):
    edge.stop()
    edge.start()


def test_a_restart_refuses_nobody(passed, origin):
    edge = passed(workers=2)
    host = edge.create_preview(origin)
    with Load(edge, host) as plain, Load(edge, host, threads=2, kind="tls") as tls:
        for _ in range(3):
            plain.wait_more(50)
            tls.wait_more(5)
            restart(edge)
        plain.wait_more(50)
        tls.wait_more(5)
    assert plain.failures == [] and tls.failures == []


def test_connections_wait_for_the_next_edge(passed, origin):
    """They connect and send requests while no process exists, and are answered; also after the whole edge was
    killed."""
    edge = passed()
    host = edge.create_preview(origin)
    for end in (edge.stop, edge.kill):
        end()
        waiting = [edge.connect("plain") for _ in range(100)]
        for client in waiting:
            client.send(f"GET /echo HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        edge.start()
        assert [client.read_answer("GET").status for client in waiting] == [200] * 100
        for client in waiting:
            client.close()


def test_a_worker_that_dies_holds_nothing_up(passed, origin):
    edge = passed(workers=2)
    edge.expect_deaths = True
    host = edge.create_preview(origin)
    for _ in range(3):
        start = len(edge.stderr.lines)
        os.kill(edge.pids("worker")[0], signal.SIGKILL)
        assert [edge.get(host, "/echo").status for _ in range(20)] == [200] * 20
        said(edge, "is back", start)


def test_reloads_keep_what_was_passed(passed, origin):
    """Workers come and go, and a listener that is removed and added again still has its socket."""
    edge = passed(workers=1)
    host = edge.create_preview(origin)
    listeners = edge.config["listeners"]
    others = [entry for entry in listeners if entry["kind"] != "plain"]
    with Load(edge, host) as load:
        load.wait_more(20)
        for workers in (3, 1):
            reload(edge, {"workers": workers})
            edge.wait_until(lambda: len(edge.pids("worker")) == workers)
            load.wait_more(50)
    assert load.failures == []
    lines = reload(edge, {"listeners": others})
    text = f"a socket was passed for 127.0.0.1:{edge.port['plain']}, where no listener is configured"
    assert any(text in line for line in lines), lines
    client = edge.connect("plain")  # it waits
    lines = reload(edge, {"listeners": listeners})
    assert not any("was passed" in line for line in lines), lines
    assert client.request(f"GET /echo HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()).status == 200
    client.close()
    # A kind of listener may change, too.
    plain = next(entry for entry in listeners if entry["kind"] == "plain")
    reload(edge, {"listeners": [*others, {**plain, "kind": "redirect"}]})
    assert edge.get(host, "/echo").status == 308


def test_upgrades_keep_what_was_passed(passed, origin):
    """Also one that no listener has at the time; and more workers later."""
    edge = passed(workers=1)
    host = edge.create_preview(origin)
    listeners = edge.config["listeners"]
    with ends_whole(edge):
        with Load(edge, host) as load, Load(edge, host, threads=1, kind="tls") as tls:
            load.wait_more(20)
            upgrade(edge)
            load.wait_more(20)
            rewrite(edge, {"workers": 2})
            upgrade(edge)
            load.wait_more(20)
        assert load.failures == [] and tls.failures == []
        rewrite(edge, {"listeners": [entry for entry in listeners if entry["kind"] != "plain"]})
        upgrade(edge)
        client = edge.connect("plain")
        rewrite(edge, {"listeners": listeners})
        edge.command("reload")
        assert client.request(f"GET /echo HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()).status == 200
        client.close()


def test_restart_after_an_upgrade(passed, origin):
    """The parent passes the same sockets to the next edge."""
    edge = passed(workers=1)
    host = edge.create_preview(origin)
    with Load(edge, host) as load:
        with ends_whole(edge):
            upgrade(edge)
            load.wait_more(20)
        edge.process = None
        edge.start()
        load.wait_more(20)
    assert load.failures == []


def test_an_edge_opens_what_was_not_passed(passed):
    edge = passed(kinds=("tls",), workers=2)
    for kind in ("plain", "redirect", "health"):
        edge.connect(kind).close()
    edge.stop()
    edge.socket("tls").close()
    for kind in ("plain", "health"):
        with pytest.raises(ConnectionRefusedError):
            edge.connect(kind)
    edge.start()


@pytest.mark.parametrize("address, only, ipv4, clients", [
    ("::1", True, False, ("::1",)),
    ("::", True, False, ("::1",)),
    ("::", False, True, ("::1", "127.0.0.1")),
])
def test_ipv6(tmp_path, address, only, ipv4, clients):
    port = PORTS.take()
    listener = {"kind": "health", "address": f"[{address}]:{port}", **({"ipv4": True} if ipv4 else {})}
    edge = Edge(tmp_path, start=False, kinds=("tls",))
    edge.config["listeners"].append(listener)
    with listening(port, address, only=only) as one:
        passing(edge, one.fileno())
        with edge.start():
            for client in clients:
                with socket.create_connection((client, port), timeout=PATIENCE) as sock:
                    sock.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
                    assert sock.recv(4096).startswith(b"HTTP/1.1 200")


# A box that answers with its environment and its open files.
BOX = """
import json, os, socket
server = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
files = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if int(fd) not in (server.fileno(),)
         and os.path.exists(f"/proc/self/fd/{fd}")]
body = json.dumps([sorted(os.environ), files]).encode()
while True:
    client = server.accept()[0]
    client.recv(65536)
    client.sendall(b"HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body) + body)
    client.close()
"""


def test_boxes_get_neither_variables_nor_sockets(passed):
    port = PORTS.take()
    user = {"user": "nobody"} if os.geteuid() == 0 else {}
    box = {"id": "web", "command": [sys.executable, "-S", "-c", BOX], "directory": "/", "ports": [port], **user}
    edge = passed(config={"processes": [box]})
    answer = edge.get(edge.create_preview(port, "web"), timeout=PATIENCE * SLOW)
    assert answer.status == 200, answer.body
    names, files = json.loads(answer.body)
    assert "PORT" in names and not [name for name in names if name.startswith("LISTEN")]
    assert not [file for file in files if file.startswith("socket:")]


# ---- mismatches


def refused_socket(kind, port):
    if kind == "local":
        made = socket.socket(socket.AF_UNIX)
        made.bind("\0boxedge-test-%d" % port)
        made.listen()
        return made
    return listening(port, kind=socket.SOCK_DGRAM if kind == "datagram" else socket.SOCK_STREAM,
                     listen=kind != "silent")


@pytest.mark.parametrize("kind, sentence", [
    ("datagram", 'the socket "x" (descriptor 3) that was passed is not a TCP socket'),
    ("silent", 'the socket "x" (descriptor 3) that was passed does not listen'),
    ("local", 'the socket "x" (descriptor 3) that was passed is neither an IPv4 nor an IPv6 socket'),
])
def test_another_kind_of_socket_ends_the_start(tmp_path, kind, sentence):
    edge = Edge(tmp_path, start=False)
    with refused_socket(kind, PORTS.take()) as one:
        done = run(edge, one)
    edge.close()
    assert done.returncode == 1 and sentence in done.stderr


def test_two_sockets_for_one_address_end_the_start(tmp_path):
    edge = Edge(tmp_path, start=False)
    with listening(edge.port["tls"]) as one, socket.fromfd(one.fileno(), one.family, one.type) as other:
        done = run(edge, one, other)
    edge.close()
    assert done.returncode == 1 and f"two sockets were passed for 127.0.0.1:{edge.port['tls']}" in done.stderr


def test_another_choice_of_ipv4_ends_the_start(tmp_path):
    edge, port = Edge(tmp_path, start=False, kinds=("tls",)), PORTS.take()
    edge.config["listeners"].append({"kind": "health", "address": f"[::]:{port}"})
    with listening(port, "::", only=False) as one:
        done = run(edge, one)
    edge.close()
    assert done.returncode == 1
    assert f"the socket for [::]:{port} that was passed takes IPv4 clients, and listeners.ipv4 says otherwise" in done.stderr


@pytest.mark.parametrize("count", ["-1", "x", "1000"])
def test_malformed_variables_end_the_start(tmp_path, count):
    edge = Edge(tmp_path, start=False)
    edge.write_config()
    done = subprocess.run(["sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh", str(BINARY), "run", "-c", str(edge.config_path)],
                          env={**os.environ, "LISTEN_FDS": count}, capture_output=True, text=True, check=False,
                          timeout=PATIENCE * SLOW)
    edge.close()
    assert done.returncode == 1 and f"LISTEN_FDS={count}" in done.stderr


def test_one_without_a_listener_is_said_and_harms_nobody(passed, origin):
    edge = passed(start=False)
    with listening(0) as one:
        passing(edge, *edge.pass_fds, one.fileno())
        edge.start()
        port = one.getsockname()[1]
        said(edge, f"a socket was passed for 127.0.0.1:{port}, where no listener is configured")
        assert edge.get(edge.create_preview(origin), "/echo").status == 200


def test_sockets_of_another_process_are_left_alone(tmp_path):
    """LISTEN_PID is not the edge: it opens its listeners itself."""
    with Edge(tmp_path, env={"LISTEN_PID": "1", "LISTEN_FDS": "3"}) as edge:
        edge.connect("plain").close()
