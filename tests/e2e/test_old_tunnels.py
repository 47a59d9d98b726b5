"""WebSockets outlive the workers' successors: a reload with fewer workers."""

import json

import harness
import pytest
from processes import reload
from tunnel_clients import Echoes


@pytest.fixture
def app():
    with harness.WebSocketOrigin() as running:
        yield running


def test_fewer_workers_keep_their_tunnels(make_edge, app):
    edge = make_edge(workers=3, config={"timeouts": {"drain": "100ms"}})
    host = edge.create_preview(app)
    with Echoes(edge, host, count=32) as tunnels:
        reload(edge, {"workers": 1})
        edge.wait_until(lambda: len(edge.pids("old")) == 2 and len(edge.pids("worker")) == 1)
        tunnels.echo()
        old = edge.pids("old")
        reload(edge, {"workers": 3})
        edge.wait_until(lambda: len(edge.pids("worker")) == 3, what="new workers beside the old ones")
        assert edge.pids("old") == old
        assert {worker["worker"] for worker in json.loads(edge.command("status", "--json"))["workers"]} == {0, 1, 2}
        tunnels.echo()
        reload(edge, {"workers": 1})
        tunnels.echo()
        with Echoes(edge, host, count=1) as fresh:
            fresh.echo()
        # Changes reach them like all others.
        edge.command("preview", "delete", "box", app.port, "--kill-tunnels")
        tunnels.closed_with(1008)
    edge.wait_until(lambda: edge.pids("old") == [], what="the end of the old workers")
    edge.check_reports()


def test_tunnels_in_workers_that_went_end_in_time(make_edge, app):
    edge = make_edge(workers=3, config={"timeouts": {"drain": "100ms", "drain_tunnels": "2s"}})
    with Echoes(edge, edge.create_preview(app), count=32) as tunnels:
        reload(edge, {"workers": 1})
        edge.wait_until(lambda: len(edge.pids("old")) == 2)
        edge.wait_until(lambda: edge.pids("old") == [], what="the end of the old workers")
        codes = [client.read_exactly(4)[2:4] for client in tunnels.clients if not client.is_silent(0.2)]
        assert codes and all(int.from_bytes(code, "big") == 1012 for code in codes)
    edge.check_reports()


def test_the_end_of_the_edge_waits_for_no_tunnel(make_edge, app):
    edge = make_edge(workers=3, config={"timeouts": {"drain": "1s"}})
    with Echoes(edge, edge.create_preview(app), count=32) as tunnels:
        reload(edge, {"workers": 1})
        edge.wait_until(lambda: len(edge.pids("old")) == 2)
        edge.process.terminate()
        tunnels.closed_with(1012)
        assert edge.process.wait(harness.PATIENCE) == 0
    edge.kill()
    edge.check_reports()
