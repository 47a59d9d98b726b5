"""Crosses every wait of a request with every event, over HTTP/1 and HTTP/2, before or in the turn in which
the awaited result comes. A request that was answered or has left does not continue. A request that the event
does not concern gets its answer. The worker lives, and serves the next request."""

import contextlib
import itertools
import os
import signal

import pytest

from api_world import answer
from harness import RawOrigin, merge
from processes import rewrite, said
from waits_clients import LONG, Http1, Http2, StuckHttp1, figure, small
from waits_world import (AwaitedBody, Connect, DeletedBox, Deletion, FailedWake, FirstByte, HeldBody, Line, PreviewCall,
                         Slots, Subrequest, SubrequestInLine, Tunnel, Wake)

WAITS = [Wake, HeldBody, FailedWake, Subrequest, DeletedBox, Line, SubrequestInLine, PreviewCall, Deletion, AwaitedBody,
         Slots, Connect, FirstByte, Tunnel]
CODECS = [Http1, StuckHttp1, Http2]
GAUGES = ["connections_open", "exchanges_open", "wake_waiters", "upstream_waiting", "upstream_server_in_flight",
          "buffered_bytes", "tunnels_open"]

# Of the client. The last two come in the same turn of the worker's loop as the awaited result.
CLIENT_EVENTS = ["bad_body", "body_timeout", "reset", "half_close", "stall", "bad_body_in_the_turn", "reset_in_the_turn"]
EDGE_EVENTS = ["nothing", "blocked", "deleted", "replaced", "reloaded", "controller_death"]
OF_THE_BODY = ("bad_body", "body_timeout", "bad_body_in_the_turn")
OF_THE_PREVIEW = ("blocked", "deleted", "replaced")
SHORT = {"body_timeout": {"body_idle": "1s"}, "stall": {"write_idle": "2s"}}  # timeouts


def why_not(wait, event, codec):
    """The reason why a crossing cannot exist; None: it can. The first matching rule counts."""
    rules = [
        (event in OF_THE_BODY and not wait.takes_body,
         "the request is whole before the wait begins, so no byte of a body can follow"),
        (event == "bad_body_in_the_turn" and wait is AwaitedBody,
         "the awaited body cannot both come whole and be bad"),
        (event == "half_close" and wait is AwaitedBody and codec is Http2,
         "END_STREAM before the announced length is a bad body, the event of that name"),
        (event in OF_THE_PREVIEW and not wait.of_preview,
         "the request goes to the API host, and no preview judges it"),
        (event == "stall" and wait.websocket and codec is Http2,
         "the answer to a handshake is a head, and no window of HTTP/2 holds a head back (RFC 9113 section 5.2.1)"),
        (event == "stall" and codec is Http1,
         "the kernel has room for the whole answer; the same codec without that room is StuckHttp1"),
    ]
    return next((reason for holds, reason in rules if holds), None)


def crossings(wait, events):
    return [(event, codec) for event in events for codec in CODECS if why_not(wait, event, codec) is None]


def at_rest(edge):
    """No part of any request is left."""
    edge.wait_until(lambda: not any(figure(edge, name) for name in GAUGES), LONG, f"{GAUGES} at 0")


def gone_on(edge, waiting, clients, workers):
    """The edge serves the next request, no part of `clients` is left, and no worker has died."""
    waiting.serve(edge)
    for client in clients:
        client.after()
    at_rest(edge)
    assert edge.pids("worker") == workers


@contextlib.contextmanager
def said_of(*what):
    """An error names the crossing."""
    try:
        yield
    except Exception as error:
        raise AssertionError(" x ".join(getattr(one, "__name__", one) for one in what)) from error


def come(waiting, clients):
    """The awaited result comes. Clients send awaited bodies themselves."""
    waiting.come()
    if isinstance(waiting, AwaitedBody):
        for client in clients:
            client.send_rest(waiting.rest)


# ---- events of the client


def stall(edge, waiting, clients):
    """The answers come and cannot leave: they are cut, and the requests with them."""
    come(waiting, clients)
    edge.wait_until(lambda: figure(edge, "exchanges_open") == 0, LONG, "the cut")


@contextlib.contextmanager
def in_one_turn(edge, waiting):
    """The worker's next look at its sockets finds the bytes sent within the block together with the awaited
    result."""
    (worker,) = edge.pids("worker")
    os.kill(worker, signal.SIGSTOP)
    try:
        yield
        waiting.trigger()
        waiting.arrived(edge)
    finally:
        os.kill(worker, signal.SIGCONT)
    waiting.finish()


def bad_body_in_the_turn(edge, waiting, clients):
    with in_one_turn(edge, waiting):
        for client in clients:
            client.send_bad_body()
    for client in clients:
        assert client.status() in {400, None} | waiting.good


def reset_in_the_turn(edge, waiting, clients):
    with in_one_turn(edge, waiting):
        for client in clients:
            if isinstance(waiting, AwaitedBody):
                client.send_rest(waiting.rest)
            client.reset()


def by_client(name):
    def event(_, waiting, clients):
        for client in clients:
            getattr(client, name)()
        waiting.come()

    return event


def client_event(name):
    return globals().get(name) or by_client(name)


def together(wait, events):
    """The crossings whose requests wait at the same time: (event, codecs)."""
    for event, pairs in itertools.groupby(crossings(wait, events), lambda pair: pair[0]):
        codecs = [codec for _, codec in pairs]
        # StuckHttp1 counts the answers of others. In Line its exchange holds the only place until its answer
        # has left.
        apart = [StuckHttp1] if wait is Line or (event in CLIENT_EVENTS and event != "stall") else []
        if event == "body_timeout":
            apart = codecs  # one would be late while the next one comes
        groups = [*([codec] for codec in codecs if codec in apart), [codec for codec in codecs if codec not in apart]]
        yield from ((event, group) for group in groups if group)


@pytest.mark.parametrize("wait", WAITS)
def test_events_of_the_client(wait, make_edge):
    waiting, edges = wait(), {}
    try:
        for event, codecs in together(wait, CLIENT_EVENTS):
            key = event if event in SHORT else None
            if key not in edges:
                timeouts = {"body_idle": "60s", "heartbeat": "10m", **SHORT.get(event, {})}
                edges[key] = make_edge(config=merge(waiting.config, {"timeouts": timeouts}))
            edge = edges[key]
            with said_of(wait, event, *codecs):
                workers = edge.pids("worker")
                ready = [codec.ready(edge) for codec in codecs]  # a wait may stop the process that serves the metrics
                waiting.begin(edge)
                whole = wait is not AwaitedBody and (event in ("half_close", "stall") or not waiting.takes_body)
                window = 65535 if event.endswith("in_the_turn") else 0
                clients = [codec(edge, waiting, whole, window, one) for codec, one in zip(codecs, ready)]
                waiting.wait(edge, len(clients))
                client_event(event)(edge, waiting, clients)
                gone_on(edge, waiting, clients, workers)
    finally:
        waiting.close()


# ---- events of the edge


@contextlib.contextmanager
def nothing(*_):
    yield


@contextlib.contextmanager
def blocked(edge, waiting):
    port, box = waiting.preview
    edge.command("block", "preview", box, port)
    yield
    edge.command("unblock", "preview", box, port)


@contextlib.contextmanager
def deleted(edge, waiting):
    port, box = waiting.preview
    edge.command("preview", "delete", box, port)
    yield
    waiting.name_again(edge)


@contextlib.contextmanager
def replaced(edge, waiting):
    port, box = waiting.preview
    edge.command("preview", "update", box, port, "--bearer")
    yield
    waiting.name_again(edge)


_numbers = itertools.count(5000)


@contextlib.contextmanager
def reloaded(edge, waiting):
    start = len(edge.stderr.lines)
    rewrite(edge, {"limits": {"origin_queue": next(_numbers)}})
    edge.process.send_signal(signal.SIGHUP)
    if waiting.frozen:  # the reload is under way until the controller has the configuration
        yield
    said(edge, "reloaded: configuration", start)
    if not waiting.frozen:
        yield


@contextlib.contextmanager
def controller_death(edge, waiting):
    edge.expect_deaths = True
    start = len(edge.stderr.lines)
    os.kill(edge.pids("controller")[0], signal.SIGKILL)
    said(edge, "controller is back", start)
    if waiting.frozen:
        waiting.good = {503}  # the question died with it
    yield


@pytest.mark.parametrize("wait", WAITS)
def test_events_of_the_edge(wait, make_edge):
    waiting = wait()
    try:
        edge = make_edge(config=merge(waiting.config, {"timeouts": {"body_idle": "60s", "heartbeat": "10m"}}))
        workers = edge.pids("worker")
        for event, codecs in together(wait, EDGE_EVENTS):
            with said_of(wait, event, *codecs):
                ready = [codec.ready(edge) for codec in codecs]
                waiting.begin(edge)
                whole = wait is not AwaitedBody
                clients = [codec(edge, waiting, whole, 65535, one) for codec, one in zip(codecs, ready)]
                waiting.wait(edge, len(clients))
                with globals()[event](edge, waiting):
                    come(waiting, clients)
                    right = {waiting.judged[event]} if event in waiting.judged else waiting.good
                    statuses = [client.status() for client in clients]
                    assert set(statuses) <= right, statuses
                gone_on(edge, waiting, clients, workers)
    finally:
        waiting.close()


def test_the_table_is_whole():
    """Each wait meets events of both kinds over both protocols, and every rule applies somewhere."""
    events = [*CLIENT_EVENTS, *EDGE_EVENTS]
    reasons = {why_not(*crossing) for crossing in itertools.product(WAITS, events, CODECS)}
    assert len(reasons) == 1 + 6
    for wait in WAITS:
        for codec in (Http1, Http2):
            assert {"reset", "nothing", "controller_death"} <= {event for event, one in crossings(wait, events) if one is codec}


# ---- the edge drains


@pytest.mark.parametrize("wait, codec", [
    (wait, codec) for wait in WAITS for event, codec in crossings(wait, ["reset"])])
def test_the_edge_drains_before_it_comes(wait, codec, make_edge):
    """The edge ends normally, without a crash (harness.Edge.stop)."""
    waiting = wait()
    try:
        edge = make_edge(config=merge(waiting.config, {"timeouts": {"body_idle": "60s", "drain": "15s"}}))
        ready = codec.ready(edge)
        waiting.begin(edge)
        client = codec(edge, waiting, whole=not wait.takes_body, ready=ready)
        waiting.wait(edge)
        edge.process.terminate()
        said(edge, "draining")
        (client.bad_body if wait.takes_body else client.reset)()
        waiting.come()
        client.after()
        assert edge.process.wait(LONG) == 0
        edge.kill()
        edge.check_reports()
    finally:
        waiting.close()


@pytest.mark.parametrize("codec", CODECS)
def test_a_body_that_is_too_large_behind_a_wait(codec, make_edge):
    """The bytes held during the wait are accepted; the rest, which the codec holds, is answered at its
    flush."""
    waiting = Subrequest()
    waiting.body = b"x" * 70000
    try:
        edge = make_edge(config=waiting.config)
        workers = edge.pids("worker")
        waiting.begin(edge)
        client = codec(edge, waiting, whole=True, window=65535)
        waiting.wait(edge)
        waiting.come()
        client.refused_with(413)
        gone_on(edge, waiting, [client], workers)
    finally:
        waiting.close()


def test_a_bad_chunk_behind_an_answer_that_cannot_drain(make_edge):
    """The app answers before the request's end, and the client does not read: the answer is cut."""

    def early(conn):
        if conn.read_head().method == "GET":
            conn.send(answer("fine"))
        else:
            conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + bytes(9000000))

    with RawOrigin(early) as app:
        edge = make_edge()
        workers, host = edge.pids("worker"), edge.create_preview(app)
        with small(edge) as client:
            client.send(f"POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n".encode())
            assert client.read_head(LONG).status == 200
            client.send(b"zz\r\n")
            assert app.connections[0].done.wait(LONG)  # the edge has released the app
            assert edge.get(host, timeout=LONG).status == 200
            assert len(client.read_to_end(LONG)) < 9000000
        at_rest(edge)
        assert edge.pids("worker") == workers
