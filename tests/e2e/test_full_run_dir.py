"""The disk of `run_dir` is full: states of boxes wait, everything else continues, and each answer gives the
reason."""

import os
import signal

import pytest

from disks import LONG, figure, fill, push, small_disk
from harness import PORTS, Edge, HttpOrigin
from processes import ends_whole, said
from test_process_boxes import app

VOLATILE = '{store="volatile"}'


@pytest.fixture(name="world")
def _world(tmp_path):
    """An edge with a control plane that does not answer and a process box, the port of that box, and its disk."""
    port = PORTS.take()
    edge = Edge(tmp_path, workers=2, start=False, config={
        "control_plane": {"url": "http://127.0.0.1:1"}, "origins": {"allow": ["10.0.0.0/8"]},
        "processes": [app(port, "sleeper", idle="1h")]})
    with small_disk(edge.run_dir, "4m") as disk:
        with edge:
            edge.start()
            with ends_whole(edge):
                yield edge, port, disk


def refusals(edge):
    return [line for line in edge.stderr.lines if "takes no state of a box" in line]


def test_a_full_run_dir(world):
    edge, port, disk = world
    with HttpOrigin() as origin:
        host, sleeper = edge.create_preview(origin), edge.create_preview(port, "sleeper")
        big = fill(disk)
        # Boxes that the store does not have need room.
        for number in range(500):
            status, body = push(edge, f"b{number}")
            if status != 200:
                break
        assert status == 503 and body["code"] == "not_recorded", body
        assert "takes no state of a box: the disk is full" in body["error"], body
        (line,) = refusals(edge)
        assert f"{edge.run_dir}/store takes no state of a box: the disk is full" in line
        assert figure(edge, "boxedge_store_writable" + VOLATILE) == 0
        assert figure(edge, 'boxedge_store_writable{store="durable"}') == 1

        def goes_on():
            assert edge.get(host, "/echo").status == 200
            edge.command("block", "box", "other")
            edge.command("preview", "create", "box", 4000, "--public")
            edge.command("status", "--ready")

        goes_on()
        done = edge.command("box", "start", "sleeper", check=False, timeout=LONG)
        assert done.returncode == 0 or "the disk is full" in done.stderr, done.stderr
        edge.command("reload")
        edge.expect_deaths = True
        start = len(edge.stderr.lines)
        os.kill(edge.pids("worker")[0], signal.SIGKILL)
        said(edge, "is back", start)
        start = len(edge.stderr.lines)
        os.kill(edge.pids("controller")[0], signal.SIGKILL)
        said(edge, "controller is back", start)
        goes_on()
        done = edge.command("upgrade", check=False, timeout=100)
        assert done.returncode == 0 or "full" in done.stderr, done.stderr
        goes_on()
        assert len(refusals(edge)) <= 3  # of each controller

        big.unlink()
        edge.wait_until(lambda: push(edge, "late")[0] == 200, LONG, "a record")
        edge.command("box", "stop", "sleeper")
        edge.command("box", "start", "sleeper")
        assert edge.get(sleeper).status == 200
        edge.command("upgrade")
        goes_on()
        edge.command("store", "check")


def test_it_takes_states_again(world):
    edge, _, disk = world
    big = fill(disk)
    number = 0
    while push(edge, f"b{number}")[0] == 200:
        number += 1
        assert number < 500
    assert len(refusals(edge)) == 1
    big.unlink()

    def again():
        assert push(edge, "late")[0] == 200
        return any("store takes changes again" in line for line in edge.stderr.lines)

    edge.wait_until(again, LONG, "a line")
    assert figure(edge, "boxedge_store_writable" + VOLATILE) == 1
    assert push(edge, f"b{number}")[0] == 200
