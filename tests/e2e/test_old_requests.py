"""Requests outlive the workers' successors: an upgrade, and a reload with fewer workers."""

import contextlib
import json
import os
import select
import signal
import struct
import threading

import harness
import pytest
from h2wire import ACK, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM, Frames, frame
from harness import SLOW
from processes import HEALTH, Load, change_core, ends_whole, gone, reload, said, serving, upgrade
from tunnel_clients import Echoes
from wire import PATIENCE

HOUR = 3600
FIRST, LAST = b"data: first\n\n", b"data: last\n\n"


class HeldOrigin(harness.RawOrigin):
    """An app whose answers wait for `go`: /stream sends its head and an event before, /slow nothing."""

    def __init__(self):
        self.go = threading.Event()
        super().__init__(self._app)

    def _app(self, conn):
        while (request := conn.read_request(timeout=HOUR)) is not None:
            stream = request.target == "/stream"
            head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n"
            if stream:
                conn.send(head % len(FIRST + LAST) + FIRST)
            assert self.go.wait(HOUR)
            conn.send(LAST if stream else head % len(LAST) + LAST)


@pytest.fixture(name="app")
def fixture_app():
    with HeldOrigin() as running:
        yield running
        running.go.set()


class Http1Pair:
    """A stream, of which the first event has come, and a slow request, each on a connection of its own."""

    def __init__(self, edge, host):
        self.stream, self.slow = (edge.connect("tls", host) for _ in range(2))
        for client, path in ((self.stream, "/stream"), (self.slow, "/slow")):
            client.send(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        self.stream.read_until(FIRST)

    def ends_well(self):
        assert self.stream.read_exactly(len(LAST)) == LAST
        answer = self.slow.read_message(request_method="GET")
        assert (answer.status, answer.body) == (200, LAST)

    def is_cut(self):
        for client in (self.stream, self.slow):
            assert LAST not in client.read_to_end(PATIENCE * SLOW)

    def close(self):
        self.stream.close()
        self.slow.close()


class Http2Pair:
    """The same on one connection. Frames by hand: the h2 package takes no answer after a GOAWAY."""

    def __init__(self, edge, host):
        self.client = Frames(edge, host)
        self.status, self.body, self.ended, self.goaways = {}, {1: b"", 3: b""}, [], []
        for stream, path in ((1, "/stream"), (3, "/slow")):
            self.client.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, self.client.head(path=path)))
        while not self.body[1]:
            self._turn()

    def _turn(self, timeout=PATIENCE):
        """Takes a frame; false at the end."""
        got = self.client.read(timeout)
        if got is None:
            return False
        kind, flags, stream, payload = got
        assert kind != RST_STREAM
        if kind == PING and not flags & ACK:
            self.client.send(frame(PING, ACK, 0, payload))
        elif kind == GOAWAY:
            self.goaways.append(struct.unpack(">II", payload[:8]))
        elif kind == HEADERS:
            self.status[stream] = dict(self.client.decoder.decode(payload))[":status"]
        elif kind == DATA:
            self.body[stream] += payload
        if kind in (HEADERS, DATA) and flags & END_STREAM:
            self.ended.append(stream)
        return True

    def ends_well(self):
        while len(self.ended) < 2:
            assert self._turn()
        if self.goaways:  # its worker drains: first the notice, then the last stream
            assert self.goaways == [((1 << 31) - 1, 0), (3, 0)]
            assert not self._turn()
        assert self.status == {1: "200", 3: "200"} and sorted(self.ended) == [1, 3]
        assert self.body == {1: FIRST + LAST, 3: LAST}

    def is_cut(self):
        while self._turn(PATIENCE * SLOW):
            pass
        assert self.ended == []

    def close(self):
        self.client.sock.close()


@contextlib.contextmanager
def opened(pair, edge, host, app, count):
    """So many pairs, whose requests have all reached the app."""
    before = len(app.requests)
    pairs = [pair(edge, host) for _ in range(count)]
    try:
        app.wait_requests(before + 2 * count)
        yield pairs
    finally:
        for each in pairs:
            each.close()


@contextlib.contextmanager
def idle(edge, count=12):
    """Idle connections. Yields a function that waits until the drain closes one, about a second after its begin, or with
    `every` until it closes all."""
    clients = [edge.connect("health") for _ in range(count)]

    def closed(every=False):
        for some in [[client] for client in clients] if every else [clients]:
            assert select.select([client.sock for client in some], [], [], PATIENCE)[0], "no idle connection closes"

    try:
        for client in clients:
            assert client.request(HEALTH).status == 200
        yield closed
    finally:
        for client in clients:
            client.close()


def fewer_workers(edge):
    reload(edge, {"workers": 1})


LEAVE = pytest.mark.parametrize("leave", [upgrade, fewer_workers])


@pytest.fixture(name="edge")
def fixture_edge(make_edge):
    """Requests of a worker without a successor end at once."""
    edge = make_edge(workers=2, config={"timeouts": {"drain": "100ms"}})
    with ends_whole(edge):
        yield edge


@pytest.mark.parametrize("pair", [Http1Pair, Http2Pair])
@LEAVE
def test_requests_outlive_the_drain_beside_a_successor(edge, app, pair, leave):
    host = edge.create_preview(app)
    with opened(pair, edge, host, app, 8) as pairs, idle(edge) as one_closed:
        leave(edge)
        one_closed()
        assert edge.pids("old")
        app.go.set()
        for each in pairs:
            each.ends_well()
    edge.wait_until(lambda: not edge.pids("old"), PATIENCE * SLOW, "the end of the old workers")


@pytest.mark.parametrize("pair", [Http1Pair, Http2Pair])
def test_requests_beside_a_successor_end_in_time(make_edge, app, pair):
    edge = make_edge(workers=1, config={"timeouts": {"drain": "100ms", "drain_tunnels": "2s"}})
    with ends_whole(edge), opened(pair, edge, edge.create_preview(app), app, 1) as (one,):
        upgrade(edge)
        one.is_cut()


@pytest.mark.parametrize("pair", [Http1Pair, Http2Pair])
@pytest.mark.parametrize("how", ["end", "now"])
def test_the_end_and_a_repair_wait_for_no_request(edge, app, pair, how):
    """The old edge's requests, and those of the edge that serves."""
    host, first = edge.create_preview(app), edge.process.pid
    with opened(pair, edge, host, app, 2) as old:
        second = upgrade(edge)
        with opened(pair, edge, host, app, 2) as new:
            generations = json.loads(edge.command("status", "--json"))["generations"]
            assert sum(g["exchanges_open"] for g in generations) == 8
            if how == "end":
                os.kill(second, signal.SIGTERM)
            else:
                edge.command("upgrade", "--now")
            for each in old + new:
                each.is_cut()
    edge.wait_until(lambda: gone(first) and gone(second), PATIENCE * SLOW, "the end of the old edges")


def post(client, host, body=b"x"):
    client.send(b"POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s" % (host.encode(), len(body), body))


def terminate(edge):
    os.kill(serving(edge), signal.SIGTERM)


@pytest.mark.parametrize("kind", ["plain", "tls"])
@pytest.mark.parametrize("leave", [upgrade, fewer_workers, terminate])
def test_a_connection_that_was_kept_takes_another_request(make_edge, app, kind, leave):
    """A head without Connection: close has left before the drain. A client sends no POST again."""
    edge = make_edge(workers=2, config={"timeouts": {"drain": "20s"}})
    host = edge.create_preview(app)
    with contextlib.ExitStack() as stack:
        stack.enter_context(ends_whole(edge))
        clients = [stack.enter_context(edge.connect(kind, host)) for _ in range(12)]
        for client in clients:
            client.send(f"GET /stream HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert client.read_head().get("connection") is None
            client.read_exactly(len(FIRST))
        one_closed = stack.enter_context(idle(edge))
        leave(edge)
        one_closed(every=leave != fewer_workers)
        app.go.set()
        closing = 0
        for client in clients:
            assert client.read_exactly(len(LAST)) == LAST
            post(client, host)
            answer = client.read_message(request_method="POST")
            assert (answer.status, answer.body) == (200, LAST)
            if answer.get("connection") == "close":
                closing += 1
                assert client.wait_closed() == "eof"
        assert 0 < closing < len(clients) if leave == fewer_workers else closing == len(clients)
        if leave == terminate:  # a second signal would wait for nothing
            edge.wait_until(lambda: gone(edge.process.pid), PATIENCE * SLOW, "the end of the edge")


def test_a_kept_connection_without_another_request_closes_in_a_second(edge, app):
    host = edge.create_preview(app)
    with edge.connect("plain") as client:
        client.send(f"GET /stream HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        client.read_until(FIRST)
        upgrade(edge)
        edge.wait_until(lambda: len(edge.pids("old")) > 0, what="the drain")
        app.go.set()
        assert client.read_exactly(len(LAST)) == LAST
        assert client.wait_closed() == "eof"
    edge.wait_until(lambda: gone(edge.process.pid), PATIENCE * SLOW, "the end of the old edge")


def test_posts_on_kept_connections_survive_upgrades(make_edge, origin):
    edge = make_edge(workers=2)
    host = edge.create_preview(origin)
    with ends_whole(edge), Load(edge, host, keep=True, method="POST", path="/slow?ms=5") as plain, \
            Load(edge, host, threads=2, keep=True, kind="tls", method="POST") as tls:
        for _ in range(4):
            plain.wait_more(50)
            tls.wait_more(20)
            upgrade(edge)
        plain.wait_more(50)
        tls.wait_more(20)
        assert plain.failures == [] and tls.failures == []


@pytest.mark.parametrize("pair", [Http1Pair, Http2Pair])
def test_requests_outlive_an_upgrade_without_a_shared_core(make_edge, app, pair):
    """WebSockets, which no change would reach, end within the drain."""
    edge = make_edge(workers=2, config={"timeouts": {"drain": "1s"}})
    host, first = edge.create_preview(app), edge.process.pid
    with harness.WebSocketOrigin() as echo, ends_whole(edge), opened(pair, edge, host, app, 2) as pairs:
        with Echoes(edge, edge.create_preview(echo), count=3) as tunnels, idle(edge) as one_closed:
            change_core(edge)
            start = len(edge.stderr.lines)
            upgrade(edge)
            said(edge, "WebSockets end within timeouts.drain", start)
            tunnels.closed_with(1012)
            one_closed(every=True)
        app.go.set()
        for each in pairs:
            each.ends_well()
        edge.wait_until(lambda: gone(first), PATIENCE * SLOW, "the end of the old edge")
