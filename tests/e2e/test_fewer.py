"""A new configuration has fewer listeners or fewer workers: connections that no worker has accepted yet are served."""

import contextlib
import os
import signal

import pytest

from harness import PATIENCE, PORTS, SLOW
from processes import ends_whole, rewrite, said, upgrade

LONG = PATIENCE * SLOW


def a_listener_less(edge):
    edge.config["listeners"] = [one for one in edge.config["listeners"] if one["address"] != edge.extra]
    return {}


def a_worker_less(_):
    return {"workers": 1}


def reload(edge):
    start = len(edge.stderr.lines)
    edge.process.send_signal(signal.SIGHUP)
    return lambda: said(edge, "reloaded: configuration", start, LONG)


def hand_over(edge):
    upgrade(edge)
    return lambda: None


@pytest.mark.parametrize("how", [reload, hand_over])
@pytest.mark.parametrize("less", [a_listener_less, a_worker_less])
def test_connections_in_the_queue_are_served(make_edge, origin, less, how):
    port = PORTS.take()
    edge = make_edge(workers=2, start=False, config={"timeouts": {"heartbeat": "10m"}})
    edge.extra = f"127.0.0.1:{port}"
    edge.config["listeners"] = [*edge.config["listeners"], {"kind": "plain", "address": edge.extra}]
    edge.port["plain"] = port
    edge.start()
    host = edge.create_preview(origin)
    assert edge.get(host).status == 200
    workers = edge.pids("worker")
    with ends_whole(edge), contextlib.ExitStack() as stack:
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        try:
            clients = [stack.enter_context(edge.connect("plain")) for _ in range(30)]
            for client in clients:
                client.send(f"GET /echo HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            rewrite(edge, less(edge))
            done = how(edge)
        finally:
            for pid in workers:
                os.kill(pid, signal.SIGCONT)
        done()
        assert [client.read_message(LONG).status for client in clients] == [200] * len(clients)
