"""The activity that keeps a box awake, and the end of open exchanges when their box is paused or moves
(docs/operations.md, "Activity that keeps a box awake"): process boxes, and boxes of a control plane, which pauses them as it
likes."""

import base64
import contextlib
import hashlib
import json
import os
import socket
import struct
import time

import pytest

from control_plane import BOX_NETWORK, BoxAddresses, ControlPlane, UnixConnection, push
from harness import PORTS, SLOW, Edge, HttpOrigin, RawOrigin

# The app in a process box: reports its process and the number of the connection that a request came on.
APP = r"""
import base64, hashlib, json, os, socket, struct, sys, threading, time
changed, words = threading.Condition(), []
def echo(sock, f):
    while len(head := f.read(2)) == 2:
        n = head[1] & 127
        if n >= 126:
            n = struct.unpack(">H", f.read(2))[0] if n == 126 else struct.unpack(">Q", f.read(8))[0]
        mask = f.read(4)
        data = f.read(n)
        key = mask * (n // 4 + 1)
        data = (int.from_bytes(data, "big") ^ int.from_bytes(key[:n], "big")).to_bytes(n, "big")
        size = bytes([n]) if n < 126 else b"\x7e" + struct.pack(">H", n) if n < 65536 else b"\x7f" + struct.pack(">Q", n)
        sock.sendall(bytes([0x80 | head[0] & 15]) + size + data)
def stream(sock):
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\ndata: open\n\n")
    with changed:
        changed.wait_for(lambda: words)
        sock.sendall(b"data: %s\n\n" % words[0])
def serve(sock, number):
    f, served = sock.makefile("rb"), 0
    while line := f.readline():
        path, key = line.split()[1].decode(), b""
        while field := f.readline().strip():
            if field.lower().startswith(b"sec-websocket-key:"):
                key = field.split(b":", 1)[1].strip()
        served += 1
        if path == "/ws":
            accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
            sock.sendall(b"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                         b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
            return echo(sock, f)
        if path == "/events":
            return stream(sock)
        if path.startswith("/say/"):
            with changed:
                words.append(path[5:].encode())
                changed.notify_all()
        if path.startswith("/slow/"):
            time.sleep(int(path[6:]) / 1000)
        if path == "/die":
            os._exit(3)
        body = json.dumps({"pid": os.getpid(), "connection": number, "served": served}).encode()
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
def run(sock, number):
    try:
        serve(sock, number)
    except OSError:
        pass
    finally:
        sock.shutdown(2) if sock.fileno() >= 0 else None
        sock.close()
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", int(os.environ["PORT"])))
listener.listen(128)
number = 0
while True:
    sock, _ = listener.accept()
    number += 1
    threading.Thread(target=run, args=(sock, number), daemon=True).start()
"""

KEY = base64.b64encode(b"0123456789abcdef")


def process_box(box_id, **more):
    return {"id": box_id, "command": ["/usr/bin/python3", "-ISc", APP], "directory": "/", "ports": [PORTS.take()],
            "idle": "100ms", **({"user": "nobody"} if os.geteuid() == 0 else {}), **more}


class Boxes:
    """An edge with process boxes, each with a preview."""

    def __init__(self, directory, *processes, idle_open="500ms"):
        self.edge = Edge(directory, config={"processes": list(processes), "wake": {"idle_open": idle_open}})
        self.hosts = {p["id"]: self.edge.create_preview(p["ports"][0], p["id"]) for p in processes}

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.edge.__exit__(kind, *_)

    def get(self, box_id, path="/", fields=()):
        return self.edge.get(self.hosts[box_id], path, fields=fields)

    def ask(self, box_id, path="/"):
        """The app's report of itself."""
        answer = self.get(box_id, path)
        assert answer.status == 200, answer.body
        return json.loads(answer.body)

    def state(self, box_id):
        return states(self.edge)[box_id]

    def wait_paused(self, box_id):
        self.edge.wait_until(lambda: self.state(box_id) == "paused", what=f"the pause of {box_id}")

    def stream(self, box_id, path="/", *fields):
        client = self.edge.connect("plain", self.hosts[box_id])
        lines = [f"GET {path} HTTP/1.1", f"Host: {self.hosts[box_id]}", *fields]
        client.send("\r\n".join(lines).encode() + b"\r\n\r\n")
        return client


def states(edge):
    connection = UnixConnection(edge.admin_socket)
    connection.request("GET", "/v1/boxes")
    boxes = json.loads(connection.getresponse().read())["boxes"]
    connection.close()
    return {box["box"]: box["state"] for box in boxes}


def frame(payload, opcode=1):
    n, mask = len(payload), b"\0\0\0\0"
    size = bytes([0x80 | n]) if n < 126 else b"\xfe" + struct.pack(">H", n) if n < 65536 else b"\xff" + struct.pack(">Q", n)
    return bytes([0x80 | opcode]) + size + mask + payload


def read_frame(client):
    head = client.read_exactly(2)
    n = head[1]
    if n >= 126:
        n = int.from_bytes(client.read_exactly(2 if n == 126 else 8), "big")
    return head[0] & 15, client.read_exactly(n)


def open_websocket(stream, *where):
    client = stream(*where, "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
                    "Sec-WebSocket-Key: " + KEY.decode())
    assert client.read_head().status == 101
    return client


# ---- process boxes: activity that holds them


@pytest.mark.parametrize("action", ["stop", "freeze"])
def test_an_idle_box_is_paused_and_the_next_request_wakes_it(tmp_path, action):
    with Boxes(tmp_path, process_box("idle", idle_action=action)) as boxes:
        began = time.monotonic()
        before = boxes.ask("idle")
        assert boxes.state("idle") == "running"
        boxes.wait_paused("idle")
        assert time.monotonic() - began > 1.9
        after = boxes.ask("idle")
        assert (after["pid"] == before["pid"]) == (action == "freeze")
        # The old connections, which would be good for 4 s, are not used any more.
        assert after["served"] == 1
        assert boxes.state("idle") == "running"


def test_a_box_that_is_slow_to_start_is_not_paused_meanwhile(tmp_path):
    box = process_box("starts")
    box["command"] = ["/bin/sh", "-c", 'sleep 3.5; exec /usr/bin/python3 -ISc "$0"', APP]
    with Boxes(tmp_path, box) as boxes:
        assert boxes.ask("starts")["served"] == 1


def test_a_slow_answer_holds_its_box_and_a_poller_does_not(tmp_path):
    with Boxes(tmp_path, process_box("slow"), process_box("polled")) as boxes:
        pid = boxes.ask("slow")["pid"]
        boxes.ask("polled")
        with boxes.stream("slow", "/slow/3500") as client:
            statuses = []

            def poll():
                statuses.append(boxes.get("polled", fields=["X-Box-No-Wake: 1"]).status)
                return statuses[-1] != 200

            boxes.edge.wait_until(poll, what="the pause of a box that is polled")
            assert statuses[-1] in (502, 503) and len(statuses) > 5  # 502: the request came while it was paused
            answer = client.read_message()
            assert answer.status == 200
            assert json.loads(answer.body)["pid"] == pid


def test_a_forgotten_websocket_lets_its_box_sleep_and_its_next_message_wakes_it(tmp_path):
    with Boxes(tmp_path, process_box("ws", idle_action="freeze")) as boxes:
        pid = boxes.ask("ws")["pid"]
        with open_websocket(boxes.stream, "ws", "/ws") as client:
            began = time.monotonic()
            client.send(frame(b"hello"))
            assert read_frame(client) == (1, b"hello")
            boxes.wait_paused("ws")
            assert time.monotonic() - began > 2.4  # idle_open, then idle
            assert client.is_silent(0)
            # More than the sockets in between hold, so that some bytes wait in the edge and some in the
            # client.
            big = os.urandom(1 << 20)
            client.send(frame(b"are you there?"))
            assert read_frame(client) == (1, b"are you there?")
            client.send(frame(big, 2))
            assert read_frame(client) == (2, big)
            assert boxes.state("ws") == "running"
            assert boxes.ask("ws")["pid"] == pid


def test_a_forgotten_event_stream_lets_its_box_sleep_and_goes_on_when_it_wakes(tmp_path):
    with Boxes(tmp_path, process_box("sse", idle_action="freeze")) as boxes, \
            boxes.stream("sse", "/events") as client:
        assert client.read_head().status == 200
        assert b"data: open" in client.read_until(b"\n\n")
        boxes.wait_paused("sse")
        boxes.ask("sse", "/say/again")
        assert b"data: again" in client.read_until(b"again")


def test_what_is_kept_alive_or_carries_much_is_not_paused(tmp_path):
    processes = [process_box("kept", keep_alive=True), process_box("busy", idle_action="freeze"),
                 process_box("idle", idle="1s")]  # it would be paused last
    with Boxes(tmp_path, *processes) as boxes, open_websocket(boxes.stream, "busy", "/ws") as client:
        for box_id in ("kept", "idle"):
            boxes.ask(box_id)

        def carry():
            client.send(frame(b"x" * 1500))
            assert read_frame(client) == (1, b"x" * 1500)
            return boxes.state("idle") == "paused"

        boxes.edge.wait_until(carry, what="the pause of a box that is idle")
        assert boxes.state("kept") == "running"
        assert boxes.state("busy") == "running"


def test_a_box_that_ends_by_itself_answers_who_waits_and_starts_anew(tmp_path):
    with Boxes(tmp_path, process_box("dies", idle="1h")) as boxes:
        pid = boxes.ask("dies")["pid"]
        with boxes.stream("dies", "/slow/60000") as client:
            assert boxes.get("dies", "/die").status == 502
            assert client.read_message().status == 502
        boxes.wait_paused("dies")
        assert boxes.ask("dies")["pid"] != pid


@pytest.mark.parametrize("how", ["idle", "command"])
def test_the_sockets_of_a_process_that_the_edge_stops_get_a_close(tmp_path, how):
    """1001, however fast the process ends: not an end without a Close frame (1006)."""
    count = 8
    processes = [process_box(f"ws{i}", idle="100ms" if how == "idle" else "1h") for i in range(count)]
    with Boxes(tmp_path, *processes) as boxes, contextlib.ExitStack() as open_ones:
        clients = [open_ones.enter_context(open_websocket(boxes.stream, f"ws{i}", "/ws")) for i in range(count)]
        if how == "command":
            for i in range(count):
                boxes.edge.command("box", "stop", f"ws{i}")
        for client in clients:
            opcode, payload = read_frame(client)
            assert (opcode, payload) == (8, b"\x03\xe9the box was stopped")
        boxes.edge.wait_for_line(reason="box_paused", tunnel=True, count=count)


def test_what_an_operator_stops_stays_stopped_until_a_request_comes(tmp_path):
    """A client that sent bytes just before, on a tunnel or in a body, does not count as a request for the
    box."""
    never = process_box("never", idle="1h")
    never["command"] = ["/bin/sleep", "1000"]
    processes = [process_box("ws", idle="1h"), process_box("body", idle="1h"), never, process_box("clock")]
    with Boxes(tmp_path, *processes) as boxes, contextlib.ExitStack() as open_ones:
        pids = {box_id: boxes.ask(box_id)["pid"] for box_id in ("ws", "body")}
        client = open_ones.enter_context(open_websocket(boxes.stream, "ws", "/ws"))
        client.send(frame(b"hello"))
        assert read_frame(client) == (1, b"hello")
        upload = open_ones.enter_context(boxes.stream("body", "/", "Content-Length: 1000"))
        assert upload.read_head().status == 200
        upload.send(b"some of it")
        waiting = open_ones.enter_context(boxes.stream("never"))
        boxes.edge.wait_until(lambda: boxes.state("never") == "running", what="the start of a box that never listens")
        boxes.ask("clock")
        for box_id in ("ws", "body", "never"):
            boxes.edge.command("box", "stop", box_id)
        answer = waiting.read_message()
        assert answer.status == 503 and b"stopped by hand" in answer.body
        boxes.wait_paused("clock")  # two seconds in which a worker has looked and sent all its reports
        assert [boxes.state(box_id) for box_id in ("ws", "body", "never")] == ["paused"] * 3
        for box_id, pid in pids.items():
            assert boxes.edge.command("box", "logs", box_id).count("started as process") == 1
            assert boxes.ask(box_id)["pid"] != pid


# ---- boxes of a control plane: pauses, moves and removals under open exchanges


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """An edge with a control plane and two addresses for boxes."""
    with ControlPlane() as plane, BoxAddresses(2) as addresses:
        config = {"control_plane": {"url": plane.url}, "origins": {"allow": [BOX_NETWORK]}}
        with Edge(tmp_path_factory.mktemp("planned"), config=config) as edge:
            yield edge, plane, addresses


class Planned:
    """A box of the control plane: an origin at a separate address."""

    count = 0

    def __init__(self, planned, handler=b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", kind=RawOrigin):
        self.edge, self.plane, self.addresses = planned
        Planned.count += 1
        self.id = f"box-{os.getpid()}-{Planned.count}"
        self.origin = kind(handler, address=self.addresses[0]) if kind is RawOrigin else kind(address=self.addresses[0])
        self.plane.add_box(self.id, self.addresses[0], self.origin.port, state="running")
        self.push("running")
        self.host = self.edge.create_preview(3000, self.id)

    def push(self, state, address=None, port=None, **more):
        told = {"id": self.id, "state": state, "address": address or self.addresses[0],
                "port": port or self.origin.port, **more}
        self.plane.set(self.id, **told)
        status, answer = push(self.edge, self.id, told)
        assert status in (200, 204), answer

    def stream(self, path="/", *fields):
        client = self.edge.connect("plain", self.host)
        lines = [f"GET {path} HTTP/1.1", f"Host: {self.host}", *fields]
        client.send("\r\n".join(lines).encode() + b"\r\n\r\n")
        return client

    def used(self):
        """The origin's connections with any bytes (others were only probes of the port)."""
        return [conn for conn in self.origin.connections if conn.received]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.origin.close()


def error_code(message):
    return message.status, json.loads(message.body)["code"]


def never_answers(conn):
    if conn.read_request() is not None:  # else it was the edge's probe of the port
        conn.wait_closed(60)


def streams_and_never_ends(conn):
    message = conn.read_request()
    if message is None:
        return
    if message.get("upgrade"):
        accept = base64.b64encode(hashlib.sha1(KEY + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        conn.send(b"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept
                  + b"\r\n\r\n\x81\x05first")
    else:
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nfirst")
    while data := conn.read_some(60):
        conn.send(data)


def test_who_waits_is_told_at_once_that_the_box_was_paused(planned):
    with Planned(planned, never_answers) as box, box.stream() as client:
        box.origin.wait_requests(1)
        began = time.monotonic()
        box.push("paused")
        assert error_code(client.read_message()) == (502, "box_paused")
        assert time.monotonic() - began < 2 * SLOW
        # The next request wakes it.
        box.origin.handler = RawOrigin._answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        assert box.edge.get(box.host).status == 200
        assert box.plane.count("resume", box.id) == 1


def test_a_box_that_is_oddly_silent_is_looked_at(planned):
    """No report of its pause came, and its kernel accepts connections as before."""
    with Planned(planned, never_answers) as box, box.stream() as client:
        box.origin.wait_requests(1)
        box.plane.set(box.id, state="paused")
        box.plane.wait_calls("get", box=box.id)
        assert error_code(client.read_message()) == (502, "box_paused")


def test_streams_and_tunnels_live_through_a_pause_and_messages_wake(planned):
    with Planned(planned, streams_and_never_ends) as box, box.stream() as stream, \
            open_websocket(box.stream, "/") as tunnel:
        assert stream.read_head().status == 200
        assert stream.read_until(b"first")
        assert read_frame(tunnel) == (1, b"first")
        box.push("paused")
        box.edge.wait_until(lambda: states(box.edge)[box.id] == "paused")
        for conn in box.used():
            conn.send(b"\x82\x05still")  # like a box that was frozen and runs again
        assert stream.read_until(b"still")
        assert read_frame(tunnel) == (2, b"still")
        tunnel.send(frame(b"wake"))
        box.plane.wait_calls("resume", box=box.id)
        assert tunnel.read_until(b"wake")
        box.edge.wait_until(lambda: states(box.edge)[box.id] == "running")


def test_streams_and_tunnels_end_with_a_box_that_is_gone_or_moves(planned):
    for how, code, reason in [("gone", 1001, "box_gone"), ("moves", 1012, "box_paused")]:
        with Planned(planned, streams_and_never_ends) as box, box.stream() as stream, \
                open_websocket(box.stream, "/") as tunnel:
            assert stream.read_head().status == 200
            assert stream.read_until(b"first")
            assert read_frame(tunnel) == (1, b"first")
            box.push(*(("gone",) if how == "gone" else ("running", box.addresses[1])))
            opcode, payload = read_frame(tunnel)
            assert (opcode, struct.unpack(">H", payload[:2])[0]) == (8, code)
            stream.wait_closed()
            box.edge.wait_for_line(host=box.host, reason=reason, tunnel=True)
            line = box.edge.wait_for_line(host=box.host, reason=reason, tunnel=False)
            assert line["end"] == "cut"


def test_pooled_connections_are_closed_with_a_pause_and_used_no_more(planned):
    with Planned(planned) as box:
        for _ in range(2):
            assert box.edge.get(box.host).status == 200
        assert len(box.used()) == 1
        box.push("paused")
        assert box.used()[0].done.wait(2 * SLOW)
        box.push("running")
        assert box.edge.get(box.host).status == 200
        assert len(box.used()) == 2


def test_no_byte_goes_to_an_address_that_another_box_has(planned):
    """A connection to the old address is established after the box has moved: the other box, which has that
    address now, sees it and gets no bytes."""
    with Planned(planned, HttpOrigin, kind=HttpOrigin) as box:
        full = socket.socket()
        full.bind((box.addresses[0], 0))
        full.listen(0)
        fills = socket.create_connection(full.getsockname(), 5)  # its queue: the next connect hangs for a second
        box.push("running", port=full.getsockname()[1])
        box.edge.wait_until(lambda: states(box.edge)[box.id] == "running")
        full.settimeout(10)
        with box.stream("/") as client:
            assert client.is_silent(0.1)
            box.push("running", box.addresses[0], box.origin.port)  # it moves, and another box gets its address
            answer = client.read_message()
            assert answer.status == 200, answer.body
        full.close()
        fills.close()


def test_the_control_plane_hears_what_is_active_once_a_second(planned):
    with Planned(planned) as box:
        end = time.monotonic() + 2.2
        while time.monotonic() < end:
            assert box.edge.get(box.host).status == 200
        box.plane.wait_until(lambda: box.id in box.plane.active())
        calls = [c for c in box.plane.calls_of("activity") if box.id in json.loads(c.body)["boxes"]]
        assert 1 <= len(calls) <= 4
        assert all(json.loads(c.body)["boxes"].count(box.id) == 1 for c in calls)
