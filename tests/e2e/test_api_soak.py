"""Clients and servers of the API that act at random: after any end of an exchange, no count and no memory is
left."""

import contextlib
import random
import re
import struct
import threading

import pytest

from api_world import API, answer, api_config, metrics
from h2c_world import block
from h2origin import FrameOrigin
from h2wire import DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, Client, frame
from harness import PATIENCE, SLOW, Edge, RawOrigin
from test_upstreams import upstreams

PATHS = ["/v2/box", "/v2/box/a-b", "/v2/box/a-b/preview", "/v2/box/a-b/preview/3000"]
IN_FLIGHT = 6
UPGRADE = ["Connection: upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]


def http1_server(_):
    chance = random.Random(1)
    late = threading.Event()  # never set: waiting for it takes time
    answers = [
        answer("ok"), answer("no", "503 Busy"), answer("ok") + answer("extra"), b"garbage\r\n\r\n", b"", None,
        b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + bytes(5000),
        b"HTTP/1.1 100 Continue\r\n\r\n" * 20 + answer("ok"),
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"5\r\nhello\r\n" * 3000 + b"0\r\n\r\n"]

    def serve(conn):
        while conn.read_request(timeout=PATIENCE) is not None:
            said = chance.choice(answers)
            if said is None:
                late.wait(0.3)
                said = answer("late")
            conn.send(said)
            if b"100000" in said or not said:
                return

    return RawOrigin(serve)


def http2_server(quiet):
    chance = random.Random(2)
    ok, interim = block((":status", "200")), block((":status", "103"))

    def answers(conn, stream):
        if quiet.is_set():
            return
        head = frame(HEADERS, END_HEADERS, stream, ok)
        piece = frame(DATA, 0, stream, bytes(16000))
        conn.send(chance.choice([
            frame(HEADERS, END_HEADERS | END_STREAM, stream, ok),
            head + frame(DATA, END_STREAM, stream, b"hi"),
            head + piece * 3 + frame(DATA, END_STREAM, stream),
            head + piece * 3 + frame(RST_STREAM, 0, stream, struct.pack(">I", 2)),
            head + frame(HEADERS, END_HEADERS | END_STREAM, stream, ok),
            frame(HEADERS, END_HEADERS | END_STREAM, stream, ok) + frame(DATA, END_STREAM, stream, b"more"),
            frame(RST_STREAM, 0, stream, struct.pack(">I", chance.choice([0, 7, 8]))),
            frame(GOAWAY, 0, 0, struct.pack(">II", chance.choice([0, stream, 2**31 - 1]), 0)),
            frame(HEADERS, END_HEADERS, stream, interim) * chance.choice([1, 20]),
            b""]))

    return FrameOrigin(answers)


def http1_client(edge, chance):
    with contextlib.suppress(OSError), edge.socket("plain") as sock:
        for _ in range(chance.randrange(1, 5)):
            method, body = chance.choice(["GET", "POST", "PUT", "DELETE"]), b""
            fields = [f"Host: {API}", f"X-Box-Api-Key: k{chance.randrange(3)}"]
            if method in ("POST", "PUT"):
                body = chance.choice([b'{"port":3000}', bytes(3000), bytes(200000)])
                fields += [f"Content-Length: {len(body)}", *chance.choice([[], ["Expect: 100-continue"]])]
            elif chance.random() < 0.2:
                method, fields = "GET", fields + UPGRADE
            head = "\r\n".join([f"{method} {chance.choice(PATHS)} HTTP/1.1", *fields])
            sock.settimeout(0.5)
            sock.sendall(head.encode() + b"\r\n\r\n" + body[:chance.choice([len(body), len(body) // 2])])
            if chance.random() < 0.3:
                break
            sock.recv(chance.choice([1, 65536]))
        sock.setsockopt(1, 13, struct.pack("ii", chance.choice([0, 1]), 0))  # SO_LINGER: a FIN or a reset


def http2_client(edge, chance):
    with contextlib.suppress(OSError), Client(edge, API, consume=chance.random() < 0.7) as client:
        streams = []
        for _ in range(chance.randrange(1, 12)):
            key = [("x-box-api-key", f"k{chance.randrange(3)}")]
            method = chance.choice(["GET", "DELETE", "POST"])
            streams.append(client.request(chance.choice(PATHS), method=method, fields=key, end=method != "POST"))
            if chance.random() < 0.5:
                client.h2.reset_stream(streams.pop(chance.randrange(len(streams))), error_code=8)
                client.flush()
        if chance.random() < 0.5:
            client.turn(0.5)


def left_over(edge):
    """All gauges of open, waiting or held objects."""
    figures = re.findall(r"^boxedge_((?:exchanges_open|buffered_bytes|connections_open|upstream_waiting|"
                         r"upstream_server_in_flight)(?:\{.*\})?) ([1-9]\d*)$", metrics(edge), re.M)
    return figures + [(u["name"], u["waiting"]) for u in upstreams(edge) if u["waiting"]]


def admitted(edge, key):
    """The number of requests with a key that are admitted together, of one more than its plan allows."""
    head = f"POST /v2/box HTTP/1.1\r\nHost: {API}\r\nX-Box-Api-Key: {key}\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(edge.socket("plain")) for _ in range(IN_FLIGHT + 1)]
        count = 0
        for sock in socks:
            sock.sendall(head.encode())
            count += b" 100 " in sock.recv(64)
    edge.wait_until(lambda: not left_over(edge), PATIENCE * SLOW, "the end of all requests")
    return count


@pytest.mark.parametrize("protocol", ["http1", "h2"])
def test_nothing_is_left_of_what_ended_in_any_way(tmp_path, protocol):
    make = {"http1": http1_server, "h2": http2_server}[protocol]
    quiet = threading.Event()
    with make(quiet) as one, make(quiet) as other:
        config = api_config(
            [one.port, other.port], keys={f"k{n}": (f"name{n}", "plan") for n in range(3)},
            plans=[{"name": "plan", "rate": "1000/s", "burst": 2000, "in_flight": IN_FLIGHT}],
            upstream={"protocol": protocol, "server_in_flight": 8, "queue": 6, "queue_timeout": "200ms",
                      "first_byte": "400ms", "retry_percent": 50, "eject_failures": 1000})
        with Edge(tmp_path, workers=2, config=config) as edge:
            def run(seed):
                chance = random.Random(seed)
                for _ in range(40):
                    chance.choice([http1_client, http2_client])(edge, chance)

            clients = [threading.Thread(target=run, args=(seed,)) for seed in range(4)]
            for client in clients:
                client.start()
            for client in clients:
                client.join()
            edge.wait_until(lambda: not left_over(edge), PATIENCE * SLOW, "the end of all")
            quiet.set()
            assert [admitted(edge, f"k{n}") for n in range(3)] == [IN_FLIGHT] * 3
