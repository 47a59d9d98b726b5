"""Process boxes survive an upgrade, with their requests, WebSockets, logs and states, and a failed upgrade;
they end with the edge that serves in the end."""

import contextlib
import os
import re
import signal
import sys

import pytest
from harness import PORTS, SLOW
from processes import IMPOSTOR, Load, Replaced, ends_whole, gone, said, serving, upgrade
from test_process_boxes import Boxes, app, ended, watch
from tunnel_clients import Echoes
from wire import PATIENCE

# Answers with its process id, echoes WebSocket frames of clients at /ws, and answers /slow after a request for /go.
APP = r"""
import base64, hashlib, os, socket, sys, threading
go = threading.Event()
def read(file):
    path, key = file.readline().split()[1], b""
    while (line := file.readline()) not in (b"\r\n", b""):
        name, _, value = line.partition(b":")
        key = value.strip() if name.lower() == b"sec-websocket-key" else key
    return path, key
def serve(client):
    file = client.makefile("rb")
    path, key = read(file)
    if path == b"/ws":
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        client.sendall(b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n" % accept)
        while head := file.read(6):
            client.sendall(bytes([head[0], head[1] & 127]) + file.read(head[1] & 127))
        return
    if path == b"/go":
        go.set()
    if path == b"/slow":
        print("slow", flush=True)
        go.wait()
    if path.startswith(b"/say/"):
        print(path[5:].decode(), flush=True)
    body = b"%d" % os.getpid()
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
    client.close()
server = socket.create_server(("127.0.0.1", int(os.environ["PORT"])), backlog=512)
print("listening", *sys.argv[1:], flush=True)
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"""

# Further lines of a "new binary": it takes the boxes over (edge/runner/boxes_message.h), and then fails.
TAKES = """
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
socket.send_fds(peer, [struct.pack("<IIQ", 0x62786531, 9, 0)], [theirs.fileno()])  # boxes
theirs.close()
kept, number, kind = [], 0, 0
while kind != 4:  # end
    ours.send(struct.pack("<IIQ", 0x62786531, 1, number))  # next
    number += 1
    message, fds, _, _ = socket.recv_fds(ours, 8192, 8)
    kept += fds
    kind = struct.unpack("<IIQ", message[:16])[1]
assert len(kept) == 4, kept  # the configuration; channel, output and log of a box
"""


def box(port, name="web", **more):
    return app(port, name, command=[sys.executable, "-S", "-c", APP], **more)


class Upgraded(Boxes):
    def pid(self, port, name="web"):
        answer = self.ask(port, name)
        assert answer.status == 200, answer.body
        return int(answer.body)

    def command_pid(self, name):
        """Of its last start, by its log."""
        return int(re.findall(r"started as process (\d+)", self.log(name))[-1])


@pytest.fixture
def start(tmp_path):
    """Starts an edge with these boxes, and ends its last successor."""
    with contextlib.ExitStack() as stack:
        yield lambda *boxes, **more: stack.enter_context(ends_whole(Upgraded(tmp_path, *boxes, workers=2, **more)))


@pytest.fixture(name="ports")
def fixture_ports():
    return [PORTS.take() for _ in range(4)]


def test_boxes_live_through_upgrades(start, ports):
    port = ports[0]
    edge = start(box(port))
    host, pid = edge.host(port, "web"), edge.pid(port)
    with Echoes(edge, host) as echoes, Load(edge, host) as load, edge.connect("plain", host) as slow:
        slow.send(b"GET /slow HTTP/1.1\r\nHost: %s\r\n\r\n" % host.encode())
        edge.wait_until(lambda: "slow\n" in edge.log(), PATIENCE * SLOW, "the slow request")
        before = edge.log()
        load.wait_more(20)
        upgrade(edge)
        load.wait_more(20)
        upgrade(edge)
        load.wait_more(20)
        echoes.echo()
        edge.get(host, "/go")
        assert slow.read_answer("GET").body == b"%d" % pid
    assert load.failures == []
    assert edge.pid(port) == pid and edge.state() == "running" and edge.starts() == 1
    # Its log continues in order.
    edge.get(host, "/say/after-the-upgrade")
    edge.wait_until(lambda: edge.log().startswith(before) and "after-the-upgrade" in edge.log()[len(before):],
                    PATIENCE * SLOW, "the log")


def test_boxes_do_as_they_are_told_after_an_upgrade(start, ports):
    """They stop with all their processes, start again, are frozen and thawed, and a death is noticed."""
    edge = start(box(ports[0]), box(ports[1], "cold", idle="1s", idle_action="freeze"), box(ports[2], "off"))
    web, cold = edge.pid(ports[0]), edge.pid(ports[1], "cold")
    edge.wait_until(lambda: edge.state("cold") == "paused", PATIENCE * SLOW, "it is frozen")
    upgrade(edge)
    assert [edge.state(name) for name in ("web", "cold", "off")] == ["running", "paused", "paused"]
    assert edge.pid(ports[1], "cold") == cold and "thawed" in edge.log("cold")
    end = watch(web)
    edge.command("box", "stop", "web")
    assert ended(end) and edge.state() == "paused"
    again = edge.pid(ports[0])
    assert again != web
    upgrade(edge)
    end = watch(again)
    os.kill(again, signal.SIGKILL)
    assert ended(end)
    edge.wait_until(lambda: "ended by itself: killed by signal 9" in edge.log(), PATIENCE * SLOW, "its end in its log")
    assert edge.pid(ports[0]) not in (web, again)
    assert edge.pid(ports[2], "off") > 0


def test_the_end_of_the_edge_ends_boxes_that_it_took_over(start, ports):
    edge = start(box(ports[0]), box(ports[1], "other"))
    pids = [edge.pid(ports[0]), edge.pid(ports[1], "other")]
    first = edge.process.pid
    last = upgrade(edge)
    edge.wait_until(lambda: gone(first), PATIENCE * SLOW, "the end of the old edge")
    assert not any(gone(pid) for pid in pids)
    ends = [watch(pid) for pid in pids]
    os.kill(last, signal.SIGTERM)
    assert all(ended(end) for end in ends)
    edge.wait_until(lambda: gone(last), PATIENCE * SLOW, "the end of the new edge")


@pytest.mark.parametrize("who", ["runner", "boxedge"])
def test_a_killed_process_of_the_new_edge_leaves_no_box(start, ports, who):
    edge = start(box(ports[0]))
    edge.expect_deaths = True
    pid = edge.pid(ports[0])
    first, new = edge.process.pid, upgrade(edge)
    edge.wait_until(lambda: gone(first), PATIENCE * SLOW, "the end of the old edge")
    end = watch(pid)
    os.kill(new if who == "boxedge" else edge.pids("runner")[0], signal.SIGKILL)
    assert ended(end)
    if who == "runner":
        edge.wait_until(lambda: edge.state() == "paused", PATIENCE * SLOW, "being paused")
        assert edge.pid(ports[0]) != pid


def test_what_a_new_configuration_says_of_boxes(start, ports):
    """A box with another command stops, and so does a removed one; the others live on."""
    edge = start(box(ports[0]), box(ports[1], "changed"), box(ports[2], "removed"))
    web, changed, removed = edge.pid(ports[0]), edge.pid(ports[1], "changed"), edge.pid(ports[2], "removed")
    ends = [watch(changed), watch(removed)]
    edge.config["processes"] = [box(ports[0]), box(ports[1], "changed", environment=["MODE=new"]), box(ports[3], "new")]
    edge.write_config()
    upgrade(edge)
    assert all(ended(end) for end in ends)
    assert edge.pid(ports[0]) == web and edge.pid(ports[1], "changed") != changed
    edge.create_preview(ports[3], "new")
    assert edge.pid(ports[3], "new") > 0


def test_a_box_that_starts_meanwhile(start, ports):
    """It listens 2 s after its start, and its client waits through the upgrade."""
    slow = app(ports[0], command=[sys.executable, "-S", "-c", f"import time; time.sleep(2)\n{APP}"])
    edge = start(slow, config={"timeouts": {"drain": "60s"}})  # an open request has that long
    host = edge.host(ports[0], "web")
    with edge.connect("plain", host) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: %s\r\n\r\n" % host.encode())
        edge.wait_until(lambda: edge.starts() == 1, PATIENCE * SLOW, "its start")
        upgrade(edge)
        answer = client.read_answer("GET")
        assert answer.status == 200 and int(answer.body) == edge.command_pid("web")
    assert edge.starts() == 1


@pytest.mark.parametrize("takes", [True, False])
def test_an_upgrade_that_fails_leaves_the_boxes(start, ports, tmp_path, monkeypatch, takes):
    """Also after the new program had taken them over, and they still obey."""
    program = Replaced(tmp_path, monkeypatch)
    edge = start(box(ports[0]))
    host, pid = edge.host(ports[0], "web"), edge.pid(ports[0])
    first = edge.process.pid
    impostor = IMPOSTOR % 0
    program.by(impostor.replace("time.sleep", TAKES + "time.sleep") if takes else impostor)
    with Echoes(edge, host) as echoes:
        seen = len(edge.stderr.lines)
        os.kill(first, signal.SIGUSR2)
        said(edge, "did not take over: exit status 5", seen)
        echoes.echo()
        assert edge.pid(ports[0]) == pid and serving(edge) == first
    edge.get(host, "/say/still-here")
    edge.wait_until(lambda: "still-here" in edge.log(), PATIENCE * SLOW, "its output")
    end = watch(pid)
    edge.command("box", "stop", "web")
    assert ended(end)
    assert edge.pid(ports[0]) != pid
