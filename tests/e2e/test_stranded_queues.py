"""Workers that cannot accept, for each reason: the kernel still gives them their share of new connections,
and another worker serves these."""
import contextlib
import os
import signal
import socket

import pytest

import harness
from dataplane import metric

CONNECTIONS = 40  # the kernel spreads them by their ports: none at a worker of two has a chance of 1 in 2 ** 40


def workers(edge):
    return sorted(edge.pids("worker"))


def serve_all(edge, host):
    """Every one of many fresh connections is served, one after another."""
    for _ in range(CONNECTIONS):
        assert edge.get(host, "/echo", timeout=harness.PATIENCE).status == 200


def test_a_worker_that_dies_again_and_again(make_edge, origin):
    edge = make_edge(workers=2)
    edge.expect_deaths = True
    host = edge.create_preview(origin)
    healthy, victim = workers(edge)
    # Until the pause is 8 s: connections in the dead worker's queue wait longer than any client.
    while True:
        mark = len(edge.stderr.lines)
        os.kill(victim, signal.SIGKILL)
        line = edge.stderr.wait_for(lambda line: "is back" in line or "it is started again in" in line, start=mark)
        if "in 8 s" in line:
            break
        edge.stderr.wait_for(lambda line: "is back" in line, start=mark)
        victim = next(pid for pid in workers(edge) if pid != healthy)
    serve_all(edge, host)
    assert workers(edge) == [healthy], "the worker came back before the connections were served: nothing was shown"
    edge.wait_until(lambda: len(workers(edge)) == 2, what="the worker's successor")
    serve_all(edge, host)


def test_a_worker_that_is_stopped(make_edge, origin):
    # The watchdog would replace it; here it has longer than any client waits.
    edge = make_edge(workers=2, config={"timeouts": {"heartbeat": "60s"}})
    host = edge.create_preview(origin)
    victim = workers(edge)[0]
    os.kill(victim, signal.SIGSTOP)
    try:
        serve_all(edge, host)
        # A reload does not end this: the queue is lent under the new configuration, too.
        os.kill(victim, signal.SIGCONT)
        edge.command("reload")
        os.kill(victim, signal.SIGSTOP)
        serve_all(edge, host)
    finally:
        os.kill(victim, signal.SIGCONT)
    serve_all(edge, host)


def occupy(edge, host, kind):
    """A connection with a request that does not end: an idle one would make room for others."""
    stream = edge.connect(kind, host=host)
    stream.send(f"GET /echo HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert stream.read_message().status == 200
    stream.send(f"POST /echo HTTP/1.1\r\nHost: {host}\r\nContent-Length: 9\r\n\r\n".encode())
    return stream


@pytest.mark.parametrize("kind", ["plain", "tls"])
def test_a_worker_that_is_full(make_edge, origin, kind):
    most = 16
    edge = make_edge(workers=2, config={"limits": {"connections": most, "connections_per_client": 0}})
    host = edge.create_preview(origin)
    with contextlib.ExitStack() as open_ones:
        def connections():
            return metric(edge, 'worker_connections_open{worker="0"}')
        while (before := connections()) < most:
            stream = occupy(edge, host, kind)
            if connections() > before:
                open_ones.enter_context(stream)
            else:
                stream.close()  # the other worker has it, which needs room for it
        edge.wait_until(lambda: metric(edge, 'worker_connections_open{worker="1"}') == 0, what="room")
        # The kernel gives worker 0 its share of these, too.
        for _ in range(most - 1):
            open_ones.enter_context(occupy(edge, host, kind))
        assert connections() == most


def test_the_metric_of_a_full_worker(make_edge):
    most = 16
    edge = make_edge(workers=1, config={"limits": {"connections": most, "connections_per_client": 0}})

    def full():
        return metric(edge, 'worker_full{worker="0"}') == 1
    assert not full()
    with contextlib.ExitStack() as open_ones:
        for _ in range(most):
            open_ones.enter_context(socket.create_connection(("127.0.0.1", edge.port["plain"]))).sendall(b"GET / HTTP/1.1\r\n")
        edge.wait_until(full, what="the metric")
        done = edge.command("status", "--ready", check=False)
        assert done.returncode == 1 and "no worker has room for a connection" in done.stderr, done
    edge.wait_until(lambda: not full(), what="room")
    edge.command("status", "--ready")
