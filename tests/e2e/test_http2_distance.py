"""Large bodies over HTTP/2 from and to far away: the bytes under way, as the other side sees them.

A client or app is as far away as the time after which it acknowledges SETTINGS. `bench/distance`
measures the speed of a transfer; this test judges only windows.
"""

import threading

import pytest

from h2c_world import json_of
from h2origin import H2Origin
from h2wire import Client
from harness import PATIENCE, SLOW, RawOrigin

MIB = 1 << 20
SIZE = 40_000_000
TIMEOUT = PATIENCE * SLOW * 3


def upload(client, enough=16 * MIB, most=60 * MIB):
    """Sends as much as the window allows, and more when the edge has given that back, like a distant client, until `enough` was allowed at one time, or `most` was sent. Returns the largest allowance."""
    stream = client.request("/echo", "POST", end=False)
    size = 0
    while client.widest < enough and size < most:
        window = client.h2.local_flow_control_window(stream)
        size += client.send(stream, bytes(window), timeout=TIMEOUT)
        kept_back = min(window // 4, 256 * 1024)
        client.until(lambda: client.h2.local_flow_control_window(stream) >= window - kept_back, TIMEOUT)
        client.catch_up(TIMEOUT)
    client.send(stream, b"", end=True)
    answer = client.finish(stream, TIMEOUT)
    assert answer.status == 200 and json_of(answer)["body_bytes"] == size
    return client.widest


def test_upload_from_far_away(edge, preview):
    with Client(edge, preview, distance=1) as client:
        assert 2 * MIB < upload(client, 2 * MIB + 1) <= 16 * MIB


def test_a_slow_app_keeps_the_window_small(edge):
    """At any distance: bytes that an app does not read would only be held."""
    over = threading.Event()

    def handler(conn):
        conn.read_until(b"\r\n\r\n")
        conn.sock.settimeout(PATIENCE)
        over.wait(TIMEOUT)

    with RawOrigin(handler, receive_buffer=8192) as origin:
        host = edge.create_preview(origin)
        with Client(edge, host, distance=1) as client:
            stream = client.request("/", "POST", end=False)
            sent = client.send(stream, bytes(SIZE), timeout=3)
            assert sent < SIZE
            assert client.answer(stream).reset is None
            # Another stream of the connection is served.
            assert client.get("/", authority=f"none-1.{edge.config['preview_domain']}").status == 404
        over.set()


def test_a_small_budget_keeps_windows_small(make_edge, origin):
    edge = make_edge(config={"limits": {"memory": "4MiB"}})
    host = edge.create_preview(origin)
    with Client(edge, host, distance=1) as client:
        assert upload(client) <= 3 * MIB + 65535


@pytest.mark.parametrize("distance", [0, 1])
def test_download_from_an_app(edge, distance):
    with H2Origin(distance=distance) as app:
        host = edge.create_preview(app, "box", "--protocol", "h2c")
        message = edge.get(host, f"/bytes?n={SIZE}", timeout=TIMEOUT)
        assert message.status == 200 and len(message.body) == SIZE
        if distance:
            assert 2 * MIB < app.widest <= 16 * MIB


def test_a_slow_client_keeps_the_window_of_the_app_small(edge):
    with H2Origin(distance=1) as app:
        host = edge.create_preview(app, "box", "--protocol", "h2c")
        with Client(edge, host, consume=False, keep=False) as client:
            client.h2.increment_flow_control_window(1_000_000)  # the connection's, not the stream's
            stream = client.request(f"/bytes?n={SIZE}")
            client.until(lambda: client.answer(stream).body_bytes == 65535)
            assert client.get("/bytes", authority=f"none-1.{edge.config['preview_domain']}").status == 404
            assert app.widest <= 256 * 1024
