"""The last words of a process that crashes: signal, build id, a backtrace and the requests in flight, and no
secret."""

import json
import os
import re
import signal
import subprocess

import pytest

import harness
from harness import SANITIZED, RawOrigin

REQUESTS = 60
SECRET = "s3cr3t-of-a-visitor"
SIGNALS = [signal.SIGABRT] + ([] if SANITIZED else [signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE])


def words(edge, name):
    """The lines of the crash of `name`, without their beginning."""
    begin = f" error crash boxedge[{name}]: crash: " if name else " error crash boxedge: crash: "
    return [line.split(begin, 1)[1] for line in edge.stderr.lines if begin in line]


def status_of(edge):
    return json.loads(edge.command("status", "--json"))


def pid_of(edge, name):
    status = status_of(edge)
    return {"controller": status["controller"]["pid"], "worker 0": status["workers"][0]["pid"],
            None: status["supervisor_pid"]}[name]


def check_trace(lines, sent):
    assert re.fullmatch(rf"signal {sent.name}, build id [0-9a-f]{{40}}", lines[0]), lines[:3]
    frames = [line for line in lines if line.startswith("in ")]
    assert len(frames) >= 3 and all(re.fullmatch(r"in \S+ 0x[0-9a-f]+", line) for line in frames), frames
    return [int(line.split()[2], 16) for line in frames if line.split()[1] == "boxedge"]


def hold(connection):
    """Reads a request and never answers."""
    connection.read_request()
    connection.read_to_end()


@pytest.mark.parametrize("sent", SIGNALS, ids=lambda sent: sent.name)
def test_a_worker(make_edge, sent):
    with RawOrigin(hold) as app:
        edge = make_edge(workers=1)
        edge.expect_deaths = True
        host = edge.create_preview(app)
        clients = [edge.connect("plain") for _ in range(REQUESTS)]
        for number, client in enumerate(clients):
            client.send(f"GET /{number}?token={SECRET} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {SECRET}\r\n\r\n".encode())
        app.wait_requests(REQUESTS)
        os.kill(pid_of(edge, "worker 0"), sent)
        edge.stderr.wait_for(lambda line: f"killed by signal {int(sent)} " in line and "worker 0" in line)
        lines = words(edge, "worker 0")
        check_trace(lines, sent)
        told = re.fullmatch(r"requests in flight:((?: [0-9a-f]{32}){48}) and (\d+) others", lines[-1])
        assert told and int(told[2]) == REQUESTS - 48, lines[-1]
        seen = b"".join(bytes(connection.received) for connection in app.connections).decode()
        assert all(one in seen for one in told[1].split())
        assert SECRET not in "\n".join(edge.stderr.lines)
        for client in clients:
            client.close()
        edge.wait_until(lambda: status_of(edge)["workers"][0]["state"] == "ready", what="another worker serves")


def test_the_controller(make_edge):
    edge = make_edge(workers=1)
    edge.expect_deaths = True
    os.kill(pid_of(edge, "controller"), signal.SIGABRT)
    edge.stderr.wait_for(lambda line: "controller" in line and f"killed by signal {int(signal.SIGABRT)} " in line)
    lines = words(edge, "controller")
    check_trace(lines, signal.SIGABRT)
    assert not [line for line in lines if line.startswith("requests")]


def test_addresses_name_the_code(make_edge):
    """By docs/operations.md: addr2line on the program's file names the loop in which a worker waits."""
    edge = make_edge(workers=1)
    edge.expect_deaths = True
    os.kill(pid_of(edge, "worker 0"), signal.SIGABRT)
    edge.stderr.wait_for(lambda line: "killed by signal 6 " in line and "worker 0" in line)
    offsets = check_trace(words(edge, "worker 0"), signal.SIGABRT)
    named = subprocess.run(["addr2line", "-fe", str(harness.BINARY), *map(hex, offsets)], capture_output=True, text=True,
                           check=True, timeout=60).stdout
    assert "loop_turn" in named.split("\n"), named
