"""The end of an edge: open work may finish in time, and no waiting request is lost."""

import os
import signal
import socket
import time

import pytest

import harness
from harness import SLOW
from processes import gone, said
from tunnel_clients import frame, read_frame
from wire import PATIENCE


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


def admin_ready(edge):
    with harness.Stream(socket.socket(socket.AF_UNIX)) as client:
        client.sock.connect(str(edge.admin_socket))
        return client.request(b"GET /readyz HTTP/1.1\r\nHost: admin\r\n\r\n").status


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


def test_a_drain_can_be_awaited(make_edge, origin):
    """Like systemd, which does not wait for an edge of an upgrade."""
    edge = make_edge(config={"timeouts": {"drain": "30s"}})
    host = edge.create_preview(origin)
    with edge.connect("plain") as client:
        client.send(f"GET /slow?ms=1500 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        edge.wait_until(lambda: origin.requests, what="the request to be under way")
        assert edge.command("drain", "--wait").endswith("The edge has ended.\n")
        assert gone(edge.process.pid)
        assert client.read_answer("GET").status == 200
    assert edge.process.wait(PATIENCE) == 0
    refused = edge.command("drain", "--wait", check=False)
    assert refused.returncode == 1 and "the edge is not running" in refused.stderr
    edge.kill()
    edge.check_reports()


def ready(edge):
    with edge.connect("health") as client:
        return client.request(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n").status


@pytest.mark.parametrize("ask", ["signal", "command"])
def test_a_load_balancer_has_time_to_notice(make_edge, origin, ask):
    """First it is not ready, and still serves new requests on any worker; then the drain begins."""
    edge = make_edge(workers=2, config={"timeouts": {"drain_delay": "1h"}})
    edge.expect_deaths = True
    host = edge.create_preview(origin)
    assert ready(edge) == 200 and admin_ready(edge) == 200
    assert edge.command("status", "--ready") == "ready\n"
    if ask == "signal":
        edge.process.terminate()
    else:
        edge.command("drain")
    said(edge, "leaving")
    edge.wait_until(lambda: admin_ready(edge) == 503, what="the controller to be unready")
    judged = edge.command("status", "--ready", check=False)
    assert (judged.returncode, judged.stdout, judged.stderr) == (1, "", "boxedge: the edge is not ready: draining\n")
    # Until every worker knows: the kernel gives each connection to some worker.
    edge.wait_until(lambda: all(ready(edge) == 503 for _ in range(20)), what="both workers to be unready")
    for _ in range(20):
        assert edge.get(host, "/echo").status == 200
    # A worker that starts now is no more ready than the others.
    victim = edge.pids("worker")[0]
    os.kill(victim, signal.SIGKILL)
    edge.wait_until(lambda: victim not in edge.pids("worker") and len(edge.pids("worker")) == 2, what="a new worker")
    said(edge, "is back")
    edge.wait_until(lambda: all(ready(edge) == 503 for _ in range(20)), what="the new worker to be unready")
    assert edge.get(host, "/echo").status == 200
    edge.process.send_signal(signal.SIGUSR2)
    said(edge, "the edge is ending")
    edge.process.terminate()
    said(edge, "draining")
    assert edge.process.wait(PATIENCE) == 0
    edge.kill()


def test_the_drain_begins_after_its_delay(make_edge):
    edge = make_edge(config={"timeouts": {"drain_delay": "300ms"}})
    edge.process.terminate()
    assert edge.process.wait(PATIENCE) == 0
    order = [line for line in edge.stderr.lines if "leaving: " in line or "draining: " in line]
    assert "leaving" in order[0] and "draining" in order[1]
    edge.kill()
    edge.check_reports()
