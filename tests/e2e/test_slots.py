"""Connections to origins by client and by box: a client with all of its connections waits, and delays no other
client."""

import contextlib
import json
import re
import socket

import pytest

from api_world import metrics
from h2wire import Client
from harness import DOMAIN, PATIENCE, SLOW, RawOrigin
from wire import Stream

LONG = PATIENCE * SLOW
BOXES = [{"id": "box", "address": "127.0.0.1"}, {"id": "other", "address": "127.0.0.1"}]


def waited(edge):
    """Requests that waited for a connection so far."""
    found = re.findall(r"^boxedge_origin_queue_waits_total(?:\{[^}]*\})? (\d+)", metrics(edge), re.M)
    return sum(int(value) for value in found)


def silent(conn):
    conn.read_request(3600)
    conn.wait_closed(3600)


@contextlib.contextmanager
def flood(edge, host, count, address="127.0.0.1"):
    """Requests of one client on separate connections."""
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(count):
            clients.append(stack.enter_context(Stream(edge.socket("plain", source_address=(address, 0)))))
            clients[-1].send(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        yield clients


def get(edge, host, address):
    with Stream(edge.socket("plain", source_address=(address, 0))) as client:
        return client.request(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode(), timeout=LONG)


def test_one_client_does_not_take_the_connections_of_others(make_edge):
    edge = make_edge(boxes=BOXES, config={"limits": {"origin_connections_per_client": 8},
                                          "timeouts": {"origin_queue": "60s"}})
    with RawOrigin(silent) as app, RawOrigin() as fine:
        host, good = edge.create_preview(app), edge.create_preview(fine, "other")
        with flood(edge, host, 40):
            edge.wait_until(lambda: waited(edge) == 32, LONG, "32 that wait")
            assert len(app.wait_connections(8)) == 8
            assert get(edge, good, "127.0.0.2").status == 200
            assert get(edge, good, "127.0.0.3").status == 200
            for conn in app.connections[:8]:
                conn.sock.shutdown(socket.SHUT_RDWR)
            app.wait_connections(16, LONG)  # the next ones proceed
            assert get(edge, good, "127.0.0.2").status == 200


def test_one_box_does_not_take_the_connections_of_others(make_edge):
    edge = make_edge(boxes=BOXES, config={"limits": {"origin_connections_per_box": 8}, "timeouts": {"origin_queue": "60s"}})
    with RawOrigin(silent) as app, RawOrigin() as fine:
        host, good = edge.create_preview(app), edge.create_preview(fine, "other")
        with flood(edge, host, 10, "127.0.0.1"), flood(edge, host, 10, "127.0.0.2"):
            edge.wait_until(lambda: waited(edge) == 12, LONG, "12 that wait")
            assert get(edge, good, "127.0.0.1").status == 200


# ---- client connections: a worker at its maximum

FULL = 16


def idle_client(edge, address):
    """A connection that had one request."""
    client = Stream(edge.socket("plain", source_address=(address, 0)))
    assert client.request(b"GET / HTTP/1.1\r\nHost: nowhere.test\r\n\r\n").status == 421
    return client


def test_idle_connections_of_who_has_most_make_room(make_edge):
    edge = make_edge(config={"limits": {"connections": FULL}})
    with contextlib.ExitStack() as stack:
        other = stack.enter_context(idle_client(edge, "127.0.0.3"))
        with Client(edge, f"box-1.{DOMAIN}") as second:  # over HTTP/2
            assert second.get(authority="nowhere.test").status == 421
            many = [stack.enter_context(idle_client(edge, "127.0.0.2")) for _ in range(FULL - 2)]
            fresh = stack.enter_context(idle_client(edge, "127.0.0.4"))  # served immediately
            assert many[0].wait_closed(LONG) == "eof"
            for client in (other, fresh):
                assert client.request(b"GET / HTTP/1.1\r\nHost: nowhere.test\r\n\r\n").status == 421
            assert second.get(authority="nowhere.test").status == 421


def test_connections_over_http2_make_room(make_edge):
    edge = make_edge(config={"limits": {"connections": FULL}})
    with contextlib.ExitStack() as stack:
        many = [stack.enter_context(Client(edge, f"box-1.{DOMAIN}")) for _ in range(FULL)]
        for client in many:
            assert client.get(authority="nowhere.test").status == 421
        stack.enter_context(idle_client(edge, "127.0.0.4"))
        many[0].until_eof(LONG)
        assert many[0].goaways == [0]


def test_busy_connections_stay(make_edge):
    """None of theirs is cut: the new one waits until one of them ends."""
    edge = make_edge(config={"limits": {"connections": FULL}})
    with RawOrigin(silent) as app:
        host = edge.create_preview(app)
        with flood(edge, host, FULL) as clients:
            app.wait_connections(FULL)
            with Stream(edge.socket("plain", source_address=("127.0.0.4", 0))) as late:
                late.send(b"GET / HTTP/1.1\r\nHost: nowhere.test\r\n\r\n")
                clients[0].reset()
                assert late.read_message(LONG, request_method="GET").status == 421
            for client in clients[1:]:
                client.sock.setblocking(False)
                with pytest.raises(BlockingIOError):
                    client.sock.recv(1)


def test_a_wait_for_a_connection_ends(make_edge):
    edge = make_edge(boxes=BOXES, config={"limits": {"origin_connections_per_client": 1},
                                          "timeouts": {"origin_queue": "200ms"}})
    with RawOrigin(silent) as app:
        host = edge.create_preview(app)
        with flood(edge, host, 1):
            app.wait_connections(1)
            refused = get(edge, host, "127.0.0.1")
            assert (refused.status, json.loads(refused.body)["code"]) == (503, "client_busy")
            assert refused.get("retry-after") == "1"
