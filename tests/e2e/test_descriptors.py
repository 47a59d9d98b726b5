"""Descriptors run out: the answers and messages, and the work that continues."""

import contextlib
import json
import os
import resource
import signal
import socket

import pytest

from disks import figure
from harness import PATIENCE, SLOW, RawOrigin, WireError

LONG = PATIENCE * SLOW
# descriptors.h: below 384 a quarter of the hard limit is kept for messages.
HARD = 160
SOFT = HARD - HARD // 4


def limit(pid, soft, hard):
    return resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


def silent(conn):
    conn.read_request(3600)
    conn.wait_closed(3600)


@pytest.fixture(name="world")
def fixture_world(make_edge, tmp_path):
    """An edge whose only worker has few descriptors, and whose access log is a file."""
    edge = make_edge(config={"log": {"access": str(tmp_path / "access.log")}, "limits": {"connections_per_client": 0}})
    (worker,) = edge.pids("worker")
    limit(worker, SOFT, HARD)
    yield edge, worker


@contextlib.contextmanager
def filled(edge, app):
    """Clients whose requests get no answer take all available descriptors: two each, so some find none."""
    host = edge.create_preview(app)
    with contextlib.ExitStack() as stack:
        for _ in range(SOFT):
            client = stack.enter_context(edge.connect("plain"))
            with contextlib.suppress(OSError):
                client.send(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        edge.stderr.wait_for(lambda line: "boxedge[worker 0]: no descriptor is left" in line, LONG)
        yield


def is_served(edge, host):
    """False also if the worker resets the connection: it had no descriptor left for it."""
    try:
        return edge.get(host).status == 200
    except (WireError, OSError):
        return False


def test_a_request_without_a_descriptor_is_told_so(world):
    edge, worker = world
    with RawOrigin(silent) as app, RawOrigin() as other:
        kept = edge.connect("plain")  # it is connected before they run out
        host = edge.create_preview(other)
        with filled(edge, app):
            got = kept.request(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode(), timeout=LONG)
            assert (got.status, json.loads(got.body)["code"]) == (503, "no_descriptors")
            assert got.get("retry-after") == "1"
            assert figure(edge, "boxedge_descriptor_shortages_total") >= 1
        edge.wait_until(lambda: is_served(edge, host), LONG, "service")
        kept.close()
    assert edge.pids("worker") == [worker]


def test_messages_have_descriptors_of_their_own(world, tmp_path):
    """A reload ends, and a rotated log is opened, while clients hold all others."""
    edge, worker = world
    with RawOrigin(silent) as app, filled(edge, app):
        os.rename(tmp_path / "access.log", tmp_path / "access.log.1")
        edge.process.send_signal(signal.SIGUSR1)
        edge.stderr.wait_for(lambda line: "access log was reopened" in line, LONG)
        edge.process.send_signal(signal.SIGHUP)
        edge.stderr.wait_for(lambda line: "reloaded: configuration 2 is in use" in line, LONG)
    edge.get("nowhere.test")
    edge.wait_until(lambda: (tmp_path / "access.log").read_text().count("nowhere.test") == 1, LONG, "a line")
    assert edge.pids("worker") == [worker]
    assert not any("cannot be read without" in line for line in edge.stderr.lines)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to count the descriptors of a worker")
def test_a_message_that_cannot_be_taken_is_said_again(world, tmp_path):
    """Also if the reserve is used up: all are accepted as soon as clients leave."""
    edge, worker = world

    def count():
        return len(os.listdir(f"/proc/{worker}/fd"))

    with contextlib.ExitStack() as clients:
        before = count()
        for _ in range(30):
            clients.enter_context(edge.connect("plain"))
        edge.wait_until(lambda: count() >= before + 30, LONG, "30 connections")
        limit(worker, count(), count())
        os.rename(tmp_path / "access.log", tmp_path / "access.log.1")
        edge.process.send_signal(signal.SIGUSR1)
        edge.stderr.wait_for(lambda line: "boxedge[worker 0]: a message of type 4 cannot be read without" in line, LONG)
        edge.process.send_signal(signal.SIGHUP)
        edge.stderr.wait_for(lambda line: "boxedge[worker 0]: a message of type 2 cannot be read without" in line, LONG)
        assert not any("reloaded:" in line for line in edge.stderr.lines)
    edge.stderr.wait_for(lambda line: "reloaded: configuration 2 is in use" in line, LONG)

    def is_logged():
        """The two messages repeat independently: until the log's message, lines go to the old file."""
        edge.get("nowhere.test")
        return "nowhere.test" in (tmp_path / "access.log").read_text()

    edge.wait_until(is_logged, LONG, "a line")
    assert edge.pids("worker") == [worker]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to count the descriptors of the controller")
def test_a_configuration_that_the_controller_cannot_take_is_said_again(make_edge):
    edge = make_edge()
    (controller,) = edge.pids("controller")

    def count():
        return len(os.listdir(f"/proc/{controller}/fd"))

    with contextlib.ExitStack() as clients:
        before = count()
        for _ in range(10):
            clients.enter_context(socket.socket(socket.AF_UNIX)).connect(str(edge.admin_socket))
        edge.wait_until(lambda: count() >= before + 10, LONG, "10 connections")
        limit(controller, count(), count())  # without its reserve
        edge.process.send_signal(signal.SIGHUP)
        lost = "boxedge[controller]: a message of type 2 cannot be read without"
        edge.stderr.wait_for(lambda line: lost in line, LONG)
        assert not any("reloaded:" in line for line in edge.stderr.lines)
    edge.stderr.wait_for(lambda line: "reloaded: configuration 2 is in use" in line, LONG)
    assert edge.pids("controller") == [controller]


def test_what_is_more_than_a_worker_may_have_is_said(make_edge):
    """At a start; each process has raised its limit to the maximum."""
    edge = make_edge(config={"limits": {"connections": 1000000}})
    (worker,) = edge.pids("worker")
    hard = resource.prlimit(edge.process.pid, resource.RLIMIT_NOFILE)[1]
    soft = resource.prlimit(worker, resource.RLIMIT_NOFILE)[0]
    assert soft == hard - min(96, hard // 4)
    said = f"a process may have {hard} descriptors: a worker holds {soft - soft // 4} client connections instead of the 1000000 "
    assert any(said in line for line in edge.stderr.lines)
