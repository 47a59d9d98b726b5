"""An upgrade to a program whose shared memory has another layout: WebSockets have timeouts.drain_tunnels, and
limits and drained servers stay as they are."""

import contextlib
import json
import threading

import harness
import pytest
from api_world import API, answer, api_config, call, error
from harness import SLOW, Edge, RawOrigin
from processes import change_layout, ends_whole, gone, said, serving, upgrade, upgrade_whole
from tunnel_clients import Echoes
from wire import PATIENCE


@pytest.fixture
def app():
    with harness.WebSocketOrigin() as running:
        yield running


def to_another_layout(edge):
    """Upgrades; returns the old supervisor."""
    old, start = serving(edge), len(edge.stderr.lines)
    change_layout(edge)
    upgrade_whole(edge)
    said(edge, "the shared memory of the previous process has another layout: counters start anew", start)
    return old


def generations(edge):
    return json.loads(edge.command("status", "--json"))["generations"]


def test_status_shows_generations_of_other_layouts(make_edge, app):
    edge = make_edge(workers=2, config={"timeouts": {"drain": "100ms"}})
    with ends_whole(edge):
        host = edge.create_preview(app)
        with Echoes(edge, host, count=3) as oldest:
            first = to_another_layout(edge)
            with Echoes(edge, host, count=2) as middle:
                second = to_another_layout(edge)
                edge.wait_until(lambda: [(g["pid"], g["tunnels_open"], g["serves"]) for g in generations(edge)] ==
                                [(first, 3, False), (second, 2, False), (serving(edge), 0, True)],
                                what="three generations")
                # Longer than an old worker has without tunnels: timeouts.drain, and 2 s until it is killed.
                edge.wait_until(lambda: generations(edge)[1]["tunnels_left_s"] <= 3596, what="four seconds")
                oldest.echo()
                middle.echo()
                # Requests in flight, too, are those of all generations.
                shown = json.loads(edge.command("requests", "--json"))
                assert len(shown["requests"]) == 5, shown
            edge.wait_until(lambda: gone(second), PATIENCE * SLOW, "the end of the second edge")
        edge.wait_until(lambda: len(generations(edge)) == 1, PATIENCE * SLOW, "the end of the first edge")


def test_tunnels_of_another_layout_end_by_drain_tunnels(make_edge, app):
    edge = make_edge(workers=2, config={"timeouts": {"drain": "100ms", "drain_tunnels": "5s"}})
    with ends_whole(edge), Echoes(edge, edge.create_preview(app)) as tunnels:
        start = len(edge.stderr.lines)
        old = to_another_layout(edge)
        said(edge, "draining: open requests and WebSockets have 5000 ms", start)
        tunnels.closed_with(1012)
        edge.wait_until(lambda: gone(old), PATIENCE * SLOW, "the end of the old edge")


def test_upgrade_now_ends_tunnels_of_another_layout(make_edge, app):
    edge = make_edge(workers=1, config={"timeouts": {"drain": "1s"}})
    with ends_whole(edge), Echoes(edge, edge.create_preview(app)) as tunnels:
        old = to_another_layout(edge)
        tunnels.echo()
        change_layout(edge)
        assert "serves now" in edge.command("upgrade", "--now")
        tunnels.closed_with(1012)
        edge.wait_until(lambda: gone(old), PATIENCE * SLOW, "the end of the first edge")


@pytest.mark.parametrize("renew", [upgrade, to_another_layout])
def test_limits_and_drained_servers_survive(tmp_path, renew):
    plans = [{"name": "two", "rate": "1/h", "burst": 2}, {"name": "free", "rate": "0"}]
    with RawOrigin(answer("a")) as one, RawOrigin(answer("b")) as other:
        config = api_config([one.port, other.port], keys={"k": ("ci", "two"), "k-free": ("bot", "free")}, plans=plans)
        with Edge(tmp_path, workers=2, config=config) as edge, ends_whole(edge):
            drained = f"127.0.0.1:{one.port}"
            edge.command("upstream", "drain", "api", drained)
            assert [call(edge, key="k").status for _ in range(3)] == [200, 200, 429]
            for _ in range(2):
                renew(edge)
                refused = call(edge, key="k")
                assert (refused.status, error(refused)) == (429, "rate_limited")
                assert {call(edge, key="k-free").body for _ in range(6)} == {b"b"}
                servers = json.loads(edge.command("upstream", "list", "--json"))["upstreams"][0]["servers"]
                assert {s["server"]: s["drained"] for s in servers} == {drained: True, f"127.0.0.1:{other.port}": False}
            edge.command("upstream", "undrain", "api", drained)
            edge.wait_until(lambda: call(edge, key="k-free").body == b"a", what="the server's return")


@pytest.mark.parametrize("renew", [upgrade, to_another_layout])
def test_requests_in_a_queue_are_served(tmp_path, renew):
    """Those that wait for a slot at the API's servers."""
    go = threading.Event()

    def held(conn):
        while conn.read_request(timeout=3600) is not None:
            assert go.wait(3600)
            conn.send(answer("ok"))

    def waiting():
        return json.loads(edge.command("upstream", "list", "--json"))["upstreams"][0]["waiting"]

    with RawOrigin(held) as server:
        config = api_config([server.port], upstream={"in_flight": 1, "queue_timeout": "5m"}, plans=[])
        with Edge(tmp_path, workers=2, config=config) as edge, ends_whole(edge), contextlib.ExitStack() as stack:
            clients = [stack.enter_context(contextlib.closing(edge.connect("plain"))) for _ in range(3)]
            for client in clients:
                client.send(f"GET /v2/box HTTP/1.1\r\nHost: {API}\r\nX-Box-Api-Key: k\r\n\r\n".encode())
            edge.wait_until(lambda: waiting() == 2, what="two requests that wait")
            renew(edge)
            go.set()
            for client in clients:
                served = client.read_message(request_method="GET")
                assert (served.status, served.body) == (200, b"ok")
