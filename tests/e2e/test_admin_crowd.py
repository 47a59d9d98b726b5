"""Idle connections hold every place of a local server: new clients still get in."""

import contextlib
import re
import socket

from harness import PATIENCE, SLOW
from test_descriptors import limit
from wire import is_closed

LONG = PATIENCE * SLOW
PLACES = 256 + 16  # admin_internal.h, local_server.h
BODY = b'{"kind": "cidr", "value": "192.0.2.1"}'
SAID = "boxedge[controller]: the admin socket has no place left"


def connect(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(LONG)
    sock.connect(str(path))
    return sock


def figure(text, name):
    return int(re.search(rf'^{name}{{server="admin"}} (\d+)$', text, re.M)[1])


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
        edge.said(SAID)
        used = held[sum(gone)]  # the next to be dropped, but for its request
        used.setblocking(True)
        used.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert used.recv(4096).startswith(b"HTTP/1.1 200")
        edge.command("status", "--ready")
        assert not is_closed(used)
    edge.wait_until(lambda: figure(edge.command("metrics"), "boxedge_admin_connections_open") == 1, LONG, "room")
    with idle(edge, PLACES):  # again
        edge.command("status")
        edge.said(SAID, times=2)


def test_requests_under_way_are_kept(make_edge):
    """A further request gets the reason of its refusal, on a connection that was free for it."""
    edge = make_edge()
    with contextlib.ExitStack() as stack:
        busy = [stack.enter_context(connect(edge.admin_socket)) for _ in range(PLACES - 16)]
        for sock in busy:  # the edge says of each that it reads its body: a later request is one too many
            sock.sendall(b"POST /v1/blocks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                         b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(BODY))
        for sock in busy:
            assert sock.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
            sock.sendall(BODY[:1])
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
