"""Connections to origins by client and by box: who has all of his waits, and nobody else does."""

import contextlib
import json
import re
import socket

from api_world import metrics
from harness import PATIENCE, SLOW, RawOrigin
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
    """Requests of one client on connections of their own."""
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
            app.wait_connections(16, LONG)  # the next ones go on
            assert get(edge, good, "127.0.0.2").status == 200


def test_one_box_does_not_take_the_connections_of_others(make_edge):
    edge = make_edge(boxes=BOXES, config={"limits": {"origin_connections_per_box": 8}, "timeouts": {"origin_queue": "60s"}})
    with RawOrigin(silent) as app, RawOrigin() as fine:
        host, good = edge.create_preview(app), edge.create_preview(fine, "other")
        with flood(edge, host, 10, "127.0.0.1"), flood(edge, host, 10, "127.0.0.2"):
            edge.wait_until(lambda: waited(edge) == 12, LONG, "12 that wait")
            assert get(edge, good, "127.0.0.1").status == 200


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
