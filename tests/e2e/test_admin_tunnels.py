"""Open tunnels end when their preview's access changes, and only then."""

import base64
import hashlib
import os
import signal
import threading

import pytest

import harness
from admin_access import KEY, admin, bearer, block  # noqa: F401 (fixtures)
from admin_api import Admin
from harness import SLOW, RawOrigin

HELLO = b"\x81\x02hi"
GOODBYE = b"\x88\x16\x03\xf0access was withdrawn"  # Close, code 1008


def keep_open(conn, last=HELLO):
    """A box that accepts a WebSocket, sends a greeting and reads."""
    message = conn.read_request()
    assert message.get("sec-websocket-key")
    accept = base64.b64encode(hashlib.sha1(
        message.get("sec-websocket-key").encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    conn.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
              b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n" + last)
    while conn.read_some(timeout=60):
        pass


def upgrade(host, *fields):
    lines = ["GET /ws HTTP/1.1", f"Host: {host}", "Upgrade: websocket", "Connection: Upgrade",
             "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY.decode()}", *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@pytest.fixture
def ws_box():
    with RawOrigin(keep_open) as running:
        yield running


class Tunnels:
    """Open tunnels, over both workers; `with` closes them."""

    def __init__(self, edge, host, *fields, count=6, hello=HELLO):
        self.clients = []
        for _ in range(count):
            client = edge.connect()
            self.clients.append(client)
            answer = client.request(upgrade(host, *fields))
            assert answer.status == 101
            assert client.read_exactly(len(hello)) == hello

    def expect_goodbye(self):
        for client in self.clients:
            assert client.read_exactly(len(GOODBYE)) == GOODBYE
            client.wait_closed()

    def expect_open(self):
        """A client's bytes still arrive: no answer has come, and the connection accepts them."""
        for client in self.clients:
            client.send(b"\x81\x80\x01\x02\x03\x04")
            assert client.is_silent(0.05)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for client in self.clients:
            client.close()


def test_deleting_ends_tunnels_only_where_asked(edge, admin, ws_box):
    host = edge.host(ws_box)
    path = f"/v1/previews/box/{ws_box.port}"
    token = admin.create("box", ws_box.port, bearer=True)[2]["token"]
    with RawOrigin(keep_open) as other_box, Tunnels(edge, host, bearer(token)) as tunnels, \
            Tunnels(edge, edge.create_preview(other_box)) as others:
        assert admin.call("DELETE", path)[0] == 200
        tunnels.expect_open()
        # The preview is gone, but its tunnels are not: they can still be ended.
        assert admin.call("DELETE", path + "?kill_tunnels=1")[0] == 404
        tunnels.expect_goodbye()
        others.expect_open()
    for line in edge.wait_for_line(host=host, reason="withdrawn", count=6):
        assert line["status"] == 101 and line["tunnel"]
    assert admin.create("box", ws_box.port)[0] == 201
    with Tunnels(edge, host) as tunnels:
        assert admin.call("DELETE", path + "?kill_tunnels=0")[0] == 200
        tunnels.expect_open()
        assert admin.create("box", ws_box.port)[0] == 201
        with Tunnels(edge, host) as newer:
            assert admin.call("DELETE", path + "?kill_tunnels=1")[0] == 200
            newer.expect_goodbye()
            tunnels.expect_goodbye()
    for query in ("?kill_tunnels", "?kill_tunnels=yes", "?x=1", "?kill_tunnels=1&kill_tunnels=1"):
        assert admin.call("DELETE", path + query)[0] == 400


def test_creating_again_ends_older_tunnels_only(edge, admin, ws_box):
    host = edge.host(ws_box)
    assert admin.create("box", ws_box.port)[0] == 201
    with Tunnels(edge, host) as first:
        assert admin.create("box", ws_box.port)[0] == 201
        first.expect_open()
        token = admin.create("box", ws_box.port, bearer=True, kill_tunnels=True)[2]["token"]
        with Tunnels(edge, host, bearer(token)) as second:
            first.expect_goodbye()
            second.expect_open()


def test_blocks_end_tunnels(edge, admin, ws_box):
    host = edge.create_preview(ws_box)
    with RawOrigin(keep_open) as other_box, Tunnels(edge, edge.create_preview(other_box)) as others:
        with Tunnels(edge, host) as tunnels:
            block(admin, "preview", f"box-{ws_box.port}")
            tunnels.expect_goodbye()
        edge.wait_for_line(host=host, reason="blocked", tunnel=True, count=6)
        others.expect_open()
        assert admin.call("DELETE", f"/v1/blocks/preview/box-{ws_box.port}")[0] == 200
        with Tunnels(edge, host) as tunnels:
            block(admin, "box", "box")
            tunnels.expect_goodbye()
            others.expect_goodbye()
        assert admin.call("DELETE", "/v1/blocks/box/box")[0] == 200
        with Tunnels(edge, host) as tunnels:
            block(admin, "cidr", "127.0.0.1")
            tunnels.expect_goodbye()


def test_a_frame_that_has_begun_is_cut(edge, admin):
    with RawOrigin(lambda conn: keep_open(conn, b"\x82\x7d12")) as box, \
            Tunnels(edge, edge.create_preview(box), hello=b"\x82\x7d12") as tunnels:
        assert admin.call("DELETE", f"/v1/previews/box/{box.port}?kill_tunnels=1")[0] == 200
        for client in tunnels.clients:
            assert client.read_to_end() == b""  # no Close frame within another frame
    assert edge.wait_for_line(host=edge.host(box), reason="withdrawn")["end"] == "cut"


def test_an_expired_preview_ends_its_tunnels(edge, admin, ws_box):
    assert admin.create("box", ws_box.port, expires_in=3)[0] == 201
    with Tunnels(edge, edge.host(ws_box), count=2) as tunnels:
        tunnels.expect_goodbye()
    edge.wait_for_line(host=edge.host(ws_box), reason="expired", tunnel=True)


@pytest.mark.parametrize("change, status", [("delete", 404), ("replace", 401), ("block", 403), ("make public", 101)])
def test_an_upgrade_under_way_is_judged_again(edge, admin, change, status):
    """The box delays its answer to the handshake; meanwhile the preview changes."""
    asked, go_on = threading.Event(), threading.Event()

    def slow(conn):
        message = conn.read_request()
        asked.set()
        assert go_on.wait(harness.PATIENCE)
        accept = base64.b64encode(hashlib.sha1(
            message.get("sec-websocket-key").encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        conn.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                  b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n" + HELLO)
        conn.read_to_end()

    with RawOrigin(slow) as box:
        token = admin.create("box", box.port, bearer=True)[2]["token"]
        with edge.connect() as client:
            client.send(upgrade(edge.host(box), bearer(token)))
            assert asked.wait(harness.PATIENCE)
            if change == "delete":
                assert admin.call("DELETE", f"/v1/previews/box/{box.port}?kill_tunnels=1")[0] == 200
            elif change == "block":
                block(admin, "preview", f"box-{box.port}")
            else:
                assert admin.create("box", box.port, bearer=change == "replace", public=change != "replace")[0] == 201
            go_on.set()
            answer = client.read_message(request_method="GET")
            assert answer.status == status
            assert (status == 401) == (answer.get("www-authenticate") is not None)


def test_a_worker_that_does_not_read_catches_up(make_edge, ws_box):
    """Its message queue is full when a tunnel is to end: no message is lost."""
    edge = make_edge(workers=1, config={"timeouts": {"heartbeat": "5m"}})
    host, admin = edge.host(ws_box), Admin(edge.admin_socket)
    assert admin.create("box", ws_box.port)[0] == 201
    with RawOrigin(keep_open) as other_box, Tunnels(edge, host, count=2) as tunnels, \
            Tunnels(edge, edge.create_preview(other_box), count=2) as others:
        (worker,) = edge.pids("worker")
        os.kill(worker, signal.SIGSTOP)
        try:
            for port in range(1, 1500):
                assert admin.call("DELETE", f"/v1/previews/nothing/{port}?kill_tunnels=1")[0] == 404
            assert admin.call("DELETE", f"/v1/previews/box/{ws_box.port}?kill_tunnels=1")[0] == 200
        finally:
            os.kill(worker, signal.SIGCONT)
        tunnels.expect_goodbye()
        others.expect_open()


def test_tunnels_end_for_a_controller_that_came_back(make_edge, ws_box):
    edge = make_edge(workers=2)
    edge.expect_deaths = True
    host, admin = edge.host(ws_box), Admin(edge.admin_socket)
    assert admin.create("box", ws_box.port)[0] == 201
    with Tunnels(edge, host) as tunnels:
        (pid,) = edge.pids("controller")
        os.kill(pid, signal.SIGKILL)

        def delete():
            try:
                return Admin(edge.admin_socket).call("DELETE", f"/v1/previews/box/{ws_box.port}?kill_tunnels=1")[0]
            except OSError:
                return None

        # The admin socket outlives the controller: the request waits for the next one.
        edge.wait_until(lambda: delete() in (200, 404), timeout=10 * SLOW, what="a new controller")
        tunnels.expect_goodbye()


def test_kill_tunnels_of_the_commands(edge, ws_box):
    host = edge.create_preview(ws_box)
    with Tunnels(edge, host) as tunnels:
        edge.command("preview", "create", "box", ws_box.port, "--kill-tunnels")
        tunnels.expect_goodbye()
    with Tunnels(edge, host) as tunnels:
        edge.command("preview", "delete", "box", ws_box.port, "--kill-tunnels")
        tunnels.expect_goodbye()
