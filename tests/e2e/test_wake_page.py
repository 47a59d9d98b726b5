"""The view of programs while a box sleeps and wakes: preflights, requests that wake nothing, the waiting
page's answer, the events of a wake, and its log lines. test_wake_chromium.py has the page in a browser."""

import base64
import json

import pytest

from access_world import Made
from h2wire import Client
from harness import SLOW, Edge
from sleepers import Events, Sleepers
from wire import WireError

NAVIGATION = ("Sec-Fetch-Mode: navigate", "Accept: text/html")
PREFLIGHT = ("Origin: https://app.example", "Access-Control-Request-Method: PUT",
             "Access-Control-Request-Headers: authorization, x-a")
EVENTS = "/.well-known/boxedge/wake"


class World:
    def __init__(self, directory):
        self.sleepers = Sleepers()
        self.edge = Edge(directory, workers=2, config={
            **self.sleepers.config, "wake": {"page_after": f"{200 * SLOW}ms", "per_client": 0}})
        self.plane = self.sleepers.plane

    def add(self, box_id, *options, **how):
        box = self.sleepers.add(box_id, **how)
        box.host = self.edge.create_preview(box.port, box_id, *options)
        return box

    def line(self, box, **equal):
        return self.edge.wait_for_line(box=box.id, **equal)

    def close(self):
        self.edge.close()
        self.sleepers.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    running = World(tmp_path_factory.mktemp("edge"))
    yield running
    running.close()


# ---- requests that wake nothing


def test_a_preflight_of_an_origin_on_the_list_may_bring_credentials(world):
    box = world.sleepers.add("preflight-listed")
    Made(world.edge, box.id, box.port, "bearer", "--allow-origin", "https://app.example")
    for origin, allowed in (("https://app.example", "true"), ("https://other.example", None)):
        fields = [f"Origin: {origin}", "Access-Control-Request-Method: PUT"]
        got = world.edge.get(world.edge.host(box.port, box.id), "/api", "tls", fields, "OPTIONS")
        assert (got.status, got.get("access-control-allow-origin")) == (204, origin)
        assert got.get("access-control-allow-credentials") == allowed


@pytest.mark.parametrize("kind", ["public", "bearer"])
def test_preflights_of_a_box_that_sleeps(world, kind):
    box = world.sleepers.add(f"preflight-{kind}")
    made = Made(world.edge, box.id, box.port, kind)
    host = world.edge.host(box.port, box.id)
    for listener in ("tls", "plain"):
        got = world.edge.get(host, "/api", listener, PREFLIGHT, "OPTIONS")
        assert got.status == 204 and got.body == b""
        assert got.get("access-control-allow-origin") == "https://app.example"
        assert got.get("access-control-allow-methods") == "PUT"
        assert got.get("access-control-allow-headers") == "authorization, x-a"
        assert got.get("access-control-max-age") == "0"
        assert "origin" in got.get("vary").lower() and got.get("x-request-id")
        assert got.get("access-control-allow-credentials") is None
    line = world.line(box, status=204)
    assert (line["reason"], line["wake"], line["wake_ms"]) == ("preflight_asleep", "refused", 0)
    # The request that follows is judged, and wakes it.
    assert box.resumes == 0
    box.resume()
    box.listen()
    fields = ["Origin: https://app.example", *([f"X-Preview-Token: {made.token}"] if kind == "bearer" else ())]
    if kind == "bearer":
        assert world.edge.get(host, "/api", fields=fields[:1], method="PUT").status == 401
        assert box.resumes == 0
    assert world.edge.get(host, "/api", fields=fields, method="POST").status == 200
    assert box.resumes == 1
    # Now the app is asked.
    got = world.edge.get(host, "/api", fields=PREFLIGHT, method="OPTIONS")
    assert got.status == 200 and box.requests[-1][0] == "OPTIONS"


def test_requests_that_wake_nothing(world):
    box = world.add("quiet")
    for path, fields in (("/favicon.ico?v=1", ()), ("/robots.txt", ()), ("/", ["X-Box-No-Wake: 1"]),
                         ("/", ["Sec-Purpose: prefetch;prerender", *NAVIGATION]), ("/", ["Purpose: prefetch"])):
        got = world.edge.get(box.host, path, fields=fields)
        assert got.status == 503 and got.get("retry-after") == "60"
        if NAVIGATION[0] not in fields:
            assert json.loads(got.body)["code"] == "box_asleep"
        assert world.line(box, path=path, status=503)["wake"] == "refused"
    # A WebSocket's handshake with that wish, too.
    got = world.edge.get(box.host, "/", fields=["Upgrade: websocket", "Connection: Upgrade", "X-Box-No-Wake: 1",
                                                "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="])
    assert got.status == 503
    with Events(world.edge, box.host) as events:
        assert events.next() == ("asleep", {})
        assert events.next() is None
    assert box.resumes == 0 and box.requests == []


def test_a_client_over_its_rate(make_edge, world):
    edge = make_edge(config={**world.sleepers.config, "wake": {"per_client": 3, "page_after": "10ms"}})
    boxes = [world.sleepers.add(f"many-{i}") for i in range(5)]
    hosts = [edge.create_preview(box.port, box.id) for box in boxes]
    got = [edge.get(host, fields=NAVIGATION) for host in hosts]
    assert [r.status for r in got] == [503, 503, 503, 429, 429]
    assert int(got[3].get("retry-after")) > 0
    assert edge.wait_for_line(status=429)["reason"] == "wake_rate"
    edge.wait_until(lambda: [box.resumes for box in boxes] == [1, 1, 1, 0, 0], what="three resumes")
    for box in boxes:
        box.resume()


# ---- the page


def test_the_page_is_an_answer_like_others(world):
    box = world.add("paged")
    got = world.edge.get(box.host, "/x?y", "tls", NAVIGATION)
    assert got.status == 503 and got.get("retry-after") == "5" and got.get("cache-control") == "no-store"
    assert got.get("content-type") == "text/html; charset=utf-8"
    nonce = got.get("content-security-policy").split("'nonce-")[1].split("'")[0]
    assert f'<script nonce="{nonce}">'.encode() in got.body
    assert world.edge.get(box.host, "/x?y", "tls", NAVIGATION, "HEAD").status == 503
    line = world.line(box, wake="page", method="GET")
    assert line["reason"] == "waking" and line["wake_ms"] >= 200 * SLOW - 1 and line["request_id"].encode() in got.body
    assert world.plane.count("resume", "paged") == 1
    box.resume()


def test_a_program_waits(world):
    """fetch and others are held, whatever they accept; their answer includes the time of the wake."""
    box = world.add("held")
    with world.edge.connect("plain", box.host) as client:
        client.send(f"GET /data HTTP/1.1\r\nHost: {box.host}\r\nAccept: */*\r\nSec-Fetch-Mode: cors\r\n\r\n".encode())
        # It waits; then the page's time passes for another request, which gets the page.
        world.plane.wait_calls("resume", 1, "held")
        assert world.edge.get(box.host, fields=NAVIGATION).status == 503
        box.resume()
        box.listen()
        got = client.read_message(request_method="GET")
    assert got.status == 200
    timings = got.all("server-timing")
    assert timings[0] == "app;dur=1.5"
    assert [part.split(";")[0] for part in timings[1].split(", ")] == ["resume", "listen", "origin"]
    resume = float(timings[1].split("dur=")[1].split(",")[0])
    assert resume >= 200 * SLOW - 1
    line = world.line(box, wake="ok")
    assert line["status"] == 200 and line["wake_ms"] >= resume - 5 and box.resumes == 1
    # The next did not wait.
    got = world.edge.get(box.host, "/again")
    assert got.all("server-timing") == ["app;dur=1.5"]
    assert "wake" not in world.line(box, path="/again")


def test_a_client_that_leaves(world):
    box = world.add("left")
    with world.edge.connect("plain", box.host) as client:
        client.send(f"GET /gone HTTP/1.1\r\nHost: {box.host}\r\n\r\n".encode())
        world.plane.wait_calls("resume", 1, "left")
        client.reset()
    line = world.line(box, path="/gone")
    assert (line["wake"], line["end"], line["status"]) == ("left", "client_gone", 0)
    box.resume()


# ---- the events


def test_events_of_a_wake(world):
    box = world.add("told")
    assert world.edge.get(box.host, fields=NAVIGATION).status == 503
    with Events(world.edge, box.host) as one, Events(world.edge, box.host, "tls") as other:
        assert one.status == 200 and one.head.get("content-type") == "text/event-stream"
        assert one.head.get("cache-control") == "no-store"
        first = one.next()
        assert first[0] == "stage" and first[1]["stage"] == "resuming" and first[1]["elapsed_ms"] > 0
        box.resume()
        while (stage := one.until("stage"))["stage"] == "resuming":
            pass
        assert stage["stage"] == "starting"
        box.listen()
        ready = one.until("ready")
        assert ready["elapsed_ms"] >= stage["elapsed_ms"] >= first[1]["elapsed_ms"]
        assert one.next() is None
        assert other.until("ready") and other.next() is None
    with Events(world.edge, box.host) as late:
        assert late.next() == ("ready", {"elapsed_ms": 0})
    assert box.resumes == 1 and box.requests == []
    assert world.line(box, path=EVENTS)["reason"] == "wake_events"


def test_events_of_a_wake_that_fails(world):
    box = world.add("failing")
    assert world.edge.get(box.host, fields=NAVIGATION).status == 503
    with Events(world.edge, box.host) as events:
        box.fail()
        failed = events.until("failed")
        assert failed == {"sentence": "The control plane refuses this.", "retry_after": 5}
        assert events.next() is None
    with Events(world.edge, box.host) as late:  # it is remembered
        assert late.next()[0] == "failed"
    assert box.resumes == 1
    got = world.edge.get(box.host)
    assert got.status == 503 and json.loads(got.body) | {"request_id": ""} == {
        "error": "The control plane refuses this.", "code": "wake_failed", "request_id": ""}
    assert 1 <= int(got.get("retry-after")) <= 6


def test_events_need_what_the_preview_needs(world):
    box = world.sleepers.add("secret")
    made = Made(world.edge, "secret", box.port, "both")
    host = world.edge.host(box.port, "secret")
    basic = base64.b64encode(f"{made.user}:{made.password}".encode()).decode()
    assert world.edge.get(host, EVENTS).status == 401
    assert world.edge.get(host, EVENTS, fields=["Authorization: Bearer wrong"]).status == 401
    for right in (f"Authorization: Bearer {made.token}", f"X-Preview-Token: {made.token}", f"Authorization: Basic {basic}"):
        with Events(world.edge, host, fields=[right]) as events:
            assert (events.status, events.next()) == (200, ("asleep", {}))
    for method in ("POST", "HEAD", "OPTIONS"):
        got = world.edge.get(host, EVENTS, fields=[f"X-Preview-Token: {made.token}"], method=method)
        assert got.status == 405 and got.get("allow") == "GET"
    assert box.resumes == 0
    # A deletion ends the stream of every client that had it.
    world.edge.get(host, fields=[f"X-Preview-Token: {made.token}", *NAVIGATION])
    with Events(world.edge, host, fields=[f"X-Preview-Token: {made.token}"]) as events:
        assert events.next()[0] == "stage"
        world.edge.command("preview", "create", "secret", box.port, "--bearer")
        with pytest.raises(WireError):  # the end of the connection in place of a chunk
            while events.next():
                pass
    assert world.line(box, path=EVENTS, end="cut")
    box.resume()


def test_events_over_http2(world):
    """On the connection of the page; a closed stream releases everything."""
    box = world.add("streams")
    assert world.edge.get(box.host, fields=NAVIGATION).status == 503
    with Client(world.edge, box.host) as client:
        for _ in range(3):
            stream = client.request(EVENTS)
            client.until(lambda s=stream: b"event: stage" in client.answer(s).body)
            client.h2.reset_stream(stream)
            client.flush()
        assert client.get("/favicon.ico").status == 503
        stream = client.request(EVENTS)
        client.until(lambda: b"event: stage" in client.answer(stream).body)
        box.resume()
        box.listen()
        assert b"event: ready" in client.finish(stream).body
    world.edge.wait_for_line(box="streams", path=EVENTS, end="client_gone", count=3)


def test_events_are_no_activity(world):
    box = world.add("watched")
    assert world.edge.get(box.host, fields=NAVIGATION).status == 503
    with Events(world.edge, box.host) as events:
        assert events.next()[0] == "stage"
        assert events.next()[0] == "stage"  # a second later
        assert "watched" not in world.plane.active()
        box.resume()
        box.listen()
        assert events.until("ready")
    assert world.edge.get(box.host).status == 200
    world.plane.wait_until(lambda: "watched" in world.plane.active(), what="the request's activity")


def test_events_end_when_the_edge_drains(make_edge, world):
    edge = make_edge(config={**world.sleepers.config, "wake": {"page_after": "10ms"}, "timeouts": {"drain": "30s"}})
    box = world.sleepers.add("draining")
    host = edge.create_preview(box.port, box.id)
    assert edge.get(host, fields=NAVIGATION).status == 503
    with Events(edge, host) as events:
        assert events.next()[0] == "stage"
        edge.process.terminate()
        while events.next():
            pass
        assert edge.process.wait(10 * SLOW) == 0
    edge.kill()  # has ended
    edge.check_reports()
    box.resume()
