"""Idle connections hold every place of a local server: new clients still get in."""

import contextlib
import os
import re
import socket
import tempfile
import threading

import pytest
from harness import PATIENCE, SLOW, Lines
from test_descriptors import limit
from test_metrics_command import Server

LONG = PATIENCE * SLOW
PLACES = 256 + 16  # admin_internal.h, local_server.h
BODY = b'{"kind": "cidr", "value": "192.0.2.1"}'
SAID = "boxedge[controller]: the admin socket has no place left"


def connect(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(LONG)
    sock.connect(str(path))
    return sock


def is_closed(sock):
    sock.setblocking(False)
    try:
        return sock.recv(1) == b""
    except BlockingIOError:
        return False


def figure(text, name):
    return int(re.search(rf"^{name} (\d+)$", text, re.M)[1])


@contextlib.contextmanager
def idle(edge, count):
    """Connections without a request. The admin API answers on a later one, so all of them have arrived."""
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(connect(edge.admin_socket)) for _ in range(count)]
        yield held


def test_idle_connections_lock_nobody_out(make_edge):
    edge = make_edge()
    with idle(edge, PLACES) as held:
        assert "worker 0" in edge.command("status")
        with idle(edge, 20):
            edge.command("status", "--ready")
            text = edge.command("metrics")
        gone = [is_closed(sock) for sock in held]
        assert gone == sorted(gone, reverse=True) and 21 <= sum(gone) <= 23  # those that came first
        assert figure(text, "boxedge_admin_connections_given_up_total") == sum(gone)
        assert figure(text, "boxedge_admin_connections_open") == PLACES
        assert figure(text, "boxedge_admin_refused_total") == 0
        assert len([line for line in edge.stderr.lines if SAID in line]) == 1
        used = held[sum(gone)]  # the next to be dropped, but for its request
        used.setblocking(True)
        used.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert used.recv(4096).startswith(b"HTTP/1.1 200")
        edge.command("status", "--ready")
        assert not is_closed(used)
    edge.wait_until(lambda: figure(edge.command("metrics"), "boxedge_admin_connections_open") == 1, LONG, "room")
    with idle(edge, PLACES):  # again
        edge.command("status")
        assert len([line for line in edge.stderr.lines if SAID in line]) == 2


def test_requests_under_way_are_kept(make_edge):
    """A further request gets the reason of its refusal, on a connection that was free for it."""
    edge = make_edge()
    with contextlib.ExitStack() as stack:
        busy = [stack.enter_context(connect(edge.admin_socket)) for _ in range(PLACES - 16)]
        for sock in busy:
            sock.sendall(b"POST /v1/blocks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                         b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY[:1]))
        edge.wait_until(lambda: edge.command("status", check=False).returncode == 1, LONG, "256 requests to be read")
        for _ in range(20):
            done = edge.command("status", check=False)
            assert done.returncode == 1 and "has 256 requests under way, its maximum" in done.stderr, done.stderr
        edge.stderr.wait_for(lambda line: "the admin socket has 256 requests under way, its maximum" in line, LONG)
        busy[0].sendall(BODY[1:])
        assert busy[0].recv(4096).startswith(b"HTTP/1.1 201")
        assert not any(is_closed(sock) for sock in busy[1:])
        edge.command("status")
        assert figure(edge.command("metrics"), "boxedge_admin_refused_total") >= 20
    edge.command("status")


def test_a_lack_of_descriptors_closes_idle_connections(make_edge):
    """The controller may have few descriptors: that many connections are no reason either."""
    edge = make_edge()
    (controller,) = edge.pids("controller")
    limit(controller, 96, 128)
    with idle(edge, 120):
        edge.command("status")
        edge.command("metrics")
    assert edge.pids("controller") == [controller]


@pytest.fixture(name="server")
def fixture_server(edge):
    server = Server("--socket", edge.admin_socket)
    server.stderr = Lines(open(server.process.stderr.fileno(), "rb", closefd=False))
    yield server
    server.process.terminate()
    assert server.process.wait(LONG) == 0


def test_idle_clients_do_not_lock_prometheus_out(server):
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_connection(("127.0.0.1", server.port), LONG)) for _ in range(64 + 16 + 5)]
        status, _, text = server.get()
        assert status == 200 and figure(text, "boxedge_admin_connections_open") == 1
        assert figure(text, "boxedge_exporter_connections_given_up_total") == 6
        assert [is_closed(sock) for sock in held] == [True] * 6 + [False] * 79
    assert [line for line in server.stderr.lines if "all connections are in use" in line] == server.stderr.lines


def test_a_huge_answer_is_bounded(tmp_path):
    with socket.socket(socket.AF_UNIX) as edge, tempfile.TemporaryDirectory() as folder:
        edge.bind(f"{folder}/admin.sock")
        edge.listen(8)
        server = Server("--socket", f"{folder}/admin.sock")

        def answer():
            with edge.accept()[0] as sock, contextlib.suppress(OSError):
                sock.recv(4096)
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
                for _ in range(17):
                    sock.sendall(b"#" * 1048576)

        thread = threading.Thread(target=answer)
        thread.start()
        assert server.get() == (503, "text/plain; charset=utf-8", "The edge's metrics are too large.\n")
        thread.join(LONG)
        server.process.terminate()
        assert "the edge's metrics are larger than 16777216 bytes" in server.process.communicate(timeout=LONG)[1]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
def test_a_server_without_rights_says_so(make_edge):
    edge = make_edge()
    os.chmod(edge.run_dir, 0o755)
    server = Server("--socket", edge.admin_socket, user=65534, group=65534, extra_groups=[])
    for _ in range(2):
        assert server.get()[::2] == (503, "The user of this server may not use the edge's admin socket.\n")
    server.process.terminate()
    said = server.process.communicate(timeout=LONG)[1]
    assert said == (f"boxedge metrics: this user may not use {edge.admin_socket}: run this command as root, or as a user "
                    "of the socket's group\n")
